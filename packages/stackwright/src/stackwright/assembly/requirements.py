"""The distributions that something installed needs, with the versions that are installed here."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.utils import canonicalize_name

from stackwright.assembly.vendors import installed, requirements
from stackwright_interfaces.errors import PluginError


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
    missing = next((root for root, _ in waiting if installed(root) is None), None)
    if missing is not None:
        raise PluginError("requirements", f"{missing} is not installed", f"Run: pip install {missing}")
    while waiting:
        name, extras = waiting.pop()
        distribution = installed(name)
        if distribution is None:
            continue
        known = asked.setdefault(canonicalize_name(name), set())
        if canonicalize_name(name) in found and extras <= known:
            continue
        known |= extras
        found[canonicalize_name(name)] = distribution.version
        needs = requirements(distribution, frozenset(known))
        waiting += [(need.name, frozenset(map(canonicalize_name, need.extras))) for need in needs]
    return dict(sorted(found.items()))


def unpublished(names: Iterable[str]) -> list[str]:
    """Return those distributions that were installed from a folder or a file, so that no index need have them."""
    chosen = ((name, installed(name)) for name in names)
    return [name for name, found in chosen if found is not None and found.read_text("direct_url.json")]
