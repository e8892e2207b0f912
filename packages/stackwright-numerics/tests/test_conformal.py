"""Interval tables: coverage on exchangeable data, in bins, under drift; JSON; refusals."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_interfaces.errors import DataError, PredictionError
from stackwright_numerics import conformal
from stackwright_numerics.conformal import IntervalTable


def market(n, seed, *, noise=0.2):
    """Log-normal prices whose relative error grows with the price."""
    random = np.random.default_rng(seed)
    answer = np.exp(random.normal(13, 0.6, n))
    spread = noise * (0.5 + (np.log(answer) - 11) / 4)
    return answer, answer * np.exp(random.normal(0, 1, n) * spread)


def covered(table, answer, truth, **more):
    lower, upper = table.apply(answer, **more)
    return (lower <= truth) & (truth <= upper)


@given(
    n=st.integers(9, 1500),
    level=st.sampled_from([0.5, 0.8, 0.9]),
    relative=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_coverage_on_exchangeable_data_is_within_its_bounds(n, level, relative, seed):
    """Coverage of a new row has expectation ``level`` or a little more, and varies as Beta does."""
    answer, truth = market(n + 4000, seed)
    table = conformal.fit(answer[:n], truth[:n], level=level, relative=relative)
    share = covered(table, answer[n:], truth[n:]).mean()
    scatter = np.sqrt(level * (1 - level) * (1 / n + 1 / 4000))
    assert share > level - 5 * scatter - 0.02 * (n > 400)
    assert share < level + 5 * scatter + 1 / (n + 1)


def test_coverage_holds_in_every_fifth_of_the_predictions():
    answer, truth = market(40_000, 3)
    table = conformal.fit(answer[:10_000], truth[:10_000])
    inside = covered(table, answer[10_000:], truth[10_000:])
    fifth = np.searchsorted(np.quantile(answer, [0.2, 0.4, 0.6, 0.8]), answer[10_000:])
    for number in range(5):
        assert inside[fifth == number].mean() == pytest.approx(0.9, abs=0.02)


def test_without_ties_and_bins_the_table_is_split_conformal_prediction():
    random = np.random.default_rng(1)
    truth = random.normal(size=99)
    table = conformal.fit(np.zeros(99), truth, relative=False)
    _, upper = table.apply(np.zeros(1))
    centre = np.median(truth)
    ninetieth = np.sort(np.abs(truth - centre))[int(np.ceil(100 * 0.9)) - 1]
    assert upper[0] == pytest.approx(centre + ninetieth)


def test_a_difficulty_learned_from_the_inputs_narrows_easy_rows_and_widens_hard_ones():
    random = np.random.default_rng(2)
    matrix = np.column_stack([random.integers(0, 3, 6000), random.normal(size=6000)])
    matrix[::50, 1] = np.nan
    spread = np.array([0.05, 0.1, 0.4])[matrix[:, 0].astype(int)]
    answer = np.exp(random.normal(12, 0.3, 6000))
    truth = answer * np.exp(random.normal(0, 1, 6000) * spread)
    half = slice(0, 3000), slice(3000, None)
    table = conformal.fit(answer[half[0]], truth[half[0]], matrix=matrix[half[0]], categorical={0})
    plain = conformal.fit(answer[half[0]], truth[half[0]])
    lower, upper = table.apply(answer[half[1]], matrix=matrix[half[1]])
    inside = (lower <= truth[half[1]]) & (truth[half[1]] <= upper)
    for code in range(3):
        assert inside[matrix[half[1], 0] == code].mean() == pytest.approx(0.9, abs=0.04)
    width = np.median((upper - lower) / answer[half[1]])
    plain_lower, plain_upper = plain.apply(answer[half[1]])
    assert width < 0.7 * np.median((plain_upper - plain_lower) / answer[half[1]])


def test_a_row_gets_the_same_interval_whatever_rows_come_with_it():
    answer, truth = market(1000, 4)
    matrix = np.column_stack([np.arange(1000.0) % 7, np.where(answer > 5e5, np.nan, answer)])
    table = conformal.fit(answer, truth, matrix=matrix, categorical=[0])
    together = np.stack(table.apply(answer, matrix=matrix))
    alone = np.hstack([table.apply(answer[[row]], matrix=matrix[[row]]) for row in range(50)])
    assert (together[:, :50] == alone).all()


def test_a_category_that_was_never_seen_has_no_effect_of_its_own():
    answer, truth = market(1000, 5)
    codes = (np.arange(1000.0) % 3)[:, None]
    table = conformal.fit(answer, truth, matrix=codes, categorical=[0])
    assert table.difficulty.effects[0][3] == 0.0
    assert len(table.difficulty.cuts[0]) == 3


def test_given_difficulties_scale_the_interval():
    random = np.random.default_rng(6)
    scale = random.choice([1.0, 3.0], 4000)
    truth = random.normal(0, 1, 4000) * scale
    table = conformal.fit(np.zeros(4000), truth, relative=False, scale=scale)
    lower, upper = table.apply(np.zeros(2), scale=[1.0, 3.0])
    assert (upper - lower)[1] / (upper - lower)[0] == pytest.approx(3, rel=0.1)


def test_weights_let_the_interval_follow_a_moving_market():
    answer, truth = market(8000, 7, noise=0.1)
    day = np.linspace(0, 400, 8000)
    truth = truth * np.exp(0.4 * day / 400)
    past, future = day < 360, day >= 360
    weight = 0.5 ** ((360 - day) / 30)
    follows = conformal.fit(answer[past], truth[past], weight=weight[past])
    ignores = conformal.fit(answer[past], truth[past])
    assert covered(follows, answer[future], truth[future]).mean() > 0.85
    assert covered(ignores, answer[future], truth[future]).mean() < 0.7


def test_the_interval_holds_the_prediction_however_biased_the_past_was():
    answer = np.full(500, 100.0)
    truth = np.linspace(150, 160, 500)
    lower, upper = conformal.fit(answer, truth).apply(np.array([100.0]))
    assert lower[0] <= 100.0 < 150 < upper[0]


def test_the_table_survives_json_and_apply_takes_either_form():
    answer, truth = market(1000, 8)
    matrix = np.ones((1000, 2))
    table = conformal.fit(answer, truth, matrix=matrix)
    document = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert IntervalTable.from_json(document) == table
    assert np.array_equal(
        conformal.apply(document, answer, matrix=matrix), conformal.apply(table, answer, matrix=matrix)
    )


def test_a_prediction_that_is_not_positive_has_no_relative_interval():
    answer, truth = market(100, 9)
    lower, upper = conformal.fit(answer, truth).apply(np.array([-1.0, 0.0, answer[0]]))
    assert np.isnan(lower[:2]).all()
    assert upper[2] > answer[0]


def test_no_rows_get_no_intervals():
    answer, truth = market(100, 9)
    lower, upper = conformal.fit(answer, truth).apply(np.empty(0))
    assert lower.shape == upper.shape == (0,)


def test_rows_without_an_out_of_fold_prediction_are_passed_over():
    answer, truth = market(100, 10)
    answer[:50] = np.nan
    assert conformal.fit(answer, truth).n == 50


def test_perfect_predictions_get_a_narrow_interval():
    lower, upper = conformal.fit(np.full(50, 100.0), np.full(50, 100.0)).apply(np.array([100.0]))
    assert lower[0] <= 100 <= upper[0]
    assert upper[0] - lower[0] < 1e-5


def test_too_few_rows_for_the_level_are_refused():
    with pytest.raises(DataError, match=r"0\.9 needs 9 at least"):
        conformal.fit(np.ones(8), np.ones(8))
    with pytest.raises(DataError, match="weighing 2"):
        conformal.fit(np.ones(50), np.ones(50), weight=0.5 ** np.arange(50))


def test_a_relative_table_refuses_values_that_are_not_positive():
    with pytest.raises(DataError, match="not positive"):
        conformal.fit(np.ones(20), np.arange(20.0))


def test_a_table_with_difficulty_asks_for_the_inputs():
    answer, truth = market(100, 11)
    table = conformal.fit(answer, truth, matrix=np.ones((100, 2)))
    with pytest.raises(PredictionError, match="inputs are none"):
        table.apply(answer)
    with pytest.raises(PredictionError, match="100 × 1, needed 100 × 2"):
        table.apply(answer, matrix=np.ones((100, 2 - 1)))


@pytest.mark.parametrize("document", [{}, {"format": 1}, {"format": 99}])
def test_what_is_no_table_is_refused(document):
    with pytest.raises(DataError, match="interval table"):
        IntervalTable.from_json(document)


def test_a_level_outside_its_range_and_unequal_lengths_are_refused():
    with pytest.raises(DataError, match="level of 1"):
        conformal.fit(np.ones(20), np.ones(20), level=1)
    with pytest.raises(DataError, match="columns of"):
        conformal.fit(np.ones(20), np.ones(19))
