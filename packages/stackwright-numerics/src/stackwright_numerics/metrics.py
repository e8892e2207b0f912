"""How good predictions are: regression and valuation, intervals, classification, order of lists, times to events.

Shares and relative errors are fractions (0.1 is 10 %). The relative error of a row is ``e = (p - y) / |y|``, infinite
where the truth ``y`` is 0 and the prediction ``p`` is not; medians and shares bear that, means do not. Weights count a
row as so many rows. Definitions of the valuation metrics follow the IAAO Standard on Automated Valuation Models (2018)
and common industry use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_interfaces.errors import DataError, UsageError
from stackwright_numerics import lists, survival

Floats = NDArray[np.float64]

HIGHER_IS_BETTER: Final = frozenset(
    {
        *("ppe5", "ppe10", "ppe20", "hit_rate", "interval_coverage", "auc"),
        *("ndcg", "map", "mrr", "recall", "precision", "c_index"),
    }
)
"""Metrics of :func:`score` that are better when they are higher; of the others, nearer to zero is better."""

_CLIP: Final = 1e-15


def relative_error(target: ArrayLike, prediction: ArrayLike) -> Floats:
    """Return ``(p - y) / |y|`` for each row; 0 where both are 0."""
    truth, answer = _floats(target), _floats(prediction)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = (answer - truth) / np.abs(truth)
    error[(truth == 0) & (answer == 0)] = 0.0
    return error


def weighted_mean(values: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return ``sum(w v) / sum(w)``; NaN of no rows."""
    numbers = _floats(values)
    if not numbers.size:
        return float("nan")
    return float(numbers.mean()) if weight is None else float(np.average(numbers, weights=_floats(weight)))


def weighted_quantile(values: ArrayLike, share: float, weight: ArrayLike | None = None) -> float:
    """Return the value below which ``share`` of the weight lies; NaN of no rows.

    The inverted distribution, with the midpoint where it is flat: a median of equal weights is ``numpy.median``.
    """
    numbers = _floats(values)
    if not numbers.size:
        return float("nan")
    if weight is None and share == 0.5:
        return float(np.median(numbers))
    weights = np.ones_like(numbers) if weight is None else _floats(weight)
    order = np.argsort(numbers, kind="stable")
    numbers, total = numbers[order], np.cumsum(weights[order])
    wanted = share * total[-1]
    low = min(int(np.searchsorted(total, wanted * (1 - 1e-12), side="left")), numbers.size - 1)
    high = min(int(np.searchsorted(total, wanted * (1 + 1e-12), side="right")), numbers.size - 1)
    return float(numbers[low]) if low == high else float((numbers[low] + numbers[high]) / 2)


def mape(target: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean absolute relative error, ``mean |e|``."""
    return weighted_mean(np.abs(relative_error(target, prediction)), weight)


def mdape(target: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Median absolute relative error, ``median |e|``."""
    return weighted_quantile(np.abs(relative_error(target, prediction)), 0.5, weight)


def signed_median_error(target: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Median relative error, ``median e``; negative where predictions are too low."""
    return weighted_quantile(relative_error(target, prediction), 0.5, weight)


def ppe(k: float, target: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Share of predictions within ``k`` per cent of the truth, ``mean [ |e| <= k / 100 ]``."""
    return weighted_mean(np.abs(relative_error(target, prediction)) <= k / 100, weight)


def rmse(target: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Root of the mean squared error, ``sqrt(mean (p - y)^2)``, in units of the target."""
    return float(np.sqrt(weighted_mean((_floats(prediction) - _floats(target)) ** 2, weight)))


def mae(target: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean absolute error, ``mean |p - y|``, in units of the target."""
    return weighted_mean(np.abs(_floats(prediction) - _floats(target)), weight)


def hit_rate(prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Share of the asked rows that got an answer, ``mean [ p is finite ]``."""
    return weighted_mean(np.isfinite(_floats(prediction)), weight)


def interval_coverage(target: ArrayLike, lower: ArrayLike, upper: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Share of truths inside their interval, ``mean [ l <= y <= u ]``."""
    truth = _floats(target)
    return weighted_mean((_floats(lower) <= truth) & (truth <= _floats(upper)), weight)


def median_relative_width(
    prediction: ArrayLike, lower: ArrayLike, upper: ArrayLike, weight: ArrayLike | None = None
) -> float:
    """Median width of the intervals against the prediction, ``median (u - l) / |p|``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        width = (_floats(upper) - _floats(lower)) / np.abs(_floats(prediction))
    return weighted_quantile(width, 0.5, weight)


def auc(target: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Area under the ROC curve: chance that a positive row outranks a negative one, ties counting half.

    ``sum over negatives j of w_j (W+ above p_j + W+ at p_j / 2) / (W+ W-)`` (Mann and Whitney 1947); NaN where one
    class is missing.
    """
    truth, answer = _floats(target), _floats(prediction)
    weights = np.ones_like(truth) if weight is None else _floats(weight)
    order = np.argsort(answer)
    answer, positive = answer[order], weights[order] * (truth[order] > 0)
    negative = weights[order] - positive
    starts = np.flatnonzero(np.r_[True, answer[1:] != answer[:-1]]) if answer.size else np.empty(0, np.intp)
    if not starts.size:
        return float("nan")
    up, down = np.add.reduceat(positive, starts), np.add.reduceat(negative, starts)
    pairs = up.sum() * down.sum()
    above = up.sum() - np.cumsum(up)
    return float((down * (above + up / 2)).sum() / pairs) if pairs > 0 else float("nan")


def log_loss(target: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean logarithmic loss, ``-mean(y ln p + (1 - y) ln(1 - p))``, ``p`` kept 1e-15 away from 0 and 1."""
    truth, answer = _floats(target), np.clip(_floats(prediction), _CLIP, 1 - _CLIP)
    return weighted_mean(-(truth * np.log(answer) + (1 - truth) * np.log1p(-answer)), weight)


def ece(target: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None, *, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins of the probability (Naeini et al. 2015).

    ``sum over bins b of (W_b / W) | mean_b y - mean_b p |``.
    """
    truth, answer = _floats(target), _floats(prediction)
    if not truth.size:
        return float("nan")
    weights = np.ones_like(truth) if weight is None else _floats(weight)
    place = np.clip((answer * bins).astype(np.int64), 0, bins - 1)
    gap = np.bincount(place, weights * (truth - answer), minlength=bins)
    return float(np.abs(gap).sum() / weights.sum())


def score(
    task: str,
    target: ArrayLike,
    prediction: ArrayLike,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    group: ArrayLike | None = None,
    event: ArrayLike | None = None,
    k: int = lists.PLACES,
) -> dict[str, float]:
    """Return every metric of a task by name.

    A metric that the data are insufficient for (no rows, one class only, a mean that is infinite) is left out, so that
    the result is always JSON. ``n`` is there always: rows with a finite truth and a finite prediction, which the other
    metrics are computed over; ``hit_rate`` is over all rows with a finite truth.

    Args:
        task: ``"regression"``, ``"classification"``, ``"ranking"`` or ``"time_to_event"``.
        target: truths of n rows: of a ranking the relevance, of times the duration.
        prediction: predictions; for classification the probability of 1.
        lower: lower ends of intervals.
        upper: upper ends of intervals.
        weight: weights of the rows; a ranking and times pass over them.
        group: of a ranking, a number a row: the list that it belongs to.
        event: of times, whether the event of each row was seen; ``None`` is all.
        k: of a ranking, the places that count.

    Raises:
        UsageError: there are no metrics for this task.
        DataError: the arrays have different lengths.
    """
    if task not in (*_SCORERS, "ranking"):
        raise UsageError(f"task {task!r}", "no metrics for it", f"Known: {', '.join((*_SCORERS, 'ranking'))}.")
    more = {"group": group, "event": event}
    columns = _rows(target=target, prediction=prediction, lower=lower, upper=upper, weight=weight, **more)
    known = np.isfinite(columns["target"])
    answered = known & np.isfinite(columns["prediction"])
    weights = columns.get("weight")
    found = {"hit_rate": hit_rate(columns["prediction"][known], None if weights is None else weights[known])}
    rows = {name: values[answered] for name, values in columns.items()}
    found |= _ranking(rows, k) if task == "ranking" else _SCORERS[task](rows)
    finite = {name: value for name, value in found.items() if np.isfinite(value)}
    return {"n": int(answered.sum()), **finite}


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    n: int,
    *,
    level: float = 0.95,
    replicates: int = 200,
    seed: int = 7,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic (Efron 1979).

    Args:
        statistic: gets row numbers, drawn with replacement; a difference of two models over them is a paired bootstrap.
        n: rows to draw from.
        level: nominal coverage.
        replicates: draws; those whose statistic is not finite are passed over.
        seed: of the draws.

    Returns:
        Lower and upper end; NaN where no draw gave a finite statistic.
    """
    if not n:
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    drawn = np.array([statistic(random.integers(0, n, n)) for _ in range(replicates)])
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _regression(rows: dict[str, Floats]) -> dict[str, float]:
    truth, answer, weight = rows["target"], rows["prediction"], rows.get("weight")
    error = relative_error(truth, answer)
    size = np.abs(error)
    found = {
        "mape": weighted_mean(size, weight),
        "mdape": weighted_quantile(size, 0.5, weight),
        "signed_median_error": weighted_quantile(error, 0.5, weight),
        **{f"ppe{k}": weighted_mean(size <= k / 100, weight) for k in (5, 10, 20)},
        "rmse": rmse(truth, answer, weight),
        "mae": mae(truth, answer, weight),
    }
    if "lower" in rows and "upper" in rows:
        lower, upper = rows["lower"], rows["upper"]
        given = np.isfinite(lower) & np.isfinite(upper)
        weight = None if weight is None else weight[given]
        found["interval_coverage"] = interval_coverage(truth[given], lower[given], upper[given], weight)
        found["median_relative_width"] = median_relative_width(answer[given], lower[given], upper[given], weight)
    return found


def _classification(rows: dict[str, Floats]) -> dict[str, float]:
    truth, answer, weight = rows["target"], rows["prediction"], rows.get("weight")
    return {
        "auc": auc(truth, answer, weight),
        "log_loss": log_loss(truth, answer, weight),
        "ece": ece(truth, answer, weight),
    }


def _ranking(rows: dict[str, Floats], k: int) -> dict[str, float]:
    if "group" not in rows:
        raise UsageError("task 'ranking'", "no group", "Say to which list each row belongs.")
    found = lists.score_lists(rows["target"], rows["prediction"], rows["group"], k=k)
    named = {name: weighted_mean(values) for name, values in found._asdict().items() if name != "label"}
    return {"lists": float(found.label.size), **named}


def _time_to_event(rows: dict[str, Floats]) -> dict[str, float]:
    event = rows.get("event", np.ones_like(rows["target"])) > 0
    index = survival.concordance_index(event, rows["target"], rows["prediction"])
    return {"c_index": index, "events": float(event.sum())}


_SCORERS: Final = {
    "regression": _regression,
    "classification": _classification,
    "time_to_event": _time_to_event,
}


def _rows(**columns: Any) -> dict[str, Floats]:
    """Return the given columns as float64 arrays of one length."""
    arrays = {name: _floats(values) for name, values in columns.items() if values is not None}
    lengths = {name: array.size for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length} rows" for name, length in lengths.items())
        raise DataError("metrics", found, "Give columns of one length.")
    return arrays


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
