"""A whole store under test: fed with rows, asked both ways, answers as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from stackwright_interfaces.definitions import Definitions, FeatureService, FeatureView
from stackwright_interfaces.feature_store import FeatureRows, FeatureStore, IngestReport, MaterializeReport, Status
from stackwright_interfaces.testing.context import SettableClock
from stackwright_interfaces.testing.oracle import Fact
from stackwright_interfaces.testing.tables import (
    OneStream,
    as_online,
    bits,
    column,
    ingested,
    read_column,
    rows_of,
    stamps,
)
from stackwright_interfaces.types import INT64

Values = dict[str, Any]

TIME = "asked_at"
LABEL = "label"


@dataclass(frozen=True)
class Reading:
    """What an online read gave.

    Args:
        values: for each key the outputs, in the form of :func:`~stackwright_interfaces.testing.tables.as_online`.
        statuses: for each key why each output has its value.
        rows: the answer itself.
    """

    values: list[Values]
    statuses: list[dict[str, Status]]
    rows: FeatureRows

    @property
    def only(self) -> Values:
        """The outputs of the one key that was asked for."""
        (values,) = self.values
        return values

    @property
    def status(self) -> dict[str, Status]:
        """The statuses of the one key that was asked for."""
        (statuses,) = self.statuses
        return statuses


@dataclass(frozen=True)
class Trial:
    """A store, and the clock it runs on."""

    store: FeatureStore
    clock: SettableClock

    def apply(self, *services: FeatureService, views: Sequence[FeatureView] = ()) -> None:
        """Apply services with the views and entities they need, and further views."""
        every = {view.ref: view for view in [*views, *(item.view for one in services for item in one.selections)]}
        entities = {view.entity.name: view.entity for view in every.values()}
        self.store.apply(
            Definitions(entities=tuple(entities.values()), views=tuple(every.values()), services=tuple(services))
        )

    def ingest(self, view: FeatureView, *facts: Fact) -> IngestReport:
        """Hand rows over in one ingestion."""
        return self.store.ingest(view.ref, OneStream(ingested(view, facts)))

    def materialize(self) -> list[MaterializeReport]:
        """Materialise every view at the present."""
        return self.store.materialize(at=self.clock())

    def bring(self, view: FeatureView, *facts: Fact) -> None:
        """Ingest, and materialise at the present."""
        self.ingest(view, *facts)
        self.materialize()

    def advance(self, span: timedelta) -> datetime:
        """Move the clock."""
        return self.clock.advance(span)

    def join(self, service: FeatureService, *labels: Mapping[str, Any], **options: Any) -> list[Values]:
        """Join labels, and check that they came back whole: same rows, same order, same columns in front.

        Args:
            service: what is asked for.
            labels: request keys, request fields and ``asked_at`` of each.
            options: handed on.

        Returns:
            The outputs for each label.
        """
        table = label_table(service, labels)
        answer = pa.table(self.store.join(service.ref, OneStream(table), time=TIME, **options))
        outputs = [item.name for item in service.output_fields]
        behind = [name for name in outputs if name not in table.column_names]
        assert answer.column_names == [*table.column_names, *behind]
        given = [name for name in table.column_names if name not in outputs]
        assert bits(rows_of(answer.select(given))) == bits(rows_of(table.select(given)))
        return [{name: row[name] for name in outputs} for row in rows_of(answer)]

    def read(
        self, service: FeatureService, *asked: Mapping[str, Any], at: datetime | None = None, **options: Any
    ) -> Reading:
        """Read online at an instant, by default the present, and check the form of the answer.

        Args:
            service: what is asked for.
            asked: request keys and request fields of each row.
            at: the instant.
            options: handed on.
        """
        keys = {item.name: [row[item.name] for row in asked] for item in service.request_keys}
        request = {item.name: [row[item.name] for row in asked] for item in service.request}
        rows = self.store.read(service.ref, keys, request or None, at=at or self.clock(), **options)
        fields = service.output_fields
        assert rows.names == tuple(rows.columns) == tuple(item.name for item in fields)
        columns = {item.name: read_column(rows.columns[item.name], item.type) for item in fields}
        statuses = {item.name: [Status(status) for status in rows.statuses[item.name]] for item in fields}
        return Reading(_transposed(columns, len(asked)), _transposed(statuses, len(asked)), rows)

    def both(self, service: FeatureService, *asked: Mapping[str, Any], **options: Any) -> list[Values]:
        """Ask both paths about the present, check that they agree bit for bit, and return the answers of the join."""
        at = self.clock()
        joined = self.join(service, *({**row, TIME: at} for row in asked), **options)
        assert bits(self.read(service, *asked, at=at).values) == bits(online(service, joined))
        return joined


def label_table(service: FeatureService, labels: Sequence[Mapping[str, Any]]) -> Any:
    """Return labels as a table: a number each, keys and request fields of a service, and the asked instant."""
    columns = {LABEL: column(range(len(labels)), INT64), TIME: stamps(label[TIME] for label in labels)}
    for item in (*service.request_keys, *service.request):
        columns[item.name] = column((label[item.name] for label in labels), item.type)
    return pa.table(columns)


def online(service: FeatureService, joined: Sequence[Values]) -> list[Values]:
    """Return joined outputs as an online read holds them."""
    columns = {item.name: as_online([row[item.name] for row in joined], item.type) for item in service.output_fields}
    return _transposed(columns, len(joined))


def _transposed(columns: Mapping[str, Sequence[Any]], rows: int) -> list[dict[str, Any]]:
    assert all(len(values) == rows for values in columns.values()), "a column has another length than the request"
    return [{name: values[place] for name, values in columns.items()} for place in range(rows)]
