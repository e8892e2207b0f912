"""Metrics of recommended lists, against their definitions written out."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.errors import DataError
from stackwright_numerics import top_k


@st.composite
def lists(draw: st.DrawFn) -> tuple[list[list[bool]], list[int]]:
    places = draw(st.integers(1, 6))
    hits = draw(st.lists(st.lists(st.booleans(), min_size=places, max_size=places), min_size=1, max_size=5))
    return hits, [max(1, sum(row)) + draw(st.integers(0, 4)) for row in hits]


def average_precision(row: list[bool], relevant: int) -> float:
    return sum(sum(row[: place + 1]) / (place + 1) for place, hit in enumerate(row) if hit) / relevant


def ndcg(row: list[bool], relevant: int) -> float:
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(row) if hit)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(len(row), relevant)))


def reciprocal_rank(row: list[bool], _relevant: int) -> float:
    return 1 / (row.index(True) + 1) if True in row else 0.0


DEFINED: dict[str, Callable[[list[bool], int], float]] = {
    "map": average_precision,
    "ndcg": ndcg,
    "precision": lambda row, _relevant: sum(row) / len(row),
    "recall": lambda row, relevant: sum(row) / relevant,
    "mrr": reciprocal_rank,
}


@given(lists())
def test_each_is_the_mean_of_its_definition(given_: tuple[list[list[bool]], list[int]]) -> None:
    hits, relevant = given_
    expected = {
        name: np.mean([one(row, there) for row, there in zip(hits, relevant, strict=True)])
        for name, one in DEFINED.items()
    }
    assert top_k.score(hits, relevant) == pytest.approx(expected)


def test_a_perfect_list_scores_one_though_more_is_relevant_than_fits() -> None:
    found = top_k.score([[True, True]], [5])
    assert (found["ndcg"], found["precision"], found["mrr"]) == (1.0, 1.0, 1.0)
    assert found["recall"] == 0.4


@pytest.mark.parametrize(
    ("hits", "relevant", "told"),
    [
        ([[True]], [0], "user 0 has 1 hits and 0 relevant"),
        ([[False]], [0], "user 0 has 0 hits and 0 relevant"),
        ([[True, True]], [1], "user 0 has 2 hits and 1 relevant"),
        ([True], [1], r"hits of shape \(1,\)"),
        ([[True]], [1, 1], r"relevant of shape \(2,\)"),
        (np.zeros((0, 3)), [], r"hits of shape \(0, 3\)"),
    ],
)
def test_lists_that_cannot_be_are_told(hits: list[list[bool]], relevant: list[int], told: str) -> None:
    with pytest.raises(DataError, match=told):
        top_k.score(hits, relevant)
