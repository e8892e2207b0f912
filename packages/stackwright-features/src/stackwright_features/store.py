"""A whole feature store out of two halves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from stackwright_features.arrow import from_columns
from stackwright_features.code import load_computation, load_transforms
from stackwright_features.computing import compute
from stackwright_features.definition_changes import check_closed, check_versions
from stackwright_features.materialisation import materialise
from stackwright_features.normalise import NormalisedRows, warn_of_assumed_utc
from stackwright_features.offline_join import AsOf, join_labels
from stackwright_features.online_read import OnlineRead
from stackwright_features.service_plan import ServicePlan
from stackwright_features.transforms import Step
from stackwright_features.values import count_rows, typed_columns
from stackwright_features.watermarks import read_watermark
from stackwright_interfaces.definitions import Definitions, Entity, FeatureView
from stackwright_interfaces.errors import FeatureStoreError, UnknownName
from stackwright_interfaces.feature_store import (
    ArrowStream,
    Computed,
    FeatureRows,
    FeatureStore,
    IngestReport,
    MaterializeReport,
    OfflineStore,
    OnlineStore,
    Watermark,
)
from stackwright_numerics.keys import encode_keys

_T = TypeVar("_T")


def _now() -> datetime:
    return datetime.now(UTC)


def _silent(_view: str, _done: int, _total: int) -> None:
    return None


class ComposedFeatureStore(FeatureStore):
    """Composes an offline and an online half.

    Reads may come from many threads, also while a materialisation runs. Applications, materialisations and deletions
    of one store exclude each other, so that a deleted row that was under way online does not stay there; across
    processes run them from one.

    Args:
        offline: keeps history. ``None`` where only online reads are needed.
        online: answers now. ``None`` where only joins are needed.
        definitions: what was applied before, by this process or another.
        project: folder that transforms given as ``file.py:name`` are loaded from.
        clock: the present, in UTC.
    """

    def __init__(
        self,
        offline: OfflineStore | None,
        online: OnlineStore | None,
        *,
        definitions: Definitions | None = None,
        project: Path | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._offline_half = offline
        self._online_half = online
        self._project = project
        self._clock = clock
        self._writing = RLock()
        self._applied = _Applied(definitions or Definitions())

    @property
    def definitions(self) -> Definitions:
        """The definitions in force."""
        return self._applied.definitions

    def apply(self, definitions: Definitions) -> None:
        """Make these definitions the ones in force; what was stored stays.

        A view may gain fields under the same version; they are null, or their default, in older rows.

        Raises:
            VersionRequired: a view or service means something else than under the same version before.
            DefinitionError: a service selects a view that is not there, or does not hold together.
        """
        check_closed(definitions)
        for service in definitions.services:
            ServicePlan(service)
        with self._writing:
            check_versions(self.definitions, definitions)
            if self._offline_half is not None:
                self._offline_half.apply(definitions.views)
            self._applied = _Applied(definitions)

    def ingest(self, view: str, table: ArrowStream) -> IngestReport:
        """Add rows to a view (``name@version``). All or nothing.

        They are normalised a piece at a time, as the offline half consumes them.

        Raises:
            UnknownName: no such view.
            DataError: a column is missing or cannot be what it is declared to be.
        """
        found = self._applied.view(view)
        rows = NormalisedRows(table, found)
        with rows.consumed():
            report = self._offline.ingest(found, rows)
        warn_of_assumed_utc(f"view {view!r}", rows.assumed_utc, stacklevel=2)
        refused = report.refused + rows.refused
        return replace(report, view=view, rows=rows.handed, refused=refused, assumed_utc=rows.assumed_utc)

    def join(
        self,
        service: str,
        labels: ArrowStream,
        *,
        time: str = "event_time",
        known_by: bool = False,
        as_of: Mapping[str, Watermark] | datetime | None = None,
    ) -> ArrowStream:
        """Return the label rows (same rows, order and columns) with the service's outputs behind them.

        A request field that is an output stays where it is among the label's columns, in its declared type and with
        its default. The result is a ``pyarrow.Table``.

        Raises:
            UnknownName: no such service or, in ``as_of``, view.
            DataError: a key, request field or the time column is missing or of another type, or an output has the name
                of a label column.
            DefinitionError: a transform fails.
        """
        applied = self._applied
        plan = applied.plan(service)
        joined: ArrowStream = join_labels(
            self._offline,
            plan,
            self._steps(plan),
            labels,
            time=time,
            known_by=known_by,
            as_of=self._as_of(applied, as_of),
        )
        return joined

    def materialize(
        self,
        views: Sequence[str] = (),
        *,
        at: datetime | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[MaterializeReport]:
        """Bring online what was ingested or became due since the last time, for these views or all.

        Raises:
            UnknownName: no such view.
        """
        applied = self._applied
        chosen = [applied.view(ref) for ref in views] or list(applied.definitions.views)
        now = _aware(at or self._clock())
        reports = []
        for view in chosen:
            with self._writing:
                reports.append(materialise(self._offline, self._online, view, now, progress or _silent))
        applied.forget_watermarks()
        return reports

    def read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> FeatureRows:
        """Return the service's outputs for each key, in the order of the keys, doubles included.

        An ``at`` before the newest online row of a key gives nothing of it, unless its view has windows: online keeps
        no older one.

        Raises:
            UnknownName: no such service.
            DataError: a key or request field is missing, of another length or type.
            DefinitionError: a transform fails.
            StoreTimeout: the deadline passed.
        """
        reads = self._applied.reads
        read = reads.get(service)
        if read is None:
            plan = self._applied.plan(service)
            read = reads[service] = OnlineRead(self._online, plan, self._steps(plan))
        return read(keys, request or {}, self._clock() if at is None else at, timeout)

    def delete(self, entity: str, keys: Mapping[str, Sequence[Any]]) -> int:
        """Remove these keys from history and online; older rows that come again stay out.

        Returns:
            Rows removed from history or, for a store without an offline half, online.

        Raises:
            UnknownName: no such entity.
            DataError: a key is missing, of another length or type.
        """
        found = self._applied.entity(entity)
        where = f"entity {entity!r}"
        columns = typed_columns(found.keys, keys, where=where)
        count_rows(where, columns)
        encoded = encode_keys([columns[key.name] for key in found.keys], [key.type for key in found.keys])
        views = [view for view in self.definitions.views if view.entity.name == entity]
        with self._writing:
            removed = None
            if self._offline_half is not None:
                table = from_columns(columns, found.keys).drop_null()
                removed = self._offline_half.delete(views, table, _aware(self._clock()))
            dropped = 0
            if self._online_half is not None:
                there = [key for key in encoded if key is not None]
                dropped = sum(self._online_half.drop(view.ref, there) for view in views)
        return dropped if removed is None else removed

    def compute(self, view: str, start: datetime, end: datetime) -> Computed:
        """Return the rows of a computed view for ``[start, end)``, as a ``pyarrow.Table``; nothing is stored.

        Raises:
            UnknownName: no such view.
            DefinitionError: it is not computed, or what computes it fails or gives something else than declared.
            FeatureStoreError: it is computed by SQL, and the offline half runs none.
        """
        found = self._applied.view(view)
        return compute(self._offline, found, _aware(start), _aware(end), load_computation(found, self._project))

    def known_inputs(self, view: str) -> dict[str, int]:
        """Return for each view that a computed view reads the position of its last ingestion.

        Raises:
            UnknownName: no such view.
        """
        computed = self._applied.view(view).computed
        inputs = () if computed is None else computed.inputs
        return {item.ref: self._offline.watermark(item).position for item in inputs}

    def watermarks(self, service: str) -> dict[str, Watermark]:
        """Return for each view of a service how much of its history is known now, as ``join`` takes it for ``as_of``.

        Raises:
            UnknownName: no such service.
        """
        views = {item.view.ref: item.view for item in self._applied.plan(service).service.selections}
        return {ref: self._offline.watermark(view) for ref, view in views.items()}

    def served(self, service: str) -> dict[str, Watermark | None]:
        """Return for each view of a service how much of it was brought online; ``None`` where it never was.

        Raises:
            UnknownName: no such service.
        """
        views = {item.view.ref for item in self._applied.plan(service).service.selections}
        return {ref: read_watermark(self._online, ref) for ref in sorted(views)}

    def close(self) -> None:
        """Close both halves."""
        try:
            if self._offline_half is not None:
                self._offline_half.close()
        finally:
            if self._online_half is not None:
                self._online_half.close()

    @property
    def _offline(self) -> OfflineStore:
        if self._offline_half is None:
            raise _missing("offline")
        return self._offline_half

    @property
    def _online(self) -> OnlineStore:
        if self._online_half is None:
            raise _missing("online")
        return self._online_half

    def _steps(self, plan: ServicePlan) -> list[Step]:
        functions = load_transforms(plan.service, self._project)
        return [Step(step, functions[step.name]) for step in plan.service.transforms]

    def _as_of(self, applied: _Applied, as_of: Mapping[str, Watermark] | datetime | None) -> AsOf:
        if as_of is None:
            return lambda _view: None
        if isinstance(as_of, datetime):
            instant = _aware(as_of)
            return lambda view: self._offline.watermark(view, instant)
        for ref in as_of:
            applied.view(ref)
        return lambda view: as_of.get(view.ref)


class _Applied:
    """Definitions in force, and what was worked out of them."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.reads: dict[str, OnlineRead] = {}
        self._views = {view.ref: view for view in definitions.views}
        self._services = {service.ref: service for service in definitions.services}
        self._entities = {view.entity.name: view.entity for view in definitions.views}
        self._entities |= {entity.name: entity for entity in definitions.entities}
        self._plans: dict[str, ServicePlan] = {}

    def view(self, ref: str) -> FeatureView:
        """The view of this reference."""
        return _known("view", ref, self._views)

    def entity(self, name: str) -> Entity:
        """The entity of this name."""
        return _known("entity", name, self._entities)

    def plan(self, ref: str) -> ServicePlan:
        """The plan of the service of this reference."""
        if ref not in self._plans:
            self._plans[ref] = ServicePlan(_known("service", ref, self._services))
        return self._plans[ref]

    def forget_watermarks(self) -> None:
        """Let the next read of each service ask how much is known."""
        for read in list(self.reads.values()):
            read.watermarks.forget()


def _known(kind: str, name: str, known: Mapping[str, _T]) -> _T:
    if name not in known:
        raise UnknownName.of(kind, name, known)
    return known[name]


def _missing(half: str) -> FeatureStoreError:
    todo = f"Name an adapter under [feature_store] {half}, or build the store with that slot."
    return FeatureStoreError(f"feature_store.{half}", f"this store has no {half} half", todo)


def _aware(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
