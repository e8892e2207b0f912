"""The JSON forms of versions, journal lines and runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from stackwright_interfaces.errors import RegistryError, UsageError
from stackwright_interfaces.registry import Event, ModelVersion, Run

FORMAT: Final = 1

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Publication:
    """The record of a version.

    Args:
        version: the version, without aliases.
        who: who published it.
        stage: names the files.
    """

    version: ModelVersion
    who: str
    stage: str

    @property
    def event(self) -> Event:
        """The journal line that a publication is."""
        version = self.version
        return Event(at=version.created, kind="published", name=version.name, version=version.version, who=self.who)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the journal, and the state of all aliases after it.

    Args:
        number: 1, 2, 3, ...; 0 stands before the first.
        event: the line; ``None`` only before the first.
        aliases: model → alias → version.
        moves: how many of the lines up to this one moved an alias.
    """

    number: int = 0
    event: Event | None = None
    aliases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    moves: int = 0

    def aliases_of(self, name: str, version: int) -> tuple[str, ...]:
        """Return the aliases that point to a version."""
        return tuple(sorted(alias for alias, number in self.aliases.get(name, {}).items() if number == version))


def encode(where: str, document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON text; NaN and infinities are kept as Python's ``json`` writes them.

    Raises:
        UsageError: it holds something that JSON has no form for.
    """
    try:
        return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, default=_as_dict) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise UsageError(
            where, f"not JSON values ({error})", "Hand over strings, numbers, lists and mappings."
        ) from error


def publication_to_json(item: Publication) -> dict[str, Any]:
    """Return the JSON form."""
    version = item.version
    return {
        "format": FORMAT,
        "name": version.name,
        "version": version.version,
        "digest": version.digest,
        "created": _time(version.ref, version.created),
        "record": version.record,
        "who": item.who,
        "stage": item.stage,
    }


def read_publication(key: str, data: bytes) -> Publication:
    """Read the JSON form.

    Raises:
        RegistryError: it is damaged, or of a later format.
    """

    def build(document: Mapping[str, Any]) -> Publication:
        if not _DIGEST.fullmatch(document["digest"]):
            raise ValueError("no digest")
        version = ModelVersion(
            name=document["name"],
            version=document["version"],
            digest=document["digest"],
            created=datetime.fromisoformat(document["created"]),
            record=document["record"],
        )
        return Publication(version=version, who=document["who"], stage=document["stage"])

    return _decode(key, data, build)


def line_to_json(line: Line) -> dict[str, Any]:
    """Return the JSON form."""
    return {
        "format": FORMAT,
        "event": None if line.event is None else event_to_json(line.event),
        "aliases": line.aliases,
        "moves": line.moves,
    }


def read_line(key: str, number: int, data: bytes) -> Line:
    """Read the JSON form.

    Raises:
        RegistryError: it is damaged, or of a later format.
    """

    def build(document: Mapping[str, Any]) -> Line:
        event = document["event"]
        return Line(
            number=number,
            event=Event(**{**event, "at": datetime.fromisoformat(event["at"])}),
            aliases=document["aliases"],
            moves=document["moves"],
        )

    return _decode(key, data, build)


def event_to_json(event: Event) -> dict[str, Any]:
    """Return the JSON form."""
    return vars(event) | {"at": _time("journal", event.at)}


def run_to_json(run: Run) -> dict[str, Any]:
    """Return the JSON form."""
    where = f"run {run.id!r}"
    times = {"started": _time(where, run.started), "ended": None if run.ended is None else _time(where, run.ended)}
    return {"format": FORMAT} | vars(run) | times


def read_run(key: str, data: bytes) -> Run:
    """Read the JSON form.

    Raises:
        RegistryError: it is damaged, or of a later format.
    """

    def build(document: Mapping[str, Any]) -> Run:
        ended = document["ended"]
        times = {
            "started": datetime.fromisoformat(document["started"]),
            "ended": None if ended is None else datetime.fromisoformat(ended),
        }
        return Run(**{name: value for name, value in document.items() if name != "format"} | times)

    return _decode(key, data, build)


def _decode(key: str, data: bytes, build: Callable[[Mapping[str, Any]], _T]) -> _T:
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise RegistryError(key, f"format {document['format']!r}, this version reads {FORMAT}")
        return build(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(key, f"the record is damaged ({error!r})", "Restore it from a backup.") from error


def _as_dict(value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} {value!r}")


def _time(where: str, time: datetime) -> str:
    if time.tzinfo is None:
        raise UsageError(where, f"the time {time} has no time zone", "Give UTC: datetime.now(UTC).")
    return time.astimezone(UTC).isoformat()
