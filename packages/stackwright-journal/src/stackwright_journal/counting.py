"""Columns of predictions counted into the reference histograms of a model: in streams, and added up over workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_journal.records import UNSEEN
from stackwright_journal.tabulating import FEATURE
from stackwright_numerics.drift import Counts, Histogram, Limits, compare, worst


class ColumnCounts:
    """Counts of the columns of one version against the histograms of its manifest. They take memory by bins, not rows.

    Args:
        histograms: of the manifest: input (also ``prediction``) → histogram, as JSON.
    """

    def __init__(self, histograms: Mapping[str, Any]) -> None:
        self.histograms = {name: Histogram.from_json(document) for name, document in sorted(histograms.items())}
        self.rows = 0
        self._counts: dict[str, Counts] = {}

    def add(self, table: Any) -> None:
        """Count rows of a table of predictions; features are ``feature.NAME`` in it, others go by their names.

        Rows of arms whose answers nobody saw are passed over, where the table says which those are.
        """
        if "arm" in table.column_names:
            table = table.filter(pc.invert(pc.is_in(table.column("arm"), pa.array(UNSEEN, pa.string()))))
        self.rows += len(table)
        for name, histogram in self.histograms.items():
            held = next((held for held in (FEATURE + name, name) if held in table.column_names), None)
            if held is not None:
                self._take(name, _count(histogram, table.column(held)))

    def add_columns(self, columns: Mapping[str, NDArray[Any]], rows: int) -> None:
        """Count rows given as model columns: input → array of so many rows."""
        self.rows += rows
        for name, histogram in self.histograms.items():
            if name in columns:
                self._take(name, histogram.count(columns[name]))

    def add_counts(self, rows: int, counts: Mapping[str, Any]) -> None:
        """Add what :meth:`to_json` gave elsewhere, of the same histograms; what does not fit them is passed over."""
        self.rows += rows
        for name, document in counts.items():
            found = Counts.from_json(document)
            if name in self.histograms and found.bins.shape == self.histograms[name].counts.bins.shape:
                self._take(name, found)

    def judge(self, limits: Limits) -> dict[str, Any]:
        """Return ``state``, ``n``, ``limits``, ``columns`` (each judged) and ``skipped`` (column → why), as JSON."""
        drifts = {
            name: compare(self.histograms[name], self._counts[name], limits)
            for name in self.histograms
            if name in self._counts
        }
        return {
            "state": worst(*(drift.state for drift in drifts.values())),
            "n": self.rows,
            "limits": asdict(limits),
            "columns": {name: drift.to_json() for name, drift in drifts.items()},
            "skipped": {
                name: "not among the columns that were read" for name in self.histograms if name not in self._counts
            },
        }

    def to_json(self) -> dict[str, Any]:
        """Return ``rows`` and ``counts``, for :meth:`add_counts`."""
        return {"rows": self.rows, "counts": {name: counts.to_json() for name, counts in self._counts.items()}}

    def _take(self, name: str, counts: Counts) -> None:
        self._counts[name] = self._counts[name] + counts if name in self._counts else counts


def together(histograms: Mapping[str, Any], parts: Iterable[Mapping[str, Any]]) -> ColumnCounts:
    """Return the sum of what :meth:`ColumnCounts.to_json` gave in several places."""
    found = ColumnCounts(histograms)
    for part in parts:
        found.add_counts(part["rows"], part["counts"])
    return found


def _count(histogram: Histogram, column: Any) -> Counts:
    if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
        if histogram.kind == "number":  # every value is of another type than was learned
            return histogram.count(np.full(len(column), np.nan))
        tally: Counter[str | None] = Counter()
        for item in column.value_counts().to_pylist():
            tally[item["values"]] += item["counts"]
        return histogram.count_tally(tally)
    if histogram.kind == "category":
        return histogram.count_tally({None: len(column)})
    counts: Counts | None = None
    for chunk in column.chunks:
        numbers = chunk.cast(pa.float64())
        values = numbers.fill_null(np.nan) if numbers.null_count else numbers
        found = histogram.count(values.to_numpy(zero_copy_only=False))
        counts = found if counts is None else counts + found
    return counts or histogram.count(np.zeros(0))
