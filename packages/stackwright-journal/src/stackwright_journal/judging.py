"""Truths beside the answers that were given: metrics, and how sure they are, by the task of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_features.arrow import microseconds
from stackwright_journal.join import Maturity
from stackwright_numerics import lists, metrics, survival

Floats = NDArray[np.float64]

_REPLICATES: Final = 200
_DRAWN: Final = 20_000
"""Rows, or lists, of a draw at most: of more, the spread of so many is taken and shrunk (m out of n)."""
_PAIRS: Final = 1_000
_SEED: Final = 7
_DAY_US: Final = 86_400_000_000


def judged_states(task: str) -> tuple[str, ...]:
    """Return the maturities that say something of an answer: of times also that the event was still to come."""
    return (Maturity.MATURED, Maturity.CENSORED) if task == "time_to_event" else (Maturity.MATURED,)


@dataclass(frozen=True)
class JudgedRows:
    """Truths and answers as arrays of n.

    Args:
        task: of the model.
        k: of a ranking, the places that count.
        group: of a ranking, a number a list.
        event: of times, whether the event was seen.
    """

    task: str
    k: int
    target: Floats
    prediction: Floats
    lower: Floats
    upper: Floats
    group: NDArray[np.int64] | None = None
    event: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, table: Any, task: str, time: str, k: int) -> Self:
        """Read joined predictions.

        Args:
            table: of :class:`~stackwright_journal.join.Joined`. Of a ranking, rows of no list are passed over.
            time: the column that is the predictions' time; durations count from it.
            k: of a ranking, the places that count.
        """
        group = event = None
        if task == "ranking" and "group" in table.column_names:
            table = table.filter(pc.is_valid(table.column("group")))
            group = table.column("group").combine_chunks().dictionary_encode().indices.cast(pa.int64()).to_numpy()
        names = ("target", "prediction", "lower", "upper")
        arrays = (table.column(name).cast(pa.float64()).fill_null(np.nan).to_numpy() for name in names)
        target, prediction, lower, upper = arrays
        if task == "time_to_event":
            event = pc.equal(table.column("status"), Maturity.MATURED.value).to_numpy()
            ended = np.where(event, *(microseconds(table.column(name)) for name in ("happened_at", "observed_at")))
            target = (ended - microseconds(table.column(time))) / _DAY_US
        return cls(task, k, target, prediction, lower, upper, group, event)

    def take(self, rows: NDArray[Any]) -> JudgedRows:
        """Return some of the rows."""
        group = None if self.group is None else self.group[rows]
        event = None if self.event is None else self.event[rows]
        target, prediction, lower, upper = (
            column[rows] for column in (self.target, self.prediction, self.lower, self.upper)
        )
        return JudgedRows(self.task, self.k, target, prediction, lower, upper, group, event)

    def score(self) -> dict[str, float]:
        """Return every metric."""
        return metrics.score(
            self.task,
            self.target,
            self.prediction,
            self.lower,
            self.upper,
            group=self.group,
            event=self.event,
            k=self.k,
        )

    def intervals(self, level: float) -> dict[str, tuple[float, float]]:
        """Return the bootstrap interval of each metric: over rows, of a ranking over lists."""
        rows = self.take(np.isfinite(self.target) & np.isfinite(self.prediction))
        ends = [(1 - level) / 2, (1 + level) / 2]
        if rows.group is not None:
            n, drawn = _over_lists(rows, rows.group)
        elif rows.event is not None:
            n, drawn = _over_pairs(rows, rows.event)
        else:
            n, drawn = rows.target.size, _over_rows(rows)
        shrink = float(np.sqrt(min(_DRAWN / max(n, 1), 1.0)))
        return {name: _interval(values, ends, shrink) for name, values in drawn.items() if values}


def _interval(drawn: list[float], ends: list[float], shrink: float) -> tuple[float, float]:
    """Return the quantiles of draws; of draws that are smaller than what they are drawn from, nearer to the middle."""
    low, middle, high = np.quantile(drawn, [ends[0], 0.5, ends[1]]).tolist()
    if shrink == 1.0:
        return low, high
    return middle + shrink * (low - middle), middle + shrink * (high - middle)


def _over_rows(rows: JudgedRows) -> dict[str, list[float]]:
    drawn: dict[str, list[float]] = {}
    for index in _draws(rows.target.size):
        for name, value in rows.take(index).score().items():
            drawn.setdefault(name, []).append(value)
    return drawn


def _over_lists(rows: JudgedRows, group: NDArray[np.int64]) -> tuple[int, dict[str, list[float]]]:
    """Draw lists; return how many there are as well."""
    found = lists.score_lists(rows.target, rows.prediction, group, k=rows.k)
    if not found.label.size:
        return 0, {}
    values = {name: column for name, column in found._asdict().items() if name != "label"}
    draws = list(_draws(found.label.size))
    means = {name: [float(column[index].mean()) for index in draws] for name, column in values.items()}
    return found.label.size, means


def _over_pairs(rows: JudgedRows, event: NDArray[np.bool_]) -> tuple[int, dict[str, list[float]]]:
    """Draw rows with all their pairs; of very many rows, of some of them, whose number is returned as well."""
    n = rows.target.size
    some = np.unique(np.linspace(0, n - 1, min(n, _PAIRS)).astype(np.int64)) if n else np.empty(0, np.int64)
    comparable, right = survival.pairs(event[some], rows.target[some], rows.prediction[some])
    drawn = []
    for index in _draws(some.size):
        weight = np.bincount(index, minlength=some.size).astype(np.float64)
        pairs = weight @ comparable @ weight
        drawn += [float(weight @ right @ weight / pairs)] if pairs > 0 else []
    return some.size, {"c_index": drawn}


def _draws(n: int) -> Iterator[NDArray[np.int64]]:
    """Give row numbers drawn with replacement."""
    random = np.random.default_rng(_SEED)
    for _ in range(_REPLICATES if n else 0):
        yield random.integers(0, n, min(n, _DRAWN))
