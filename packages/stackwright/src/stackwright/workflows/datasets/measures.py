"""How good answers are, by the task of a model: a loss, what it is made of, and how surely one model beats another.

A loss is lower where answers are better. Of numbers it is the mean relative error, absolute where a truth is not
positive; of classes the logarithmic loss; of a ranking one minus NDCG, list by list; of times one minus the C-index.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import Dataset
from stackwright_interfaces.trainer import TaskKind
from stackwright_numerics import metrics, survival
from stackwright_numerics.lists import PLACES, score_lists

Floats = NDArray[np.float64]

_CLIP: Final = 1e-15
_CONFIDENCE: Final = 0.95
_REPLICATES: Final = 500
_PAIRS: Final = 1_000


@dataclass(frozen=True)
class Comparison:
    """Two models on the same rows.

    Args:
        mine: the loss of the one.
        theirs: the loss of the other.
        gain: one minus the ratio of the losses.
        low: lower end of the 95 % interval of the gain, by a paired bootstrap.
        high: upper end.
    """

    mine: float
    theirs: float
    gain: float
    low: float
    high: float


class Measure(ABC):
    """What a task is measured by.

    Attributes:
        unit: what a loss is of: ``rows`` or ``lists``.
    """

    unit: ClassVar[str] = "rows"

    @abstractmethod
    def name(self, rows: Dataset) -> str:
        """Return the name of the loss."""

    @abstractmethod
    def losses(self, rows: Dataset, answer: Floats) -> Floats:
        """Return the loss of each unit."""

    def units(self, rows: Dataset) -> Dataset:
        """Return one row for each unit that has a loss, in their order."""
        return rows

    def loss(self, rows: Dataset, answer: Floats) -> float:
        """Return the loss; NaN where it cannot be had."""
        losses = self.losses(rows, answer)
        return float(losses.mean()) if losses.size else float("nan")

    def compare(self, rows: Dataset, mine: Floats, theirs: Floats) -> Comparison:
        """Hold two models against each other, on units drawn together."""
        ours, others = self.losses(rows, mine), self.losses(rows, theirs)
        gain = _gain(float(ours.mean()), float(others.mean())) if ours.size else float("nan")
        low = high = gain
        if others.any():
            low, high = metrics.bootstrap(
                lambda drawn: _gain(float(ours[drawn].mean()), float(others[drawn].mean())),
                len(ours),
                level=_CONFIDENCE,
                replicates=_REPLICATES,
            )
        return Comparison(float(ours.mean()), float(others.mean()), gain, low, high)

    def spread(self, losses: Floats) -> float:
        """Return the standard error of a mean of losses."""
        return float(losses.std(ddof=1) / np.sqrt(losses.size)) if losses.size > 1 else float("inf")

    def inherent(self, target: Floats) -> float:
        """Return what some rows leave open whatever is known of them, in proportion to which losses are compared."""
        del target
        return 1.0


def measure_of(task: str, k: int = PLACES) -> Measure:
    """Return what a task is measured by.

    Args:
        k: of a ranking, the places that count.
    """
    match TaskKind(task):
        case TaskKind.RANKING:
            return _OfLists(k)
        case TaskKind.TIME_TO_EVENT:
            return _OfTimes()
        case TaskKind.CLASSIFICATION:
            return _OfClasses()
    return _OfNumbers()


def _gain(mine: float, theirs: float) -> float:
    return 1 - mine / theirs if theirs > 0 else (0.0 if mine == 0 else -float("inf"))


class _OfNumbers(Measure):
    def name(self, rows: Dataset) -> str:
        return "mape" if _positive(rows) else "mae"

    def losses(self, rows: Dataset, answer: Floats) -> Floats:
        error = metrics.relative_error(rows.target, answer) if _positive(rows) else answer - rows.target
        return np.abs(error)


def _positive(rows: Dataset) -> bool:
    return bool((rows.target > 0).all())


class _OfClasses(Measure):
    def name(self, rows: Dataset) -> str:
        del rows
        return "log_loss"

    def losses(self, rows: Dataset, answer: Floats) -> Floats:
        share = np.clip(answer, _CLIP, 1 - _CLIP)
        return np.asarray(-(rows.target * np.log(share) + (1 - rows.target) * np.log1p(-share)))

    def inherent(self, target: Floats) -> float:
        """Return the entropy of the share of ones, half a row of each class added."""
        share = (float(target.sum()) + 0.5) / (target.size + 1)
        return float(-(share * np.log(share) + (1 - share) * np.log1p(-share)))


@dataclass(frozen=True)
class _OfLists(Measure):
    k: int
    unit: ClassVar[str] = "lists"

    def name(self, rows: Dataset) -> str:
        del rows
        return f"1 - ndcg@{self.k}"

    def losses(self, rows: Dataset, answer: Floats) -> Floats:
        return 1 - score_lists(rows.target, answer, _lists(rows), k=self.k).ndcg

    def units(self, rows: Dataset) -> Dataset:
        """Return the first row of each list that holds something relevant, with the columns that a list has one of."""
        group = _lists(rows)
        alike = {name: rows.is_of_lists(column) for name, column in {**rows.keys, **rows.columns}.items()}
        relevant = np.isin(group[rows.starts], score_lists(rows.target, rows.target, group).label)
        few = rows.take(rows.starts[relevant])
        return replace(
            few,
            columns={name: column for name, column in few.columns.items() if alike[name]},
            keys={name: column for name, column in few.keys.items() if alike[name]},
        )


def _lists(rows: Dataset) -> NDArray[np.int64]:
    assert rows.group is not None
    return rows.group


class _OfTimes(Measure):
    """The loss of a row is the share of rows it is comparable to that it is put in the wrong order with."""

    def name(self, rows: Dataset) -> str:
        del rows
        return "1 - c_index"

    def loss(self, rows: Dataset, answer: Floats) -> float:
        return 1 - survival.concordance_index(_events(rows), rows.target, answer)

    def losses(self, rows: Dataset, answer: Floats) -> Floats:
        found = np.empty(len(rows))
        others = _few(rows)
        event, target = _events(rows), rows.target
        for start in range(0, len(rows), _PAIRS):
            part = np.arange(start, min(start + _PAIRS, len(rows)))
            every = np.concatenate([part, others])
            comparable, right = survival.pairs(event[every], target[every], answer[every])
            ours = slice(0, part.size), slice(part.size, None)
            number = comparable[ours].sum(axis=1) + comparable[ours[::-1]].sum(axis=0)
            agreed = right[ours].sum(axis=1) + right[ours[::-1]].sum(axis=0)
            found[part] = 1 - np.divide(agreed, number, out=np.full(part.size, 0.5), where=number > 0)
        return found

    def compare(self, rows: Dataset, mine: Floats, theirs: Floats) -> Comparison:
        """Hold two models against each other, rows drawn with all their pairs; of very many rows, some of them."""
        few = _few(rows)
        event, target = _events(rows)[few], rows.target[few]
        comparable, ours = survival.pairs(event, target, mine[few])
        _, others = survival.pairs(event, target, theirs[few])

        def gain(drawn: NDArray[np.intp]) -> float:
            weight = np.bincount(drawn, minlength=few.size).astype(np.float64)
            number = float(weight @ comparable @ weight)
            if not number:
                return float("nan")
            return _gain(*(1 - float(weight @ right @ weight) / number for right in (ours, others)))

        low, high = metrics.bootstrap(gain, few.size, level=_CONFIDENCE, replicates=_REPLICATES)
        one, other = self.loss(rows, mine), self.loss(rows, theirs)
        return Comparison(one, other, _gain(one, other), low, high)

    def spread(self, losses: Floats) -> float:
        """Return the standard error of a mean of losses, twice that of rows on their own: pairs are of two."""
        return 2 * super().spread(losses)


def _events(rows: Dataset) -> NDArray[np.bool_]:
    assert rows.event is not None
    return rows.event


def _few(rows: Dataset) -> NDArray[np.int64]:
    """Return places of at most so many rows, spread evenly."""
    return np.unique(np.linspace(0, len(rows) - 1, min(_PAIRS, len(rows))).astype(np.int64))
