"""Judging an estimator by rows that it has not seen: metrics, slices, baselines, calibration."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, KFold, check_cv
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from stackwright_models.encoding import TabularEncoder, categorical_places
from stackwright_models.errors import InvalidData, InvalidParameter
from stackwright_models.frames import slice_names
from stackwright_models.inputs import last_step, rows_at, to_instants
from stackwright_models.report import Report, Slice
from stackwright_models.scoring import (
    Answers,
    Truths,
    answers_of,
    calibration,
    errors,
    loss,
    loss_name,
    measure,
    read_truths,
    task_of,
)
from stackwright_numerics import metrics
from stackwright_numerics.baselines import Dummy, Linear, TaskName

FOLDS: Final = 5
SPANS: Final = 12
_OPTIONAL: Final = ("time", "group")
_REPLICATES: Final = 100
_MOST_DRAWN: Final = 50_000
_MOST_COMPARED: Final = 1_000
"""Of times to an event, whose loss compares rows with each other."""


def evaluate(
    estimator: Any,
    X: Any,  # noqa: N803 (scikit-learn's name)
    y: Any,
    *,
    time: Any = None,
    observed: Any = None,
    slices: Iterable[str] | Mapping[str, Any] = (),
    baselines: bool = True,
    train: tuple[Any, Any] | None = None,
    cv: Any = None,
    group: Any = None,
    metadata: Mapping[str, Any] | None = None,
    task: str | None = None,
    k: int = 10,
    few: int = 30,
) -> Report:
    """Judge an estimator.

    A fitted estimator is judged as it is: give rows that it has not seen. With ``cv``, clones are fitted fold by fold
    and judged together by the rows that were left out.

    Args:
        X: n × d rows, a data frame or array.
        y: truths; for a :class:`TimeToEvent` outcomes as it takes them.
        time: when each row was asked; gives errors over time, and goes to splitters and fits that take it.
        observed: when each truth became known, for splitters that take it: a fold then learns from what was known at
            its cut.
        slices: columns of X, or name → label of each row. Numbers are cut at their quartiles.
        baselines: compare with a constant and with a linear model.
        train: rows and truths that the baselines learn from. Without it they learn from the judged rows themselves,
            fold by fold, which flatters them.
        cv: how to cross-validate: a splitter, or a number of folds.
        group: the query of each row, for a ranking; goes to fits that take it, and to splitters as ``groups``.
        metadata: further columns of the rows for the estimator's ``fit``, where ``cv`` is given.
        task: ``regression``, ``classification``, ``ranking`` or ``time_to_event``; ``None`` takes the estimator's.
        k: places that count in a ranking.
        few: slices of fewer rows are shown without a verdict.

    Raises:
        InvalidParameter: the estimator is not fitted and no ``cv`` is given, or a slice that is no column.
        InvalidData: columns of different lengths, or classes that are not two.
    """
    known = getattr(estimator, "classes_", None)
    truths = read_truths(task or task_of(estimator), y, group, positive=None if known is None else known[-1])
    check_consistent_length(X, truths.value, time, observed, group)
    given = {"time": time, "group": group, **(metadata or {})}
    if cv is None:
        _check_fitted(estimator)
        folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        rows, answers = np.arange(len(truths.value)), answers_of(estimator, X, truths)
    else:
        folds = list(make_folds(cv, X, y, truths, time=time, observed=observed))
        rows, answers = _out_of_fold(estimator, X, y, truths, folds, given)
    judged, asked = truths.take(rows), None if time is None else to_instants(rows_at(time, rows), "evaluate")
    name = loss_name(judged, k=k)
    compared = {"model": loss(name, judged, answers, k=k)}
    if baselines:
        compared |= {kind: loss(name, judged, said, k=k) for kind, said in _baselines(X, truths, folds, train).items()}
    named = _slice_labels(X, slices, rows)
    return Report(
        estimator=" ".join(repr(estimator).split()),
        judged_by="rows given" if cv is None else f"{len(folds)} folds",
        truths=judged,
        answers=answers,
        metrics=measure(judged, answers, k=k),
        loss=name,
        losses=compared,
        interval=_bootstrap(name, judged, answers, k),
        slices=[found for label, values in named.items() for found in _slices(label, values, name, judged, answers, k)],
        few=few,
        calibration=calibration(judged, answers),
        spans=_spans(judged, answers, asked),
        flattered=baselines and cv is None and train is None,
    )


def _check_fitted(estimator: Any) -> None:
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        todo = "Fit it, or give cv= to judge it fold by fold."
        raise InvalidParameter("evaluate", f"{type(estimator).__name__} is not fitted", todo) from error


def make_folds(
    cv: Any,
    X: Any,  # noqa: N803
    y: Any,
    truths: Truths,
    **times: Any,
) -> Iterator[tuple[Any, Any]]:
    """Give rows to fit on and rows to judge by.

    Args:
        times: ``time`` and ``observed`` of the rows, or ``None``, for splitters that take them.
    """
    splitter = cv
    if isinstance(cv, int):
        splitter = GroupKFold(cv) if truths.group is not None else KFold(cv, shuffle=True, random_state=7)
    splitter = check_cv(splitter)
    taken = inspect.signature(splitter.split).parameters
    given = {name: values for name, values in times.items() if name in taken and values is not None}
    if truths.group is not None:
        given["groups"] = truths.group
    yield from splitter.split(X, y, **given)


def _out_of_fold(
    estimator: Any,
    X: Any,  # noqa: N803
    y: Any,
    truths: Truths,
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    given: Mapping[str, Any],
) -> tuple[NDArray[np.int64], Answers]:
    """Return the rows that were left out, fold after fold, and what was said of them."""
    parts = []
    for learned, left in folds:
        fitted = fit_on(estimator, X, y, learned, given)
        parts.append(answers_of(fitted, rows_at(X, left), truths))
    rows = np.concatenate([left for _, left in folds])
    ends = [
        np.concatenate([end for end in found if end is not None]) if all(end is not None for end in found) else None
        for found in ([part.lower for part in parts], [part.upper for part in parts])
    ]
    return rows, Answers(np.concatenate([part.value for part in parts]), *ends)


def fit_on(estimator: Any, X: Any, y: Any, rows: NDArray[Any], given: Mapping[str, Any]) -> Any:  # noqa: N803
    """Return a clone fitted on these rows, with what its ``fit``, or a pipeline's last step's, takes of the columns."""
    model = clone(estimator)
    prefix, last = last_step(model)
    known = inspect.signature(last.fit).parameters
    columns = {
        name if "__" in name else f"{prefix}{name}": rows_at(values, rows)
        for name, values in given.items()
        if values is not None and (name in known or name not in _OPTIONAL)
    }
    return model.fit(rows_at(X, rows), rows_at(y, rows), **columns)


def _baselines(
    X: Any,  # noqa: N803
    truths: Truths,
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    train: tuple[Any, Any] | None,
) -> dict[str, Answers]:
    """Return what a constant and a linear model say of the judged rows."""
    if not folds and train is not None:
        learned, known = train
        group = None if truths.group is None else np.zeros(len(known))
        return _simple(learned, read_truths(truths.task, known, group, positive=truths.positive), X)
    parts = folds or list(KFold(min(FOLDS, len(truths.value)), shuffle=True, random_state=7).split(truths.value))
    said = [_simple(rows_at(X, learned), truths.take(learned), rows_at(X, left)) for learned, left in parts]
    found = {kind: np.concatenate([part[kind].value for part in said]) for kind in said[0]}
    back = slice(None) if folds else np.argsort(np.concatenate([left for _, left in parts]))
    return {kind: Answers(value[back]) for kind, value in found.items()}


def _simple(learned: Any, truths: Truths, judged: Any) -> dict[str, Answers]:
    encoder = TabularEncoder().fit(learned)
    inputs, asked = encoder.to_matrix(learned), encoder.to_matrix(judged)
    kept = np.ones(len(inputs), dtype=bool) if truths.event is None else truths.event
    task: TaskName = "classification" if truths.task == "classification" else "regression"
    dummy = Dummy(task).fit(inputs[kept], truths.value[kept])
    linear = Linear(task, categorical=categorical_places(encoder)).fit(inputs[kept], truths.value[kept])
    return {"constant": Answers(dummy.predict(asked)), "linear": Answers(linear.predict(asked))}


def _slice_labels(
    X: Any,  # noqa: N803
    slices: Iterable[str] | Mapping[str, Any],
    rows: NDArray[np.int64],
) -> dict[str, list[str]]:
    if isinstance(slices, Mapping):
        check_consistent_length(X, *slices.values())
        return {name: slice_names(rows_at(values, rows)) for name, values in slices.items()}
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
    names = [slices] if isinstance(slices, str) else list(slices)
    for name in names:
        if name not in frame.columns:
            known = ", ".join(map(str, frame.columns))
            raise InvalidParameter("evaluate slices", f"X has no column {name!r}", f"Choose from: {known}.")
    return {name: slice_names(frame[name].iloc[rows]) for name in names}


def _slices(column: str, labels: Sequence[str], name: str, truths: Truths, answers: Answers, k: int) -> Iterator[Slice]:
    values = np.array(labels, dtype=object)
    for label in sorted(set(labels), key=_order):
        rows = np.flatnonzero(values == label)
        part, said = truths.take(rows), answers.take(rows)
        yield Slice(column, label, len(rows), loss(name, part, said, k=k), measure(part, said, k=k))


def _order(label: str) -> tuple[bool, float, str]:
    """Put spans and numbers in the order of numbers, texts after them."""
    first = label.partition(" to ")[0]
    try:
        return False, float(first), label
    except ValueError:
        return True, 0.0, label


def _bootstrap(name: str, truths: Truths, answers: Answers, k: int) -> tuple[float, float]:
    """Return the 95 % interval of the loss; rankings draw whole queries.

    Of more rows than can be drawn in time, a part is; its interval is wider by the root of their ratio, which is
    taken out again (Bickel, Götze and van Zwet 1997: the m out of n bootstrap).
    """
    if truths.task == "ranking" and truths.group is not None:
        _, place = np.unique(truths.group, return_inverse=True)
        members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
        single = np.array([1 - loss(name, truths.take(rows), answers.take(rows), k=k) for rows in members])
        single = single[np.isfinite(single)]
        return metrics.bootstrap(lambda drawn: float(1 - single[drawn].mean()), len(single), replicates=_REPLICATES)
    n, most = len(truths.value), _MOST_DRAWN if truths.event is None else _MOST_COMPARED
    rows = np.random.default_rng(7).permutation(n)[:most] if n > most else np.arange(n)
    part, said = truths.take(rows), answers.take(rows)
    low, high = metrics.bootstrap(
        lambda drawn: loss(name, part.take(drawn), said.take(drawn), k=k), len(rows), replicates=_REPLICATES
    )
    if n <= most:
        return low, high
    whole, here, share = loss(name, truths, answers, k=k), loss(name, part, said, k=k), np.sqrt(most / n)
    return float(whole + (low - here) * share), float(whole + (high - here) * share)


def _spans(
    truths: Truths, answers: Answers, asked: NDArray[np.datetime64] | None
) -> list[tuple[str, int, float, float, float]]:
    """Return first day, rows, and quartiles of the errors of spans of about equally many rows."""
    if asked is None or truths.task not in ("regression", "classification") or not asked.size:
        return []
    _, signed = errors(truths, answers)
    known = np.isfinite(signed)
    if not known.any():
        raise InvalidData("evaluate", "no finite prediction", "Look at the rows and at the estimator.")
    order = np.flatnonzero(known)[np.argsort(asked[known], kind="stable")]
    spans = []
    for part in np.array_split(order, min(SPANS, max(1, order.size // 20))):
        low, middle, high = np.quantile(signed[part], (0.25, 0.5, 0.75)).tolist()
        if truths.task == "classification":
            middle = float(signed[part].mean())
        spans.append((str(asked[part[0]].astype("datetime64[D]")), int(part.size), low, middle, high))
    return spans
