"""Whole stores whose joins or ingestions are wrong in one way each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stackwright_interfaces.errors import DataError
from stackwright_interfaces.feature_store import ArrowStream
from stackwright_interfaces.testing.faults import FaultyStore


def _behind(answer: pa.Table, labels: pa.Table) -> list[str]:
    return [name for name in answer.column_names if name not in labels.column_names]


@dataclass
class DropsUnmatched(FaultyStore):
    """Labels without a match are dropped."""

    def joined(self, answer: pa.Table, labels: pa.Table, options: Mapping[str, Any]) -> pa.Table:
        """Keep the labels that matched."""
        matched = [any(row[name] is not None for name in _behind(answer, labels)) for row in answer.to_pylist()]
        return answer.filter(pa.array(matched, pa.bool_()))


@dataclass
class FillsZero(FaultyStore):
    """A missing number becomes zero."""

    def joined(self, answer: pa.Table, labels: pa.Table, options: Mapping[str, Any]) -> pa.Table:
        """Fill."""
        for name in _behind(answer, labels):
            if pa.types.is_floating(answer[name].type) or pa.types.is_integer(answer[name].type):
                filled = pc.fill_null(answer[name], pa.scalar(0, answer[name].type))
                answer = answer.set_column(answer.column_names.index(name), name, filled)
        return answer


@dataclass
class EmptyCountIsNull(FaultyStore):
    """A count of nothing is null."""

    def joined(self, answer: pa.Table, labels: pa.Table, options: Mapping[str, Any]) -> pa.Table:
        """Make zeros null."""
        for name in _behind(answer, labels):
            if pa.types.is_integer(answer[name].type):
                emptied = pc.if_else(pc.equal(answer[name], 0), pa.scalar(None, pa.int64()), answer[name])
                answer = answer.set_column(answer.column_names.index(name), name, emptied)
        return answer


@dataclass
class CollapsesLabels(FaultyStore):
    """Labels of one key and instant become one."""

    def joined(self, answer: pa.Table, labels: pa.Table, options: Mapping[str, Any]) -> pa.Table:
        """Keep the first of each."""
        keys = [repr([row[name] for name in labels.column_names if name != "label"]) for row in labels.to_pylist()]
        return answer.take(pa.array([place for place, key in enumerate(keys) if keys.index(key) == place], pa.int64()))


@dataclass
class LosesOrder(FaultyStore):
    """The answer is sorted by the asked instant."""

    def joined(self, answer: pa.Table, labels: pa.Table, options: Mapping[str, Any]) -> pa.Table:
        """Sort."""
        return answer.sort_by(options["time"])


@dataclass
class LosesColumns(FaultyStore):
    """Columns of the labels that the store does not know are lost."""

    def joined(self, answer: pa.Table, labels: pa.Table, options: Mapping[str, Any]) -> pa.Table:
        """Drop texts and lists."""
        return answer.drop_columns([name for name in ("note", "tags") if name in answer.column_names])


@dataclass
class OverwritesColumns(FaultyStore):
    """A label column with the name of a feature is overwritten."""

    def labels(self, labels: pa.Table, time: str) -> pa.Table:
        """Drop what would collide."""
        names = {item.name for service in self.definitions.services for item in service.output_fields}
        request = {item.name for service in self.definitions.services for item in service.request}
        return labels.drop_columns([name for name in labels.column_names if name in names - request])


@dataclass
class Untyped(FaultyStore):
    """A column without values has no type."""

    def joined(self, answer: pa.Table, labels: pa.Table, options: Mapping[str, Any]) -> pa.Table:
        """Take the types away."""
        for name in _behind(answer, labels):
            if answer[name].null_count == len(answer):
                answer = answer.set_column(answer.column_names.index(name), name, pa.nulls(len(answer)))
        return answer


@dataclass
class SwallowsErrors(FaultyStore):
    """A key of another type matches nothing, without a word."""

    def join(self, service: str, labels: ArrowStream, **options: Any) -> ArrowStream:
        """Answer with nothing."""
        try:
            return super().join(service, labels, **options)
        except DataError:
            nothing: ArrowStream = pa.table(labels).slice(0, 0)
            return nothing


@dataclass
class LocalTime(FaultyStore):
    """A naive time is taken for one of another zone, uncounted."""

    def table(self, table: pa.Table) -> pa.Table:
        """Move naive times by an hour."""
        for place, item in enumerate(table.schema):
            if pa.types.is_timestamp(item.type) and item.type.tz is None:
                moved = pc.add(table[item.name], pa.scalar(timedelta(hours=1), pa.duration("us")))
                table = table.set_column(place, item.name, moved.cast(pa.timestamp("us", "UTC")))
        return table


@dataclass
class Milliseconds(FaultyStore):
    """Times are cut to milliseconds."""

    def table(self, table: pa.Table) -> pa.Table:
        """Cut."""
        for place, item in enumerate(table.schema):
            if pa.types.is_timestamp(item.type):
                cut = table[item.name].cast(pa.timestamp("ms", item.type.tz), safe=False)
                table = table.set_column(place, item.name, cut)
        return table
