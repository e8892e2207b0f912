"""Cross-validation in the order of time."""

# ruff: noqa: N803, ARG002
# mypy: disallow_subclassing_any=False
# scikit-learn comes without types, and names rows X

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import indexable

from stackwright_interfaces.errors import DataError, UsageError
from stackwright_models.errors import InvalidData, InvalidParameter
from stackwright_models.inputs import to_instants
from stackwright_numerics import split as numerics

_NONE: Final = timedelta(0)


class TemporalSplit(BaseCrossValidator):
    """Forward chaining: each fold tests on the rows after a cut and trains on what was known at it.

    A training row's label is known at ``observed``, or else at its time plus ``horizon``. A fold trains on rows whose
    time is more than ``gap`` before the cut and whose label was known ``embargo`` before it; rows of a group that is
    tested on are left out. Rows of equal time lie on one side of every cut. Rows may come in any order.

    Args:
        n_splits: consecutive test periods, of about equal numbers of rows.
        time: the column of X that holds each row's time. ``None`` takes the metadata ``time``, or else the index of a
            data frame that is a ``DatetimeIndex``.
        holdout: share of the newest rows that is tested on, all folds together; ``None`` takes
            ``n_splits / (n_splits + 1)``.
        gap: how much older than the cut training rows must be.
        horizon: how long after a row's time its label becomes known.
        embargo: how long before the cut a label must have been known.
        window: training rows older than this before the cut are left out; ``None`` keeps all.
    """

    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True, "time": True, "observed": True}

    def __init__(
        self,
        n_splits: int = 4,
        *,
        time: str | int | None = None,
        holdout: float | None = None,
        gap: timedelta = _NONE,
        horizon: timedelta = _NONE,
        embargo: timedelta = _NONE,
        window: timedelta | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.time = time
        self.holdout = holdout
        self.gap = gap
        self.horizon = horizon
        self.embargo = embargo
        self.window = window

    def split(
        self,
        X: Any,
        y: Any = None,
        groups: Any = None,
        *,
        time: Any = None,
        observed: Any = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Give row numbers to train on and to test on, oldest cut first.

        Args:
            X: n rows.
            y: passed over.
            groups: a label a row.
            time: when each row was asked.
            observed: when each label became known; a missing time is never.

        Raises:
            InvalidData: times are missing or no times, or there are too few for the folds.
            InvalidParameter: an option that makes no sense.
        """
        indexable(X, y, groups, time, observed)
        asked = self._times(X, time)
        known = (
            asked + np.timedelta64(self.horizon)
            if observed is None
            else to_instants(observed, "TemporalSplit", missing=True)
        )
        try:
            folds = numerics.TemporalSplit(
                folds=self.n_splits, holdout=self.holdout, gap=self.gap, horizon=self.horizon, window=self.window
            )
            if self.embargo < _NONE:
                raise InvalidParameter("TemporalSplit", f"embargo is {self.embargo}", "Give a positive time span.")
            for fold in folds.split(asked, observed=known + np.timedelta64(self.embargo), groups=groups):
                yield fold.train, fold.test
        except DataError as error:
            raise InvalidData(error.where, error.found, error.todo) from error
        except UsageError as error:
            raise InvalidParameter(error.where, error.found, error.todo) from error

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds."""
        return self.n_splits

    def _times(self, rows: Any, time: Any) -> NDArray[np.datetime64]:
        if self.time is not None:
            try:
                time = rows[self.time] if isinstance(rows, pd.DataFrame) else np.asarray(rows)[:, int(self.time)]
            except (LookupError, ValueError) as error:
                todo = "Name a column of X, or leave it out and pass time as metadata."
                raise InvalidData("TemporalSplit", f"X has no column {self.time!r}", todo) from error
        elif time is None and isinstance(getattr(rows, "index", None), pd.DatetimeIndex):
            time = rows.index
        if time is None:
            todo = "Name its column by time=, pass the metadata time, or give X a DatetimeIndex."
            raise InvalidData("TemporalSplit", "no time of the rows", todo)
        return to_instants(time, "TemporalSplit")
