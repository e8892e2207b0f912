"""Fits pipelines that a function of the project builds."""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from stackwright_interfaces.errors import MissingColumn, TrainingError, did_you_mean
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
from stackwright_sklearn.frames import to_frame
from stackwright_sklearn.measures import measure
from stackwright_sklearn.models import SklearnModel
from stackwright_sklearn.payload import Payload, dump, steps
from stackwright_sklearn.plugin import SklearnConfig
from stackwright_sklearn.project import ProjectFunction
from stackwright_sklearn.settings import DEFAULTS, OTHERS
from stackwright_sklearn.threads import native_threads

_TODO: Final = "Build it of scikit-learn's own parts, or take the trainer python, which keeps classes of the project."
_NAMED: Final = re.compile(r"The '(\w+)' parameter")
_OWN: Final = frozenset({"pipeline", "estimator"})


class PipelineTrainer(Trainer):
    """A pipeline, or another estimator, that a function of the project builds; it takes a DataFrame."""

    input = "columns"

    def __init__(self, config: SklearnConfig, project: Path) -> None:
        self._config = config
        self._project = project

    def code(self) -> Mapping[str, str]:
        """Return ``module:function`` → SHA-256 of the project's code that builds the pipeline. Nothing is run for it.

        Raises:
            TrainingError: the module is not there, or cannot be parsed.
        """
        return {self._config.pipeline: ProjectFunction(self._config.pipeline, self._project).code()}

    def space(self, task: Task) -> Mapping[str, Distribution]:
        """Return nothing: what a pipeline's parameters mean is not known here."""
        del task
        return {}

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
            valid: rows to measure.
            params: arguments of the pipeline's parts, ``ridge__alpha`` say.
            report: told once, at the end: scikit-learn fits in one piece.

        Raises:
            TrainingError: the function, a parameter or the data does not allow a fit, or the model cannot be stored.
        """
        names = tuple(field.name for field in task.signature.inputs)
        texts = {name: known[0] if known else "" for name, known in task.signature.categories.items()}
        model = self._built(task)
        given = {**self._config.params, **task.options.get("params", {}), **params}
        _set(model, given, seed)
        for rows, where in ((train, "training rows"), (valid, "validation rows")):
            if rows is not None:
                check_rows(task, rows, where)
        kind = np.int64 if task.kind is TaskKind.CLASSIFICATION else np.float64
        target = np.asarray(train.target, dtype=kind)
        found = _parameters(self._config.pipeline, model)
        with _translated(self._config.pipeline, given), native_threads().limit(limits=threads):
            model.fit(_frame(train, names, texts), target, **_weights(model, train))
        fitted = SklearnModel(_stored(Payload(names, model, texts)), found)
        fitted.metrics = measure(fitted.predictor(), task, train, valid)
        if report is not None:
            with suppress(StopFit):
                report(1, 1, fitted.metrics)
        return fitted

    def _built(self, task: Task) -> Any:
        if task.kind not in DEFAULTS:
            raise TrainingError("trainer sklearn", f"scikit-learn has no estimators for {task.kind.value}", OTHERS)
        function = ProjectFunction(self._config.pipeline, self._project)
        texts = [field.name for field in task.signature.inputs if field.name in task.signature.categories]
        known = {
            "numbers": [field.name for field in task.signature.inputs if field.name not in texts],
            "texts": texts,
            "categories": {name: list(values) for name, values in task.signature.categories.items()},
        }
        model = function(lambda build: build(**_asked(build, known, function.reference)))
        _check(model, task, function.reference)
        return model


def _asked(build: Any, known: Mapping[str, Any], where: str) -> dict[str, Any]:
    parameters = inspect.signature(build).parameters
    for name, item in parameters.items():
        if name not in known and item.default is item.empty and item.kind is item.POSITIONAL_OR_KEYWORD:
            todo = f"It may ask for: {', '.join(known)}."
            raise TrainingError(where, f"asks for {name!r}, which there is not", todo)
    return {name: value for name, value in known.items() if name in parameters}


def _check(model: Any, task: Task, where: str) -> None:
    needed = "predict_proba" if task.kind is TaskKind.CLASSIFICATION else "predict"
    if model is None or isinstance(model, type) or not hasattr(model, "get_params"):
        kind = "class" if isinstance(model, type) else type(model).__name__
        found = "it returned nothing" if model is None else f"it returned a {kind}"
        raise TrainingError(where, found, "Return an estimator of scikit-learn, or a Pipeline that ends in one.")
    if not hasattr(model, needed):
        last = type(steps(model)[-1]).__name__
        raise TrainingError(where, f"its last step, a {last}, has no {needed}", f"End in one for {task.kind.value}.")


def _set(model: Any, params: Mapping[str, Any], seed: int) -> None:
    known = model.get_params()
    for name, value in params.items():
        if name in _OWN:
            continue
        if name not in known or name.rpartition("__")[2] == "random_state":
            todo = did_you_mean(name, known) or "The pipeline's get_params() lists them: step__argument."
            what = "it is set by the seed of the fit" if name in known else "the pipeline has no such parameter"
            raise TrainingError(f"parameter {name!r}", what, todo)
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TrainingError(f"parameter {name!r}", f"{value!r} is no JSON value ({error})") from error
        model.set_params(**{name: value})
    seeds = [name for name in known if name.rpartition("__")[2] == "random_state"]
    model.set_params(**dict.fromkeys(seeds, seed))


def _parameters(reference: str, model: Any) -> dict[str, Any]:
    """Return the pipeline's name and every argument of its parts that is a number, text, truth or nothing."""
    found: dict[str, Any] = {"pipeline": reference}
    for name, value in model.get_params().items():
        plain = (
            value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and np.isfinite(value))
        )
        if plain and name.rpartition("__")[2] != "random_state":
            found[name] = value
    return found


def _weights(model: Any, rows: TrainingData) -> dict[str, Any]:
    if rows.weight is None:
        return {}
    last = steps(model)[-1]
    if "sample_weight" not in inspect.signature(last.fit).parameters:
        todo = "Train without weights (no half_life), or end in another estimator."
        raise TrainingError("training rows", f"{type(last).__name__} takes no weights", todo)
    prefix = "" if last is model else f"{model.steps[-1][0]}__"
    return {f"{prefix}sample_weight": np.asarray(rows.weight, np.float64)}


def _frame(rows: TrainingData, names: tuple[str, ...], texts: Mapping[str, str]) -> Any:
    try:
        return to_frame(rows.inputs, names, texts)
    except MissingColumn as error:
        raise TrainingError("training rows", error.found, error.todo) from error


def _stored(payload: Payload) -> bytes:
    try:
        return dump(payload)
    except TrainingError as error:
        raise TrainingError(error.where, error.found, _TODO) from error


@contextmanager
def _translated(where: str, params: Mapping[str, Any]) -> Iterator[None]:
    """Turn scikit-learn's errors into ours, with the parameter where the message names one that was given."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*'n_jobs'", category=FutureWarning)
            yield
    except (ValueError, TypeError, AttributeError, ArithmeticError, NotImplementedError, KeyError) as error:
        message = " ".join(str(error).split())
        named = _NAMED.search(message)
        given = [name for name in params if named is not None and name.rpartition("__")[2] == named[1]]
        place = f"parameter {given[0]!r} of {where}" if given else where
        raise TrainingError(place, message, "Change the pipeline, its parameters or the data.") from error
