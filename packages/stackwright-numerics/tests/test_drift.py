"""Drift: what a histogram holds, that counts add up, and when a difference counts."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_interfaces.errors import DataError, WrongType
from stackwright_numerics.drift import Counts, Histogram, Limits, compare, ks, psi, worst

RANDOM = np.random.default_rng(5)


def objects(*values):
    return np.array(values, dtype=object)


def test_bins_of_numbers_hold_about_the_same_number_of_rows():
    histogram = Histogram.of(RANDOM.lognormal(size=10_000))
    assert len(histogram.cuts) == 19
    assert histogram.counts.bins.min() > 490
    assert histogram.counts.bins.max() < 510


def test_a_frequent_value_has_a_bin_of_its_own():
    values = np.where(np.arange(1000) % 2 == 0, 0.0, np.arange(1000.0))
    histogram = Histogram.of(values)
    assert 500 in histogram.counts.bins
    assert histogram.cuts[0] == 1.0


def test_few_distinct_numbers_get_a_bin_each():
    histogram = Histogram.of(RANDOM.integers(1, 8, 5000).astype(float))
    assert histogram.cuts == (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)


def test_missing_values_are_counted_apart():
    counts = Histogram.of(np.array([1.0, np.nan, 3.0])).counts
    assert (counts.missing, counts.present, counts.n) == (1, 2, 3)
    counts = Histogram.of(objects("a", None, float("nan"))).counts
    assert (counts.missing, counts.present) == (2, 1)


def test_times_and_booleans_are_numbers():
    times = np.array(["2026-01-01", "2026-06-01", "NaT"], dtype="datetime64[us]")
    assert Histogram.of(times).counts.missing == 1
    assert Histogram.of(np.array([True, False, True])).high == 1.0


def test_only_the_most_frequent_categories_are_kept():
    histogram = Histogram.of(objects("a", "a", "b", "b", "c"), categories=2)
    assert histogram.categories == ("a", "b")
    assert histogram.counts.bins.tolist() == [2, 2, 1]


def test_an_object_that_is_no_text_is_refused():
    with pytest.raises(WrongType, match="holds int"):
        Histogram.of(objects("a", 3))


def test_a_column_of_the_other_kind_is_refused():
    with pytest.raises(WrongType, match="declared is a number"):
        Histogram.of(np.array([1.0])).count(objects("a"))


@pytest.mark.parametrize(
    "values", [np.array([1.0, 2.0, np.nan, np.inf]), objects("a", "b", None), np.array([np.nan]), objects(None)]
)
def test_a_histogram_survives_json(values):
    histogram = Histogram.of(values)
    read = Histogram.from_json(json.loads(json.dumps(histogram.to_json(), allow_nan=False)))
    assert read.to_json() == histogram.to_json()
    assert read.count(values).to_json() == histogram.counts.to_json()


@given(st.lists(st.sampled_from([-1.5, -0.0, 0.0, 2.0, 7.0, np.inf, -np.inf, np.nan]) | st.floats(), max_size=60))
@settings(max_examples=100, deadline=None)
def test_a_histogram_holds_the_counts_of_the_column_it_was_built_from(values):
    histogram = Histogram.of(np.array(values, dtype=float), bins=5)
    assert histogram.count(np.array(values, dtype=float)).to_json() == histogram.counts.to_json()


def test_a_broken_histogram_is_refused():
    with pytest.raises(DataError, match="not a histogram"):
        Histogram.from_json({"kind": "number"})


numbers = st.lists(st.one_of(st.floats(-10, 10), st.just(float("nan"))), max_size=30)
texts = st.lists(st.one_of(st.sampled_from("abcdef"), st.none()), max_size=30)


@given(numbers, numbers)
@settings(max_examples=50, deadline=None)
def test_counts_of_two_parts_add_up_to_the_counts_of_the_whole(one, two):
    histogram = Histogram.of(np.linspace(-5, 5, 100))
    one, two = np.array(one, dtype=float), np.array(two, dtype=float)
    added = histogram.count(one) + histogram.count(two)
    assert added.to_json() == histogram.count(np.concatenate([one, two])).to_json()


@given(texts, texts)
@settings(max_examples=50, deadline=None)
def test_counts_of_categories_add_up_too(one, two):
    histogram = Histogram.of(objects("a", "b", "b"))
    added = histogram.count(objects(*one)) + histogram.count(objects(*two))
    assert added.to_json() == histogram.count(objects(*one, *two)).to_json()


def test_counts_against_different_histograms_do_not_add_up():
    with pytest.raises(DataError, match="one histogram"):
        Counts(np.zeros(2, np.int64)) + Counts(np.zeros(3, np.int64))


def test_counts_survive_json():
    counts = Histogram.of(objects("a")).count(objects("a", "z", None))
    assert Counts.from_json(json.loads(json.dumps(counts.to_json()))).to_json() == counts.to_json()


def test_psi_follows_its_formula_on_many_rows():
    before, now = np.array([500_000, 500_000]), np.array([600_000, 400_000])
    assert psi(before, now) == pytest.approx(0.1 * np.log(0.6 / 0.5) - 0.1 * np.log(0.4 / 0.5), rel=1e-4)


def test_psi_of_a_bin_that_became_empty_is_finite():
    assert 0 < psi(np.array([50, 50]), np.array([100, 0])) < 10


def test_ks_is_the_largest_gap_between_the_cumulated_shares():
    assert ks(np.array([5, 3, 2]), np.array([2, 3, 5])) == pytest.approx(0.3)
    assert np.isnan(ks(np.array([0]), np.array([1])))


def test_an_unchanged_column_is_ok_and_a_shifted_one_alarms():
    histogram = Histogram.of(RANDOM.normal(size=5000))
    same = compare(histogram, histogram.count(RANDOM.normal(size=5000)))
    moved = compare(histogram, histogram.count(RANDOM.normal(1, 1, size=5000)))
    assert same.state == "ok"
    assert moved.state == "alarm"
    assert moved.ks == pytest.approx(0.38, abs=0.04)


def test_chance_alone_seldom_warns_however_few_the_rows():
    histogram = Histogram.of(RANDOM.normal(size=5000))
    states = [compare(histogram, histogram.count(RANDOM.normal(size=220))).state for _ in range(200)]
    assert states.count("ok") >= 197


def test_too_few_rows_are_insufficient():
    histogram = Histogram.of(RANDOM.normal(size=5000))
    drift = compare(histogram, histogram.count(RANDOM.normal(5, 1, size=100)))
    assert drift.state == "insufficient"
    assert drift.psi is None
    assert drift.n == 100


def test_a_column_that_became_empty_alarms_by_its_missing_share():
    histogram = Histogram.of(RANDOM.normal(size=5000))
    drift = compare(histogram, histogram.count(np.full(500, np.nan)))
    assert drift.states["missing"] == "alarm"
    assert drift.states["outside"] == "insufficient"
    assert drift.missing == 1.0


def test_a_column_that_is_no_longer_missing_alarms_too():
    values = np.where(np.arange(5000) % 2 == 0, np.nan, RANDOM.normal(size=5000))
    histogram = Histogram.of(values)
    assert compare(histogram, histogram.count(values[1::2])).states["missing"] == "alarm"


def test_numbers_outside_the_known_range_are_told():
    histogram = Histogram.of(np.linspace(0, 1, 1000))
    drift = compare(histogram, histogram.count(np.linspace(0.1, 1.1, 1000)))
    assert drift.outside == pytest.approx(0.1, abs=0.01)
    assert drift.states["outside"] == "alarm"


def test_new_categories_are_told_by_name():
    histogram = Histogram.of(objects(*"ab" * 500))
    drift = compare(histogram, histogram.count(objects(*"abz" * 100)))
    assert drift.new == pytest.approx(1 / 3)
    assert drift.new_examples == {"z": 100}
    assert drift.states["new"] == "alarm"


def test_categories_are_not_new_where_the_reference_did_not_keep_all():
    histogram = Histogram.of(objects(*"aaab" * 300), categories=1)
    drift = compare(histogram, histogram.count(objects(*"ab" * 300)))
    assert drift.new is None
    assert drift.psi > 0.2


def test_rare_categories_are_counted_together():
    many = [f"c{number}" for number in range(900)]
    histogram = Histogram.of(objects(*many * 5))
    drift = compare(histogram, histogram.count(objects(*many[:300])))
    assert drift.state == "ok"


def test_half_a_limit_warns():
    histogram = Histogram.of(objects(*"ab" * 2000))
    now = histogram.count(objects(*"a" * 1240 + "b" * 760))
    index = compare(histogram, now).psi
    assert compare(histogram, now, Limits(psi=index * 0.99)).state == "alarm"
    assert compare(histogram, now, Limits(psi=index * 1.9)).state == "warn"
    assert compare(histogram, now, Limits(psi=index * 2.1)).state == "ok"


def test_a_drift_is_json():
    histogram = Histogram.of(np.array([np.nan, np.nan]))
    json.dumps(compare(histogram, histogram.count(np.array([1.0, np.nan]))).to_json(), allow_nan=False)


def test_the_worst_state_is_the_most_severe_and_insufficient_only_where_nothing_else_is_known():
    assert worst("ok", "insufficient", "warn") == "warn"
    assert worst("ok", "insufficient") == "ok"
    assert worst() == "insufficient"


def test_a_million_rows_are_counted_in_a_fraction_of_a_second():
    values = RANDOM.normal(size=1_000_000)
    histogram = Histogram.of(values[:10_000])
    spent = []
    for _ in range(3):
        start = time.process_time()
        histogram.count(values)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.2


def test_categories_may_come_as_a_tally():
    histogram = Histogram.of(objects("a", "b", "b", None))
    values = objects("a", "z", "z", None)
    tallied = histogram.count_tally({"a": 1, "z": 2, None: 1})
    assert tallied.to_json() == histogram.count(values).to_json()
    with pytest.raises(WrongType, match="holds categories"):
        Histogram.of(np.array([1.0])).count_tally({"a": 1})


def test_integers_and_booleans_are_counted_like_numbers_however_many_they_are():
    values = RANDOM.integers(0, 50, 200_000)
    histogram = Histogram.of(values.astype(float))
    assert histogram.count(values).to_json() == histogram.counts.to_json()
    assert Histogram.of(values > 9).count(values > 9).bins.tolist() == [
        int((values <= 9).sum()),
        int((values > 9).sum()),
    ]
