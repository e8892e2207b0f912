"""Retrievers: what each knows, that all of them keep the contract, and how one is found by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import implicit.cpu.als
import numpy as np
import pytest

from stackwright_interfaces.errors import ArtifactError, PluginError, TrainingError
from stackwright_recommender import Columns, Recommender, train
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.identifiers import UNKNOWN, Identifiers
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.pool import Pool
from stackwright_recommender.retrieval import finding
from stackwright_recommender.retrieval.als import AlternatingLeastSquares
from stackwright_recommender.retrieval.content import Content
from stackwright_recommender.retrieval.contract import Retriever, top
from stackwright_recommender.retrieval.ease import Ease
from stackwright_recommender.retrieval.nearest import Nearest
from stackwright_recommender.retrieval.neighbours import Neighbours
from stackwright_recommender.retrieval.popularity import Popularity
from stackwright_recommender.retrieval.sequences import Sequences


@pytest.fixture(params=sorted(finding.BUILT_IN))
def fitted(request: pytest.FixtureRequest, recommender: Recommender) -> Retriever:
    made = finding.named(request.param)
    made.fit(recommender.known, recommender.items)
    return made


@pytest.fixture
def sessions(recommender: Recommender) -> Sessions:
    made = Sessions.of(recommender.known, np.arange(40))
    return replace(made, at=np.full(40, recommender.known.newest), _memo={})


def random_interactions(users: int = 60, items: int = 25, seed: int = 3) -> Interactions:
    rng = np.random.default_rng(seed)
    user, item = np.nonzero(rng.random((users, items)) < 0.2)
    return Interactions.of(user, item, rng.random(user.size), users=users, items=items)


def bare(items: int) -> Catalogue:
    return Catalogue.bare(Identifiers([f"i{number:03}" for number in range(items)]))


def test_what_was_seen_and_not_liked_is_no_taste_for_neighbours() -> None:
    """The first user liked 0 and saw 1, the second liked 0 and 2; who asks liked 0 and saw 1, like the first."""
    liked = Interactions.of([0, 0, 1, 1], [0, 1, 0, 2], weight=[1, 0, 1, 1], users=2, items=3)
    made = Neighbours()
    made.fit(liked, bare(3))
    asked = Interactions.of([0, 0], [0, 1], weight=[1, 0], users=1, items=3)
    (whole, *_), _ = made.all_scores(Sessions.of(asked, np.array([0])))
    assert whole[1] == 0
    assert whole[0] == whole[2] > 0, "the history that is the session itself tells nothing"
    assert made.state()["data"].all()


def test_candidates_come_best_first_and_none_twice(fitted: Retriever, sessions: Sessions) -> None:
    found = fitted.candidates(sessions, 12)
    assert len(found.items) == len(sessions)
    for items, scores in zip(found.items, found.scores, strict=True):
        known = items >= 0
        assert len(set(items[known].tolist())) == known.sum()
        assert (np.diff(scores[known]) <= 0).all()


def test_a_session_gets_the_same_alone_and_among_others_of_all_items_and_of_few(
    fitted: Retriever, sessions: Sessions
) -> None:
    items = np.arange(sessions.items, dtype=np.int32)
    together = fitted.scores(sessions, Lists.of([items] * len(sessions)))
    together = together.reshape(len(fitted.signals), len(sessions), -1)
    for number in (0, 7, 39):
        one = sessions.one(number)
        np.testing.assert_array_equal(fitted.scores(one, Lists.of([items])), together[:, number])
        np.testing.assert_array_equal(fitted.scores(one, Lists.of([items[3:9]])), together[:, number, 3:9])


def test_what_was_restored_says_the_same(fitted: Retriever, sessions: Sessions, recommender: Recommender) -> None:
    back = finding.named(finding.reference_of(type(fitted)), fitted.options())
    back.restore(fitted.state(), recommender.items)
    items = Lists.of([np.arange(sessions.items, dtype=np.int32)] * len(sessions))
    np.testing.assert_array_equal(back.scores(sessions, items), fitted.scores(sessions, items))


def test_ease_is_its_closed_form() -> None:
    known = random_interactions()
    matrix = known.matrix.toarray().astype(float)
    inverse = np.linalg.inv(matrix.T @ matrix + 7.0 * np.eye(known.items))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    ease = Ease(l2=7.0, half_lives=())
    ease.fit(known, bare(known.items))
    found = ease.all_scores(Sessions.of(known, np.arange(known.users)))[0]
    spoken = matrix.any(axis=1)
    np.testing.assert_allclose(found[spoken], (matrix @ weights)[spoken], rtol=1e-4, atol=1e-6)


def test_ease_of_many_items_keeps_its_greatest_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from stackwright_recommender.retrieval import ease as module

    known = random_interactions()
    whole, pruned = Ease(l2=7.0), Ease(l2=7.0, keep=known.items, most=20)
    whole.fit(known, bare(known.items))
    monkeypatch.setattr(module, "_FEW", 4)
    pruned.fit(known, bare(known.items))
    sessions = Sessions.of(known, np.arange(known.users))
    found = pruned.all_scores(sessions)
    assert np.isnan(found).any(axis=(0, 1)).sum() >= known.items - 20
    same = pruned.scores(sessions.one(1), Lists.of([np.arange(8, dtype=np.int32)]))
    np.testing.assert_array_equal(same, found[:, 1, :8])
    pruned = Ease(l2=7.0, keep=known.items)
    pruned.fit(known, bare(known.items))
    np.testing.assert_allclose(pruned.all_scores(sessions), whole.all_scores(sessions), rtol=1e-3, atol=1e-4)


def test_ease_says_nothing_of_one_who_saw_items_and_liked_none_alone_and_among_others() -> None:
    known = Interactions.of([0, 0, 1, 1, 2], [0, 1, 1, 2, 0], weight=[1, 1, 1, 1, 0])
    ease = Ease(l2=1.0)
    ease.fit(known, bare(known.items))
    sessions = Sessions.of(known, np.arange(3))
    among, alone = ease.all_scores(sessions)[:, 2], ease.all_scores(sessions.one(2))[:, 0]
    assert np.isnan(among).all()
    assert np.isnan(alone).all()
    assert (ease.candidates(sessions.one(2), 3).items == UNKNOWN).all()


def test_ease_without_anything_liked_is_refused() -> None:
    known = random_interactions()
    with pytest.raises(TrainingError, match="no interactions"):
        Ease().fit(replace(known, weight=np.zeros(len(known))), bare(known.items))


def test_histories_are_folded_in_as_implicit_folds_them_in() -> None:
    known = random_interactions()
    ours = AlternatingLeastSquares(size=8, alpha=4.0)
    ours.fit(known, bare(known.items))
    theirs = implicit.cpu.als.AlternatingLeastSquares(factors=8, regularization=0.1)
    theirs.item_factors = ours.offered.astype(np.float32)
    confidence = known.matrix
    confidence.data = 1 + 4 * confidence.data
    users = np.arange(known.users)
    found = ours.asked(Sessions.of(known, users))
    np.testing.assert_allclose(found, theirs.recalculate_user(users, confidence), atol=1e-4)


def test_the_confidence_that_is_left_open_is_chosen_on_what_was_held_out(trained: Callable[..., Recommender]) -> None:
    made = trained(retrievers=["als"])
    assert made.stages.pool.retrievers[0].options()["alpha"] in (1.0, 10.0, 40.0)


def homes(items: int, cells: int = 40) -> Catalogue:
    """Return items whose numbers lie around some centres."""
    rng = np.random.default_rng(5)
    around = rng.normal(size=(cells, 6))[rng.integers(0, cells, items)]
    numbers = around + 0.1 * rng.normal(size=(items, 6))
    return replace(bare(items), numbers=numbers, number_names=tuple("abcdef"))


def test_every_item_is_looked_at_where_they_are_few() -> None:
    known, items = random_interactions(items=300), homes(300)
    content, nearest = Content(), Nearest(of="content")
    for one in (content, nearest):
        one.fit(known, items)
    sessions = Sessions.of(known, np.arange(known.users))
    np.testing.assert_array_equal(nearest.candidates(sessions, 20).items, content.candidates(sessions, 20).items)


def test_most_of_the_nearest_are_found_where_a_part_of_the_items_is_looked_at() -> None:
    known, items = random_interactions(items=5_000, users=50), homes(5_000)
    content, nearest = Content(), Nearest(of="content", exact=100)
    for one in (content, nearest):
        one.fit(known, items)
    sessions = Sessions.of(known, np.arange(known.users))
    right, found = (one.candidates(sessions, 50).items for one in (content, nearest))
    shares = [np.isin(mine, best).mean() for mine, best in zip(found, right, strict=True)]
    assert np.mean(shares) > 0.8
    again = Nearest(of="content", exact=100)
    again.fit(known, items)
    assert again.state()["index"].tobytes() == nearest.state()["index"].tobytes()


def test_items_that_came_later_are_found_by_the_index() -> None:
    known, items = random_interactions(items=200), homes(260)
    nearest = Nearest(of="content")
    nearest.fit(known, replace(bare(200), numbers=items.numbers[:200], number_names=items.number_names))
    back = Nearest(of="content")
    back.restore(nearest.state(), items)
    history = Sessions.one_after_another(np.array([250], np.int32), np.ones(1), np.array([1]), 260, np.zeros(1))
    assert back.candidates(history, 3).items[0, 0] == 250
    assert back.candidates(history, 260).items[0, 259] >= 0


def test_an_index_of_something_else_is_damaged() -> None:
    known, items = random_interactions(items=200), homes(200)
    nearest = Nearest(of="content")
    nearest.fit(known, items)
    state = dict(nearest.state())
    for wrong in (state | {"index": state["index"][:9]}, {key: state[key] for key in state if key != "index"}):
        with pytest.raises(ArtifactError, match="damaged"):
            Nearest(of="content").restore(wrong, items)
    with pytest.raises(ArtifactError, match="damaged"):
        Nearest(of="content").restore(state, homes(20))


def test_a_library_that_is_missing_is_named_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known, items = random_interactions(items=200), homes(200)
    for module, extra, one in (
        ("implicit.cpu.als", "implicit", AlternatingLeastSquares()),
        ("faiss", "faiss", Nearest()),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(PluginError, match=rf"stackwright-recommender\[{extra}\]"):
            one.fit(known, items)


def test_what_follows_is_what_followed_others() -> None:
    user = np.repeat(np.arange(20), 3)
    known = Interactions.of(user, np.tile([0, 1, 2], 20), np.tile([1.0, 2.0, 3.0], 20), items=5)
    sequences = Sequences()
    sequences.fit(known, bare(5))
    asked = Sessions.one_after_another(np.array([1], np.int32), np.ones(1), np.array([1]), 5, np.array([9.0]))
    following = sequences.all_scores(asked)[0, 0]
    assert following.argmax() == 2
    assert following[0] == 0


def test_popularity_is_of_the_area_and_of_the_time_that_is_asked_for() -> None:
    day = 86_400.0
    item = np.repeat([0, 1, 2, 3], [30, 20, 10, 5])
    time = np.repeat([0.0, 200 * day, 200 * day, 200 * day], [30, 20, 10, 5])
    known = Interactions.of(np.arange(65), item, time, items=4)
    areas = replace(bare(4), area=np.array([0, 0, 1, 1], np.int32), areas=Identifiers(["north", "south"]), _memo={})
    popular = Popularity(half_life=10.0)
    popular.fit(known, areas)
    nobody = Sessions.one_after_another(np.zeros(0, np.int32), np.ones(0), np.zeros(2, np.int64), 4, np.zeros(2))
    asked = replace(nobody, at=np.array([1e12, 10 * day]), area=np.array([1, -1], np.int32), _memo={})
    in_all, lately, here = popular.all_scores(asked)
    assert in_all[0].tolist() == [30, 20, 10, 5]
    assert lately[0].argmax() == 1
    assert lately[1].argmax() == 0
    assert lately[1, 1:].tolist() == [0, 0, 0]
    assert np.isnan(here[0]).tolist() == [True, True, False, False]
    assert np.isnan(here[1]).all()


def test_the_best_are_ordered_equal_ones_by_code_and_the_unknown_left_out() -> None:
    found = top(np.array([[1.0, 3.0, np.nan, 3.0], [-np.inf, 0.0, np.nan, np.nan]]), 3)
    assert found.items.tolist() == [[1, 3, 0], [1, -1, -1]]


def test_however_many_are_asked_for_the_first_are_the_same() -> None:
    scores = np.random.default_rng(5).integers(0, 4, (20, 30)).astype(float)
    whole = top(scores, 30).items
    assert whole[3].tolist() == sorted(range(30), key=lambda item: (-scores[3, item], item))
    for n in range(30):
        assert top(scores, n).items.tolist() == whole[:, :n].tolist()


def test_a_retriever_is_found_by_name_path_and_class() -> None:
    path = "stackwright_recommender.retrieval.ease:Ease"
    assert [type(one) for one in finding.made(["ease", path, Ease, Ease()])] == [Ease] * 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("eese", "ease"),
        ("nowhere.module:Class", "cannot be imported"),
        ("stackwright_recommender.retrieval.ease:_L2", "is no class"),
        ("stackwright_recommender.pool:Pool", "not made from Retriever"),
    ],
)
def test_what_is_no_retriever_is_said(given: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        finding.made([given])


def test_options_that_it_has_not_are_refused() -> None:
    with pytest.raises(PluginError, match="cannot be made"):
        finding.named("ease", {"l3": 1})


def test_two_signals_of_one_name_are_refused() -> None:
    with pytest.raises(PluginError, match="'ease'"):
        Pool([Ease(), Ease()])


def test_one_that_is_named_and_has_nothing_to_learn_from_is_refused(town: Any) -> None:
    with pytest.raises(TrainingError, match="it needs latitude and longitude"):
        train(town.interactions, Columns(user="person", item="home", time="seen_at"), retrievers=["location"])


def test_retrievers_may_be_chosen(trained: Callable[..., Recommender], town: Any) -> None:
    made = trained(retrievers=["neighbours", "popular"])
    assert made.stages.pool.signals == ("neighbours", "neighbours_20", "popular", "trending", "popular_here")
    assert len(made.recommend("p1", 5)) == 5
