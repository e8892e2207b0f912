"""The metrics of order, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from stackwright_models.errors import InvalidData
from stackwright_models.metrics import concordance_index, ndcg

outcomes = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)


def pair_by_pair(event: list[bool], duration: list[int], predicted: list[int]) -> float:
    """Harrell's C by looking at every pair."""
    good, pairs = 0.0, 0
    for first in range(len(event)):
        for second in range(len(event)):
            shorter = duration[first] < duration[second]
            tied = duration[first] == duration[second] and not event[second]
            if event[first] and first != second and (shorter or tied):
                pairs += 1
                good += (predicted[first] < predicted[second]) + (predicted[first] == predicted[second]) / 2
    return good / pairs if pairs else float("nan")


@given(outcomes)
def test_the_c_index_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[bool, int, int]]) -> None:
    event, duration, predicted = (list(column) for column in zip(*rows, strict=True))
    expected = pair_by_pair(event, duration, predicted)
    assert concordance_index(event, duration, predicted) == pytest.approx(expected, nan_ok=True)


def test_the_c_index_is_one_for_the_right_order_and_half_for_none() -> None:
    event, duration = np.ones(50, bool), np.arange(50)
    assert concordance_index(event, duration, duration) == 1
    assert concordance_index(event, duration, -duration) == 0
    assert concordance_index(event, duration, np.zeros(50)) == 0.5


@pytest.mark.parametrize("predicted", [[1.0], [np.nan, 1.0]], ids=["too few", "NaN"])
def test_the_c_index_refuses_predictions_that_do_not_fit(predicted: list[float]) -> None:
    with pytest.raises(InvalidData):
        concordance_index([True, True], [1, 2], predicted)


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=2, max_size=30),
    k=st.one_of(st.none(), st.integers(1, 12)),
)
def test_ndcg_is_that_of_scikit_learn(rows: list[tuple[int, int]], k: int | None) -> None:
    relevance, score = np.array(rows, dtype=float).T
    if relevance.any():
        assert ndcg(relevance, score, k=k) == pytest.approx(ndcg_score([np.exp2(relevance) - 1], [score], k=k))
        assert ndcg(relevance, score, k=k, exponential=False) == pytest.approx(ndcg_score([relevance], [score], k=k))
    else:
        assert np.isnan(ndcg(relevance, score, k=k))


def test_ndcg_is_the_mean_over_groups_that_have_a_gain() -> None:
    relevance, score, group = [1, 0, 0, 1, 0, 0], [2, 1, 2, 1, 1, 2], ["a", "a", "b", "b", "c", "c"]
    assert ndcg(relevance, score, group) == pytest.approx((1 + 1 / np.log2(3)) / 2)
    with pytest.raises(InvalidData):
        ndcg(relevance, score, group[:-1])
