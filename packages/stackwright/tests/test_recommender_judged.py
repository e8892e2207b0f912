"""What recommenders are judged by: what is new to whom, what could be shown, and what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stackwright.assembly.reading import Part
from stackwright.assembly.recommender_part import HoldoutPart, InteractionsPart, RecommenderPart
from stackwright.workflows.recommending import gates, judging
from stackwright.workflows.recommending.gates import Candidate
from stackwright.workflows.recommending.holding_out import Held, hold_out
from stackwright.workflows.recommending.tables import Tables
from stackwright_interfaces.errors import UsageError
from stackwright_interfaces.recommender import Interactions, Items, Pinned, Recommendations, Recommender, Request


def pairs(*rows: tuple[int, int, int]) -> Interactions:
    user, item, time = zip(*rows, strict=True)
    stamps = pa.array([1_000_000 * second for second in time], pa.timestamp("us", "UTC"))
    table = pa.table({"user": pa.array(user), "item": pa.array(item), "time": stamps})
    return Interactions(table=table, columns=("user", "item", "time"))


class Shelf(Recommender):
    """Shows what it has, less what a user took; repeated pins are refused, as the built-in recommender refuses them."""

    def __init__(self, items: Sequence[int], taken: Mapping[Any, Sequence[int]]) -> None:
        self.items, self.taken = items, taken

    def answer(self, request: Request) -> Recommendations:
        places = [rule.place for rule in request.rules if isinstance(rule, Pinned)]
        if len(set(places)) < len(places):
            raise UsageError("rules", "two items are pinned at one place", "Give each a place of its own.")
        among = self.items if request.candidates is None else request.candidates
        shown = [item for item in among if item not in self.taken.get(request.user, ())][: request.n]
        count = len(shown)
        return Recommendations(
            items=tuple(shown),
            scores=-np.arange(count, dtype=np.float64),
            propensities=np.ones(count),
            cold=np.zeros(count, dtype=bool),
            cold_user=request.user not in self.taken,
        )

    def answer_users(
        self, users: Sequence[Any] | None, request: Request, *, at: Sequence[float] | None = None
    ) -> Iterator[tuple[Any, Recommendations]]:
        for user in users or ():
            yield user, self.answer(replace(request, user=user))


def candidate(interactions: Interactions, staged: Recommender) -> Candidate:
    nothing: Any = None
    part = RecommenderPart(
        name="x",
        place="[recommenders.x]",
        trainer=Part("", ""),
        interactions=InteractionsPart(source="x.csv", user="user", item="item", time="time"),
    )
    held = hold_out(interactions, HoldoutPart(how="last", share=0.25))
    lists = judging.lists_of(staged, held, 10)
    return Candidate(
        stack=nothing,
        part=part,
        tables=Tables(interactions, None),
        held=held,
        folder=Path(),
        staged=staged,
        judged=staged,
        lists=lists,
        popular=judging.popular(held, 10),
        recall={},
        trainer=nothing,
        threads=1,
    )


LOOKS = pairs((1, 10, 5), (1, 11, 1), (1, 12, 2), (1, 13, 3), (2, 10, 1), (2, 14, 2), (2, 15, 3), (2, 16, 4))
TAKEN = {1: (10, 11, 12, 13), 2: (10, 14, 15, 16)}


def test_the_contract_knows_what_the_staged_fit_has_seen() -> None:
    whole = Shelf(range(10, 30), TAKEN)
    assert gates.contract(candidate(LOOKS, whole), lists=2).passed
    forgetful = Shelf(range(10, 30), {1: (11, 12, 13), 2: (10, 14, 15, 16)})
    verdict = gates.contract(candidate(LOOKS, forgetful), lists=2)
    assert not verdict.passed
    assert verdict.detail == "of user 1: what was seen is shown"


def test_the_contract_asks_with_the_rules_of_the_blueprint() -> None:
    asked = candidate(LOOKS, Shelf(range(10, 30), TAKEN))
    rules = (Pinned(20, 1), Pinned(21, 1))
    refused = replace(asked, part=replace(asked.part, list=replace(asked.part.list, rules=rules)))
    with pytest.raises(UsageError, match="pinned at one place"):
        gates.contract(refused, lists=2)


def test_what_is_taken_again_is_not_new_to_the_champion() -> None:
    rows = pairs((1, 10, 5), (1, 11, 1), (1, 12, 2), (1, 11, 9), (2, 10, 1), (2, 11, 2), (2, 12, 3), (2, 13, 8))
    held = hold_out(rows, HoldoutPart(how="last", share=0.3))
    assert held.wanted == {1: {11: 9.0}, 2: {13: 8.0}}
    assert held.first == {1: {11: 1.0}, 2: {13: 8.0}}
    assert gates.taken_since(held, 6.0).wanted == {2: {13: 8.0}}


def items(**columns: Sequence[int | None]) -> Items:
    times = {
        name: pa.array([None if one is None else 1_000_000 * one for one in values], pa.timestamp("us", "UTC"))
        for name, values in columns.items()
        if name != "item"
    }
    return Items(table=pa.table({"item": pa.array(columns["item"]), **times}), columns={name: name for name in times})


def test_the_baseline_shows_what_could_be_shown_at_that_instant() -> None:
    empty = pairs((1, 10, 5))
    held = Held(
        older=empty, wanted={1: {10: 5.0}}, first={1: {10: 5.0}}, asked={1: 5.0},
        users={20: 9, 21: 8, 22: 7, 23: 6, 24: 5}, people=9, seen={1: (24,)},
    )  # fmt: skip
    known = items(item=[20, 21, 22, 23], since=[None, 6, 5, None], until=[5, None, 6, None])
    assert list(judging.popular(held, 10).items[1]) == [20, 21, 22, 23]
    assert list(judging.popular(held, 10, known).items[1]) == [22, 23]
    assert list(judging.popular(held, 1, known).items[1]) == [22]


def test_few_interactions_are_of_many_users_even_where_one_has_most() -> None:
    rows = [(0, item, item) for item in range(6_000)]
    rows += [(user, item, item) for user in range(1, 100) for item in range(60)]
    some = gates.of_few(pairs(*rows), 5_000).table
    users = some["user"].to_pylist()
    assert 4_900 <= len(users) <= 5_100
    assert len(set(users)) >= 50
    assert users == sorted(users)
    assert some["item"].to_pylist()[: users.count(0)] == list(range(users.count(0)))
