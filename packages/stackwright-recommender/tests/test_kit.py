"""The kit of recommenders finds out each fault: a recommender that is wrong in one way fails the case that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.recommender import Recommendations, Recommender, RecommenderTrainer, Request
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.recommender import RecommenderCases
from stackwright_recommender import plugin

Answer = Callable[[Request], Recommendations]
Fault = Callable[[Answer, Request], Recommendations]


class Wrong(Recommender):
    """A recommender with a fault."""

    def __init__(self, right: Recommender, fault: Fault) -> None:
        self._right, self._fault = right, fault

    def answer(self, request: Request) -> Recommendations:
        return self._fault(self._right.answer, request)

    def answer_users(
        self, users: Sequence[Any] | None, request: Request, *, at: Sequence[float] | None = None
    ) -> Iterator[tuple[Any, Recommendations]]:
        yield from self._right.answer_users(users, replace(request, rules=()), at=at)


def asked_as(**changes: Any) -> Fault:
    return lambda answer, request: answer(replace(request, **changes))


def told_as(**changes: Any) -> Fault:
    return lambda answer, request: replace(answer(request), **changes)


def as_given(answer: Answer, request: Request) -> Recommendations:
    found = answer(request)
    return replace(found, items=tuple(sorted(found.items, key=list(request.candidates or found.items).index)))


def lenient(answer: Answer, request: Request) -> Recommendations:
    return answer(replace(request, n=max(request.n, 1), diversity=0.0, explore=0.0, rules=(), live={}))


def never_cold(answer: Answer, request: Request) -> Recommendations:
    found = answer(request)
    return replace(found, cold=np.zeros(len(found), dtype=bool))


FAULTS: dict[str, tuple[str, Fault]] = {
    "one place is missing": (
        "test_a_list_is_as_long_as_asked_best_first_and_holds_nothing_twice",
        lambda answer, request: answer(replace(request, n=max(request.n - 1, 1))),
    ),
    "what was seen is shown": (
        "test_what_was_seen_is_left_out_unless_asked_for",
        asked_as(exclude_seen=False),
    ),
    "candidates are not kept to": (
        "test_only_candidates_are_shown_each_once_and_unknown_ones_are_named",
        asked_as(candidates=None),
    ),
    "unknown candidates are not named": (
        "test_only_candidates_are_shown_each_once_and_unknown_ones_are_named",
        told_as(unknown=()),
    ),
    "candidates are shown as they are given": ("test_the_order_of_the_candidates_does_not_count", as_given),
    "nobody is unknown": ("test_someone_unknown_gets_a_list_that_says_so", told_as(cold_user=False)),
    "a session changes nothing": ("test_a_session_changes_the_list", asked_as(session=())),
    "no item is new": ("test_items_that_nobody_took_may_be_shown_and_are_flagged", never_cold),
    "everybody is alike": ("test_people_get_what_they_like", asked_as(user=None)),
    "nothing is alike": (
        "test_what_is_alike_is_of_the_same_kind_and_not_the_item_itself",
        asked_as(like=None),
    ),
    "the time does not count": (
        "test_what_is_off_the_market_or_too_dear_is_taken_out_and_counted",
        asked_as(at=0.0),
    ),
    "what was taken out is not told": (
        "test_what_is_off_the_market_or_too_dear_is_taken_out_and_counted",
        told_as(removed={}),
    ),
    "live prices do not count": ("test_live_prices_stand_over_those_that_are_known", asked_as(live={})),
    "rules do not count": ("test_rules_hide_limit_pin_and_boost", asked_as(rules=())),
    "lists are never mixed": ("test_diversity_mixes_kinds", asked_as(diversity=0.0)),
    "chance has no seed": ("test_chance_is_seeded_and_its_probabilities_are_told", asked_as(seed=None)),
    "chance is not told": ("test_chance_is_seeded_and_its_probabilities_are_told", asked_as(explore=0.0)),
    "many get other lists": (
        "test_many_at_once_get_the_lists_that_they_get_one_by_one",
        lambda answer, request: answer(request),
    ),
}


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    class Cases(RecommenderCases):
        spec = spec_of(plugin, RecommenderTrainer)

        def config(self, folder: Path) -> Any:
            del folder
            return self.spec.config(folds=1, candidates=20, trees=10)

    return Cases().fitted(tmp_path_factory.mktemp("kit")).recommender()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_out_by_the_case_that_says_so(right: Recommender, fault: str) -> None:
    case, wrong = FAULTS[fault]
    getattr(RecommenderCases(), case)(right if case.startswith("test_many") else Wrong(right, lambda ask, it: ask(it)))
    with pytest.raises((AssertionError, KeyError)):
        getattr(RecommenderCases(), case)(Wrong(right, wrong))


@pytest.mark.parametrize(
    "request_", [{"n": 0}, {"diversity": 1.5}, {"explore": -0.1}, {"rules": ("hide it",)}, {"live": {"price": [1.0]}}],
    ids=str,
)  # fmt: skip
def test_leniency_is_found_out(right: Recommender, request_: dict[str, Any]) -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        RecommenderCases().test_a_request_out_of_range_is_refused(Wrong(right, lenient), request_)
