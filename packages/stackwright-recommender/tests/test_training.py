"""What is held out is not seen by what is judged or learned by it, and nothing of a time to come is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.errors import TrainingError
from stackwright_recommender import Recommender, Settings
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.features import Features
from stackwright_recommender.holdout import folds
from stackwright_recommender.identifiers import Identifiers
from stackwright_recommender.interactions import DAY, Interactions, Lists, Sessions
from stackwright_recommender.ranker import Parts, Ranker, RankerOptions
from stackwright_recommender.retrieval.contract import Trial
from stackwright_recommender.retrieval.ease import Ease
from stackwright_recommender.retrieval.popularity import Popularity
from stackwright_recommender.timeline import LastTaken, Trends
from stackwright_recommender.training import fit


@st.composite
def events(draw: st.DrawFn) -> Interactions:
    count = draw(st.integers(2, 40))
    rows = st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 30))
    drawn = draw(st.lists(rows, min_size=count, max_size=count))
    user, item, day = (np.array(column) for column in zip(*drawn, strict=True))
    return Interactions.of(user, item, day * DAY, users=5, items=7)


def pairs(some: Interactions) -> set[tuple[int, int]]:
    return set(zip(some.user.tolist(), some.item.tolist(), strict=True))


@given(events(), st.sampled_from(["last", "random"]), st.integers(1, 3))
def test_a_fold_knows_nothing_of_what_it_holds_out(known: Interactions, how: Any, count: int) -> None:
    try:
        made = folds(known, how, share=0.25, count=count, seed=1)
    except TrainingError:
        assert how == "random" or np.diff(known.offsets).max() < 2
        return
    for fold in made:
        assert not pairs(fold.known) & pairs(fold.held)
        assert pairs(fold.known) | pairs(fold.held) <= pairs(known)
        for user in np.unique(fold.held.user) if how == "last" else ():
            before, after = (part.time[part.user == user] for part in (fold.known, fold.held))
            assert before.size
            assert before.max() <= after.min()


class Spy(Ease):
    """Takes note of what it is fitted to and asked about."""

    name = "spy"

    def __init__(self) -> None:
        super().__init__(l2=50.0, half_lives=())
        self.fitted: list[set[tuple[int, int]]] = []
        self.asked: list[tuple[int, set[int]]] = []

    def fit(self, interactions: Interactions, items: Any) -> None:
        self.fitted.append(pairs(interactions))
        super().fit(interactions, items)

    def all_scores(self, sessions: Sessions) -> Any:
        self.asked.append((len(self.fitted), set(sessions.item.tolist())))
        return super().all_scores(sessions)


class Chooser(Popularity):
    """Asks the trial about scores that put what was seen and not liked first, and then what is held out."""

    judged = 0.0

    def tune(self, trial: Trial) -> None:
        self.judged = trial.judge(np.tile([0.0, 3.0, 2.0, 1.0], (len(trial.sessions), 1)))


def test_retrievers_are_tuned_by_lists_without_what_was_seen_and_not_liked() -> None:
    user = np.repeat(np.arange(20), 3)
    item, weight, day = (np.tile(row, 20) for row in ([0, 1, 2], [1, 0, 1], [1, 2, 3]))
    interactions = Interactions.of(user, item, day * DAY, weight, users=20, items=4)
    chooser = Chooser()
    items = Catalogue.bare(Identifiers([f"i{number}" for number in range(4)]))
    fit(interactions, items, [chooser], Settings(folds=1, share=0.3, ranker=RankerOptions(trees=2)))
    assert chooser.judged == 1.0


def test_retrievers_do_not_see_what_the_ranker_learns_to_find_until_the_end(recommender: Recommender) -> None:
    spy, settings = Spy(), Settings(folds=2, candidates=20, ranker=RankerOptions(trees=5))
    known = recommender.known
    fit(known, recommender.items, [spy, Popularity()], settings)
    parts = folds(known, "last", share=settings.share, count=2, seed=settings.seed)
    assert [len(seen) for seen in spy.fitted] == [len(parts[0].known), len(parts[1].known), len(known)]
    for fold, seen in zip(parts, spy.fitted, strict=False):
        assert not seen & pairs(fold.held)
    assert {number for number, _ in spy.asked} == {1, 2}


@given(events(), st.integers(0, 35))
def test_counts_of_a_time_gone_by_hold_nothing_that_came_after_it(known: Interactions, day: int) -> None:
    at = np.array([day * DAY])
    past = known.take(known.time <= day * DAY)
    trends = Trends.of(known, 8.0)
    found = trends.at(at)[0]
    assert (found[np.bincount(past.item, minlength=7) == 0] == 0).all()
    tick = trends.ticks[max(np.searchsorted(trends.ticks, at[0], side="right") - 1, 0)]
    before = known.time < tick if tick < trends.ticks[-1] else known.time <= min(tick, at[0])
    aged = np.bincount(known.item, before * np.exp2((known.time - tick) / (8 * DAY)), 7)
    np.testing.assert_allclose(found, aged, rtol=1e-5, atol=1e-6)


@given(events(), st.integers(-3, 35))
def test_when_an_item_was_last_taken_is_as_of_then(known: Interactions, day: int) -> None:
    item = np.arange(7, dtype=np.int32)
    found = LastTaken.of(known).before(item, np.full(7, day * DAY))
    for code, time in enumerate(found.tolist()):
        past = known.time[(known.item == code) & (known.time <= day * DAY)]
        assert (np.isnan(time) and not past.size) or time == past.max()


def test_features_of_a_list_do_not_depend_on_the_lists_beside_it(recommender: Recommender) -> None:
    pool, features = recommender.stages.pool, recommender.stages.features
    sessions = Sessions.of(recommender.known, np.arange(12))
    lists = pool.candidates(sessions, 9)
    together = features.matrix(sessions, lists, pool.scores(sessions, lists))
    assert together.shape[1] == len(features.names)
    for number in range(12):
        span = slice(lists.offsets[number], lists.offsets[number + 1])
        one, alone = sessions.one(number), Lists.of([lists.item[span]])
        np.testing.assert_array_equal(features.matrix(one, alone, pool.scores(one, alone)), together[span])


def test_standings_are_distances_from_the_mean_and_places_share(recommender: Recommender) -> None:
    features = Features.of(["signal"], recommender.known, recommender.items)
    sessions = Sessions.of(recommender.known, np.array([0, 1]))
    lists = Lists.of([np.arange(4, dtype=np.int32), np.zeros(0, np.int32)])
    rows = features.matrix(sessions, lists, np.array([[3.0, 1.0, np.nan, 3.0]], dtype=np.float32))
    np.testing.assert_array_equal(rows[:, 0], [0, 2, np.nan, 0])
    np.testing.assert_allclose(rows[:, 1], [0.5**0.5, -(2**0.5), np.nan, 0.5**0.5])


def test_a_mean_rating_is_drawn_to_that_of_all(recommender: Recommender) -> None:
    known = replace(recommender.known, rating=np.where(recommender.known.item == 3, 5.0, 1.0))
    features = Features.of(["signal"], known, recommender.items)
    sessions, lists = Sessions.of(known, np.array([0])), Lists.of([np.array([3, 4], np.int32)])
    rating = features.matrix(sessions, lists, np.zeros((1, 2), np.float32))[:, features.names.index("rating")]
    times, mean = int((known.item == 3).sum()), float(np.mean(known.rating))
    assert rating[0] == pytest.approx((5 * times + 5 * mean) / (times + 5))


def test_places_that_were_shown_are_learned_apart() -> None:
    rng = np.random.default_rng(4)
    lists, size = 400, 8
    good = rng.random((lists, size))
    shown = np.argsort(rng.random((lists, size)), axis=1)
    look = 1 / (1.0 + shown)
    clicks = rng.random((lists, size)) < look * (good > 0.6)
    kept = clicks.any(axis=1)
    rows = np.stack([-good, good, np.ones_like(good), np.zeros_like(good)], axis=2)[kept].reshape(-1, 4)
    sizes = np.full(kept.sum(), size)
    position = shown[kept].ravel()
    ranker = Ranker.fit(
        rows, clicks[kept].ravel().astype(int), sizes, parts=Parts(slice(1, 2), 2, 4), positions=position,
        options=RankerOptions(trees=30, smallest_leaf=0.01),
    )  # fmt: skip
    scores = ranker.scores(rows)
    better = good[kept].ravel() > 0.6
    assert scores[better].mean() > scores[~better].mean() + 0.5
    ranker.close()


@pytest.mark.parametrize(
    ("relevance", "sizes", "message"),
    [
        ([], [], "no lists"),
        ([0, 0, 1], [2, 1], "no list holds both"),
        ([0, 1, 0, 0], [2, 2], "no list holds both"),
        ([0] * 10_000 + [1], [10_001], "a list of 10,001 rows"),
    ],
)
def test_lists_that_teach_nothing_are_refused(relevance: list[int], sizes: list[int], message: str) -> None:
    rows = np.zeros((len(relevance), 3))
    with pytest.raises(TrainingError, match=message):
        Ranker.fit(rows, np.array(relevance), np.array(sizes), parts=Parts(slice(1, 2), 0, 3), options=RankerOptions())


def test_an_option_that_lightgbm_refuses_is_said() -> None:
    options = RankerOptions(params={"max_bin": 1})
    with pytest.raises(TrainingError, match="max_bin"):
        Ranker.fit(
            np.ones((4, 3)), np.array([1, 0, 1, 0]), np.array([2, 2]), parts=Parts(slice(1, 2), 0, 3), options=options
        )


def test_what_counts_for_someone_known_does_not_count_for_someone_unknown() -> None:
    rng = np.random.default_rng(9)
    lists, size = 300, 6
    personal, popular = rng.normal(size=(2, lists, size))
    history = np.repeat(np.arange(lists) % 2, size).reshape(lists, size).astype(float)
    taken = np.where(history > 0, personal - 0.5 * popular, popular)
    relevance = (taken == taken.max(axis=1, keepdims=True)).astype(int).ravel()
    mine = np.where(history > 0, personal, np.nan)
    rows = np.stack([-mine, -popular, mine, popular, history, np.zeros_like(history)], axis=2)
    options = RankerOptions(trees=10, smallest_leaf=0.02)
    parts = Parts(slice(2, 4), 4, 6)
    ranker = Ranker.fit(rows.reshape(-1, 6), relevance, np.full(lists, size), parts=parts, options=options)
    assert ranker.weights[0, 1] < 0 < ranker.weights[1, 1]
    cold = np.array([[np.nan, 1.0, np.nan, -1.0, 0, 0], [np.nan, -1.0, np.nan, 1.0, 0, 0]])
    assert np.diff(ranker.scores(cold)) > 0
    ranker.close()
