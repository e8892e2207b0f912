"""Fits with fixed seed and threads, and forward-chained predictions for the intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.parted_rows import PartedRows, Rows, Step
from stackwright.workflows.datasets.shaping import Shaper, first_of, recency
from stackwright.workflows.datasets.spreading import looked_at
from stackwright_interfaces.compute import cores
from stackwright_interfaces.trainer import FittedModel, Report, SupportsParts
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
        rows: Rows,
        parameters: Mapping[str, Any],
        report: Report | None = None,
        *,
        valid: Rows | None = None,
    ) -> FittedModel:
        """Fit on these rows.

        Args:
            report: told of every step; may end the fit.
            valid: newer rows that steps are measured on; not where rows are in files.
        """
        trainer, task = self.shaper.trainer, self.shaper.task
        if isinstance(rows, PartedRows) and isinstance(trainer, SupportsParts):
            parts = self.shaper.by_reference(rows)
            return trainer.fit_parts(task, parts, parameters, seed=self.seed, threads=self.threads, report=report)
        return trainer.fit(
            task,
            self.shaper(rows.thinned(len(rows))),
            None if valid is None else self.shaper(valid.thinned(len(valid))),
            parameters,
            seed=self.seed,
            threads=self.threads,
            report=report,
        )

    def looked_at(self, rows: Rows, share: float = 1.0) -> Dataset:
        """Return the rows by which a fit is judged."""
        return looked_at(rows, self.shaper.trainer, self.shaper.task.kind, share)

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


def forward(
    fitter: Fitter,
    rows: Rows,
    parameters: Mapping[str, Any],
    progress: Progress,
    learned: Step | None = None,
) -> Forward:
    """Predict the newer half of the rows, fold by fold, each by a model of what was known before it.

    Args:
        rows: as they come, what is not learned from among them: a model in use is asked about such rows too.
        learned: takes out of older rows what is not learned from; of a fit that spreads itself, as many of the later
            rows are predicted as it is judged by.
    """
    later, answers = [], []
    folds: Iterable[tuple[Rows, Rows]] = rows.split(TemporalSplit(folds=FOLDS, holdout=SHARE))
    for fold, (older, newer) in enumerate(folds):
        progress("intervals", fold, FOLDS)
        later.append(fitter.looked_at(newer, 1 / FOLDS))
        model = fitter.fit(older if learned is None else older.through(learned), parameters)
        answers.append(fitter.predict(model, later[-1]))
    progress("intervals", FOLDS, FOLDS)
    return Forward(np.concatenate(answers), Dataset.together(later), fitter.shaper)
