"""Fits around the final one: a light search for parameters, and forward-chained predictions for the intervals."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.dataset import Dataset, Shaper, recency
from stackwright_interfaces.model import Signature
from stackwright_interfaces.trainer import Distribution, FittedModel
from stackwright_numerics import conformal
from stackwright_numerics.categories import to_matrix
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
    return 1 if rows < FEW_ROWS else os.cpu_count() or 1


@dataclass(frozen=True)
class Fitter:
    """Fits with fixed seed and threads."""

    shaper: Shaper
    seed: int
    threads: int

    def fit(self, rows: Dataset, parameters: Mapping[str, Any], progress: Progress | None = None) -> FittedModel:
        """Fit on these rows."""

        def report(step: int, steps: int, _metrics: Mapping[str, float]) -> None:
            if progress is not None:
                progress("fit", step, steps)

        return self.shaper.trainer.fit(
            self.shaper.task,
            self.shaper(rows),
            None,
            parameters,
            seed=self.seed,
            threads=self.threads,
            report=report if progress is not None else None,
        )

    def predict(self, fitted: FittedModel, rows: Dataset) -> NDArray[np.float64]:
        """Return answers, the transform of the target undone."""
        undo = compile_steps(self.shaper.postprocess)
        return undo(np.asarray(fitted.predictor().predict(self.shaper.inputs(rows)), dtype=np.float64))


def tune(fitter: Fitter, rows: Dataset, trials: int, progress: Progress) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Try the defaults and ``trials - 1`` random sets on a temporal split; return the best, and every trial.

    The score is the mean absolute error of the transformed target on the newer fifth of the rows.
    """
    space = fitter.shaper.trainer.space(fitter.shaper.task)
    if not trials or not space:
        return {}, []
    ((before, newer),) = rows.split(TemporalSplit(folds=1, holdout=0.2))
    after = fitter.shaper(newer)
    random = np.random.default_rng(fitter.seed)
    tried: list[dict[str, Any]] = []
    for trial in range(trials):
        progress("tune", trial, trials)
        parameters = {name: _draw(item, random, first=trial == 0) for name, item in space.items()}
        answer = np.asarray(fitter.fit(before, parameters).predictor().predict(after.inputs))
        tried.append({"parameters": parameters, "loss": float(np.abs(answer - after.target).mean())})
    progress("tune", trials, trials)
    best = min(tried, key=lambda trial: trial["loss"])
    return dict(best["parameters"]), tried


def _draw(item: Distribution, random: np.random.Generator, *, first: bool) -> Any:
    if first and item.default is not None:
        return item.default
    if item.choices:
        return item.choices[int(random.integers(len(item.choices)))]
    low, high = (math.log(item.low), math.log(item.high)) if item.log else (item.low, item.high)
    value = float(random.uniform(low, high))
    value = math.exp(value) if item.log else value
    return round(value) if item.integer else value


@dataclass(frozen=True)
class Forward:
    """What models of earlier rows said of later ones: the drift of a market shows in it, which folds at random hide.

    Args:
        answers: predictions of the later rows of every fold.
        rows: those rows.
    """

    answers: NDArray[np.float64]
    rows: Dataset

    @property
    def relative(self) -> bool:
        """Whether errors are factors: all truths and answers are positive."""
        return bool((self.rows.target > 0).all() and (self.answers > 0).all())

    def intervals(self, signature: Signature, level: float, half_life: float, scale: float = 1.0) -> IntervalTable:
        """Fit prediction intervals.

        Args:
            level: nominal coverage.
            half_life: days after which an older error counts half; 0 counts all alike.
            scale: factor that answers are given.
        """
        return conformal.fit(
            self.answers * scale,
            self.rows.target,
            level=level,
            relative=self.relative,
            weight=recency(self.rows.asked, half_life),
            matrix=to_matrix(self.rows.columns, signature),
            categorical=[place for place, field in enumerate(signature.inputs) if field.name in signature.categories],
        )

    def scale(self, half_life: float) -> float:
        """Return the factor that takes the recent median error away; 1 where errors are no factors."""
        if not self.relative:
            return 1.0
        error = np.log(self.rows.target / self.answers)
        return float(np.exp(weighted_quantile(error, 0.5, recency(self.rows.asked, half_life))))


def forward(fitter: Fitter, rows: Dataset, parameters: Mapping[str, Any], progress: Progress) -> Forward:
    """Predict the newer half of the rows, fold by fold, each by a model of what was known before it."""
    later, answers = [], []
    for fold, (older, newer) in enumerate(rows.split(TemporalSplit(folds=FOLDS, holdout=SHARE))):
        progress("intervals", fold, FOLDS)
        later.append(newer)
        answers.append(fitter.predict(fitter.fit(older, parameters), newer))
    progress("intervals", FOLDS, FOLDS)
    return Forward(np.concatenate(answers), Dataset.together(later))
