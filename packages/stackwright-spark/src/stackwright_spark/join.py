"""The point-in-time join of one view.

Labels and rows are put together in one table, split and sorted by key and time; what each label sees is then a running
maximum of order tokens along the rows before it. That takes O(N log N), whatever the number of rows a key has, where
Spark's own join by an inequality of times would compare every label with every row of its key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from stackwright_interfaces.definitions import Window
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, ROW, ArrowStream, Asked
from stackwright_numerics.windows import lower_edge
from stackwright_parquet.columns import STAMP, arrow_type, instant_of, integers, pick, without_nulls
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.incoming import batches
from stackwright_parquet.manifest import EARLIEST, LATEST, POSITION, Manifest
from stackwright_spark.columns import spark_type
from stackwright_spark.scan import instant, read_files, table
from stackwright_spark.windows import AT, IS_LABEL, IS_ROW, KIND, KNOWN, WindowTask

_MICROSECOND: Final = timedelta(microseconds=1)
_BATCH: Final = 500_000
_FEW: Final = 100_000
"""So many labels are sent to all workers, for each to pass over the rows of other keys before it sorts many."""

_MATCH: Final = "__match"
_NO_ROW: Final = f"CAST(NULL AS BIGINT) AS {ROW}"
_TYPES: Final = {"bool": "BOOLEAN", "int64": "BIGINT", "string": "STRING", "binary": "BINARY"}


@dataclass(frozen=True)
class Labels:
    """What is asked for.

    Args:
        path: Parquet file with the row numbers, instants and columns ``l0, l1, ...``.
        columns: column of the label table → its name in the file and its Spark type.
        count: number of labels.
        oldest: the least asked instant, microseconds since 1970.
        newest: the greatest.
    """

    path: Path
    columns: Mapping[str, tuple[str, str]]
    count: int
    oldest: int
    newest: int

    @classmethod
    def receive(cls, stream: ArrowStream, asked: Sequence[Asked], path: Path) -> Labels:
        """Write the labels to a file.

        Raises:
            DataError: an instant or key is missing or of another type.
        """
        types = _label_types(asked)
        columns = {name: (f"l{place}", _TYPES[str(dtype)]) for place, (name, dtype) in enumerate(types.items())}
        count, oldest, newest = 0, LATEST, EARLIEST
        writer = None
        with ExitStack() as opened:
            for part in batches(stream, _BATCH):
                rows = {ROW: without_nulls(part, ROW, pa.int64(), "labels")}
                rows[EVENT] = without_nulls(part, EVENT, STAMP, "labels")
                rows |= {columns[name][0]: pick(part, name, dtype, "labels") for name, dtype in types.items()}
                if len(part):
                    at = integers(rows[EVENT])
                    count, oldest, newest = count + len(part), min(oldest, int(at.min())), max(newest, int(at.max()))
                    named = pa.table(rows)
                    writer = writer or opened.enter_context(pq.ParquetWriter(path, named.schema))
                    writer.write_table(named)
        return cls(path, columns, count, oldest, newest)


def _label_types(asked: Sequence[Asked]) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for wanted in asked:
        for key in wanted.view.entity.keys:
            name, dtype = wanted.keys[key.name], arrow_type(key.type)
            if types.setdefault(name, dtype) != dtype:
                found = f"column {name!r} is asked for as {types[name]} and as {dtype}"
                raise DataError("labels", found, "Give each key a column of its type.")
    return types


@dataclass(frozen=True, kw_only=True)
class ViewJoin:
    """One view's part of a join.

    Args:
        session: where Spark runs.
        folder: the view's folder.
        manifest: its history.
        asked: what of it is asked for.
        labels: for whom and when.
        known_by: pass over rows created after the asked instant.
    """

    session: SparkSession
    folder: ViewFolder
    manifest: Manifest
    asked: Asked
    labels: Labels
    known_by: bool

    def columns(self, number: int) -> dict[str, Any]:
        """Return the event column, named for this number, and the output columns."""
        columns = self._placed(self.matches if self.manifest.files else None, self._plain_types)
        found = {f"{EVENT}_{number}": columns.pop(EVENT)}
        found |= {output: columns[name] for output, name in self._plain.items()}
        if self._windows:
            types = {name: arrow_type(dtype) for name, (_, dtype) in self._windows.items()}
            columns = self._placed(self.aggregates, types)
            found |= {output: columns[name] for output, name in self._window_outputs.items()}
        return found

    def _placed(self, answer: Callable[[], DataFrame] | None, types: Mapping[str, Any]) -> dict[str, Any]:
        """Collect answers and bring them in the order of the labels, null where a label has none."""
        if answer is None or not self.labels.count:
            return {name: pa.nulls(self.labels.count, dtype) for name, dtype in types.items()}
        table = answer().toArrow()
        places = np.full(self.labels.count, -1)
        places[integers(table[ROW])] = np.arange(len(table))
        taken = pa.array(places, mask=places < 0)
        return {name: table[name].take(taken).cast(dtype) for name, dtype in types.items()}

    @cached_property
    def _windows(self) -> dict[str, tuple[Window, Any]]:
        view = self.asked.view
        asked = [window for window in view.windows if window.name in self.asked.features]
        return {f"w{place}": (window, view.window_type(window)) for place, window in enumerate(asked)}

    @cached_property
    def _window_outputs(self) -> dict[str, str]:
        return {self.asked.features[window.name]: name for name, (window, _) in self._windows.items()}

    @cached_property
    def _plain(self) -> dict[str, str]:
        """Output column → stored column, by its name among the rows."""
        windows = {window.name for window, _ in self._windows.values()}
        return {
            output: f"c{self.manifest.field_number(name)}"
            for name, output in self.asked.features.items()
            if name not in windows
        }

    @cached_property
    def _plain_types(self) -> dict[str, Any]:
        types = {f"c{place}": arrow_type(item.type) for place, item in enumerate(self.manifest.fields)}
        return {EVENT: STAMP} | {name: types[name] for name in sorted(set(self._plain.values()))}

    @cached_property
    def _max_age(self) -> int | None:
        age = self.asked.view.max_age
        return None if age is None else min(age // _MICROSECOND, LATEST)

    def matches(self) -> DataFrame:
        """Return for each label without a null key its row number, the event time of the row it sees, and its values.

        A row is seen from its event time on or, where only what was known counts, from its created time if that is
        later. Of rows that are seen the one with the greatest order token answers.
        """
        oldest = EARLIEST if self._max_age is None else self.labels.oldest - self._max_age
        values = [name for name in self._plain_types if name != EVENT]
        rows = self._rows(oldest, [int(name[1:]) for name in values])
        event = f"unix_micros({EVENT})"
        seen_from = f"greatest({event}, unix_micros({CREATED}))" if self.known_by else event
        found = f"struct({', '.join([ORDER, EVENT, *values])}) AS {_MATCH}"
        rows = rows.selectExpr(*self.manifest.key_names, f"{seen_from} AS {AT}", f"{IS_ROW} AS {KIND}", _NO_ROW, found)
        both = rows.union(self._labels().selectExpr("*", f"NULL AS {_MATCH}"))
        before = f"PARTITION BY {', '.join(self.manifest.key_names)} ORDER BY {AT}, {KIND} ROWS UNBOUNDED PRECEDING"
        answers = both.selectExpr(ROW, KIND, AT, f"max({_MATCH}) OVER ({before}) AS {_MATCH}")
        answers = answers.filter(f"{KIND} = {IS_LABEL}")
        if self._max_age is not None:
            answers = answers.filter(f"unix_micros({_MATCH}.{EVENT}) >= {AT} - {self._max_age}L")
        return answers.selectExpr(ROW, *(f"{_MATCH}.{name} AS {name}" for name in (EVENT, *values)))

    def aggregates(self) -> DataFrame:
        """Return for each label without a null key its row number and its windows."""
        view = self.asked.view
        names = {column for window, _ in self._windows.values() for column in window.columns}
        names |= set() if view.event_id is None else {view.event_id}
        fields = {name: self.manifest.field_number(name) for name in sorted(names)}
        edges = [lower_edge(np.array([self.labels.oldest]), window) for window, _ in self._windows.values()]
        rows = self._rows(int(min(edges)[0]), list(fields.values()))
        values = [f"c{number}" for number in fields.values()]
        times = [f"unix_micros({EVENT}) AS {AT}", f"{IS_ROW} AS {KIND}", _NO_ROW, f"unix_micros({CREATED}) AS {KNOWN}"]
        rows = rows.selectExpr(*self.manifest.key_names, *times, ORDER, *values)
        both = rows.union(self._labels().selectExpr("*", *(f"NULL AS {name}" for name in (KNOWN, ORDER, *values))))
        task = WindowTask(
            keys=len(self.manifest.key_names),
            windows=self._windows,
            columns={name: (f"c{number}", self.manifest.fields[number].type) for name, number in fields.items()},
            event_id=view.event_id,
            known_by=self.known_by,
        )
        schema = ", ".join(
            [f"{ROW} BIGINT", *(f"{name} {spark_type(dtype)}" for name, (_, dtype) in self._windows.items())]
        )
        return (
            both.repartition(*self.manifest.key_names)
            .sortWithinPartitions(*self.manifest.key_names, KIND, ORDER)
            .mapInArrow(task, schema)
        )

    def _labels(self) -> DataFrame:
        """Labels whose key has no null part: keys, instant, kind and row number."""
        stored = dict(self.labels.columns.values())
        read = read_files(self.session, [self.labels.path], {ROW: "BIGINT", EVENT: "TIMESTAMP_LTZ"} | stored)
        sources = [self.labels.columns[self.asked.keys[key.name]][0] for key in self.manifest.keys]
        keys = [f"{source} AS {name}" for source, name in zip(sources, self.manifest.key_names, strict=True)]
        whole = read.dropna(subset=sorted(set(sources)))
        return whole.selectExpr(*keys, f"unix_micros({EVENT}) AS {AT}", f"{IS_LABEL} AS {KIND}", ROW)

    def _rows(self, oldest: int, fields: Sequence[int]) -> DataFrame:
        """Rows that some label could see."""
        as_of = self.asked.as_of
        newest = self.labels.newest if as_of is None else min(self.labels.newest, instant_of(as_of.due))
        position = None if as_of is None else as_of.position
        files = self.manifest.select(as_of=position, oldest=oldest, newest=newest)
        rows = table(self.session, self.folder, self.manifest, files, fields)
        conditions = [f"{EVENT} <= {instant(newest)}"]
        if oldest > EARLIEST:
            conditions.append(f"{EVENT} >= {instant(oldest)}")
        if position is not None:
            conditions.append(f"{POSITION} <= {position}")
        rows = rows.filter(" AND ".join(conditions))
        if self.labels.count <= _FEW < sum(file.rows for file in files):
            rows = rows.join(
                self._labels().select(self.manifest.key_names).hint("broadcast"), self.manifest.key_names, "left_semi"
            )
        return rows
