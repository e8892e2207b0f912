"""No fold trains on what was not known at its cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score

from stackwright_models import TemporalSplit
from stackwright_models.errors import InvalidData, InvalidParameter

DAY = timedelta(days=1)
START = np.datetime64("2026-01-01", "us")
days = st.integers(0, 8).map(lambda count: count * DAY)


def times(offsets: list[int]) -> np.ndarray:
    return START + np.array(offsets) * np.timedelta64(1, "D")


@given(
    rows=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), min_size=8, max_size=60),
    n_splits=st.integers(1, 4),
    gap=days,
    horizon=days,
    embargo=days,
    window=st.one_of(st.none(), st.integers(5, 40).map(lambda count: count * DAY)),
    grouped=st.booleans(),
)
def test_splits_never_leak(
    rows: list[tuple[int, int]],
    n_splits: int,
    gap: timedelta,
    horizon: timedelta,
    embargo: timedelta,
    window: timedelta | None,
    grouped: bool,
) -> None:
    asked, group = times([day for day, _ in rows]), np.array([label for _, label in rows])
    splitter = TemporalSplit(n_splits, gap=gap, horizon=horizon, embargo=embargo, window=window)
    try:
        folds = list(splitter.split(np.zeros((len(rows), 1)), groups=group if grouped else None, time=asked))
    except InvalidData:
        assume(False)
    assert len(folds) == n_splits
    tested = np.concatenate([test for _, test in folds])
    assert len(set(tested.tolist())) == tested.size
    for train, test in folds:
        cut = asked[test].min()
        assert (asked[train] < cut - np.timedelta64(gap)).all()
        assert (asked[train] + np.timedelta64(horizon) + np.timedelta64(embargo) <= cut).all()
        if window is not None:
            assert (asked[train] >= cut - np.timedelta64(window)).all()
        if grouped:
            assert not set(group[train]) & set(group[test])


def test_nothing_that_may_be_trained_on_is_left_out() -> None:
    asked = times(list(range(10)))
    folds = TemporalSplit(2, holdout=0.4, horizon=2 * DAY).split(np.zeros((10, 1)), time=asked)
    found = [(train.tolist(), test.tolist()) for train, test in folds]
    assert found == [([0, 1, 2, 3, 4], [6, 7]), ([0, 1, 2, 3, 4, 5, 6], [8, 9])]


def test_when_a_label_was_observed_decides_over_the_horizon() -> None:
    asked = times(list(range(10)))
    observed = pd.Series(asked).where(np.arange(10) != 3)
    split = TemporalSplit(1, holdout=0.2, horizon=5 * DAY, embargo=DAY)
    ((train, test),) = split.split(np.zeros((10, 1)), time=asked, observed=observed)
    assert train.tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert test.tolist() == [8, 9]


@pytest.mark.parametrize("way", ["column", "place", "index", "metadata", "zone"])
def test_times_come_from_a_column_the_index_or_metadata(way: str) -> None:
    asked = times([3, 1, 2, 0])
    frame = pd.DataFrame({"x": range(4), "day": asked})
    given: dict[str, tuple[TemporalSplit, Any, dict[str, Any]]] = {
        "column": (TemporalSplit(1, holdout=0.5, time="day"), frame, {}),
        "place": (
            TemporalSplit(1, holdout=0.5, time=1),
            np.array([[0, day.item()] for day in asked], dtype=object),
            {},
        ),
        "index": (TemporalSplit(1, holdout=0.5), frame.set_index(pd.DatetimeIndex(asked)), {}),
        "metadata": (TemporalSplit(1, holdout=0.5), frame[["x"]], {"time": asked}),
        "zone": (TemporalSplit(1, holdout=0.5), frame, {"time": pd.DatetimeIndex(asked).tz_localize("Asia/Tokyo")}),
    }
    splitter, rows, metadata = given[way]
    ((train, test),) = splitter.split(rows, **metadata)
    assert (sorted(train), sorted(test)) == ([1, 3], [0, 2])


def test_it_drives_cross_validation_and_search() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=60)}, index=pd.date_range("2026", periods=60))
    target = frame["x"] + random.normal(size=60) / 10
    assert cross_val_score(Ridge(), frame, target, cv=TemporalSplit(3)).shape == (3,)
    assert GridSearchCV(Ridge(), {"alpha": [1, 10]}, cv=TemporalSplit(2)).fit(frame, target).n_splits_ == 2


def test_times_and_groups_are_routed_to_it() -> None:
    random = np.random.default_rng(0)
    rows, target = random.normal(size=(60, 1)), random.normal(size=60)
    metadata = {"time": pd.date_range("2026", periods=60), "groups": np.repeat(np.arange(30), 2)}
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_val_score(Ridge(), rows, target, cv=TemporalSplit(3), params=metadata)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("options", "metadata", "message"),
    [
        ({}, {}, "no time of the rows"),
        ({"time": "day"}, {}, "no column 'day'"),
        ({}, {"time": [1, 2, 3, 4]}, "numbers"),
        ({}, {"time": ["2026-01-01", None, "2026-01-02", "2026-01-03"]}, "without a time"),
        ({}, {"time": ["yesterday"] * 4}, "cannot be read"),
        ({}, {"time": [datetime(2026, 1, 1, tzinfo=UTC)] * 4}, "do not make"),
    ],
)
def test_rows_without_usable_times_are_refused(options: dict[str, Any], metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        list(TemporalSplit(2, **options).split(pd.DataFrame({"x": range(4)}), **metadata))


@pytest.mark.parametrize("options", [{"gap": -DAY}, {"embargo": -DAY}, {"n_splits": 0}, {"holdout": 2}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter):
        list(TemporalSplit(**options).split(np.zeros((9, 1)), time=times(list(range(9)))))
