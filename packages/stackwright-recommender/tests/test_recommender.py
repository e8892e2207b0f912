"""What a recommender answers: whom it knows, what it leaves out, what changes the answer."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import DataError, UsageError, WrongType
from stackwright_recommender import AtMost, Boosted, Hidden, Pinned, Recommender
from stackwright_recommender.reranking import diversified


def kinds(town: Any, found: Any) -> list[str]:
    return [town.kind_of.get(item, item.removeprefix("new-")) for item in found]


def test_a_person_gets_what_they_like(recommender: Recommender, town: Any) -> None:
    right = [
        kind == town.likes[person] for person in list(town.likes)[:40]
        for kind in kinds(town, recommender.recommend(person, 3))
    ]  # fmt: skip
    assert np.mean(right) > 0.8


def test_a_list_is_as_long_as_asked_for_and_holds_nothing_twice(recommender: Recommender) -> None:
    found = recommender.recommend("p1", 12)
    assert len(found) == 12
    assert len(set(found.items)) == 12
    assert [row["position"] for row in found.log("l1")] == list(range(1, 13))
    assert found.propensities.tolist() == [1.0] * 12
    assert (np.diff(found.scores) <= 0).all()


def test_what_was_seen_is_left_out_unless_asked_for(recommender: Recommender) -> None:
    seen = set(recommender.items.ids.names(recommender.known.item[: recommender.known.offsets[1]]))
    person = recommender.users.names([0])[0]
    assert not seen & set(recommender.recommend(person, 60).items)
    again = recommender.recommend(person, 10, candidates=list(seen), exclude_seen=False)
    assert set(again.items) <= seen
    removed = recommender.recommend(person, 10, candidates=list(seen)).removed
    assert removed["seen"] + removed.get("unavailable", 0) == len(seen)


def test_the_session_changes_the_answer(recommender: Recommender, town: Any) -> None:
    lofts = [home for home, kind in town.kind_of.items() if kind == "loft"]
    flats = [home for home, kind in town.kind_of.items() if kind == "flat"]
    by_lofts, by_flats = (recommender.recommend(None, 5, session=seen[:3]) for seen in (lofts, flats))
    assert kinds(town, by_lofts).count("loft") >= 4
    assert kinds(town, by_flats).count("flat") >= 4
    person = next(person for person, kind in town.likes.items() if kind == "flat")
    others = [home for home in town.homes if home not in lofts[:5]]
    plain, now = (
        recommender.recommend(person, 80, candidates=others, session=seen, exclude_seen=False)
        for seen in ([], lofts[:5])
    )
    places = [[place for place, kind in enumerate(kinds(town, found)) if kind == "loft"] for found in (plain, now)]
    assert np.mean(places[1]) < np.mean(places[0])


def test_a_session_without_a_user_is_answered_like_that_of_one_who_is_unknown(recommender: Recommender) -> None:
    session = ["h003", "h010"]
    nobody, stranger = recommender.recommend(None, session=session), recommender.recommend("who?", session=session)
    assert nobody.items == stranger.items
    assert not nobody.cold_user


def test_someone_of_whom_nothing_is_known_gets_what_is_popular_and_is_flagged(recommender: Recommender) -> None:
    found = recommender.recommend("never seen", 5)
    assert found.cold_user
    assert len(found) == 5
    counts = recommender.known.counts()
    assert counts[recommender.items.ids.codes(found.items)].mean() > counts.mean()
    assert not recommender.recommend("p1").cold_user


def test_items_nobody_took_can_be_shown_and_are_flagged(recommender: Recommender, town: Any) -> None:
    lofts = [home for home, kind in town.kind_of.items() if kind == "loft"][:4]
    found = recommender.recommend(None, 2, session=lofts, candidates=["new-flat", "new-loft"])
    assert found.items == ("new-loft", "new-flat")
    assert found.cold.tolist() == [True, True]


def test_unknown_items_are_left_out_and_named(recommender: Recommender) -> None:
    found = recommender.recommend("p1", candidates=["h002", "nowhere", "h003"], session=["lost"], exclude_seen=False)
    assert set(found.items) == {"h002", "h003"}
    assert found.unknown == ("lost", "nowhere")


@pytest.mark.parametrize("candidates", [[], ["nowhere"]])
def test_no_candidates_give_an_empty_list(recommender: Recommender, candidates: list[str]) -> None:
    found = recommender.recommend("p1", candidates=candidates)
    assert found.items == ()
    assert found.considered == 0
    assert found.log("l1") == []


def test_all_filtered_gives_an_empty_list_that_says_by_what(recommender: Recommender) -> None:
    found = recommender.recommend(None, candidates=["h001", "h002"], budget=1.0)
    assert found.items == ()
    assert found.removed == {"over_budget": 2}


def test_a_candidate_that_is_given_twice_counts_once(recommender: Recommender) -> None:
    found = recommender.recommend(None, candidates=["h001", "h002", "h001"])
    assert sorted(found.items) == ["h001", "h002"]
    assert found.considered == 2


def test_ten_thousand_candidates_are_answered_within_moments(recommender: Recommender, town: Any) -> None:
    many = [town.homes[number % len(town.homes)] for number in range(10_000)]
    recommender.recommend("p1", candidates=many[:100])
    started = time.perf_counter()
    found = recommender.recommend("p1", candidates=many)
    assert time.perf_counter() - started < 1
    assert len(found) == 10


def test_the_order_of_candidates_does_not_matter(recommender: Recommender, town: Any) -> None:
    forward = recommender.recommend("p3", 20, candidates=town.homes)
    backward = recommender.recommend("p3", 20, candidates=town.homes[::-1])
    assert forward.items == backward.items
    assert forward.scores.tolist() == backward.scores.tolist()


def test_sold_and_not_yet_listed_homes_are_not_shown(recommender: Recommender, town: Any) -> None:
    sold = [home for number, home in enumerate(town.homes) if number % 10 == 9]
    later = datetime.fromtimestamp(1_700_000_000 + 3 * 86_400, UTC)
    assert recommender.recommend(None, candidates=sold, at=later).removed == {"unavailable": len(sold)}
    assert recommender.recommend(None, candidates=sold, at=1_700_000_000.0).removed == {}
    before = recommender.recommend(None, candidates=["new-loft"], at=1_600_000_000.0)
    assert before.removed == {"unavailable": 1}


def test_a_budget_goes_by_live_prices_where_they_are_given(recommender: Recommender) -> None:
    asked = {"candidates": ["h001", "h002"], "budget": 50_000.0}
    assert recommender.recommend(None, **asked).items == ()
    assert recommender.recommend(None, **asked, live={"price": [40_000, 60_000]}).items == ("h001",)


def test_live_numbers_belong_to_candidates_and_are_known(recommender: Recommender) -> None:
    with pytest.raises(UsageError, match="without candidates"):
        recommender.recommend(None, live={"rooms": [1]})
    with pytest.raises(UsageError, match="2 values of 'rooms' for 1 candidates"):
        recommender.recommend(None, candidates=["h001"], live={"rooms": [1, 2]})
    with pytest.raises(DataError, match="'beauty' is no number of the items"):
        recommender.recommend(None, candidates=["h001"], live={"beauty": [1]})


def test_an_area_that_is_unknown_changes_nothing(recommender: Recommender) -> None:
    assert recommender.recommend(None, area="nowhere").items == recommender.recommend(None).items
    assert recommender.recommend(None, area="area2").scores.tolist() != recommender.recommend(None).scores.tolist()


def test_similar_homes_are_of_the_same_kind(recommender: Recommender, town: Any) -> None:
    for home in town.homes[:8]:
        found = recommender.similar(home, 4)
        assert home not in found.items
        assert kinds(town, found).count(town.kind_of[home]) >= 3


def test_something_new_has_similar_items_too(recommender: Recommender, town: Any) -> None:
    assert kinds(town, recommender.similar("new-loft", 3)) == ["loft"] * 3


def test_an_unknown_item_has_none(recommender: Recommender) -> None:
    with pytest.raises(UsageError, match="'nowhere' is not in the catalogue"):
        recommender.similar("nowhere")


def test_many_at_once_get_the_lists_they_get_one_by_one(recommender: Recommender) -> None:
    for person, many in recommender.recommend_many(n=8):
        alone = recommender.recommend(person, 8)
        assert many.items == alone.items
        assert many.scores.tolist() == alone.scores.tolist()


def test_many_at_once_may_hold_strangers(recommender: Recommender) -> None:
    found = dict(recommender.recommend_many(["p3", "stranger", "p1"], 2))
    assert list(found) == ["p3", "stranger", "p1"]
    assert found["stranger"].items == recommender.recommend("stranger", 2).items
    assert [one.cold_user for one in found.values()] == [False, True, False]


def test_what_is_asked_for_many_is_what_each_is_asked(recommender: Recommender) -> None:
    asked: dict[str, Any] = {
        "rules": [AtMost(1), Pinned("h000", 2)], "diversity": 0.4, "area": "area2", "place": (48.1, 11.0),
        "budget": 350_000.0, "explore": 0.5, "explore_depth": 9, "seed": 4,
    }  # fmt: skip
    for person, many in recommender.recommend_many(["p4", "p9"], 6, **asked):
        alone = recommender.recommend(person, 6, **asked)
        assert many.items == alone.items
        assert many.propensities.tolist() == alone.propensities.tolist()
    with pytest.raises(UsageError, match="without candidates"):
        list(recommender.recommend_many(["p4"], live={"price": [1.0]}))


def test_what_is_like_an_item_may_be_chosen_from_candidates(recommender: Recommender, town: Any) -> None:
    found = recommender.similar("h001", 3, candidates=["h001", *town.homes[4:30], "nowhere"], budget=400_000.0)
    assert set(found.items) <= set(town.homes[4:30])
    assert found.unknown == ("nowhere",)


def test_rules_hide_limit_pin_and_boost(recommender: Recommender) -> None:
    plain = recommender.recommend("p5", 10)
    first, second = plain.items[:2]
    assert first not in recommender.recommend("p5", 10, rules=[Hidden(items=(first,))]).items
    pinned = recommender.recommend("p5", 10, rules=[Pinned("h000", 2)])
    assert pinned.items[1] == "h000"
    assert len(set(pinned.items)) == 10
    boosted = recommender.recommend("p5", 10, rules=[Boosted(by=50.0, items=(second,))])
    assert boosted.items[0] == second
    limited = recommender.recommend("p5", 10, rules=[AtMost(1)])
    agents = recommender.items.group[recommender.items.ids.codes(limited.items)]
    assert len(set(agents.tolist())) == len(limited) == 7


def test_a_group_may_be_hidden_whole(recommender: Recommender) -> None:
    found = recommender.recommend("p5", 30, rules=[Hidden(groups=("agent1", "agent2"))])
    assert found.removed["hidden"] > 0
    agents = recommender.items.groups.names(recommender.items.group[recommender.items.ids.codes(found.items)])
    assert not {"agent1", "agent2"} & set(agents)


def test_what_is_hidden_is_not_pinned_either(recommender: Recommender) -> None:
    found = recommender.recommend("p5", 5, rules=[Hidden(items=("h000",)), Pinned("h000", 1)])
    assert "h000" not in found.items


def test_diversity_mixes_kinds(recommender: Recommender, town: Any) -> None:
    flats = [home for home, kind in town.kind_of.items() if kind == "flat"][:4]
    plain = recommender.recommend(None, 8, session=flats)
    mixed = recommender.recommend(None, 8, session=flats, diversity=0.7)
    assert len(set(kinds(town, mixed))) > len(set(kinds(town, plain)))
    assert mixed.items[0] == plain.items[0]


def test_diversity_goes_by_differences_of_scores_and_not_by_how_high_all_are() -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(20, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items, scores = np.arange(20, dtype=np.int32), random.normal(size=20)
    low, high = (diversified(items, scores + more, vectors, 8, diversity=0.4) for more in (0.0, 10.0))
    assert low.tolist() == high.tolist()


def test_chance_is_logged_with_its_propensities(recommender: Recommender, town: Any) -> None:
    asked: dict[str, Any] = {"explore": 0.5, "explore_depth": 20}
    plain = recommender.recommend("p2", 5, candidates=town.homes[:40])
    lists = [recommender.recommend("p2", 5, candidates=town.homes[:40], seed=seed, **asked) for seed in range(300)]
    shuffled = [found.shuffled for found in lists]
    assert 0.4 < np.mean(shuffled) < 0.6
    assert {found.items for found in lists if not found.shuffled} == {plain.items}
    at_top = [found.items[0] == plain.items[0] for found in lists]
    stated = lists[shuffled.index(False)].propensities[0]
    assert stated == pytest.approx(0.5 + 0.5 / 20)
    assert np.mean(at_top) == pytest.approx(stated, abs=0.08)
    again = recommender.recommend("p2", 5, candidates=town.homes[:40], seed=0, **asked)
    assert lists[0].items == again.items


def test_a_log_holds_what_a_replay_needs(recommender: Recommender) -> None:
    found = recommender.recommend("p2", 3, rules=[Pinned("h000", 1)])
    rows = found.log("list-7", user="p2")
    assert [row["position"] for row in rows] == [1, 2, 3]
    assert rows[0] == {"user": "p2", "list": "list-7", "item": "h000", "position": 1, "propensity": 1.0, "score": None}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n": 0}, "n is 0"),
        ({"diversity": 2.0}, "diversity is 2.0"),
        ({"explore": -1.0}, "explore is -1.0"),
        ({"rules": ["hide it"]}, "a str is no rule"),
        ({"rules": [Pinned("h1", 1), Pinned("h2", 1)]}, "pinned at one place"),
        ({"rules": [AtMost(0)]}, "Count from 1"),
        ({"rules": [Pinned("h1", 0)]}, "place 0"),
        ({"number": 3}, "number"),
    ],
)
def test_what_makes_no_sense_is_refused(recommender: Recommender, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recommender.recommend("p1", **asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"session": "h001"}, "the text 'h001'"),
        ({"session": [1.5]}, "no identifier"),
        ({"user": True}, "no identifier"),
        ({"at": datetime(2024, 1, 1)}, "no zone"),  # noqa: DTZ001 -- that is the mistake
    ],
)
def test_what_is_of_another_type_is_refused(recommender: Recommender, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongType, match=message):
        recommender.recommend(**asked)
