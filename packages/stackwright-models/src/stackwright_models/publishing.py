"""From a notebook to the registry: the same gates, the same evidence as a model that was trained by the engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from stackwright_models.errors import InvalidData, InvalidParameter
from stackwright_models.frames import model_columns
from stackwright_models.inputs import last_step, take_numbers, to_instants
from stackwright_models.intervals import IntervalRegressor
from stackwright_models.pipelines import tabular
from stackwright_models.ranking import Ranker
from stackwright_models.scoring import task_of
from stackwright_models.survival import TimeToEvent, read_outcomes

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
    group: Any = None,
    position: Any = None,
    about: Mapping[str, str] | None = None,
    force: bool = False,
) -> Any:
    """Publish an estimator as the next version of a model of the blueprint.

    A copy is fitted on the older rows and judged by the newer ones, by the gates of the blueprint: what a model says of
    rows it has learned from proves nothing. What was judged is what is published. An :class:`IntervalRegressor` is
    published as its regressor; the engine makes the intervals, at its level, from forward predictions. A
    :class:`Ranker` is judged list by list; a :class:`TimeToEvent` also answers the chance of the event within each of
    the blueprint's ``horizons``, and learns of older rows what was known when the newer ones were asked for.

    Args:
        stack: of ``stackwright.load(folder)``.
        estimator: a regressor, a classifier of 0 and 1, a :class:`Ranker`, or a :class:`TimeToEvent`, that takes frames
            as :func:`training_set` gives them. The model's task in the blueprint is its task.
        name: a model of the blueprint.
        X: the outputs of the model's service, all rows that it may learn from and be judged by.
        y: the truths; of a :class:`TimeToEvent` outcomes as its ``fit`` takes them, durations in days.
        time: when each row was asked for.
        keys: what the service was asked with.
        observed: when each truth became known; ``None`` is at once, of a :class:`TimeToEvent` when the row's
            time ended.
        group: of a :class:`Ranker`, the list that each row was shown in, any labels; rows may lie in any order.
        position: of a :class:`Ranker`, the place that each row was shown at, from 1, where y comes from clicks.
        about: heading → text for the model card, ``intended use`` or ``limits`` say.
        force: publish even if a version of exactly this is published.

    Returns:
        The stack's outcome: ``ok`` tells whether every gate is green, ``data["model"]`` the version.

    Raises:
        InvalidParameter: a ranking without ``group``, or ``group`` and ``position`` without a ranking; a
            :class:`TimeToEvent` with a ``window``, or inside of a pipeline; X or keys that are no data frame.
        InvalidData: classes other than 0 and 1.
        BlueprintError: the blueprint has no such model.
        MissingColumn: X or keys lack what the service gives or asks.
        TrainingError: too few rows, a fit that fails, or an estimator that no model folder may hold.
    """
    task = task_of(estimator)
    _check(estimator, task, group, position)
    check_consistent_length(X, y, time, keys, observed, group, position)
    chosen, settings = _served(estimator)
    outcomes = read_outcomes(y) if task == "time_to_event" else None
    target = _target(y, task) if outcomes is None else outcomes.duration
    rows, asked_with = _frame(X, "X"), _frame(keys, "keys")
    return stack.publish(
        chosen,
        name,
        columns=model_columns(rows),
        target=target,
        asked=to_instants(time, "publish"),
        observed=None if observed is None else to_instants(observed, "publish"),
        group=None if group is None else np.asarray(group, dtype=object),
        position=None if position is None else np.asarray(position, dtype=np.float64),
        event=None if outcomes is None else outcomes.event,
        keys={str(name): asked_with[name].astype(object).to_numpy() for name in asked_with},
        settings=settings,
        about=about,
        force=force,
    )


def _check(estimator: Any, task: str, group: Any, position: Any) -> None:
    """See that a ranking has its lists, and that a time to event can be fitted without its start.

    Raises:
        InvalidParameter: it is not so.
    """
    name, last = type(estimator).__name__, last_step(estimator)[1]
    if task == "ranking" and group is None:
        raise InvalidParameter("publish", "a ranking without group", "Pass group=, the list of each row.")
    if task == "ranking" and not isinstance(last, Ranker):
        raise InvalidParameter("publish", f"{type(last).__name__} ranks", "Publish a Ranker.")
    if task != "ranking" and (group is not None or position is not None):
        found = f"group or position is given, and {name} answers a {task.replace('_', ' ')}"
        raise InvalidParameter("publish", found, "Leave them out, or give a Ranker.")
    if isinstance(last, TimeToEvent) and last is not estimator:
        todo = (
            "Put the steps before it into a pipeline with its classifier: TimeToEvent(make_pipeline(..., classifier))."
        )
        raise InvalidParameter("publish", "a TimeToEvent inside of a pipeline, which gives no chances", todo)
    if isinstance(estimator, TimeToEvent) and estimator.window is not None:
        found = f"window is {estimator.window:g}, and a model of the registry is fitted without the rows' start"
        raise InvalidParameter("publish", found, "Leave window out, and leave rows out of X that are too old.")


def _frame(rows: Any, name: str) -> pd.DataFrame:
    """Return a data frame of pandas, of one of any library with ``to_pandas``.

    Raises:
        InvalidParameter: it is none.
    """
    frame = rows.to_pandas() if hasattr(rows, "to_pandas") else rows
    if not isinstance(frame, pd.DataFrame):
        todo = "Give a data frame: its columns are told apart by their names."
        raise InvalidParameter("publish", f"{name} is a {type(rows).__name__}", todo)
    return frame


def _target(y: Any, task: str) -> NDArray[np.float64]:
    """Return the truths as numbers.

    Raises:
        InvalidData: classes other than 0 and 1.
        ValueError: no finite numbers.
    """
    classes = pd.unique(pd.Series(np.ravel(y))).tolist() if task == "classification" else []
    if not set(classes) <= {0, 1}:
        found = f"classes {', '.join(map(repr, classes[:5]))}"
        raise InvalidData("publish", found, "Call one of two classes 1 and the other 0, before the fit.")
    return take_numbers(y, "y")


def _served(estimator: Any) -> tuple[Any, dict[str, Any]]:
    """Return the estimator that answers, and what it says of intervals."""
    if not isinstance(estimator, IntervalRegressor):
        return estimator, {}
    half_life = 0.0 if estimator.half_life is None else estimator.half_life / _DAY
    settings = {"interval": estimator.level, "interval_half_life": half_life, "level": bool(estimator.recentre)}
    return tabular() if estimator.estimator is None else estimator.estimator, settings
