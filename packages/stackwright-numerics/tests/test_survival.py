"""Times to an event: pairs that can be compared, and what discrete hazards make of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_interfaces.errors import DataError
from stackwright_numerics import hazard, metrics
from stackwright_numerics.survival import concordance_index, pairs

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30)


@given(ROWS)
def test_the_index_is_the_share_of_comparable_pairs_in_the_right_order(rows: list[tuple[bool, int, int]]) -> None:
    event, duration, predicted = (np.array(column) for column in zip(*rows, strict=True))
    comparable, right = pairs(event, duration, predicted)
    index = concordance_index(event, duration, predicted)
    for one, (seen, time, answer) in enumerate(rows):
        for two, (_, other, theirs) in enumerate(rows):
            longer = other > time or (other == time and not rows[two][0])
            assert comparable[one, two] == float(seen and longer)
            assert right[one, two] == comparable[one, two] * (1.0 if answer < theirs else 0.5 * (answer == theirs))
    expected = right.sum() / comparable.sum() if comparable.any() else np.nan
    np.testing.assert_allclose(index, expected)


def test_the_metrics_of_times_are_json_whatever_was_seen() -> None:
    found = metrics.score("time_to_event", [1.0, 2.0, 3.0], [1.0, 2.0, 1.5], event=[True, True, False])
    assert found == {"n": 3, "hit_rate": 1.0, "c_index": pytest.approx(2 / 3), "events": 2.0}
    assert metrics.score("time_to_event", [1.0], [1.0], event=[False]) == {"n": 1, "hit_rate": 1.0, "events": 0.0}
    with pytest.raises(DataError, match="NaN"):
        pairs([True], [1.0], [np.nan])


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 20)), min_size=2, max_size=40))
def test_the_hazards_of_periods_give_kaplan_and_meier_where_all_rows_are_alike(rows: list[tuple[bool, float]]) -> None:
    event, duration = (np.array(column) for column in zip(*rows, strict=True))
    event[0] = True
    ends = np.unique(np.ceil(duration))
    found = hazard.person_periods(event, np.ceil(duration), ends)
    rates = [
        found.event[found.period == period].mean() for period in range(ends.size) if (found.period == period).any()
    ]
    lived = hazard.survival(np.array([rates]))[0]
    chance = 1.0
    for place, end in enumerate(ends[: len(rates)]):
        at_risk = (np.ceil(duration) >= end).sum()
        chance *= 1 - (event & (np.ceil(duration) == end)).sum() / at_risk
        assert lived[place] == pytest.approx(chance)


def test_a_constant_hazard_gives_the_mean_and_median_of_an_exponential() -> None:
    ends = np.arange(0.05, 60.0, 0.05)
    lived = hazard.survival(np.full((2, ends.size), 1 - np.exp(-0.05 / 4)))
    assert hazard.mean(lived, ends) == pytest.approx([4.0, 4.0], rel=1e-3)
    assert hazard.median(lived, ends) == pytest.approx([4 * np.log(2)] * 2)
    assert hazard.at(lived, ends, [4.0, 1e9])[0] == pytest.approx([np.exp(-1), lived[0, -1]])


def test_a_median_that_is_never_reached_is_infinite() -> None:
    assert hazard.median(np.array([[0.9, 0.8]]), np.array([1.0, 2.0])).tolist() == [np.inf]


def test_a_period_never_ends_at_zero() -> None:
    assert hazard.period_ends([0.0, 0.0, 3.0, 4.0], 4).tolist() == [3.0, 4.0]
    assert hazard.middles(np.array([3.0, 4.0])).tolist() == [1.5, 3.5]
