"""Which estimator is fitted with which parameters: defaults, then the blueprint's options, then those of the call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.trainer import Distribution, Task, TaskKind
from stackwright_sklearn.plugin import SklearnConfig

DEFAULTS: Final[Mapping[TaskKind, str]] = {
    TaskKind.REGRESSION: "sklearn.ensemble.HistGradientBoostingRegressor",
    TaskKind.CLASSIFICATION: "sklearn.ensemble.HistGradientBoostingClassifier",
}
"""The estimator of each task where none is named."""

OTHERS: Final = "Take the trainer lightgbm; or learn grades, or durations that are all known, by a regression."
"""What to do about a task that scikit-learn has no estimators for."""

OURS: Final[Mapping[str, Any]] = {"early_stopping": False}
"""Where a default estimator does not run with scikit-learn's own default: ``auto`` holds back rows drawn at random."""

_DECIDED: Final = {
    "random_state": "the seed of the fit",
    "n_jobs": "the threads of the fit",
    "categorical_features": "the signature's categories",
}

_SPACE: Final[Mapping[str, Distribution]] = {
    "learning_rate": Distribution(low=0.01, high=0.3, log=True, default=0.1),
    "max_iter": Distribution(low=50, high=1000, log=True, integer=True, default=100),
    "max_leaf_nodes": Distribution(low=7, high=127, log=True, integer=True, default=31),
    "min_samples_leaf": Distribution(low=5, high=200, log=True, integer=True, default=20),
    "max_features": Distribution(low=0.2, high=1.0, default=1.0),
    "l2_regularization": Distribution(low=0.0, high=20.0, default=0.0),
}
"""For the default estimators alone; each default is scikit-learn's."""


@dataclass(frozen=True)
class Settings:
    """An estimator by name, and the arguments that were given for it."""

    estimator: str
    params: Mapping[str, Any]


def resolve(config: SklearnConfig, task: Task, params: Mapping[str, Any]) -> Settings:
    """Lay the layers over each other.

    Args:
        config: the adapter's options.
        task: its ``options`` go over ``config``; there ``None`` and empty values count as not given.
        params: go over both: arguments of the constructor, and ``estimator``.

    Raises:
        TrainingError: scikit-learn has no estimators for the task, or a parameter is not the user's to set.
    """
    if task.kind not in DEFAULTS:
        raise TrainingError("trainer sklearn", f"scikit-learn has no estimators for {task.kind.value}", OTHERS)
    options = {name: value for name, value in task.options.items() if value not in (None, "", {})}
    merged: dict[str, Any] = {}
    for layer in (asdict(config), options, params):
        merged.update({name: value for name, value in layer.items() if name not in ("params", "pipeline")})
        merged.update(_arguments(layer.get("params") or {}))
    estimator = merged.pop("estimator") or DEFAULTS[task.kind]
    if estimator in DEFAULTS.values():
        merged = {**OURS, **merged}
    return Settings(estimator, {name: _checked(name, value) for name, value in merged.items()})


def _arguments(table: Mapping[str, Any]) -> Mapping[str, Any]:
    if "estimator" in table:
        found = "an estimator inside of another cannot be set"
        raise TrainingError("parameter 'params'", found, "Name the estimator by the option estimator, beside params.")
    return table


def _checked(name: str, value: Any) -> Any:
    if name in _DECIDED:
        raise TrainingError(f"parameter {name!r}", f"it is set by {_DECIDED[name]}", "Leave it out.")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TrainingError(f"parameter {name!r}", f"{value!r} is no JSON value ({error})") from error
    return value


def search_space(config: SklearnConfig, task: Task) -> dict[str, Distribution]:
    """Return the parameters worth tuning, around the values that would be used without tuning.

    Empty for an estimator that is not a default one. A parameter that is set to something else than a number
    (``max_leaf_nodes`` left unlimited) is not tuned.

    Raises:
        TrainingError: as :func:`resolve`.
    """
    settings = resolve(config, task, {})
    if settings.estimator not in DEFAULTS.values():
        return {}
    chosen = {name: settings.params.get(name, given.default) for name, given in _SPACE.items()}
    return {name: _around(given, chosen[name]) for name, given in _SPACE.items() if _is_number(chosen[name])}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _around(given: Distribution, value: float) -> Distribution:
    """Widen a range to hold a value, which becomes its default."""
    low, high = min(given.low, value), max(given.high, value)
    return Distribution(low=low, high=high, log=given.log, integer=given.integer, default=value)
