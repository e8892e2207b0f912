"""New views in Feast's registry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from stackwright_feast.files import Files
from stackwright_feast.repository import Repository
from stackwright_feast.values import feast_type
from stackwright_feast.vendor import feast, translated
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.feature_store import CREATED, EVENT
from stackwright_interfaces.types import BYTES, INT64, STRING, Field, Kind

ROW: Final = "__row"
"""Feature that holds a whole online row, as this store reads it."""

REF: Final = "stackwright.view"
"""Tag of a new view in Feast: its reference."""

_HASH: Final = "stackwright.hash"

STATES: Final = "stackwright_watermarks"
"""Feast name of the view that says how much each view knows online."""


def feast_name(view: FeatureView) -> str:
    """Return the name of a new view in Feast, where ``@`` and ``:`` have a meaning of their own."""
    return f"{view.name.replace('/', '__')}__v{view.version}"


def register(repository: Repository, files: Files, views: Iterable[FeatureView]) -> dict[str, Any]:
    """Bring new views into the registry, and prepare the online store for them.

    Args:
        repository: the repository.
        files: the files of the views, which are there.
        views: the views.

    Returns:
        Feast name → Feast's view, :data:`STATES` among them.

    Raises:
        DefinitionError: two views have one name in Feast, or one of another origin has it.
        FeatureStoreError: Feast fails.
    """
    made = {STATES: _states(files.newest_path(STATES))}
    named: dict[str, str] = {}
    for view in views:
        name = feast_name(view)
        if named.setdefault(name, view.ref) != view.ref or name == STATES:
            found = f"{named[name]!r} has the same name in Feast, {name!r}"
            raise DefinitionError(f"view {view.ref!r}", found, "Rename one of them.")
        made[name] = _feature_view(view, files.newest_path(name))
    store = repository.ours
    with translated(f"Feast project {repository.project!r}"):
        known = {view.name: view for view in store.list_all_feature_views()}
        for name in made:
            _check_ours(name, known.get(name), repository.project)
        changed = [item for name, item in made.items() if name not in known or known[name].tags != item.view.tags]
        if changed:
            entities = {entity.name: entity for item in changed for entity in item.entities}
            store.apply([*entities.values(), *(item.view for item in changed)], skip_feature_view_validation=True)
        feast_views = {name: item.view for name, item in made.items()}
        _prepare_online(store, list(feast_views.values()))
    return feast_views


def _check_ours(name: str, known: Any, project: str) -> None:
    if known is not None and REF not in known.tags:
        found = f"the Feast project {project!r} has a view of this name that is not stackwright's"
        raise DefinitionError(f"feature view {name!r}", found, "Rename the view, or set another project.")


def _prepare_online(store: Any, views: list[Any]) -> None:
    """Make what the online store needs. The views are not online for Feast itself, which would materialise them."""
    online = [copy(view) for view in views]
    for view in online:
        view.online = True
    store.provider.online_store.update(
        config=store.config,
        tables_to_delete=[],
        tables_to_keep=online,
        entities_to_delete=[],
        entities_to_keep=[],
        partial=True,
    )


def _feature_view(view: FeatureView, path: Path) -> _Made:
    keys = [Field(key.name, INT64) if key.type.kind is Kind.BOOL else key for key in view.entity.keys]
    hidden = [
        Field("at", INT64, description="event time in microseconds"),
        Field("row", BYTES, description="whole row"),
    ]
    return _made(
        name=feast_name(view),
        entity=view.entity.name.replace("/", "__"),
        keys=keys,
        fields=[_field(item) for item in view.fields] + [_field(item, f"__{item.name}") for item in hidden],
        path=path,
        description=view.description,
        owner=view.owner,
        tags={**view.tags, REF: view.ref},
    )


def _states(path: Path) -> _Made:
    return _made(
        name=STATES,
        entity="stackwright_view",
        keys=[Field("view_ref", STRING)],
        fields=[_field(Field("row", BYTES, description="whole row"), ROW)],
        path=path,
        description="How much of each view is known online",
        tags={REF: STATES},
    )


class _Made(NamedTuple):
    """A view of Feast, and its entities."""

    view: Any
    entities: list[Any]


def _made(
    *,
    name: str,
    entity: str,
    keys: list[Field],
    fields: list[Any],
    path: Path,
    tags: dict[str, str],
    description: str,
    owner: str = "",
) -> _Made:
    source = feast.FileSource(
        name=f"{name}__source", path=str(path), timestamp_field=EVENT, created_timestamp_column=CREATED
    )
    shape = [(item.name, str(item.dtype), item.description) for item in (*(_field(key) for key in keys), *fields)]
    content = repr((str(path), entity, shape, description, owner))
    entities = [
        feast.Entity(
            name=entity if len(keys) == 1 else f"{entity}__{key.name}",
            join_keys=[key.name],
            value_type=feast_type(key.type).to_value_type(),
        )
        for key in keys
    ]
    view = feast.FeatureView(
        name=name,
        entities=entities,
        schema=[*(_field(key) for key in keys), *fields],
        source=source,
        ttl=timedelta(0),
        online=False,
        tags={**tags, _HASH: hashlib.sha256(content.encode()).hexdigest()},
        description=description,
        owner=owner,
    )
    return _Made(view, entities)


def _field(item: Field, name: str = "") -> Any:
    return feast.Field(name=name or item.name, dtype=feast_type(item.type), description=item.description)
