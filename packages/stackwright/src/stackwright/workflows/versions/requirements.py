"""The distributions that something installed needs, with the versions that are installed here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from typing import Final

from stackwright_interfaces.errors import PluginError

_REQUIREMENT: Final = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[(?P<extras>[^\]]*)\])?")
_EXTRA: Final = re.compile(r"extra\s*==\s*['\"](?P<name>[^'\"]+)['\"]")


def pinned(roots: Iterable[str]) -> dict[str, str]:
    """Return name → version of distributions and of all that they need, sorted by name.

    A requirement that is not installed here is one of another platform, or of an extra that nobody asked for.

    Args:
        roots: names of installed distributions.

    Raises:
        PluginError: one of them is not installed.
    """
    found: dict[str, str] = {}
    asked: dict[str, set[str]] = {}
    waiting = [(root, frozenset[str]()) for root in roots]
    missing = next((root for root, _ in waiting if _installed(root) is None), None)
    if missing is not None:
        raise PluginError("requirements", f"{missing} is not installed", f"Run: pip install {missing}")
    while waiting:
        name, extras = waiting.pop()
        distribution = _installed(name)
        if distribution is None:
            continue
        known = asked.setdefault(_normal(name), set())
        if _normal(name) in found and extras <= known:
            continue
        known |= extras
        found[_normal(name)] = distribution.version
        waiting += [need for line in distribution.requires or () if (need := _need(line, known)) is not None]
    return dict(sorted(found.items()))


def unpublished(names: Iterable[str]) -> list[str]:
    """Return those distributions that were installed from a folder or a file, so that no index need have them."""
    chosen = ((name, _installed(name)) for name in names)
    return [name for name, found in chosen if found is not None and found.read_text("direct_url.json")]


def _need(line: str, extras: set[str]) -> tuple[str, frozenset[str]] | None:
    """Return the name and the extras of a requirement; nothing where it is one of an extra that is not asked for."""
    requirement, _, marker = line.partition(";")
    wanted = {_normal(match["name"]) for match in _EXTRA.finditer(marker)}
    match = _REQUIREMENT.match(requirement)
    if match is None or (wanted and not wanted & extras):
        return None
    given = (match["extras"] or "").split(",")
    return match["name"], frozenset(_normal(extra.strip()) for extra in given if extra.strip())


def _installed(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
