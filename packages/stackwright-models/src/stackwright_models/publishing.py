"""From a notebook to the registry: the same gates, the same evidence as a model that was trained by the engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_consistent_length

from stackwright_models.errors import InvalidParameter
from stackwright_models.frames import model_columns
from stackwright_models.inputs import take_numbers, to_instants
from stackwright_models.intervals import IntervalRegressor
from stackwright_models.pipelines import tabular
from stackwright_models.scoring import task_of

_UNSERVED: Final = ("ranking", "time_to_event")
_DAY: Final = timedelta(days=1)


def publish(
    stack: Any,
    estimator: Any,
    name: str,
    X: pd.DataFrame,  # noqa: N803 (scikit-learn's name)
    y: Any,
    *,
    time: Any,
    keys: pd.DataFrame,
    observed: Any = None,
    about: Mapping[str, str] | None = None,
    force: bool = False,
) -> Any:
    """Publish an estimator as the next version of a model of the blueprint.

    A copy is fitted on the older rows and judged by the newer ones, by the gates of the blueprint: what a model says of
    rows it has learned from proves nothing. What was judged is what is published. An :class:`IntervalRegressor` is
    published as its regressor; the engine makes the intervals, at its level, from forward predictions.

    Args:
        stack: of ``stackwright.load(folder)``.
        estimator: a regressor, or a classifier of 0 and 1, that takes frames as :func:`training_set` gives them.
        name: a model of the blueprint.
        X: the outputs of the model's service, all rows that it may learn from and be judged by.
        y: the truths.
        time: when each row was asked for.
        keys: what the service was asked with.
        observed: when each truth became known; ``None`` is at once.
        about: heading → text for the model card, ``intended use`` or ``limits`` say.
        force: publish even if a version of exactly this is published.

    Returns:
        The stack's outcome: ``ok`` tells whether every gate is green, ``data["model"]`` the version.

    Raises:
        InvalidParameter: a ranking or a time to event, which are trained from the blueprint.
        BlueprintError: the blueprint has no such model.
        MissingColumn: X or keys lack what the service gives or asks.
        TrainingError: too few rows, a fit that fails, or an estimator that no model folder may hold.
    """
    task = task_of(estimator)
    if task in _UNSERVED:
        todo = f'Train it from the blueprint: [models.NAME] with task = "{task}" and trainer = "lightgbm".'
        raise InvalidParameter("publish", f"{type(estimator).__name__} answers a {task.replace('_', ' ')}", todo)
    check_consistent_length(X, y, time, keys, observed)
    chosen, settings = _served(estimator)
    return stack.publish(
        chosen,
        name,
        columns=model_columns(X),
        target=take_numbers(np.asarray(y, dtype=np.float64), "y"),
        asked=to_instants(time, "publish"),
        observed=None if observed is None else to_instants(observed, "publish"),
        keys={str(name): keys[name].astype(object).to_numpy() for name in keys},
        settings=settings,
        about=about,
        force=force,
    )


def _served(estimator: Any) -> tuple[Any, dict[str, Any]]:
    """Return the estimator that answers, and what it says of intervals."""
    if not isinstance(estimator, IntervalRegressor):
        return estimator, {}
    half_life = 0.0 if estimator.half_life is None else estimator.half_life / _DAY
    settings = {"interval": estimator.level, "interval_half_life": half_life, "level": bool(estimator.recentre)}
    return tabular() if estimator.estimator is None else estimator.estimator, settings
