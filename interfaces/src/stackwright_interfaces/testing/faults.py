"""Stores that hand everything on to a correct one, but for what a fault alters on the way in or out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from stackwright_interfaces.definitions import Definitions, FeatureView
from stackwright_interfaces.feature_store import (
    ArrowStream,
    Asked,
    FeatureRows,
    FeatureStore,
    IngestReport,
    MaterializeReport,
    OfflineStore,
    OnlineRow,
    OnlineStore,
    Payloads,
    Watermark,
)


@dataclass
class FaultyOffline(OfflineStore):
    """An offline half with a fault; subclasses override what they break."""

    inner: OfflineStore

    def apply(self, views: Sequence[FeatureView]) -> None:
        """Hand on."""
        self.inner.apply(views)

    def ingest(self, view: FeatureView, rows: ArrowStream) -> IngestReport:
        """Alter the rows, and hand on."""
        return self.inner.ingest(view, self.rows(view, pa.table(rows)))

    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Alter labels and questions, and hand on."""
        asked = [self.question(item) for item in asked]
        return self.inner.join(self.labels(pa.table(labels), asked), asked, known_by=known_by)

    def changes(
        self, view: FeatureView, since: Watermark | None, until: Watermark, *, history: timedelta | None = None
    ) -> Iterator[ArrowStream]:
        """Hand on."""
        return self.inner.changes(view, since, until, history=history)

    def watermark(self, view: FeatureView, at: datetime | None = None) -> Watermark:
        """Hand on."""
        return self.inner.watermark(view, at)

    def delete(self, views: Sequence[FeatureView], keys: ArrowStream, at: datetime) -> int:
        """Hand on."""
        return self.inner.delete(views, keys, at)

    def close(self) -> None:
        """Hand on."""
        self.inner.close()

    def rows(self, view: FeatureView, rows: pa.Table) -> pa.Table:
        """Return the rows that are ingested instead."""
        return rows

    def labels(self, labels: pa.Table, asked: Sequence[Asked]) -> pa.Table:
        """Return the labels that are joined instead."""
        return labels

    def question(self, asked: Asked) -> Asked:
        """Return what is asked for instead."""
        return asked


@dataclass
class FaultyOnline(OnlineStore):
    """An online half with a fault; subclasses override what they break."""

    inner: OnlineStore

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Hand on."""
        return self.inner.write(view, rows)

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Hand on."""
        return self.inner.read(views, keys, timeout=timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Hand on."""
        return self.inner.scan(view)

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Hand on."""
        return self.inner.drop(view, keys)

    def close(self) -> None:
        """Hand on."""
        self.inner.close()


@dataclass
class FaultyStore(FeatureStore):
    """A whole store with a fault; subclasses override what they break."""

    inner: FeatureStore
    definitions: Definitions = field(default_factory=Definitions)

    def apply(self, definitions: Definitions) -> None:
        """Take note, and hand on."""
        self.inner.apply(definitions)
        self.definitions = definitions

    def ingest(self, view: str, table: ArrowStream) -> IngestReport:
        """Alter the table, and hand on."""
        return self.inner.ingest(view, self.table(pa.table(table)))

    def join(self, service: str, labels: ArrowStream, **options: Any) -> ArrowStream:
        """Alter labels, options and the answer."""
        asked = self.labels(pa.table(labels), options["time"])
        options = self.options(options)
        answer: ArrowStream = self.joined(
            pa.table(self.inner.join(service, asked, **options)), pa.table(labels), options
        )
        return answer

    def materialize(
        self,
        views: Sequence[str] = (),
        *,
        at: datetime | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[MaterializeReport]:
        """Hand on."""
        return self.inner.materialize(views, at=at, progress=progress)

    def read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> FeatureRows:
        """Alter the answer."""
        return self.answered(self.inner.read(service, keys, request, at=at, timeout=timeout))

    def delete(self, entity: str, keys: Mapping[str, Sequence[Any]]) -> int:
        """Hand on."""
        return self.inner.delete(entity, keys)

    def close(self) -> None:
        """Hand on."""
        self.inner.close()

    def table(self, table: pa.Table) -> pa.Table:
        """Return the table that is ingested instead."""
        return table

    def labels(self, labels: pa.Table, time: str) -> pa.Table:
        """Return the labels that are joined instead."""
        return labels

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of the join instead."""
        return options

    def joined(self, answer: pa.Table, labels: pa.Table, options: Mapping[str, Any]) -> pa.Table:
        """Return the answer of the join instead."""
        return answer

    def answered(self, rows: FeatureRows) -> FeatureRows:
        """Return the answer of the online read instead."""
        return rows


@dataclass
class Divided(FaultyStore):
    """Two correct stores: joins go to one, materialisation and reads to the other, which is defined differently.

    Args:
        online: the store that answers now.
        alter: makes of each definition what the online path takes it for.
    """

    online: FeatureStore = field(kw_only=True)
    alter: Callable[[Definitions], Definitions] = field(kw_only=True)

    def apply(self, definitions: Definitions) -> None:
        """Apply to both."""
        super().apply(definitions)
        self.online.apply(self.alter(definitions))

    def ingest(self, view: str, table: ArrowStream) -> IngestReport:
        """Ingest into both."""
        table = pa.table(table)
        self.online.ingest(view, table)
        return self.inner.ingest(view, table)

    def materialize(
        self,
        views: Sequence[str] = (),
        *,
        at: datetime | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[MaterializeReport]:
        """Materialise the second."""
        return self.online.materialize(views, at=at, progress=progress)

    def read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> FeatureRows:
        """Read the second."""
        return self.online.read(service, keys, request, at=at, timeout=timeout)

    def delete(self, entity: str, keys: Mapping[str, Sequence[Any]]) -> int:
        """Delete from both."""
        self.online.delete(entity, keys)
        return self.inner.delete(entity, keys)

    def close(self) -> None:
        """Close both."""
        self.online.close()
        self.inner.close()
