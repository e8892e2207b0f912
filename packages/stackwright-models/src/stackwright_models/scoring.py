"""What is measured of each task, of rows with their truths and of what a model answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from stackwright_models.errors import InvalidData, InvalidParameter
from stackwright_models.inputs import last_step, take_numbers
from stackwright_models.metrics import concordance_index, ndcg
from stackwright_models.survival import read_outcomes
from stackwright_numerics import metrics

Floats = NDArray[np.float64]

TASKS: Final = ("regression", "classification", "ranking", "time_to_event")


@dataclass(frozen=True)
class Truths:
    """What is known of n rows.

    Args:
        value: the truth; for classification 0 and 1, for ranking the relevance, for time to event the duration.
        event: for time to event, whether it was seen.
        group: the query of each row of a ranking; of other tasks, what the rows of one fold have in common.
        positive: for classification, the class that counts as 1.
    """

    task: str
    value: Floats
    event: NDArray[np.bool_] | None = None
    group: NDArray[Any] | None = None
    positive: Any = None

    def take(self, rows: NDArray[Any]) -> Truths:
        """Return these rows."""
        event = None if self.event is None else self.event[rows]
        return replace(
            self, value=self.value[rows], event=event, group=None if self.group is None else self.group[rows]
        )


@dataclass(frozen=True)
class Answers:
    """What a model said of n rows: predictions, probabilities of 1, or scores; and intervals, where it gives some."""

    value: Floats
    lower: Floats | None = None
    upper: Floats | None = None

    def take(self, rows: NDArray[Any]) -> Answers:
        """Return these rows."""
        if self.lower is None or self.upper is None:
            return Answers(self.value[rows])
        return Answers(self.value[rows], self.lower[rows], self.upper[rows])


def task_of(estimator: Any) -> str:
    """Return the task of an estimator."""
    if hasattr(estimator, "predict_survival"):
        return "time_to_event"
    if is_classifier(estimator):
        return "classification"
    if type(last_step(estimator)[1]).__name__.endswith("Ranker"):
        return "ranking"
    return "regression"


def read_truths(task: str, y: Any, group: Any = None, *, positive: Any = None) -> Truths:
    """Read what is known of the rows.

    Args:
        positive: for classification the class that counts as 1; ``None`` takes the last one.

    Raises:
        InvalidParameter: no such task, or ranking without ``group``.
        InvalidData: classes that are not two, or times to an event that nobody saw.
        ValueError: no numbers.
    """
    if task not in TASKS:
        raise InvalidParameter("evaluate", f"task {task!r}", f"Give one of: {', '.join(TASKS)}.")
    query = None if group is None else np.asarray(group)
    if task == "time_to_event":
        event, duration = read_outcomes(y)
        if not event.any():
            raise InvalidData("evaluate", "no event was seen in any row", "Judge by rows of which some had theirs.")
        return Truths(task, duration, event=event, group=query)
    if task == "classification":
        classes = np.unique(np.asarray(y))
        if classes.size > 2:
            raise InvalidData("evaluate", f"{classes.size} classes", "Judge one class against the others.")
        positive = classes[-1] if positive is None else positive
        return Truths(task, (np.asarray(y) == positive).astype(np.float64), group=query, positive=positive)
    if task == "ranking" and group is None:
        raise InvalidParameter("evaluate", "a ranking without group", "Pass group=, the query of each row.")
    return Truths(task, take_numbers(y, "y"), group=query)


def answers_of(estimator: Any, X: Any, truths: Truths) -> Answers:  # noqa: N803 (scikit-learn's name)
    """Ask a fitted estimator."""
    if truths.task == "classification":
        classes = list(estimator.classes_)
        if truths.positive not in classes:
            found = f"the estimator knows {classes}, not {truths.positive!r}"
            raise InvalidData("evaluate", found, "Judge it by rows of its classes.")
        return Answers(np.asarray(estimator.predict_proba(X), dtype=np.float64)[:, classes.index(truths.positive)])
    value = np.asarray(estimator.predict(X), dtype=np.float64).ravel()
    if hasattr(estimator, "predict_interval"):
        ends = np.asarray(estimator.predict_interval(X), dtype=np.float64)
        return Answers(value, ends[:, 0], ends[:, 1])
    return Answers(value)


def measure(truths: Truths, answers: Answers, *, k: int = 10) -> dict[str, float]:
    """Return every metric of the task by name; ``n`` is the number of rows. What cannot be measured is left out."""
    found = _MEASURES[truths.task](truths, answers, k)
    return {"n": len(truths.value), **{name: value for name, value in found.items() if np.isfinite(value)}}


def _plain(truths: Truths, answers: Answers, _: int) -> dict[str, float]:
    return metrics.score(truths.task, truths.value, answers.value, lower=answers.lower, upper=answers.upper)


def _ranking(truths: Truths, answers: Answers, k: int) -> dict[str, float]:
    assert truths.group is not None
    found = {f"ndcg@{k}": ndcg(truths.value, answers.value, truths.group, k=k)}
    return {**found, "ndcg": ndcg(truths.value, answers.value, truths.group), "groups": np.unique(truths.group).size}


def _time_to_event(truths: Truths, answers: Answers, _: int) -> dict[str, float]:
    assert truths.event is not None
    seen = truths.event
    errors = np.abs(answers.value - truths.value)[seen & np.isfinite(answers.value)]
    return {
        "c_index": concordance_index(seen, truths.value, answers.value),
        "events": int(seen.sum()),
        "median_absolute_error_of_events": float(np.median(errors)) if errors.size else float("nan"),
    }


_MEASURES: Final[Mapping[str, Callable[[Truths, Answers, int], dict[str, float]]]] = {
    "regression": _plain,
    "classification": _plain,
    "ranking": _ranking,
    "time_to_event": _time_to_event,
}


def loss_name(truths: Truths, *, k: int = 10) -> str:
    """Return what models of the task are compared by: relative errors where every truth is positive."""
    if truths.task == "regression":
        return "mape" if (truths.value > 0).all() else "mae"
    return {"classification": "log_loss", "ranking": f"1 - ndcg@{k}", "time_to_event": "1 - c_index"}[truths.task]


def loss(name: str, truths: Truths, answers: Answers, *, k: int = 10) -> float:
    """Return the loss of a name; lower is better."""
    if name.startswith("1 - "):
        return 1 - measure(truths, answers, k=k).get(name.removeprefix("1 - "), float("nan"))
    measured: Callable[..., float] = getattr(metrics, name)
    return measured(truths.value, answers.value)


def calibration(truths: Truths, answers: Answers, *, bins: int = 10) -> list[tuple[int, float, float]]:
    """Return rows, mean prediction and mean truth of bins of like predictions; empty for rankings and durations."""
    if truths.task not in ("regression", "classification") or not truths.value.size:
        return []
    order = np.argsort(answers.value, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, order.size)) if part.size]
    return [(int(part.size), float(answers.value[part].mean()), float(truths.value[part].mean())) for part in parts]


def errors(truths: Truths, answers: Answers) -> tuple[str, Floats]:
    """Return each row's signed error, and what it is: a fraction of the truth where every truth is positive."""
    if loss_name(truths) == "mape":
        return "relative error", metrics.relative_error(truths.value, answers.value)
    return "error", answers.value - truths.value
