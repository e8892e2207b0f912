"""How a table of some columns is scored: its features are read online, joined from history, or in it already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.ready_rows import ReadyRows
from stackwright.workflows.rows.csv_rows import converted
from stackwright_features.arrow import INSTANT, to_columns
from stackwright_features.casts import cast
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import MissingColumn, WrongType
from stackwright_interfaces.feature_store import FeatureRows, Watermark
from stackwright_interfaces.types import Field, Type
from stackwright_numerics.columns import to_model_array
from stackwright_serving.scorer import Scored, Scorer

_ASKED: Final = "__asked"


@dataclass(frozen=True)
class Answered:
    """Rows with their answers.

    Args:
        table: the rows, texts converted as they are declared.
        scored: their answers.
        features: what the model read, where it was read of a store.
        columns: what it read, where the rows brought it: input → values.
    """

    table: pa.Table
    scored: Scored
    features: FeatureRows | None
    columns: Mapping[str, Any]


class Answering:
    """Scores tables that have certain columns.

    Args:
        stack: gives features.
        used: the scorer of the model.
        present: columns of the tables.
        at: the instant that is asked for.
        known: view reference → how much of its history counts in a join; ``None`` counts all.

    Attributes:
        reads_features: features come from the feature store.
        columns: what is read of a table.
        keys: the request's keys that are there.
        request: the request's fields that are there.

    Raises:
        MissingColumn: neither the keys nor the inputs are all there.
    """

    def __init__(
        self,
        stack: Stack,
        used: Scorer,
        present: Sequence[str],
        at: datetime,
        known: Mapping[str, Watermark] | None = None,
    ) -> None:
        self._stack, self._used, self._at, self._known = stack, used, at, known
        services = {service.ref: service for service in stack.definitions.services}
        self._service = services.get(used.model.manifest.service)
        inputs = used.model.manifest.signature.inputs
        keys = self._service.request_keys if self._service else ()
        fields = (*self._service.all_fields, *keys) if self._service else ()
        self._declared = {field.name: field.type for field in (*inputs, *fields)}
        self._slots = {"feature_store", "online", "offline"} & set(stack.plan.choices)
        by_keys = bool(self._slots) and bool(keys) and {field.name for field in keys} <= set(present)
        self.reads_features = by_keys
        self.keys = [field.name for field in keys if field.name in present]
        asked = self._service.request if self._service else ()
        self.request = [field.name for field in asked if field.name in present]
        self._ready: ReadyRows | None = None
        if by_keys and self._service is not None:
            wanted = [*keys, *self._service.request]
            _check_request(self._service, present)
            self.columns = [field.name for field in wanted if field.name in present]
        else:
            self._ready = ReadyRows(inputs, self._service, stack.project.folder, present)
            self.columns = [name for name in self._ready.reads if name in present]

    def __call__(self, table: pa.Table) -> Answered:
        """Return the table with its texts converted as they are declared, and its answers.

        Raises:
            DataError: a value cannot be what it is declared to be.
            PredictionError: a row cannot be predicted.
        """
        table = _typed(table, self._declared)
        if self._ready is not None:
            columns = self._ready.columns(table, self._at)
            return Answered(table, self._used.by_columns(columns), None, columns)
        assert self._service is not None
        if self._slots == {"offline"}:
            rows = self._joined(self._service, table)
            return Answered(table, self._used.by_columns(rows.columns), rows, {})
        scored = self._used.by_keys(*_requests(table, self._service), at=self._at)
        return Answered(table, scored, scored.features, {})

    def _joined(self, service: FeatureService, table: pa.Table) -> FeatureRows:
        fields = [field for field in (*service.request_keys, *service.request) if field.name in table.column_names]
        frame = pa.table({field.name: _cast(table, field) for field in fields})
        asked = pa.repeat(pa.scalar(self._at, INSTANT), table.num_rows)
        labels = frame.append_column(_ASKED, asked)
        joined = pa.table(self._stack.features.join(service.ref, labels, time=_ASKED, as_of=self._known))
        columns = to_columns(joined, service.output_fields)
        return FeatureRows(
            names=tuple(field.name for field in service.output_fields),
            columns={field.name: to_model_array(columns[field.name], field.type) for field in service.output_fields},
            statuses={},
            watermarks=self._known or {},
            at=self._at,
        )


def _check_request(service: FeatureService, present: Sequence[str]) -> None:
    for field in service.request:
        if field.name not in present and not field.has_default:
            raise MissingColumn.of("input", field.name, present)


def _typed(table: pa.Table, declared: Mapping[str, Type]) -> pa.Table:
    """Return the table with columns of texts converted, as those of a CSV are."""
    for place, name in enumerate(table.column_names):
        if name in declared and pa.types.is_string(table.schema.types[place]):
            texts = table.column(place).combine_chunks()
            try:
                values = converted(texts, declared[name])
            except pa.ArrowInvalid as error:
                found = repr(texts[0].as_py()) if len(texts) == 1 else "a text"
                raise WrongType.of("input", name, found, str(declared[name])) from error
            table = table.set_column(place, name, values)
    return table


def _cast(table: pa.Table, field: Field) -> Any:
    return cast(table.column(field.name), field.type, where="input", name=field.name)


def _requests(table: pa.Table, service: FeatureService) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    keys = {field.name: table[field.name].to_pylist() for field in service.request_keys}
    request = {
        field.name: table[field.name].to_pylist()
        if field.name in table.column_names
        else [field.default] * table.num_rows
        for field in service.request
    }
    return keys, request
