"""A recommender of MovieLens 100k, whose figures others publish: judged as they judge, and at least as good."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import movielens
import pyarrow as pa
import pytest

from stackwright_recommender import Columns, Recommender, Settings, evaluate, evaluate_recommender, train
from stackwright_recommender.evaluation import Evaluation
from stackwright_recommender.ranker import RankerOptions
from stackwright_recommender.retrieval.ease import Ease

COLUMNS = Columns(time="time", rating="rating")


@pytest.fixture(scope="module")
def ratings(data: Callable[[str], Path]) -> Any:
    return movielens.read(data("movielens_100k") / "u.data")


def trained(ratings: Any, settings: Settings, **options: Any) -> Recommender:
    return train(pa.Table.from_pandas(ratings, preserve_index=False), COLUMNS, settings=settings, **options)


def ndcg(found: Evaluation) -> float:
    return found.metrics["ndcg"].value


def test_lists_are_judged_as_others_judge_them(ratings: Any) -> None:
    older, newer = movielens.split(ratings)
    wanted = movielens.wanted_by(older, newer)
    found = evaluate(movielens.lists_of_sar(older), wanted, k=movielens.K, draws=2)
    for name, published in movielens.PUBLISHED.items():
        assert round(found.metrics[name].value, 6) == published


def test_a_few_users_alone_get_better_lists_than_the_most_popular(ratings: Any) -> None:
    older, newer = movielens.by_time(ratings[ratings["user"] <= 200])
    settings = Settings(folds=1, candidates=30, ranker=RankerOptions(trees=30))
    found = trained(older, settings, retrievers=[Ease(l2=400.0), "sequences", "popular"])
    wanted = movielens.wanted_by(older, newer)
    counts = older["item"].value_counts()
    seen = older.groupby("user")["item"].apply(set)
    popular = {user: [item for item in counts.index if item not in seen[user]][:10] for user in wanted}
    assert ndcg(evaluate_recommender(found, wanted)) > 1.4 * ndcg(evaluate(popular, wanted))


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("protocol", "least"), [("split", 0.499), ("by_time", 0.304)])
def test_it_is_as_good_as_asked_for_within_five_minutes(ratings: Any, protocol: str, least: float) -> None:
    older, newer = getattr(movielens, protocol)(ratings)
    started = time.process_time()
    found = trained(older, Settings(holdout="random" if protocol == "split" else "last", threads=2))
    assert time.process_time() - started < 300
    assert ndcg(evaluate_recommender(found, movielens.wanted_by(older, newer))) >= least
