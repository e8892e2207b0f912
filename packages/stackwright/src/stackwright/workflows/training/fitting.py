"""Fits with fixed seed and threads, and forward-chained predictions for the intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.shaping import Shaper, first_of, recency
from stackwright_interfaces.compute import cores
from stackwright_interfaces.trainer import FittedModel, Report
from stackwright_numerics import conformal
from stackwright_numerics.conformal import IntervalTable
from stackwright_numerics.metrics import weighted_quantile
from stackwright_numerics.split import TemporalSplit
from stackwright_serving.postprocess import compile_steps

Progress = Callable[[str, int, int], None]

FOLDS: Final = 4
FEW_ROWS: Final = 20_000
SHARE: Final = 0.5


def threads_for(rows: int) -> int:
    """Return the threads of a fit: few rows are fitted sooner by one, which waits for no other."""
    return 1 if rows < FEW_ROWS else cores()


def told(progress: Progress) -> Report:
    """Return a report that tells how far the final fit is."""
    return lambda step, steps, _metrics: progress("fit", step, steps)


@dataclass(frozen=True)
class Fitter:
    """Fits with fixed seed and threads."""

    shaper: Shaper
    seed: int
    threads: int

    def fit(
        self,
        rows: Dataset,
        parameters: Mapping[str, Any],
        report: Report | None = None,
        *,
        valid: Dataset | None = None,
    ) -> FittedModel:
        """Fit on these rows.

        Args:
            report: told of every step; may end the fit.
            valid: newer rows that steps are measured on.
        """
        return self.shaper.trainer.fit(
            self.shaper.task,
            self.shaper(rows),
            None if valid is None else self.shaper(valid),
            parameters,
            seed=self.seed,
            threads=self.threads,
            report=report,
        )

    def predict(self, fitted: FittedModel, rows: Dataset) -> NDArray[np.float64]:
        """Return answers, the transform of the target undone."""
        undo = compile_steps(self.shaper.postprocess)
        return undo(first_of(fitted.predictor().predict(self.shaper.inputs(rows))))


@dataclass(frozen=True)
class Forward:
    """What models of earlier rows said of later ones: the drift of a market shows in it, which folds at random hide.

    Args:
        answers: predictions of the later rows of every fold.
        rows: those rows.
        shaper: what made their inputs.
    """

    answers: NDArray[np.float64]
    rows: Dataset
    shaper: Shaper

    def _are_factors(self, answers: NDArray[np.float64]) -> bool:
        """Return whether errors are factors: all truths and answers are positive."""
        return bool((self.rows.target > 0).all() and (answers > 0).all())

    def intervals(self, level: float, half_life: float, steps: Sequence[Mapping[str, Any]] = ()) -> IntervalTable:
        """Fit prediction intervals.

        Args:
            level: nominal coverage.
            half_life: days after which an older error counts half; 0 counts all alike.
            steps: what is done to answers beyond undoing the transform of the target.
        """
        answers = compile_steps(steps)(self.answers)
        signature = self.shaper.task.signature
        return conformal.fit(
            answers,
            self.rows.target,
            level=level,
            relative=self._are_factors(answers),
            weight=recency(self.rows.asked, half_life),
            matrix=self.shaper.matrix(self.rows),
            categorical=[place for place, field in enumerate(signature.inputs) if field.name in signature.categories],
        )

    def scale(self, half_life: float) -> float:
        """Return the factor that takes the recent median error away; 1 where errors are no factors."""
        if not self._are_factors(self.answers):
            return 1.0
        error = np.log(self.rows.target / self.answers)
        return float(np.exp(weighted_quantile(error, 0.5, recency(self.rows.asked, half_life))))


def _all(rows: Dataset) -> Dataset:
    return rows


def forward(
    fitter: Fitter,
    rows: Dataset,
    parameters: Mapping[str, Any],
    progress: Progress,
    learned: Callable[[Dataset], Dataset] = _all,
) -> Forward:
    """Predict the newer half of the rows, fold by fold, each by a model of what was known before it.

    Args:
        rows: as they come, what is not learned from among them: a model in use is asked about such rows too.
        learned: takes out of older rows what is not learned from.
    """
    later, answers = [], []
    for fold, (older, newer) in enumerate(rows.split(TemporalSplit(folds=FOLDS, holdout=SHARE))):
        progress("intervals", fold, FOLDS)
        later.append(newer)
        answers.append(fitter.predict(fitter.fit(learned(older), parameters), newer))
    progress("intervals", FOLDS, FOLDS)
    return Forward(np.concatenate(answers), Dataset.together(later), fitter.shaper)
