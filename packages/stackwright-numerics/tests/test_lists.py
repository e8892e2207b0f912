"""Metrics of scored lists, against their definitions written out list by list."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.errors import DataError, UsageError
from stackwright_numerics import metrics
from stackwright_numerics.lists import score_lists

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=7)
"""Relevance, score and list of each row."""


def dcg(grades: list[int], k: int) -> float:
    return sum((2**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades[:k]))


def expected_ndcg(rows: list[tuple[int, int]], k: int) -> float:
    """The mean over every order that the scores allow."""
    best = dcg(sorted((grade for grade, _ in rows), reverse=True), k)
    orders = [
        order for order in itertools.permutations(rows) if all(a[1] >= b[1] for a, b in itertools.pairwise(order))
    ]
    return float(np.mean([dcg([grade for grade, _ in order], k) / best for order in orders]))


@given(ROWS, st.integers(1, 4))
def test_ndcg_is_what_an_order_drawn_among_equal_scores_is_expected_to_get(
    rows: list[tuple[int, int, int]], k: int
) -> None:
    grade, score, group = (list(column) for column in zip(*rows, strict=True))
    found = score_lists(grade, score, group, k=k)
    lists = {label: [(g, s) for g, s, of in rows if of == label] for label in sorted(set(group))}
    judged = {label: members for label, members in lists.items() if any(g for g, _ in members)}
    assert found.label.tolist() == list(judged)
    assert found.ndcg == pytest.approx([expected_ndcg(members, k) for members in judged.values()])


@given(ROWS, st.integers(1, 4))
def test_without_equal_scores_every_metric_is_as_defined(rows: list[tuple[int, int, int]], k: int) -> None:
    grade, _, group = (np.array(column) for column in zip(*rows, strict=True))
    score = np.random.default_rng(len(rows)).permutation(len(rows))
    found = score_lists(grade, score, group, k=k)
    for place, label in enumerate(found.label):
        mine = group == label
        hits = (grade[mine] > 0)[np.argsort(-score[mine])].tolist()
        relevant, shown = sum(hits), hits[:k]
        ranks = [rank + 1 for rank, hit in enumerate(shown) if hit]
        assert found.recall[place] == pytest.approx(len(ranks) / relevant)
        assert found.precision[place] == pytest.approx(len(ranks) / k)
        assert found.mrr[place] == pytest.approx(1 / ranks[0] if ranks else 0.0)
        assert found.map[place] == pytest.approx(sum((n + 1) / rank for n, rank in enumerate(ranks)) / relevant)


def test_rows_of_a_list_may_lie_anywhere() -> None:
    random = np.random.default_rng(3)
    grade, score, group = random.integers(0, 3, 60), random.normal(size=60), random.integers(0, 9, 60)
    order = random.permutation(60)
    one, two = score_lists(grade, score, group), score_lists(grade[order], score[order], group[order])
    np.testing.assert_allclose(np.stack(one), np.stack(two))


def test_lists_without_anything_relevant_are_passed_over() -> None:
    found = metrics.score("ranking", [0.0, 0.0, 1.0, 0.0], [1.0, 2.0, 2.0, 1.0], group=[7, 7, 8, 8])
    assert found == {
        "n": 4, "hit_rate": 1.0, "lists": 1.0, "ndcg": 1.0, "map": 1.0, "mrr": 1.0, "recall": 1.0, "precision": 0.1,
    }  # fmt: skip
    assert metrics.score("ranking", [0.0], [1.0], group=[7]) == {"n": 1, "hit_rate": 1.0, "lists": 0.0}


def test_a_ranking_without_lists_is_refused() -> None:
    with pytest.raises(UsageError, match="no group"):
        metrics.score("ranking", [1.0], [1.0])
    with pytest.raises(DataError, match="negative relevance"):
        score_lists([-1.0], [1.0], [0])
    with pytest.raises(DataError, match="k is 0"):
        score_lists([1.0], [1.0], [0], k=0)
    with pytest.raises(DataError, match="one value a row"):
        score_lists([1.0, 0.0], [1.0], [0])
