"""Judging lists: metrics as they are defined, of everyone who can be judged, against the whole catalogue."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import DataError
from stackwright_recommender import Recommender, evaluate, evaluate_recommender
from stackwright_recommender.evaluation import candidate_recall
from stackwright_recommender.interactions import Interactions

LISTS = {"a": ["x", "y", "z"], "b": ["z", "x", "w"], "c": ["x"]}
RELEVANT = {"a": ["y", "q"], "b": ["z"], "d": ["x"]}


def test_metrics_are_as_defined() -> None:
    found = evaluate(LISTS, RELEVANT, k=3)
    assert (found.users, found.left_out) == (2, 1)
    gain = 1 / math.log2(3)
    expected = {
        "ndcg": (gain / (1 + gain) + 1) / 2,
        "map": (0.5 / 2 + 1) / 2,
        "recall": (0.5 + 1) / 2,
        "precision": (1 / 3 + 1 / 3) / 2,
        "mrr": (0.5 + 1) / 2,
    }
    assert {name: interval.value for name, interval in found.metrics.items()} == pytest.approx(expected)


def test_a_list_that_is_too_short_misses_at_the_places_it_lacks() -> None:
    assert evaluate({"a": ["x"]}, {"a": ["x"]}, k=4).metrics["precision"].value == 0.25


def test_coverage_novelty_and_diversity_are_as_defined() -> None:
    found = evaluate(
        {"a": ["x", "y"], "b": ["x", "z"]},
        {"a": ["x"], "b": ["x"]},
        items=["x", "y", "z", "w"],
        popularity={"x": 0.5, "y": 0.4},
        likeness=lambda items: np.full((len(items), len(items)), 0.25) + 0.75 * np.eye(len(items)),
    )
    assert found.coverage == 0.75
    unseen = math.log2(3)
    assert found.metrics["novelty"].value == pytest.approx((1 - math.log2(0.4) + 1 + unseen) / 4)
    assert found.metrics["diversity"].value == pytest.approx(0.75)


def test_slices_are_judged_apart() -> None:
    found = evaluate(LISTS, RELEVANT, k=3, slices={"first": ["a"], "others": ["b", "c", "d"], "nobody": ["e"]})
    assert set(found.slices) == {"first", "others"}
    assert found.slices["first"].metrics["mrr"].value == 0.5
    assert found.slices["others"].users == 1
    assert "first" in str(found)


def test_an_interval_holds_the_value_and_is_the_same_each_time() -> None:
    lists = {number: ["x"] if number % 3 else ["y"] for number in range(60)}
    relevant = dict.fromkeys(lists, ("x",))
    one, other = (evaluate(lists, relevant, k=1).metrics["recall"] for _ in range(2))
    assert one == other
    assert one.low < one.value < one.high
    assert one.high - one.low == pytest.approx(2 * 1.96 * math.sqrt(2 / 9 / 60), rel=0.2)


def test_nobody_to_judge_is_an_error() -> None:
    with pytest.raises(DataError, match="none of them"):
        evaluate({"a": ["x"]}, {"b": ["x"]})


def test_a_recommender_is_judged_over_the_whole_catalogue_by_length_of_history(
    recommender: Recommender, town: Any
) -> None:
    held = {
        person: [home for home, kind in town.kind_of.items() if kind == town.likes[person]] for person in town.likes
    }
    found = evaluate_recommender(recommender, held, k=3)
    assert found.users == len(town.likes)
    assert found.metrics["precision"].value > 0.8
    assert set(found.slices) == {"short histories", "middling histories", "long histories"}
    assert 0 < found.coverage <= 1


def test_candidates_of_all_retrievers_hold_at_least_what_each_finds(recommender: Recommender) -> None:
    known = recommender.known
    last = known.back == 0
    held = Interactions.of(known.user[last], (known.item[last] + 1) % known.items, users=known.users, items=known.items)
    found = candidate_recall(recommender, held, 10)
    assert set(found) == {"all", "ease", "factors", "sequences", "content", "location", "popular", "fresh"}
    assert found["all"] == max(found.values())
    assert all(0 <= share <= 1 for share in found.values())


def test_what_a_recommender_was_not_trained_on_is_found_better_than_by_chance(
    trained: Callable[..., Recommender], town: Any, tmp_path: Any
) -> None:
    header, *rows = town.interactions.read_text().splitlines()
    last: dict[str, str] = {row.split(",")[0]: row for row in rows}
    held = {person: [row.split(",")[1]] for person, row in last.items()}
    known = tmp_path / "known.csv"
    known.write_text("\n".join([header, *(row for row in rows if row not in last.values())]) + "\n")
    recommender = trained(interactions=known)
    found = evaluate_recommender(recommender, held, k=10)
    assert found.metrics["recall"].low > 10 / len(town.homes)
