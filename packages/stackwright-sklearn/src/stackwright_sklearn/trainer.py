"""Fits estimators of scikit-learn."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import numpy as np

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.trainer import (
    Distribution,
    FittedModel,
    Report,
    StopFit,
    Task,
    TaskKind,
    Trainer,
    TrainingData,
)
from stackwright_numerics.training_rows import check_rows
from stackwright_sklearn.estimators import build, encodes_categories, parameters
from stackwright_sklearn.measures import measure
from stackwright_sklearn.models import SklearnModel
from stackwright_sklearn.payload import Payload, dump
from stackwright_sklearn.pipeline import PipelineTrainer
from stackwright_sklearn.plugin import SklearnConfig
from stackwright_sklearn.preparing import prepare
from stackwright_sklearn.ready import ReadyTrainer
from stackwright_sklearn.rows import refuse_infinite
from stackwright_sklearn.settings import resolve, search_space
from stackwright_sklearn.threads import native_threads

_NAMED: Final = re.compile(r"The '(\w+)' parameter")


class SklearnTrainer(Trainer):
    """Any regressor or classifier of scikit-learn."""

    input = "matrix"

    def __init__(self, config: SklearnConfig, context: Context) -> None:
        self._config = config
        self._pipeline = PipelineTrainer(config, context.project) if config.pipeline else None
        if self._pipeline is not None:
            vars(self)["input"] = self._pipeline.input  # of this trainer alone, not of its class

    @staticmethod
    def of(estimator: Any) -> Trainer:
        """Return a trainer of an estimator that was made in Python.

        Raises:
            TrainingError: it is no estimator.
        """
        return ReadyTrainer(estimator)

    def code(self) -> Mapping[str, str]:
        """Return ``module:function`` → SHA-256 of the project's code that a fit depends on; empty where none is.

        Raises:
            TrainingError: the function is not there, or its module fails.
        """
        return {} if self._pipeline is None else self._pipeline.code()

    def space(self, task: Task) -> Mapping[str, Distribution]:
        """Return the parameters worth tuning of the default estimators; none of others."""
        if self._pipeline is not None:
            return self._pipeline.space(task)
        return search_space(self._config, task)

    def stops_early(self, task: Task, params: Mapping[str, Any]) -> bool:
        """Tell whether ``early_stopping`` is true and the estimator takes rows to stop by."""
        if self._pipeline is not None:
            return False
        return _stops_early(build(resolve(self._config, task, params), task.kind))

    def fit(
        self,
        task: Task,
        train: TrainingData,
        valid: TrainingData | None,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        """Fit.

        Args:
            valid: rows to measure; where ``early_stopping`` is true and the estimator takes them, also to stop by.
            params: arguments of the estimator's constructor, and ``estimator``, its name.
            report: told once, at the end: scikit-learn fits in one piece.

        Raises:
            TrainingError: a parameter or the data does not allow a fit, or the model cannot be stored.
        """
        if self._pipeline is not None:
            return self._pipeline.fit(task, train, valid, params, seed=seed, threads=threads, report=report)
        settings = resolve(self._config, task, params)
        estimator = build(settings, task.kind)
        for rows, where in ((train, "training rows"), (valid, "validation rows")):
            if rows is not None:
                check_rows(task, rows, where)
                if not encodes_categories(estimator):
                    refuse_infinite(task, rows, where)
        found = parameters(settings, estimator)
        fit = _Fit(task, estimator, seed=seed, threads=threads)
        model = fit.run(train, valid)
        found.update(fit.stopped())
        names = tuple(field.name for field in task.signature.inputs)
        fitted = SklearnModel(dump(Payload(names, model)), found)
        fitted.metrics = measure(fitted.predictor(), task, train, valid)
        if report is not None:
            with suppress(StopFit):
                report(1, 1, fitted.metrics)
        return fitted


class _Fit:
    """One fit of one estimator."""

    def __init__(self, task: Task, estimator: Any, *, seed: int, threads: int) -> None:
        self._estimator = estimator
        self._kind = task.kind
        self._threads = threads
        self._stopping = False
        taken = estimator.get_params(deep=False)
        preparation = prepare(estimator, task.signature)
        self._transformer = preparation.transformer
        estimator.set_params(**preparation.arguments)
        if "random_state" in taken:
            estimator.set_params(random_state=seed)
        self._jobs = {"n_jobs": taken["n_jobs"]} if "n_jobs" in taken else {}

    def run(self, train: TrainingData, valid: TrainingData | None) -> Any:
        """Return the fitted estimator, or a pipeline of what precedes it and itself."""
        from sklearn.pipeline import Pipeline

        if self._jobs and self._threads > 1:
            self._estimator.set_params(n_jobs=self._threads)
        with self._translated(), native_threads().limit(limits=self._threads):
            inputs = _matrix(train)
            if self._transformer is not None:
                inputs = self._transformer.fit_transform(inputs)
            arguments = {**self._weights(train), **self._held(valid)}
            self._estimator.fit(inputs, self._target(train), **arguments)
        self._estimator.set_params(**self._jobs)
        if self._transformer is None:
            return self._estimator
        return Pipeline([("prepare", self._transformer), ("estimator", self._estimator)])

    def stopped(self) -> dict[str, Any]:
        """Return the parameters with which a fit without validation rows ends where this one was stopped."""
        return {"max_iter": int(self._estimator.n_iter_), "early_stopping": False} if self._stopping else {}

    def _target(self, rows: TrainingData) -> Any:
        return np.asarray(rows.target, np.int64 if self._kind is TaskKind.CLASSIFICATION else np.float64)

    def _takes(self, name: str) -> bool:
        return _takes(self._estimator, name)

    def _weights(self, rows: TrainingData) -> dict[str, Any]:
        if rows.weight is None:
            return {}
        if not self._takes("sample_weight"):
            todo = "Train without weights (no half_life), or choose another estimator."
            raise TrainingError("training rows", f"{type(self._estimator).__name__} takes no weights", todo)
        return {"sample_weight": np.asarray(rows.weight, np.float64)}

    def _held(self, valid: TrainingData | None) -> dict[str, Any]:
        """Return the rows to stop by. Those of ours say more of the future than rows that it would draw at random."""
        if valid is None or not _stops_early(self._estimator):
            return {}
        self._stopping = True
        inputs = _matrix(valid)
        held = {
            "X_val": inputs if self._transformer is None else self._transformer.transform(inputs),
            "y_val": self._target(valid),
        }
        return held if valid.weight is None else {**held, "sample_weight_val": np.asarray(valid.weight, np.float64)}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn scikit-learn's errors into ours, with the parameter where the message names one."""
        name = type(self._estimator).__name__
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*'n_jobs'", category=FutureWarning)
                yield
        except (ValueError, TypeError, AttributeError, ArithmeticError, NotImplementedError) as error:
            message = str(error).strip()
            named = _NAMED.search(message)
            where = f"parameter {named[1]!r}" if named else name
            raise TrainingError(where, message, "Change the parameters or the data.") from error


def _matrix(rows: TrainingData) -> Any:
    return np.ascontiguousarray(rows.inputs, dtype=np.float64)


def _takes(estimator: Any, name: str) -> bool:
    return name in inspect.signature(estimator.fit).parameters


def _stops_early(estimator: Any) -> bool:
    return getattr(estimator, "early_stopping", False) is True and _takes(estimator, "X_val")
