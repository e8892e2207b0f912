"""Estimators that were made in Python, in a notebook say: fitted as they are, on frames of named columns."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from typing import Any, Final

import numpy as np

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.trainer import Distribution, FittedModel, Report, Task, TaskKind, Trainer, TrainingData
from stackwright_numerics.training_rows import check_rows
from stackwright_sklearn.frames import to_frame
from stackwright_sklearn.models import SklearnModel
from stackwright_sklearn.payload import Payload, dump, task_of
from stackwright_sklearn.threads import native_threads
from stackwright_skops.trees import parts_of

_WHERE: Final = "estimator"
_LIBRARIES: Final = {"sklearn": "scikit-learn", "stackwright_models": "stackwright-models"}


class ReadyTrainer(Trainer):
    """Fits copies of one estimator.

    Args:
        estimator: a regressor, or a classifier with ``predict_proba``; a pipeline of scikit-learn as a rule. For a
            ranking one whose ``fit`` takes ``group``, a label a row, and ``position``; for times to an event one with
            ``predict_survival`` and ``predict_outcomes``, fitted on a structured array of ``event`` and ``duration``.
            It is copied, whether it is fitted or not.

    Raises:
        TrainingError: it is no estimator.
    """

    input = "columns"
    ranks = True
    takes_censored = True

    def __init__(self, estimator: Any) -> None:
        from sklearn.base import clone

        try:
            self._estimator = clone(estimator)
        except (TypeError, RuntimeError) as error:
            found = f"a {type(estimator).__name__} that scikit-learn cannot copy ({error})"
            raise TrainingError(_WHERE, found, "Give an estimator of scikit-learn's kind.") from error
        if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
            found = f"{type(estimator).__name__} does not fit and predict"
            raise TrainingError(_WHERE, found, "Give a regressor or a classifier.")

    def space(self, task: Task) -> Mapping[str, Distribution]:
        """Return nothing: the estimator was tuned where it was made."""
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
        """Fit a copy. A ``random_state`` that was left open is the seed, an ``n_jobs`` the threads.

        Args:
            params: passed over; the estimator says everything.

        Raises:
            TrainingError: the estimator is not of the task, does not take the rows, or cannot be stored.
        """
        from sklearn.base import clone

        del valid, params, report
        model = clone(self._estimator)
        self._check_task(model, task.kind)
        check_rows(task, train, "training rows")
        _settle(model, "random_state", seed)
        settled = _settle(model, "n_jobs", threads)
        texts = {name: known[0] if known else "" for name, known in task.signature.categories.items()}
        inputs = tuple(field.name for field in task.signature.inputs)
        with _translated(model), native_threads().limit(limits=threads):
            model.fit(to_frame(train.inputs, inputs, texts), _truths(task.kind, train), **_lists(model, train))
        model.set_params(**dict.fromkeys(settled))
        _check_horizons(model, task.horizons)
        return SklearnModel(dump(Payload(inputs, model, texts, task.horizons)), _parameters(self._estimator))

    @staticmethod
    def _check_task(model: Any, kind: TaskKind) -> None:
        name = type(model).__name__
        if task_of(model) != kind:
            raise TrainingError(_WHERE, f"{name} does not fit the task {kind.value}", "Change the one or the other.")
        if kind is TaskKind.CLASSIFICATION and not hasattr(model, "predict_proba"):
            raise TrainingError(_WHERE, f"{name} gives no probabilities", "Choose one with predict_proba.")


def _truths(kind: TaskKind, rows: TrainingData) -> Any:
    """Return what an estimator is fitted on: classes, numbers, or of times the events and durations."""
    if kind is TaskKind.TIME_TO_EVENT:
        outcomes = np.empty(len(rows.target), dtype=[("event", np.bool_), ("duration", np.float64)])
        outcomes["event"] = True if rows.event is None else rows.event
        outcomes["duration"] = rows.target
        return outcomes
    return np.asarray(rows.target, np.int64 if kind is TaskKind.CLASSIFICATION else np.float64)


def _lists(model: Any, rows: TrainingData) -> dict[str, Any]:
    """Return what a ranking is told of its rows, under the names that its fit, or that of its pipeline, has for it."""
    import sklearn

    if rows.group is None:
        return {}
    told = {"group": np.repeat(np.arange(len(rows.group)), rows.group)}
    if rows.position is not None:
        told["position"] = np.asarray(rows.position, np.int64)
    if not hasattr(model, "steps") or sklearn.get_config()["enable_metadata_routing"]:
        return told
    return {f"{model.steps[-1][0]}__{name}": values for name, values in told.items()}


def _check_horizons(model: Any, horizons: tuple[float, ...]) -> None:
    if horizons and horizons[-1] > model.edges_[-1]:
        found = f"the last period ends after {model.edges_[-1]:g}, and a horizon is {horizons[-1]:g}"
        raise TrainingError("horizons", found, "Ask for shorter ones: nothing is known of longer times.")


def _settle(model: Any, parameter: str, value: int) -> list[str]:
    """Give every parameter of a name that was left open a value; return them."""
    found = model.get_params(deep=True)
    names = [name for name, given in found.items() if name.rpartition("__")[2] == parameter and given is None]
    model.set_params(**dict.fromkeys(names, value))
    return names


def _parameters(estimator: Any) -> dict[str, Any]:
    """Return what the estimator is, every parameter that is a JSON value, and the versions of its libraries."""
    found: dict[str, Any] = {}
    for name, value in sorted(estimator.get_params(deep=True).items()):
        try:
            found[name] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            continue
    kinds = {kind for part in parts_of(estimator) if hasattr(part, "get_params") for kind in type(part).__mro__}
    roots = {kind.__module__.partition(".")[0] for kind in kinds} - {"builtins"}
    libraries = {}
    for name in sorted(_LIBRARIES.get(root, root) for root in roots):
        with suppress(metadata.PackageNotFoundError):
            libraries[name] = metadata.version(name)
    return {"estimator": " ".join(repr(estimator).split()), "libraries": libraries, "params": found}


@contextmanager
def _translated(model: Any) -> Iterator[None]:
    """Turn what an estimator raises over its rows into an error of ours."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*'n_jobs'", category=FutureWarning)
            yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, NotImplementedError) as error:
        todo = "Texts come as objects, numbers as float64, both with values missing: encode them inside of a pipeline."
        raise TrainingError(type(model).__name__, " ".join(str(error).split()), todo) from error
