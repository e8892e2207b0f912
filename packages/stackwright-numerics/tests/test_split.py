"""Temporal splits: no test row is older than a training row, whatever the ties."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_interfaces.errors import DataError, UsageError
from stackwright_numerics.split import TemporalSplit

DAY = timedelta(days=1)


def days(*numbers):
    return np.datetime64("2026-01-01", "us") + np.array(numbers, dtype="timedelta64[D]")


def test_the_newest_rows_are_held_out():
    (fold,) = TemporalSplit(holdout=0.2).split(days(*range(10)))
    assert fold.train.tolist() == list(range(8))
    assert fold.test.tolist() == [8, 9]
    assert fold.cut == days(8)[0]


def test_rows_may_come_in_any_order():
    (fold,) = TemporalSplit(holdout=0.25).split(days(3, 0, 2, 1))
    assert fold.test.tolist() == [0]
    assert fold.train.tolist() == [1, 2, 3]


def test_rows_of_equal_time_are_on_one_side():
    (fold,) = TemporalSplit(holdout=0.5).split(days(0, 1, 1, 1, 1, 2))
    assert fold.test.tolist() in ([1, 2, 3, 4, 5], [5])


def test_folds_test_consecutive_periods_and_train_on_all_before():
    folds = list(TemporalSplit(folds=4, holdout=None).split(days(*range(10))))
    assert [fold.test.tolist() for fold in folds] == [[2, 3], [4, 5], [6, 7], [8, 9]]
    assert [fold.train.tolist() for fold in folds] == [list(range(end)) for end in (2, 4, 6, 8)]


def test_a_gap_leaves_out_the_rows_just_before_the_cut():
    (fold,) = TemporalSplit(holdout=0.2, gap=2 * DAY).split(days(*range(10)))
    assert fold.train.tolist() == list(range(6))


def test_a_horizon_leaves_out_rows_whose_label_was_not_known_at_the_cut():
    (fold,) = TemporalSplit(holdout=0.2, horizon=3 * DAY).split(days(*range(10)))
    assert fold.train.tolist() == list(range(6))


def test_where_it_is_told_when_labels_were_observed_that_decides():
    observed = days(1, 2, 9, 4, 5, 6, 7, 8, 9, 10)
    observed[0] = np.datetime64("NaT")
    (fold,) = TemporalSplit(holdout=0.2, horizon=100 * DAY).split(days(*range(10)), observed=observed)
    assert fold.train.tolist() == [1, 3, 4, 5, 6, 7]


def test_a_window_leaves_out_old_rows():
    (fold,) = TemporalSplit(holdout=0.2, window=3 * DAY).split(days(*range(10)))
    assert fold.train.tolist() == [5, 6, 7]


def test_a_group_that_is_tested_on_is_not_trained_on():
    groups = np.array(["a", "b", "c", "d", "a"])
    (fold,) = TemporalSplit(holdout=0.2).split(days(*range(5)), groups=groups)
    assert fold.train.tolist() == [1, 2, 3]


@given(
    st.lists(st.integers(0, 20), min_size=2, max_size=60),
    st.integers(1, 4),
    st.sampled_from([None, 0.2, 0.5]),
    st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_every_training_row_is_older_than_every_test_row(numbers, folds, holdout, gap):
    time = days(*numbers)
    try:
        found = list(TemporalSplit(folds=folds, holdout=holdout, gap=gap * DAY).split(time))
    except DataError:
        return
    assert len(found) == folds
    tested = np.concatenate([fold.test for fold in found])
    assert np.unique(tested).size == tested.size
    for fold in found:
        assert fold.test.size
        assert time[fold.train].max() + np.timedelta64(gap, "D") < time[fold.test].min() == fold.cut


@pytest.mark.parametrize("times", [days(), days(3, 3, 3, 3)])
def test_rows_that_time_does_not_separate_are_refused(times):
    with pytest.raises(DataError, match="do not make 1 folds"):
        list(TemporalSplit().split(times))


def test_a_split_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(DataError, match="no training rows"):
        list(TemporalSplit(gap=30 * DAY).split(days(*range(10))))


def test_missing_times_and_other_types_are_refused():
    with pytest.raises(DataError, match="without a time"):
        list(TemporalSplit().split(np.array(["NaT", "2026-01-01"], dtype="datetime64[us]")))
    with pytest.raises(DataError, match="time is int64"):
        list(TemporalSplit().split(np.arange(5)))


@pytest.mark.parametrize("wrong", [{"folds": 0}, {"holdout": 1.0}, {"gap": -DAY}, {"window": -DAY}])
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match="TemporalSplit"):
        TemporalSplit(**wrong)
