"""Views of other teams in a feature file: what ``stackwright import`` has written down beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.catalogue import from_json, to_json
from stackwright_interfaces.definitions import Definitions, FeatureView
from stackwright_interfaces.errors import DefinitionError

FILE: Final = "imports.json"


def imported(ref: str, *, beside: str | Path) -> FeatureView:
    """Return another team's view as it was imported.

    Args:
        ref: ``namespace/name@version``.
        beside: the feature file, ``__file__``; ``imports.json`` lies in its folder.

    Raises:
        DefinitionError: it was not imported, or ``imports.json`` is damaged.
    """
    known = {view.ref: view for view in read_imports(Path(beside).parent)}
    if ref not in known:
        found = f"{ref!r} is not imported here. Imported: {', '.join(sorted(known)) or 'nothing'}"
        raise DefinitionError(FILE, found, f"Run: stackwright import {ref}")
    return known[ref]


def read_imports(folder: Path) -> tuple[FeatureView, ...]:
    """Return the imported views of a project; none where nothing was imported.

    Raises:
        DefinitionError: ``imports.json`` is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return ()
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8"))).views
    except (OSError, ValueError, DefinitionError) as error:
        todo = "Restore it from version control, or delete it and import the views again."
        raise DefinitionError(str(path), f"cannot be read ({error})", todo) from error


def imports_document(views: Iterable[FeatureView]) -> dict[str, Any]:
    """Return the content of ``imports.json`` for these views."""
    return to_json(with_entities(views))


def with_entities(views: Iterable[FeatureView]) -> Definitions:
    """Return views with their entities as definitions; how their rows come to be stays with their owner.

    Raises:
        DefinitionError: two different entities have one name.
    """
    chosen = tuple(_bare(view) for view in views)
    entities = {view.entity.name: view.entity for view in chosen}
    for view in chosen:
        if entities[view.entity.name] != view.entity:
            found = f"another entity is named {view.entity.name!r}"
            raise DefinitionError(f"view {view.ref!r}", found, "Agree on one definition of the entity.")
    return Definitions(entities=tuple(entities.values()), views=chosen)


def _bare(view: FeatureView) -> FeatureView:
    source = replace(view.source, location="")
    return replace(view, source=source, expect=(), computed=None, schedule=None)
