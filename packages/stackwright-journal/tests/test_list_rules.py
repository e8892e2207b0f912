"""Alert rules over lists: what alarms, what is insufficient, and against what a window is held."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_journal.alert_rules import AlertRule
from stackwright_journal.list_reading import NO_LISTS, ShownLists
from stackwright_journal.list_rules import DEFAULTS, ListWindow, evaluate_lists, rarefied


def shown(
    n: int, *, ctr: float = 0.2, users: int | None = None, items: int = 50, flags: Any = (), seed: int = 1
) -> ShownLists:
    """Return so many lists of five items, each clicked with this probability."""
    random = np.random.default_rng(seed)
    drawn = [random.choice(items, 5, replace=False) for _ in range(n)]
    lists = [{"user": f"u{place % (users or n)}", "flags": list(flags), "version": 1} for place in range(n)]
    names = np.array([f"h{item}" for one in drawn for item in one] or [], dtype=object)
    clicked = (random.random(5 * n) < ctr).astype(np.float64)
    place = np.tile(np.arange(1, 6), n)
    return ShownLists(lists, np.repeat(np.arange(n), 5), place, names, np.ones(5 * n), clicked, np.zeros(5 * n, bool))


def window(now: ShownLists, **more: Any) -> ListWindow:
    given = {"before": True, "start": NO_LISTS, "previous": NO_LISTS, "k": 5, "catalogue": 50, **more}
    return ListWindow(shown=now, **given)


def judged(watch: str, found: ListWindow, **more: Any) -> dict[str, Any]:
    return evaluate_lists(AlertRule(name="r", watch=watch, **more), found)


def test_fewer_clicks_than_in_the_first_days_alarm_and_as_many_do_not() -> None:
    start = shown(1000, seed=2)
    worse = judged("ctr", window(shown(1000, ctr=0.1), start=start))
    assert worse["state"] == "alarm"
    (part,) = worse["parts"]
    assert part["low"] < part["value"] < part["high"] < part["expected"]
    assert "worse" in part["words"]
    assert judged("ctr", window(shown(1000), start=start))["state"] == "ok"


def test_a_loss_that_chance_explains_is_none() -> None:
    assert judged("ctr", window(shown(120, ctr=0.02), start=shown(120, ctr=0.03, seed=3)))["state"] != "alarm"


def test_someone_who_asks_all_day_counts_once() -> None:
    """One of forty users clicks everything: it is forty users that the interval is of, not four thousand lists."""
    many, few = (judged("ctr", window(shown(4000, users=users)), against=0.2) for users in (None, 40))
    found = shown(4000, users=40)
    found.clicked[found.number % 40 == 0] = 1.0
    skewed = judged("ctr", window(found), against=0.2)["parts"][0]
    for one in (many, few):
        assert one["parts"][0]["high"] - one["parts"][0]["low"] < 0.03
    assert skewed["high"] - skewed["low"] > 0.05


@pytest.mark.parametrize(("lists", "users"), [(99, 99), (500, 29)])
def test_few_lists_or_few_users_prove_nothing(lists: int, users: int) -> None:
    assert judged("ctr", window(shown(lists, ctr=0.0, users=users)), against=0.2)["state"] == "insufficient"


def test_what_was_before_may_be_too_little_or_nothing() -> None:
    for start in (NO_LISTS, shown(20)):
        assert judged("ctr", window(shown(500, ctr=0.0), start=start))["state"] == "insufficient"
    nothing = judged("ctr", window(shown(500)), against="previous")
    assert "nothing to hold it against" in nothing["words"]


def test_a_version_is_held_against_the_one_before() -> None:
    found = window(shown(1000, ctr=0.1), start=shown(1000, ctr=0.1, seed=4), previous=shown(1000, seed=5))
    assert judged("ctr", found)["state"] == "ok"
    assert judged("ctr", found, against="previous")["state"] == "alarm"


def test_a_number_may_be_zero() -> None:
    assert judged("ctr", window(shown(500, ctr=0.0)), against=0.0, kind="fall")["state"] == "ok"


def test_clicks_further_down_lower_the_ndcg_and_not_the_share() -> None:
    start, now = shown(1000, ctr=0.0), shown(1000, ctr=0.0)
    start.clicked[start.position == 1] = 1.0
    now.clicked[now.position == 5] = 1.0
    found = window(now, start=start)
    assert judged("ctr", found)["state"] == "ok"
    assert judged("ndcg", found)["state"] == "alarm"
    assert judged("mrr", found)["state"] == "alarm"
    assert judged("performance", found)["state"] == "alarm"


def test_lists_without_a_click_are_not_counted_as_judged() -> None:
    now = shown(1000, ctr=0.0)
    now.clicked[: 5 * 50] = 1.0
    (part,) = judged("ndcg", window(now), against=0.9)["parts"]
    assert (part["n"], part["state"]) == (50, "insufficient")


@pytest.mark.parametrize(
    ("watch", "flag"), [("fallbacks", "fallback"), ("fallbacks", "no_session"), ("stale", "stale")]
)
def test_lists_that_lack_something_alarm_by_themselves(watch: str, flag: str) -> None:
    assert judged(watch, window(shown(200, flags=[flag])))["state"] == "alarm"
    assert judged(watch, window(shown(200, flags=["shuffled"])))["state"] == "ok"


def test_more_strangers_and_more_unknown_items_than_before_alarm() -> None:
    start = shown(300)
    assert judged("cold_users", window(shown(300, flags=["cold_user"]), start=start))["state"] == "alarm"
    cold = shown(300)
    cold.cold[:] = True
    assert judged("cold_items", window(cold, start=start))["state"] == "alarm"
    assert judged("cold_items", window(start, start=cold), kind="fall")["state"] == "alarm"


def test_coverage_is_compared_at_equal_numbers_of_lists() -> None:
    """A window of fewer lists shows fewer items, and that is no loss."""
    start = shown(2000, items=400, seed=6)
    fewer = window(shown(100, items=400), start=start, catalogue=400)
    assert judged("coverage", fewer)["state"] == "ok"
    assert judged("coverage", fewer, against=1.0)["state"] == "alarm"
    narrow = window(shown(100, items=20), start=start, catalogue=400)
    assert judged("coverage", narrow)["state"] == "alarm"
    assert judged("novelty", narrow)["state"] == "alarm"
    assert judged("coverage", window(shown(100), catalogue=None), against=1.0)["state"] == "insufficient"


def test_silence_alarms_where_lists_were_shown_before() -> None:
    assert judged("silence", window(NO_LISTS))["state"] == "alarm"
    assert judged("silence", window(NO_LISTS, before=False))["state"] == "insufficient"
    assert judged("silence", window(shown(3)))["state"] == "ok"


def test_the_usual_rules_say_nothing_of_no_lists() -> None:
    assert {evaluate_lists(rule, window(NO_LISTS))["state"] for rule in DEFAULTS} == {"insufficient"}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sets(st.integers(0, 6), max_size=4), min_size=1, max_size=6), st.data())
def test_rarefaction_is_the_mean_over_all_draws(lists: list[set[int]], data: st.DataObject) -> None:
    drawn = data.draw(st.integers(1, len(lists)))
    items = sorted(set().union(*lists))
    times = np.array([sum(item in one for one in lists) for item in items], dtype=np.float64)
    counts = [len(set().union(*some)) for some in combinations(lists, drawn)]
    assert rarefied(times, len(lists), drawn) == pytest.approx(np.mean(counts))
