"""From interactions to a recommender: retrievers are fitted without what the ranker learns from, then on everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import TrainingError
from stackwright_numerics import top_k
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.features import Features
from stackwright_recommender.holdout import Fold, How, folds, liked
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.pool import Pool, in_parts
from stackwright_recommender.ranker import Ranker, RankerOptions
from stackwright_recommender.retrieval.contract import Retriever, Trial, top

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Take no note of progress."""
    del what, done, total


_NEWEST: Final = 4
_TRIED: Final = 2_000
"""Users that retrievers choose their options by."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a recommender is trained.

    Args:
        holdout: what the ranker learns to find: each user's newest interactions (``"last"``) or drawn ones
            (``"random"``); ``None`` takes the newest where times are known.
        share: of each user's interactions that is held out for it.
        folds: how often, each time of other interactions; ``None`` holds every interaction out once where they are
            drawn, and else takes 4: the older what is held out, the less it is like what comes next.
        candidates: items each retriever names for a user.
        lists: most users whose lists the ranker learns from in each fold, drawn.
        cold: share of the lists that are learned from once more as if nothing were known of the user.
        longest: newest items of a history that count.
        ranker: how trees are grown.
        seed: the same seed, interactions and threads give the same recommender.
        threads: of LightGBM.
    """

    holdout: How | None = None
    share: float = 0.1
    folds: int | None = None
    candidates: int = 50
    lists: int = 20_000
    cold: float = 0.1
    longest: int = 500
    ranker: RankerOptions = field(default_factory=RankerOptions)
    seed: int = 7
    threads: int = 1


@dataclass(frozen=True)
class Stages:
    """What training leaves: retrievers, features and ranker, fitted."""

    pool: Pool
    features: Features
    ranker: Ranker


def fit(
    interactions: Interactions,
    items: Catalogue,
    retrievers: Sequence[Retriever],
    settings: Settings,
    progress: Progress = silent,
) -> Stages:
    """Fit everything.

    Raises:
        TrainingError: there is too little to learn from, or an option cannot be used.
    """
    how: How = settings.holdout or ("last" if interactions.timed else "random")
    count = settings.folds or (_NEWEST if how == "last" else round(1 / settings.share))
    parts = folds(interactions, how, share=settings.share, count=count, seed=settings.seed)
    pool = Pool(retrievers)
    _tune(pool, parts[0], items, settings)
    learned: list[_Learned] = []
    for number, fold in enumerate(parts):
        progress("folds", number, len(parts) + 1)
        learned += _learn(pool, fold, items, settings, seed=settings.seed + number)
    progress("folds", len(parts), len(parts) + 1)
    rows, relevance, sizes = _together(learned)
    pool.fit(interactions, items)
    features = Features.of(pool.signals, interactions, items)
    ranker = Ranker.fit(
        rows,
        relevance,
        sizes,
        parts=features.parts,
        options=settings.ranker,
        seed=settings.seed,
        threads=settings.threads,
    )
    return Stages(pool, features, ranker)


_Learned = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def _tune(pool: Pool, fold: Fold, items: Catalogue, settings: Settings) -> None:
    users = _drawn(liked(fold), _TRIED, settings.seed)
    seen = Sessions.of(fold.known, users)
    sessions = recent(seen, settings.longest)
    wanted = _wanted(fold.held, users)
    k = settings.ranker.k

    def judge(scores: NDArray[Any]) -> float:
        shown = np.array(scores)
        shown[seen.owner, seen.item] = -np.inf
        best = top(shown, k).items
        hits = wanted[np.arange(len(users))[:, None], best] & (best >= 0)
        return float(top_k.ndcg(hits, wanted.sum(axis=1)).mean())

    trial = Trial(known=fold.known, items=items, sessions=sessions, judge=judge)
    for retriever in pool.retrievers:
        retriever.tune(trial)


def _learn(pool: Pool, fold: Fold, items: Catalogue, settings: Settings, *, seed: int) -> Iterator[_Learned]:
    """Give features and relevance of the lists of drawn users, by retrievers that did not see what is held out."""
    pool.fit(fold.known, items)
    features = Features.of(pool.signals, fold.known, items)
    users = _drawn(liked(fold), settings.lists, seed)
    cold = _drawn(users, round(settings.cold * users.size), seed + 1)
    for chosen, personal in ((users, True), (cold, False)):
        for part in in_parts(chosen.size, len(items)):
            sessions = recent(Sessions.of(fold.known, chosen[part]), settings.longest if personal else 0)
            lists = pool.candidates(sessions, settings.candidates)
            relevance = _wanted(fold.held, chosen[part])[lists.owner, lists.item]
            found = np.bincount(lists.owner, relevance, minlength=len(lists)) > 0
            rows = features.matrix(sessions, lists, pool.scores(sessions, lists))
            useful = found[lists.owner]
            yield rows[useful], relevance[useful].astype(np.int64), np.diff(lists.offsets)[found]


def recent(sessions: Sessions, longest: int) -> Sessions:
    """Return sessions with the newest ``longest`` items of each history."""
    kept = sessions.back < longest
    return Sessions.one_after_another(
        sessions.item[kept],
        sessions.weight[kept],
        np.minimum(sessions.sizes, longest),
        sessions.items,
        sessions.at,
    )


def _wanted(held: Interactions, users: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(held.matrix[users].toarray() > 0)


def _drawn(values: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    if values.size <= most:
        return values
    return np.sort(np.random.default_rng(seed).choice(values, most, replace=False))


def _together(learned: list[_Learned]) -> _Learned:
    if not sum(sizes.size for _, _, sizes in learned):
        found = "none of the candidates was taken by its user"
        raise TrainingError("ranker", found, "Give more interactions, or more candidates a retriever.")
    rows, relevance, sizes = (np.concatenate(part) for part in zip(*learned, strict=True))
    return rows, relevance, sizes


__all__ = ["Lists", "Settings", "Stages", "fit", "recent"]
