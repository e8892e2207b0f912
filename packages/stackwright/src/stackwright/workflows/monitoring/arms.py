"""What arms of an experiment answered, and what came of it, as the measures that they are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright.assembly.model_part import ModelPart
from stackwright.assembly.monitor_part import ExperimentPart
from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.monitoring.subject import keys_of
from stackwright_interfaces.errors import BlueprintError, UsageError
from stackwright_interfaces.trainer import TaskKind
from stackwright_journal.join import Joined, Maturity, join
from stackwright_journal.judging import JudgedRows
from stackwright_journal.measures import Better, Measure, mean_of, metric_of
from stackwright_journal.reading import KEY, Span
from stackwright_journal.tabulating import BASE, FALLBACKS, IDENTITY, Wanted
from stackwright_numerics import lists

Ints = NDArray[np.int64]

MEAN = "mean:"
_LEFT_OUT = ("request_id", "digest", "blueprint")


@dataclass(frozen=True)
class Arms:
    """The answers of a model's arms in a span of time.

    Args:
        stack: the stack.
        part: the model.
        names: the arms, in order.
        unit: request keys that say which predictions are of one entity.
        table: the answers, in the columns of the journal.
        at: what was asked or observed later is passed over.
    """

    stack: Stack
    part: ModelPart
    names: Sequence[str]
    unit: Sequence[str]
    table: Any
    at: datetime

    @classmethod
    def read(
        cls, stack: Stack, part: ModelPart, names: Sequence[str], unit: Sequence[str], start: datetime, at: datetime
    ) -> Arms:
        """Read what was asked between two instants."""
        base = tuple(name for name in BASE if name not in _LEFT_OUT)
        wanted = Wanted(stack.service(part.service).request_keys, (), base, (IDENTITY, FALLBACKS), compact=True)
        with closing(journal.predictions(stack)) as reader:
            batches = reader.batches(wanted, model=part.name, span=Span(start, at, "asked_at"))
            table = pa.concat_tables([wanted.schema.empty_table(), *(batch.table for batch in batches)])
        mine = pc.is_in(table.column("arm").cast(pa.string()), value_set=pa.array(list(names), pa.string()))
        return cls(stack, part, names, unit, table.filter(mine).unify_dictionaries(), at)

    @cached_property
    def joined(self) -> Joined:
        """The answers with the truths of the model's own target."""
        return self.with_truths(self.part.target)

    def with_truths(self, name: str) -> Joined:
        """Return the answers with the truths of a target."""
        target = self.stack.target(name)
        labels = journal.labels(self.stack, target)
        keys = keys_of(self.stack.service(self.part.service), target)
        return join(self.table, labels.read(known_at=self.at), target, at=self.at, time="asked_at", keys=keys)

    def measure(self, name: str, part: ExperimentPart, better: Better | None = None) -> Measure:
        """Return what the arms are compared on.

        Args:
            name: a metric, ``mean:TARGET`` or ``fallbacks``.
            part: the experiment, for messages.
            better: which way is better; ``None`` takes what the metric says.

        Raises:
            BlueprintError: it is no metric of the model's task.
        """
        if name == FALLBACKS:
            lacking = self.table.column(FALLBACKS).fill_null(0).to_numpy() > 0
            where = (_places(self.table, self.names), self._entities(self.table))
            return mean_of(name, *where, lacking.astype(np.float64), better=better or "lower")
        if name.startswith(MEAN):
            table = _matured(self.with_truths(name.removeprefix(MEAN)).table)
            values = table.column("target").cast(pa.float64()).fill_null(np.nan).to_numpy()
            where = (_places(table, self.names), self._entities(table))
            return mean_of(name, *where, values, better=better or "lower")
        try:
            measure = self._metric(name)
        except UsageError as error:
            raise BlueprintError(part.where, f"{error.where} {error.found}", error.todo) from error
        return measure if better is None else Measure(name, measure.arm, measure.cluster, measure.value, better)

    def _metric(self, name: str) -> Measure:
        table = _matured(self.joined.table)
        if self.part.task == TaskKind.RANKING:
            return self._of_lists(name, table)
        rows = JudgedRows.of(table, self.part.task, "asked_at", self.part.k)
        columns = {kind: getattr(rows, kind) for kind in ("target", "prediction", "lower", "upper")}
        return metric_of(self.part.task, name, _places(table, self.names), self._entities(table), columns)

    def _of_lists(self, name: str, table: Any) -> Measure:
        """Return a metric of lists: each is one entity, and has one value an arm."""
        known = ("ndcg", "map", "mrr", "recall", "precision")
        if name not in known:
            raise UsageError(f"metric {name!r}", "is none of a ranking", f"Known: {', '.join(known)}.")
        table = table.filter(pc.is_valid(table.column("group")))
        group, place = _codes(table, ["group"]), _places(table, self.names)
        rows = JudgedRows.of(table, self.part.task, "asked_at", self.part.k)
        found = [
            lists.score_lists(rows.target[mine], rows.prediction[mine], group[mine], k=self.part.k)
            for mine in (place == number for number in range(len(self.names)))
        ]
        arm = np.repeat(np.arange(len(found)), [item.label.size for item in found])
        labels = np.concatenate([item.label for item in found]).astype(np.int64)
        return mean_of(name, arm, labels, np.concatenate([getattr(item, name) for item in found]), better="higher")

    def _entities(self, table: Any) -> Ints:
        return _codes(table, [KEY + name for name in self.unit])

    def told(self) -> list[dict[str, Any]]:
        """Return for each arm which versions answered how often, and of how many answers the truth is still to come."""
        table = self.joined.table
        place = _places(table, self.names)
        found = []
        for number, name in enumerate(self.names):
            mine = table.filter(pa.array(place == number))
            tally = mine.column("version").value_counts().to_pylist()
            pending = pc.sum(pc.equal(mine.column("status"), Maturity.PENDING.value)).as_py() or 0
            versions = {str(item["values"]): item["counts"] for item in sorted(tally, key=lambda item: item["values"])}
            found.append({"arm": name, "answers": len(mine), "versions": versions, "pending": int(pending)})
        return found


def _matured(table: Any) -> Any:
    return table.filter(pc.equal(table.column("status"), Maturity.MATURED.value))


def _places(table: Any, names: Sequence[str]) -> Ints:
    """Return the place of each row's arm."""
    held = table.column("arm").cast(pa.string())
    found: Ints = pc.index_in(held, value_set=pa.array(list(names), pa.string())).cast(pa.int64()).to_numpy()
    return found


def _codes(table: Any, columns: Sequence[str]) -> Ints:
    """Return one number a distinct combination of values."""
    codes = np.zeros(len(table), np.int64)
    for name in columns:
        column = table.column(name)
        plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        encoded = plain.combine_chunks().dictionary_encode(null_encoding="encode")
        part = encoded.indices.cast(pa.int64()).to_numpy(zero_copy_only=False)
        codes = np.unique(codes * max(len(encoded.dictionary), 1) + part, return_inverse=True)[1].astype(np.int64)
    return codes
