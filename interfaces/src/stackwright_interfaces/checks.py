"""Checks that definitions share. Each raises :class:`~stackwright_interfaces.errors.DefinitionError`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stackwright_interfaces.errors import DefinitionError

_ALLOWED: Final = "Use letters, digits and underscores, not beginning with two underscores"


def require(condition: bool, where: str, found: str, todo: str) -> None:
    """Check a condition; the rest makes up the message."""
    if not condition:
        raise DefinitionError(where, found, todo)


def check_identifier(where: str, name: object) -> None:
    """Check the name of a field, feature or transform: names that begin with ``__`` are the stores' own."""
    require(_is_identifier(name), where, "not a usable name", f"{_ALLOWED}.")


def check_name(where: str, name: object) -> None:
    """Check the name of an entity, view, service or target, which may lie in a namespace: ``pricing/listing``."""
    parts = name.split("/") if isinstance(name, str) else []
    usable = len(parts) in {1, 2} and all(map(_is_identifier, parts))
    require(usable, where, "not a usable name", f"{_ALLOWED}, with at most one namespace before a slash.")


def check_unique(where: str, names: Sequence[str]) -> None:
    """Check that no name is there twice."""
    twice = repeated(names)
    require(not twice, where, f"{', '.join(map(repr, twice))} given more than once", "Rename or remove one.")


def check_about(where: str, owner: object, description: object, tags: object) -> None:
    """Check what describes a definition: two texts, and a dictionary of texts."""
    texts: list[Any] = [owner, description]
    texts += [*tags, *tags.values()] if isinstance(tags, Mapping) else [tags]
    odd = [item for item in texts if not isinstance(item, str)]
    require(not odd, where, f"owner, description or tags hold {odd}", "Give texts, and a dictionary of texts as tags.")


def repeated(names: Sequence[str]) -> list[str]:
    """Return the names that are there more than once, sorted."""
    return sorted(name for name in set(names) if names.count(name) > 1)


def _is_identifier(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and not name.startswith("__")
