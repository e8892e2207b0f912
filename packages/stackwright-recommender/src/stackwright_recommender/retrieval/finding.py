"""Retrievers by name: those of this package, those of entry points, and classes that are handed over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

from stackwright_interfaces.errors import PluginError, did_you_mean
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.interactions import Interactions
from stackwright_recommender.retrieval.contract import Retriever

GROUP: Final = "stackwright.retrievers"
_HERE: Final = "stackwright_recommender.retrieval"
BUILT_IN: Final[Mapping[str, str]] = {
    "ease": f"{_HERE}.ease:Ease",
    "factors": f"{_HERE}.factors:Factors",
    "sequences": f"{_HERE}.sequences:Sequences",
    "content": f"{_HERE}.content:Content",
    "location": f"{_HERE}.location:Location",
    "popular": f"{_HERE}.popularity:Popularity",
    "fresh": f"{_HERE}.fresh:Fresh",
    "neighbours": f"{_HERE}.neighbours:Neighbours",
    "als": f"{_HERE}.als:AlternatingLeastSquares",
    "nearest": f"{_HERE}.nearest:Nearest",
}
"""Name → class."""

DEFAULT: Final = ("ease", "factors", "sequences", "content", "location", "popular", "fresh")


def defaults(interactions: Interactions, items: Catalogue) -> list[Retriever]:
    """Return the retrievers of :data:`DEFAULT` that this data gives something to learn from."""
    made = [named(name) for name in DEFAULT]
    return [retriever for retriever in made if not retriever.lacks(interactions, items)]


def made(given: Iterable[Any]) -> list[Retriever]:
    """Return retrievers: names, ``"package.module:Class"``, classes, or retrievers as they are.

    Raises:
        PluginError: a name is unknown, or what it names is no retriever.
    """
    return [
        one if isinstance(one, Retriever) else _new(one, {}) if isinstance(one, type) else named(str(one))
        for one in given
    ]


def named(reference: str, options: Mapping[str, Any] | None = None, classes: Iterable[type] = ()) -> Retriever:
    """Return the retriever of a name, or of a dotted path.

    Args:
        reference: the name of one of ours or of an entry point, or ``"package.module:Class"``.
        options: keywords of its constructor.
        classes: found by their dotted path without importing it.

    Raises:
        PluginError: there is none, it cannot be imported, or refuses the options.
    """
    found = {reference_of(one): one for one in classes}
    return _new(found[reference] if reference in found else _class(reference), options or {})


def reference_of(kind: type) -> str:
    """Return the name under which a class is found again."""
    path = f"{kind.__module__}:{kind.__qualname__}"
    ours = {value: name for name, value in BUILT_IN.items()}
    theirs = {entry.value: entry.name for entry in entry_points(group=GROUP)}
    return ours.get(path) or theirs.get(path) or path


def trusted(reference: str) -> bool:
    """Tell whether a folder may name it: one of ours, or an entry point of what is installed."""
    return reference in BUILT_IN or reference in entry_points(group=GROUP).names


def _class(reference: str) -> type:
    where = f"retriever {reference!r}"
    installed = entry_points(group=GROUP)
    path = BUILT_IN.get(reference) or (installed[reference].value if reference in installed.names else reference)
    module, colon, name = path.partition(":")
    if not colon:
        todo = did_you_mean(reference, [*BUILT_IN, *installed.names]) or "Name one of ours, or package.module:Class."
        raise PluginError(where, f"there is none of this name. Known: {', '.join([*BUILT_IN, *installed.names])}", todo)
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PluginError(where, f"{path} cannot be imported ({error})", "Install what holds it.") from error
    if not isinstance(found, type):
        raise PluginError(where, f"{path} is no class", "Name a class made from Retriever.")
    return found


def _new(kind: type, options: Mapping[str, Any]) -> Retriever:
    where = f"retriever {kind.__qualname__}"
    if not issubclass(kind, Retriever):
        raise PluginError(where, "it is not made from Retriever", "See stackwright_recommender.retrieval.contract.")
    try:
        return kind(**options)
    except TypeError as error:
        raise PluginError(where, f"it cannot be made ({error})", "Correct its options.") from error
