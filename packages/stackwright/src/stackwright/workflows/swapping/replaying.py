"""A registry's life lived once more in another registry: the same versions, aliases and lines, at the same instants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackwright.workflows.swapping.answers import same
from stackwright_interfaces.errors import RegistryError
from stackwright_interfaces.registry import Event, ModelVersion, Registry


class Clock:
    """A clock that stands where it is set; whoever publishes by it publishes at that instant."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return the present."""
        return self.now


@dataclass(frozen=True)
class Life:
    """What a registry says of itself.

    Args:
        versions: reference → version.
        events: its journal, oldest first.
    """

    versions: Mapping[str, ModelVersion]
    events: Sequence[Event]

    @classmethod
    def of(cls, registry: Registry) -> Life:
        """Read a registry's."""
        versions, events = registry.history()
        return cls({version.ref: version for version in versions}, events)


def live_on(
    life: Life, folder_of: Callable[[ModelVersion], Path], target: Registry, clock: Clock, done: Callable[[int], None]
) -> int:
    """Live what a registry has not lived yet of another's life; return how many lines were there already.

    Args:
        life: of the other.
        folder_of: where a version's files lie.
        target: lives on; built with the clock.
        done: told after each line how many there are.

    Raises:
        RegistryError: it holds something else than the beginning of that life, or a version was removed from the other.
    """
    begun = target.history()[1]
    for number, (old, new) in enumerate(zip(life.events, begun, strict=False), 1):
        for name, was, now in unlike(old, new):
            found = f"line {number} of its journal has {name} {now!r}, the other registry's has {was!r}"
            raise RegistryError("new registry", found, "Give it an empty place.")
    if len(begun) > len(life.events):
        found = f"its journal has {len(begun)} lines, the other registry's {len(life.events)}"
        raise RegistryError("new registry", found, "Give it an empty place.")
    for number, event in enumerate(life.events[len(begun) :], len(begun) + 1):
        clock.now = event.at
        if event.kind == "published":
            _publish(life, event, folder_of, target)
        else:
            target.record(event, expected=event.before)
        done(number)
    clock.now = datetime.now(UTC)
    return len(begun)


def _publish(life: Life, event: Event, folder_of: Callable[[ModelVersion], Path], target: Registry) -> None:
    ref = f"{event.name}@{event.version}"
    version = life.versions.get(ref)
    if version is None:
        raise RegistryError(ref, "its journal says that it was published, and it is gone", "Restore it, or start anew.")
    made = target.publish(version.name, folder_of(version), version.record, who=event.who)
    if (made.version, made.digest) != (version.version, version.digest):
        found = f"became version {made.version} with digest {made.digest} in the new registry"
        raise RegistryError(ref, found, "Give it an empty place.")


def unlike(a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    """Give name and both values of every field in which two versions, events or runs differ."""
    for item in fields(a):
        one, other = getattr(a, item.name), getattr(b, item.name)
        if not same(_as_lists(one), _as_lists(other)):
            yield item.name, one, other


def _as_lists(value: Any) -> Any:
    """Return a value with tuples as lists and times in UTC, as JSON would give it back."""
    if isinstance(value, Mapping):
        return {key: _as_lists(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_lists(item) for item in value]
    return value.astimezone(UTC) if isinstance(value, datetime) else value
