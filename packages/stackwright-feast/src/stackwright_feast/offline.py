"""The half that keeps history: Parquet files of new views, and the sources of views that Feast has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stackwright_feast.existing import VIEW, Existing
from stackwright_feast.feast_join import joined
from stackwright_feast.files import AT, Files
from stackwright_feast.history import POSITION, encoded_keys, schema
from stackwright_feast.ordering import BATCH
from stackwright_feast.point_in_time import Question, answer
from stackwright_feast.registration import STATES, feast_name, register
from stackwright_feast.repository import Repository
from stackwright_features.arrow import microseconds, read_table
from stackwright_features.casts import cast
from stackwright_features.times import from_microseconds, to_microseconds
from stackwright_interfaces.definitions import Entity, FeatureView
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import (
    EVENT,
    ROW,
    ArrowStream,
    Asked,
    IngestReport,
    OfflineStore,
    Watermark,
)
from stackwright_interfaces.types import INT64, STRING, Field, Kind
from stackwright_parquet.arrival import Arrived, receive
from stackwright_parquet.manifest import Manifest

_STATES = FeatureView(name=STATES, entity=Entity(name="stackwright_view", keys=(Field("view_ref", STRING),)), fields=())


class FeastOfflineStore(OfflineStore):
    """History in a Feast repository.

    Args:
        repository: the repository.
        files: the files of new views.
        clock: the present, in UTC.
    """

    def __init__(self, repository: Repository, files: Files, clock: Callable[[], datetime]) -> None:
        self._repository = repository
        self._files = files
        self._clock = clock
        self._feast: Mapping[str, Any] = {}
        self._existing: dict[str, Existing] = {}

    def apply(self, views: Sequence[FeatureView]) -> None:
        """Prepare for these views.

        Raises:
            VersionRequired: a view lost or changed a column.
            DefinitionError: a view that Feast has is not what its registry has, or names collide in Feast.
            FeatureStoreError: the offline store of the repository cannot read the files of new views.
        """
        existing = {view.ref: Existing.found(self._repository, view) for view in views if VIEW in view.tags}
        new = [view for view in views if VIEW not in view.tags]
        if new:
            self._repository.check_offline()
        with self._files.changing():
            self._files.prepare(STATES, _STATES)
            for view in new:
                self._files.prepare(feast_name(view), view)
            self._feast = register(self._repository, self._files, new)
        self._existing = existing

    @property
    def existing(self) -> Mapping[str, Existing]:
        """The applied views that Feast has already, by reference."""
        return self._existing

    @property
    def feast_views(self) -> Mapping[str, Any]:
        """The applied new views by their Feast name, as Feast has them."""
        return self._feast

    def ingest(self, view: FeatureView, rows: ArrowStream) -> IngestReport:
        """Add rows to a new view.

        Raises:
            FeatureStoreError: the view is one that Feast has.
        """
        if view.ref in self._existing:
            todo = "Add the rows there."
            raise FeatureStoreError(f"view {view.ref!r}", "its rows come from its source in Feast", todo)
        name = feast_name(view)
        with self._files.arriving() as folder:
            arrived = receive(view, Manifest.of(view), rows, folder / "arrived.parquet", token=True)
            with self._files.changing():
                before, now = self._files.count(name, view), to_microseconds(self._clock())
                deleted = self._files.deletions(view.entity).read()
                kept = arrived.without_deleted(len(view.entity.keys), deleted, folder / "kept.parquet")
                position = self._files.note_ingestion(name, now)
                if kept.admitted:
                    both = chain(self._files.tables(name, view), _numbered(view, kept, position))
                    self._files.replace(name, view, both)
                added = self._files.count(name, view) - before
                future = self._future(name, view, position, now) if added and kept.newest > now else 0
        return IngestReport(
            view=view.ref,
            rows=arrived.rows,
            added=added,
            duplicates=kept.admitted - added,
            future=future,
            refused=kept.refused,
            position=position,
        )

    def _future(self, name: str, view: FeatureView, position: int, now: int) -> int:
        """Return how many rows of an ingestion are not due."""
        tables = self._files.tables(name, view)
        late = ((microseconds(table[EVENT]) > now) & (table[POSITION].to_numpy() == position) for table in tables)
        return sum(int(np.count_nonzero(rows)) for rows in late)

    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Answer as of each label: by Feast's own join where that can be exact.

        Raises:
            FeatureStoreError: Feast fails, or ``as_of`` is asked of a view that Feast has.
        """
        table = read_table(labels, "labels")
        columns = {ROW: table.column(ROW)}
        for number, wanted in enumerate(asked):
            found = self._answer(table, wanted, known_by)
            columns[f"{EVENT}_{number}"] = found[EVENT]
            columns |= {output: found[feature] for feature, output in wanted.features.items()}
        result: ArrowStream = pa.table(columns)
        return result

    def _answer(self, table: Any, wanted: Asked, known_by: bool) -> Mapping[str, Any]:
        view = wanted.view
        keys = {name: table.column(wanted.keys[name]) for name in view.entity.key_names}
        existing = self._existing.get(view.ref)
        if existing is not None:
            if wanted.as_of is not None:
                todo = "Ask without as_of, or with known_by if its source has a created time."
                raise FeatureStoreError(f"view {view.ref!r}", "Feast does not record when rows were ingested", todo)
            if not known_by and self._repository.joins and (_is_plain(wanted) or not self._repository.by_duckdb):
                store, feast_view = self._repository.theirs, existing.feast
                return self._by_feast(store, feast_view, wanted, keys, table.column(EVENT))
            until = from_microseconds(int(microseconds(table.column(EVENT)).max(initial=0)))
            rows = existing.history(until).sorted
        elif wanted.as_of is None and not known_by and _is_plain(wanted):
            feast_view = self._feast[feast_name(view)]
            return self._by_feast(self._repository.ours, feast_view, wanted, keys, table.column(EVENT))
        else:
            rows = self._files.history(feast_name(view), view).sorted
            rows = rows.only(rows.admitted(wanted.as_of))
        question = Question(encoded_keys(view, list(keys.values())), microseconds(table.column(EVENT)), known_by)
        return answer(rows, question, list(wanted.features))

    def _by_feast(self, store: Any, feast_view: Any, wanted: Asked, keys: Mapping[str, Any], at: Any) -> dict[str, Any]:
        view, features = wanted.view, list(wanted.features)
        new = view.ref not in self._existing
        there = ~np.logical_or.reduce([column.is_null().to_numpy() for column in keys.values()])
        found = joined(store, feast_view, keys, at, [*features, AT] if new else features, there)
        where = f"view {view.ref!r}"
        answers = {name: cast(found[name], view.stored(name).type, where=where, name=name) for name in features}
        if not new:
            return {EVENT: pa.nulls(len(at), pa.timestamp("us", "UTC")), **answers}
        return _aged(view, {EVENT: cast(found[AT], INT64, where=where, name=AT), **answers}, at)

    def changes(
        self, view: FeatureView, since: Watermark | None, until: Watermark, *, history: timedelta | None = None
    ) -> Iterator[ArrowStream]:
        """Give in chunks, ordered by key, the rows admitted by ``until`` but not by ``since``."""
        existing = self._existing.get(view.ref)
        past = existing.history(until.due) if existing else self._files.history(feast_name(view), view)
        return past.sorted.changes(since, until, history)

    def watermark(self, view: FeatureView, at: datetime | None = None) -> Watermark:
        """Return the last position of the view that was ingested by ``at``; 0 for a view that Feast has."""
        instant = self._clock() if at is None else at
        if view.ref in self._existing:
            return Watermark(0, instant)
        with self._files.changing():
            ingested = self._files.ingested(feast_name(view))
        due = to_microseconds(instant)
        return Watermark(max((place for place, when in enumerate(ingested, 1) if when <= due), default=0), instant)

    def delete(self, views: Sequence[FeatureView], keys: ArrowStream, at: datetime) -> int:
        """Remove the rows of these keys from new views.

        Raises:
            FeatureStoreError: a view of the entity is one that Feast has; nothing is removed.
        """
        for view in views:
            if view.ref in self._existing:
                todo = "Delete them from its source and its online store, then take the view out of the definitions."
                raise FeatureStoreError(f"view {view.ref!r}", "Feast cannot delete rows of its sources", todo)
        removed = 0
        table = read_table(keys, "keys")
        with self._files.changing():
            for entity in {view.entity.name: view.entity for view in views}.values():
                self._files.remember_deletion(entity, table, to_microseconds(at))
            for view in views:
                removed += self._remove(view, table)
        return removed

    def _remove(self, view: FeatureView, keys: Any) -> int:
        name, gone = feast_name(view), set(_keys(view, keys))

        def stay(rows: Any) -> NDArray[np.bool_]:
            return np.fromiter((key not in gone for key in _keys(view, rows)), np.bool_, len(rows))

        removed = sum(int(np.count_nonzero(~stay(rows))) for rows in self._files.tables(name, view))
        if removed:
            kept = (rows.filter(pa.array(stay(rows))) for rows in self._files.tables(name, view))
            self._files.replace(name, view, kept)
        return removed

    def close(self) -> None:
        """Release what is held."""
        self._files.close()


def _keys(view: FeatureView, rows: Any) -> list[bytes | None]:
    return encoded_keys(view, [rows.column(name) for name in view.entity.key_names])


def _numbered(view: FeatureView, arrived: Arrived, position: int) -> Iterator[Any]:
    """Give what arrived as rows of the history, with the number of its ingestion."""
    names = [name for name in schema(view).names if name != POSITION]
    with pq.ParquetFile(arrived.path, pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH):
            rows = pa.Table.from_batches([batch]).rename_columns(names)
            yield rows.append_column(POSITION, pa.array([position] * len(rows), pa.int64())).cast(schema(view))


def _is_plain(wanted: Asked) -> bool:
    """Whether Feast's join can answer exactly.

    It has no windows and no keys of type bool. Its DuckDB store loses columns whose full names end in ``_y``, and turns
    keys of type bytes into texts.
    """
    view = wanted.view
    windows = {window.name for window in view.windows}
    odd = [key for key in view.entity.keys if key.type.kind in {Kind.BOOL, Kind.BYTES}]
    lost = [name for name in (*view.entity.key_names, *wanted.features) if f"_{name}".endswith("_y")]
    return not odd and not lost and not windows & set(wanted.features)


def _aged(view: FeatureView, found: dict[str, Any], at: Any) -> dict[str, Any]:
    """Null what is older than ``max_age``; times come as int64 microseconds."""
    times = found[EVENT].cast(pa.timestamp("us", "UTC"))
    if view.max_age is not None:
        oldest = microseconds(at) - view.max_age // timedelta(microseconds=1)
        live = pa.array(found[EVENT].fill_null(np.iinfo(np.int64).min).to_numpy() >= oldest)
        found = {name: pc.if_else(live, column, pa.scalar(None, column.type)) for name, column in found.items()}
        times = pc.if_else(live, times, pa.scalar(None, times.type))
    return {**found, EVENT: times}
