"""What is known of rows beyond a number: the lists that they were shown in, and times of which some still run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import Dataset
from stackwright_interfaces.errors import DataError

_DAY: Final = np.timedelta64(1, "D")


def in_lists(rows: Dataset, labels: NDArray[Any], position: NDArray[Any] | None, where: str) -> Dataset:
    """Return rows list by list, the list that began first before the others.

    Args:
        labels: of n rows, the list that each was shown in.
        position: the place of each, NaN where it is not known.
        where: what an error calls the rows.

    Raises:
        DataError: a row is of no list.
    """
    missing = [place for place, label in enumerate(labels.tolist()) if label is None or label != label]
    if missing:
        found = f"row {missing[0]} is of no list ({len(missing)} of {len(rows)} rows)"
        raise DataError(where, found, "Give every row one, or leave it out.")
    _, codes = np.unique(labels, return_inverse=True)
    begun = np.full(int(codes.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(begun, codes, rows.asked.astype(np.int64))
    order = np.lexsort((np.arange(len(rows)), codes, begun[codes]))
    places = None if position is None else np.nan_to_num(np.asarray(position, dtype=np.float64)).astype(np.int64)
    listed = replace(rows, group=codes.astype(np.int64), position=places).take(order)
    assert listed.group is not None
    number = np.cumsum(np.r_[0, np.diff(listed.group) != 0][: len(rows)])
    return replace(listed, group=number.astype(np.int64))


def durations(
    asked: NDArray[np.datetime64],
    happened: NDArray[np.datetime64],
    observed: NDArray[np.datetime64],
    censored: NDArray[np.bool_],
    horizon: Any = None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return for how many days each row was watched, and whether its event came.

    Args:
        asked: when each row's time began.
        happened: when its event came.
        observed: of a censored row, when it was last looked at.
        censored: whether the event was still to come.
        horizon: nothing is known of longer times: such rows are censored there; ``None`` sets no limit.
    """
    ended = np.where(censored, observed, happened)
    days = (ended - asked) / _DAY
    event = ~censored
    if horizon is not None:
        limit = np.timedelta64(horizon) / _DAY
        event &= days <= limit
        days = np.minimum(days, limit)
    return np.asarray(days, dtype=np.float64), event
