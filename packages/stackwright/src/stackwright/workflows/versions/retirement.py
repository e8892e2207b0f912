"""Retiring a version: nothing points to it, nothing may point to it, and what nobody reads any more is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.lineage import Node, used_by
from stackwright.workflows.features import sharing
from stackwright.workflows.identity import who
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions import provenance
from stackwright.workflows.versions.models import RETIRED, remove
from stackwright.workflows.versions.resolving import find, retirement_of
from stackwright_interfaces.errors import RegistryError
from stackwright_interfaces.registry import Event, ModelVersion


def retire(stack: Stack, ref: str, *, reason: str = "", drain: bool = False, undo: bool = False) -> Outcome:
    """Take a version out of use, or back into it.

    An alias that points to it refuses, for whoever asks the alias would get no answer: move it first, by promoting
    another version or rolling back. ``drain`` removes the aliases instead. A retired version stays in the registry, and
    can still be shown, traced and reproduced.

    Args:
        ref: ``NAME@VERSION`` or ``NAME@ALIAS``; a bare name is its newest version.
        reason: written into the journal.
        drain: remove every alias that points to it.
        undo: let it be promoted again; aliases do not come back by themselves.

    Raises:
        ModelNotFound: there is no such version.
        RegistryError: an alias points to it.
        AliasConflict: an alias moved meanwhile.
    """
    version = find(stack, ref)
    _, events = stack.registry.history(version.name)
    retired = retirement_of(events, version)
    if undo:
        return _undone(stack, version, retired, reason)
    if version.aliases and not drain:
        raise _pointed_to(version)
    for alias in version.aliases:
        remove(stack, version, alias, reason or RETIRED)
    if retired is None:
        _write(stack, version, reason or RETIRED, retired=True)
        after = find(stack, version.ref)
        if after.aliases:  # a promotion came between: it looked for the line above before there was one
            _write(stack, version, "an alias came to point to it meanwhile", retired=False)
            raise _pointed_to(after)
    unused = unused_features(stack)
    data = {
        "model": version.ref,
        "retired": True,
        "changed": retired is None,
        "removed": list(version.aliases),
        "unused": unused,
    }
    title = f"{version.ref} is retired" + ("" if retired is None else " already")
    notes = [f"Removed the alias {alias}: whoever asks for it gets no answer." for alias in version.aliases]
    notes += [f"{len(unused)} features are read by no model any more."] if unused else []
    return Outcome(title, data, (Table(("unused feature",), [(name,) for name in unused]),), tuple(notes))


def _undone(stack: Stack, version: ModelVersion, retired: Event | None, reason: str) -> Outcome:
    if retired is not None:
        _write(stack, version, reason or "in use again", retired=False)
    title = f"{version.ref} may be promoted again" if retired is not None else f"{version.ref} is not retired"
    return Outcome(title, {"model": version.ref, "retired": False, "changed": retired is not None})


def _pointed_to(version: ModelVersion) -> RegistryError:
    found = f"{', '.join(version.aliases)} points to it"
    todo = "Promote another version or roll back first, or use --drain to remove the alias."
    return RegistryError(version.ref, found, todo)


def _write(stack: Stack, version: ModelVersion, why: str, *, retired: bool) -> None:
    stack.registry.record(
        Event(
            at=stack.clock(),
            kind="evidence",
            name=version.name,
            version=version.version,
            who=who(),
            why=why,
            evidence={"retired": retired},
        )
    )


def unused_features(stack: Stack) -> list[str]:
    """Return the features of the project's own views that were read by a retired model, and by nothing any more.

    What counts as reading: a model of the blueprint, a version that is not retired, a computed view, another team.
    """
    versions, events = stack.registry.history()
    gone = {version.ref for version in versions if retirement_of(events, version) is not None}
    in_use = {part.service for part in stack.blueprint.models.values()}
    in_use |= {part.session.service for part in stack.blueprint.recommenders.values() if part.session is not None}
    in_use |= _services(stack, (version for version in versions if version.ref not in gone))
    once = _services(stack, (version for version in versions if version.ref in gone))
    read = _features(stack, in_use) | _of_views(stack)
    return sorted(node.name for node in _features(stack, once - in_use) - read)


def _services(stack: Stack, versions: Iterable[ModelVersion]) -> set[str]:
    return {provenance.read_by(stack, version)[0] for version in versions}


def _features(stack: Stack, services: set[str]) -> set[Node]:
    return {node for service in stack.definitions.services if service.ref in services for node in used_by(service)}


def _of_views(stack: Stack) -> set[Node]:
    """Return the features that computed views and other teams read."""
    elsewhere = sharing.users_elsewhere(stack)
    read: list[Any] = [view for view in stack.definitions.views if view.ref in elsewhere]
    read += [item for view in stack.definitions.views if view.computed for item in view.computed.inputs]
    return {Node("feature", f"{view.ref}:{field.name}") for view in read for field in view.features}
