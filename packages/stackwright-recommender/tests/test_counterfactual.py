"""Replaying logged lists: estimates are right on the mean, say how much they rest on, and refuse what is no log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import DataError, MissingColumn, WrongType
from stackwright_recommender import Logged, Recommender, chosen_by, examination, replay

PLACES, ITEMS = 3, 6
LOOK = np.array([1.0, 0.6, 0.3])
TASTE = np.array([0.5, 0.1, 0.4, 0.05, 0.3, 0.2])
CHANCE = 0.6


def logged(chance: float = CHANCE, lists: int = 4_000, seed: int = 2) -> Logged:
    """Lists in the order of items' numbers, or in random order with a chance; clicked by taste and place."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(lists):
        shuffled = rng.random() < chance
        items = rng.permutation(ITEMS)[:PLACES] if shuffled else np.arange(PLACES)
        for place, item in enumerate(items.tolist()):
            propensity = chance / ITEMS + (1 - chance) * (item == place)
            clicked = rng.random() < TASTE[item] * LOOK[place]
            row = {"list": number, "item": item, "position": place + 1, "propensity": propensity, "clicked": clicked}
            rows.append(row)
    return Logged.of(rows)


@pytest.fixture(scope="module")
def log() -> Logged:
    return logged()


def test_a_challenger_is_judged_as_if_it_had_been_shown(log: Logged) -> None:
    best = np.argsort(-TASTE)[:PLACES]
    truth = float((TASTE[best] * LOOK).sum())
    chosen = (best[log.position - 1] == log.item.astype(int)).astype(float)
    found = replay(log, chosen)
    assert found.inverse_propensity.low < truth < found.inverse_propensity.high
    assert found.self_normalised.low < truth < found.self_normalised.high
    assert found.gain.low > 0
    assert found.supported == pytest.approx(1, abs=0.1)
    assert found.greatest == pytest.approx(1 / (CHANCE / ITEMS))
    assert 0 < found.effective < log.position.size


def test_what_was_shown_earns_what_it_earned(log: Logged) -> None:
    found = replay(log, log.propensity)
    assert found.inverse_propensity.value == pytest.approx(found.logged.value)
    assert found.self_normalised.value == pytest.approx(found.logged.value)
    assert found.gain.value == pytest.approx(0)
    assert found.cut == 0


def test_clipping_takes_weight_away_and_says_how_much(log: Logged) -> None:
    chosen = np.full(log.position.size, 1.0)
    found = replay(log, chosen, clip=2.0)
    assert found.clipped.value < found.inverse_propensity.value
    assert 0 < found.cut < 1


def test_a_look_at_each_place_is_found_where_chance_ordered() -> None:
    found = examination(logged(chance=1.0))
    assert found[1].value == 1
    for place in (2, 3):
        assert found[place].low < LOOK[place - 1] < found[place].high


def test_a_score_orders_the_items_of_each_list() -> None:
    rows = [
        {"list": name, "item": item, "position": place, "propensity": 1.0, "clicked": 0}
        for name in "ab" for place, item in ((1, "x"), (2, "y"))
    ]  # fmt: skip
    assert chosen_by(Logged.of(rows), [1.0, 2.0, 5.0, 5.0]).tolist() == [0, 0, 1, 1]


def test_what_a_recommender_logs_can_be_replayed(recommender: Recommender, town: Any) -> None:
    rows: list[dict[str, Any]] = []
    for number, person in enumerate(list(town.likes)[:20]):
        shown = recommender.recommend(person, 3, explore=0.5, explore_depth=5, seed=number)
        kinds = [town.kind_of.get(item) == town.likes[person] for item in shown]
        log = shown.log(f"l{number}", user=person)
        rows += [{**row, "clicked": hit} for row, hit in zip(log, kinds, strict=True)]
    read = Logged.of(rows)
    assert read.lists == 20
    assert replay(read, read.propensity).logged.value > 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"propensity": 0.0}, DataError, "propensity is 0.0 in row 1"),
        ({"propensity": 1.5}, DataError, "propensity is 1.5"),
        ({"position": 0}, DataError, "position is 0"),
        ({"clicked": -1}, DataError, "clicked is -1"),
        ({"propensity": "half"}, WrongType, "'propensity' holds string"),
        ({"list": None}, MissingColumn, "list"),
    ],
)
def test_what_is_no_log_is_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    row = {"list": "a", "item": "x", "position": 1, "propensity": 1.0, "clicked": 0, **change}
    with pytest.raises(error, match=message):
        Logged.of([{name: value for name, value in row.items() if value is not None}])


def test_a_row_of_no_list_is_refused() -> None:
    row = {"list": "a", "item": "x", "position": 1, "propensity": 1.0, "clicked": 0}
    with pytest.raises(DataError, match="'list' holds 1 nulls"):
        Logged.of([row, {**row, "list": None}])


def test_an_empty_log_and_wrong_probabilities_are_refused(log: Logged) -> None:
    with pytest.raises(DataError, match="0 probabilities"):
        replay(log, [])
    with pytest.raises(DataError, match="or one that is none"):
        replay(log, np.full(log.position.size, 2.0))
    nothing = [{"list": "a", "item": "x", "position": 1, "propensity": 1.0, "clicked": 0}]
    with pytest.raises(DataError, match="nothing at the first place"):
        examination(Logged.of(nothing))
