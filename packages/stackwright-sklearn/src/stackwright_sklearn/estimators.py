"""Estimators of scikit-learn by their public names."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from stackwright_interfaces.errors import TrainingError, did_you_mean
from stackwright_interfaces.trainer import TaskKind
from stackwright_sklearn.settings import Settings

_WHERE: Final = "parameter 'estimator'"

_FILTER: Final = {TaskKind.REGRESSION: "regressor", TaskKind.CLASSIFICATION: "classifier"}


@cache
def _known(kind: TaskKind) -> Mapping[str, Any]:
    """Return public name → class of every estimator for a task."""
    from sklearn.utils import all_estimators

    found = (estimator for _, estimator in all_estimators(type_filter=_FILTER[kind]))
    return {_public_name(estimator): estimator for estimator in found}


def _public_name(estimator: Any) -> str:
    """Return ``sklearn.linear_model.Ridge`` for the class of module ``sklearn.linear_model._ridge``."""
    parts = estimator.__module__.split(".")
    private = [place for place, part in enumerate(parts) if part.startswith("_")]
    return ".".join([*parts[: private[0] if private else None], estimator.__name__])


def _find(name: str, kind: TaskKind) -> Any:
    known = _known(kind)
    if name in known:
        return known[name]
    other = next(item for item in _FILTER if item is not kind)
    if name in _known(other):
        found = f"{name!r} is a {_FILTER[other]}, the task is {kind.value}"
        name = name.replace("Classifier", "Regressor") if kind is TaskKind.REGRESSION else name
        name = name.replace("Regressor", "Classifier") if kind is TaskKind.CLASSIFICATION else name
    else:
        found = f"{name!r} is no {_FILTER[kind]} of scikit-learn"
    raise TrainingError(_WHERE, found, _nearest(name, known) or "scikit-learn's documentation lists its estimators.")


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    """Compare class names first: a right class in a wrong module is the likelier mistake."""
    classes = {path.rpartition(".")[2]: path for path in known}
    near = get_close_matches(name.rpartition(".")[2], list(classes), n=1, cutoff=0.6)
    return f"Did you mean {classes[near[0]]!r}?" if near else ""


def build(settings: Settings, kind: TaskKind) -> Any:
    """Return an unfitted estimator.

    Raises:
        TrainingError: there is no such estimator for the task, an argument that its constructor does not take or needs
            and did not get, or a classifier without probabilities.
    """
    estimator = _find(settings.estimator, kind)
    name = estimator.__name__
    taken = list(inspect.signature(estimator).parameters)
    for given in settings.params:
        if given not in taken:
            todo = did_you_mean(given, taken) or f"It takes: {', '.join(taken)}."
            raise TrainingError(f"parameter {given!r}", f"{name} takes no such argument", todo)
    try:
        built = estimator(**settings.params)
    except TypeError as error:
        todo = "Choose one that can be made of numbers and texts."
        raise TrainingError(_WHERE, f"{name} cannot be made ({error})", todo) from error
    if kind is TaskKind.CLASSIFICATION and not hasattr(built, "predict_proba"):
        todo = "Choose a classifier, or parameters of it, with predict_proba."
        raise TrainingError(_WHERE, f"{name} gives no probabilities as it is set", todo)
    return built


def allows_missing(estimator: Any) -> bool:
    """Return whether an estimator takes NaN among its inputs, as it is set."""
    from sklearn.utils import get_tags

    return bool(get_tags(estimator).input_tags.allow_nan)


def encodes_categories(estimator: Any) -> bool:
    """Return whether an estimator splits on categories by itself, given as codes."""
    return "categorical_features" in estimator.get_params(deep=False)


def parameters(settings: Settings, estimator: Any) -> dict[str, Any]:
    """Return the estimator's name and every argument that is a JSON value, defaults too: they change with versions.

    Args:
        settings: what was given; it stands as it was given.
        estimator: as :func:`build` made it.
    """
    found = {"estimator": settings.estimator}
    for name, value in {**estimator.get_params(deep=False), **settings.params}.items():
        if name not in ("random_state", "n_jobs", "categorical_features", "estimator"):
            try:
                found[name] = json.loads(json.dumps(value, allow_nan=False))
            except (TypeError, ValueError):
                continue
    return found
