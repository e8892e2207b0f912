"""Views that a Feast repository has already, as definitions and as rows.

In a project's ``features.py``::

    from stackwright_feast.existing import definitions_of

    feast = definitions_of("feature_repo")
    views, services = feast.views, feast.services
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from stackwright_feast.history import POSITION, History
from stackwright_feast.registration import REF
from stackwright_feast.repository import OFFLINE_LOCK, Repository
from stackwright_feast.values import type_of
from stackwright_feast.vendor import translated
from stackwright_features.normalise import normalise
from stackwright_interfaces.definitions import (
    Definitions,
    Entity,
    FeatureService,
    FeatureView,
    Selection,
    Source,
)
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.types import Field

VIEW: Final = "feast.view"
"""Tag of a view that Feast has already: its name there."""


def definitions_of(repo: str | Path, views: Sequence[str] = (), without: Sequence[str] = ()) -> Definitions:
    """Return the feature views and feature services of a Feast repository as definitions.

    A store whose ``repo`` is the same folder reads the views' own sources and online rows. A time to live becomes
    ``max_age``. With a ``name_alias``, or where features of a service collide, names are as with Feast's
    ``full_feature_names``.

    Args:
        repo: folder of the repository, with a ``feature_store.yaml``.
        views: names of the wanted feature views; services that use another are left out. Without names, all.
        without: fields to leave out of the views; services that use one are left out.

    Raises:
        DefinitionError: a field has a type that has no counterpart, or a service uses a view of another kind.
        FeatureStoreError: the repository cannot be read.
    """
    store = Repository(Path(repo), "stackwright").theirs
    with translated(f"Feast repository {str(repo)!r}"):
        found = {view.name: view for view in (*store.list_feature_views(), *store.list_stream_feature_views())}
        services = store.list_feature_services()
        owners = {entity.name: entity for entity in store.list_entities()}
    unknown = sorted(set(views) - set(found))
    if unknown:
        known = f"It has: {', '.join(sorted(found)) or 'none'}."
        raise DefinitionError(f"Feast repository {str(repo)!r}", f"no feature view {', '.join(unknown)}", known)
    entities: dict[str, Entity] = {}
    chosen = views or sorted(name for name, view in found.items() if REF not in view.tags)
    made = {name: _view(found[name], owners, entities, without) for name in chosen}
    wanted = [service for service in services if _is_wanted(service, views, without)]
    return Definitions(
        entities=tuple(entities.values()),
        views=tuple(made.values()),
        services=tuple(_service(item, made) for item in wanted),
    )


def _is_wanted(service: Any, views: Sequence[str], without: Sequence[str]) -> bool:
    used = service.feature_view_projections
    whole = not {feature.name for view in used for feature in view.features} & set(without)
    return whole and (not views or {view.name for view in used} <= set(views))


def _view(view: Any, known: dict[str, Any], entities: dict[str, Entity], without: Sequence[str]) -> FeatureView:
    where = f"Feast view {view.name!r}"
    source = view.batch_source
    if source is None or not view.entity_columns:
        raise DefinitionError(
            where, "it has no entity or no batch source", "Leave it out: definitions_of(repo, views=[...])"
        )
    keys = tuple(Field(key.name, type_of(key.dtype, where, key.name)) for key in view.entity_columns)
    name = "__".join(sorted(view.entities))
    entity = Entity(name=name, keys=keys, description=getattr(known.get(name), "description", ""))
    if entities.setdefault(name, entity).keys != entity.keys:
        raise DefinitionError(
            where, f"entity {name!r} has other keys than in another view", "Make them alike in Feast."
        )
    return FeatureView(
        name=view.name,
        entity=entities[name],
        fields=tuple(
            Field(item.name, type_of(item.dtype, where, item.name), description=item.description)
            for item in view.features
            if item.name not in without
        ),
        source=Source(event_time=source.timestamp_field, created_time=source.created_timestamp_column or None),
        max_age=view.ttl or None,
        owner=view.owner,
        description=view.description,
        tags={**view.tags, VIEW: view.name},
    )


def _service(service: Any, views: dict[str, FeatureView]) -> FeatureService:
    where = f"Feast service {service.name!r}"
    odd = [used.name for used in service.feature_view_projections if used.name not in views]
    if odd:
        todo = "Define it as a service with a Transform, and name the views you want: definitions_of(repo, views=[...])"
        raise DefinitionError(where, f"it uses {', '.join(odd)}, which is no plain feature view", todo)
    names = [feature.name for used in service.feature_view_projections for feature in used.features]
    full = len(names) != len(set(names))
    return FeatureService(
        name=service.name,
        selections=tuple(_selection(used, views[used.name], full) for used in service.feature_view_projections),
        owner=service.owner,
        description=service.description,
        tags=dict(service.tags),
    )


def _selection(used: Any, view: FeatureView, full: bool) -> Selection:
    prefix = f"{used.name_alias or used.name}__" if full or used.name_alias else ""
    return view.select(*(item.name for item in used.features), prefix=prefix, keys=dict(used.join_key_map))


@dataclass(frozen=True)
class Existing:
    """A view that the repository has.

    Args:
        repository: the repository.
        view: the view, as definitions have it.
        feast: the view as Feast has it, with a source that is found from anywhere.
    """

    repository: Repository
    view: FeatureView
    feast: Any

    @classmethod
    def found(cls, repository: Repository, view: FeatureView) -> Existing:
        """Look a view up in the registry.

        Raises:
            DefinitionError: it is not what the registry has.
        """
        name, where = view.tags[VIEW], f"view {view.ref!r}"
        store = repository.theirs
        with translated(where):
            known = {item.name: item for item in (*store.list_feature_views(), *store.list_stream_feature_views())}
        if name not in known:
            raise DefinitionError(where, f"the repository has no view {name!r}", "Run: feast apply")
        if view.windows or view.computed is not None or view.event_id is not None:
            found = "it has windows, is computed or has event ids, and Feast brings its rows online"
            raise DefinitionError(where, found, "Define a view of its own, and ingest the rows.")
        there = {item.name: item.dtype for item in known[name].features}
        odd = [
            item.name
            for item in view.fields
            if item.name not in there or type_of(there[item.name], where, item.name) != item.type
        ]
        if odd or view.max_age != (known[name].ttl or None):
            found = f"{', '.join(odd) or 'max_age'} is missing or another in Feast"
            raise DefinitionError(where, found, "Define it anew from the repository: definitions_of(repo).")
        return cls(repository, view, _anchored(known[name], repository.folder))

    def history(self, until: datetime | None = None) -> History:
        """Return every row of the source; Feast knows no order of ingestion, so that all came with ingestion 0.

        Args:
            until: rows with a later event time may be left out.
        """
        rows = self._pulled("pull_all_from_table_or_query", end_date=until)
        return History(self.view, rows.append_column(POSITION, pa.array([0] * len(rows), pa.int64())))

    def latest(self, start: datetime, end: datetime) -> Any:
        """Return the newest row of each key, of those with an event time from ``start`` to ``end``, normalised."""
        return self._pulled("pull_latest_from_table_or_query", start_date=start, end_date=end)

    def _pulled(self, call: str, **span: datetime | None) -> Any:
        store, source = self.repository.theirs, self.feast.batch_source
        column_of = {name: column for column, name in source.field_mapping.items()}
        names = [*self.view.entity.key_names, *(item.name for item in self.view.fields)]
        keys = len(self.view.entity.key_names)
        columns = [column_of.get(name, name) for name in names]
        with OFFLINE_LOCK, translated(f"history of the Feast view {self.feast.name!r}"):
            table = getattr(store.provider.offline_store, call)(
                config=store.config,
                data_source=source,
                join_key_columns=columns[:keys],
                feature_name_columns=columns[keys:],
                timestamp_field=source.timestamp_field,
                created_timestamp_column=source.created_timestamp_column or None,
                **span,
            ).to_arrow()
        rename = dict(zip(columns, names, strict=True))
        return normalise(table.rename_columns([rename.get(name, name) for name in table.column_names]), self.view).rows


def _anchored(view: Any, folder: Path) -> Any:
    """The view with the path of its file source resolved: Feast's DuckDB store takes it from the working folder."""
    path = getattr(view.batch_source, "path", "")
    if not path or "://" in path or Path(path).is_absolute():
        return view
    anchored = copy(view)
    anchored.batch_source = type(view.batch_source).from_proto(view.batch_source.to_proto())
    anchored.batch_source.file_options.uri = str(folder / path)
    return anchored
