"""Versions by reference, where aliases point, and which versions are retired."""

from __future__ import annotations

from collections.abc import Sequence

from stackwright.assembly.stack import Stack
from stackwright.lineage import CHAMPION
from stackwright_interfaces.errors import ModelNotFound, UsageError
from stackwright_interfaces.model import Manifest, ModelRef
from stackwright_interfaces.recommender import TASK
from stackwright_interfaces.registry import Event, ModelVersion


def find(stack: Stack, ref: str) -> ModelVersion:
    """Return a published version.

    Args:
        ref: ``NAME@VERSION`` or ``NAME@ALIAS``; a bare name is its newest version.

    Raises:
        ModelNotFound: there is none.
        UsageError: it is no reference.
    """
    try:
        return stack.registry.resolve(ModelRef.parse(ref))
    except ModelNotFound as error:
        raise ModelNotFound(error.where, error.found, error.todo or "Run: stackwright models") from error


def challenger_alias(stack: Stack) -> str:
    """Return the alias of the version on trial beside that of an environment."""
    return "challenger" if stack.champion == CHAMPION else f"{stack.champion}-challenger"


def pointed(stack: Stack, name: str, alias: str) -> int | None:
    """Return the version that an alias points to, or ``None``."""
    try:
        return stack.registry.resolve(ModelRef(name, alias=alias)).version
    except ModelNotFound:
        return None


def refuse_lists(ref: str, manifest: Manifest, todo: str = "Run: stackwright recommend") -> None:
    """Refuse a recommender where rows are to be predicted.

    Raises:
        UsageError: it is one.
    """
    if manifest.task == TASK:
        raise UsageError(ref, "recommends items, and predicts no rows", todo)


def retirement_of(events: Sequence[Event], version: ModelVersion) -> Event | None:
    """Return the line of the journal by which a version is retired; ``None`` where it is in use, or so again."""
    about = (event for event in reversed(events) if event.kind == "evidence" and "retired" in event.evidence)
    last = next((event for event in about if (event.name, event.version) == (version.name, version.version)), None)
    return last if last is not None and last.evidence["retired"] else None
