"""How good lists are: what they hit, and how much of the catalogue they show. Every item competes: nothing is sampled.

Metrics of hits are those of :mod:`stackwright_numerics.top_k`. Novelty is the mean of ``-log2(users of the item /
users)`` and diversity one less the mean cosine between the items of a list (Vargas, Castells, "Rank and relevance in
novelty and diversity metrics for recommender systems", RecSys 2011); coverage is the share of the catalogue that any
list shows.
Krichene and Rendle ("On sampled metrics for item recommendation", KDD 2020) show why nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError
from stackwright_numerics import top_k
from stackwright_numerics.intervals import DRAWS, Interval, means
from stackwright_recommender.identifiers import UNKNOWN
from stackwright_recommender.interactions import Interactions, Sessions
from stackwright_recommender.pool import in_parts
from stackwright_recommender.recommender import Recommender
from stackwright_recommender.training import recent

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured.

    Args:
        k: places of a list.
        users: users that were judged: those with something relevant.
        left_out: users with lists and nothing relevant.
        metrics: metric → mean over users, with an interval.
        coverage: share of the catalogue that any list shows.
        slices: name → users and metrics of a part of the users.
    """

    k: int
    users: int
    left_out: int
    metrics: Mapping[str, Interval]
    coverage: float
    slices: Mapping[str, Evaluation]

    def __str__(self) -> str:
        lines = [f"{'all':<24} {self.users:>6} users  {_line(self)}  coverage {self.coverage:.3f}"]
        lines += [f"{name:<24} {part.users:>6} users  {_line(part)}" for name, part in self.slices.items()]
        return "\n".join(lines)


def evaluate(
    lists: Mapping[Any, Sequence[Any]],
    relevant: Mapping[Any, Collection[Any]],
    *,
    k: int = 10,
    items: Sequence[Any] = (),
    popularity: Mapping[Any, float] | None = None,
    likeness: Callable[[Sequence[Any]], Floats] | None = None,
    slices: Mapping[str, Collection[Any]] | None = None,
    draws: int = DRAWS,
    seed: int = 7,
) -> Evaluation:
    """Judge lists.

    Args:
        lists: user → items, best first; more than ``k`` are cut, fewer count as misses.
        relevant: user → what the user was found to like; those of users without a list are not judged.
        k: places that count.
        items: the catalogue that coverage is a share of.
        popularity: item → share of users that took it; gives novelty.
        likeness: items → their cosines, each with each; gives diversity.
        slices: name → users of a part, to be judged apart.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError: no user has both a list and something relevant.
    """
    judged = [user for user in lists if relevant.get(user)]
    if not judged:
        found = f"{len(lists)} users with lists, none of them with something relevant"
        raise DataError("evaluation", found, "Give lists and relevant items of the same users.")
    shown = [list(lists[user])[:k] for user in judged]
    hits = np.zeros((len(judged), k), dtype=bool)
    for row, (user, items_shown) in enumerate(zip(judged, shown, strict=True)):
        wanted = set(relevant[user])
        hits[row, : len(items_shown)] = [item in wanted for item in items_shown]
    counts = [len(set(relevant[user])) for user in judged]
    table = {name: metric(hits, counts) for name, metric in top_k.METRICS.items()}
    if popularity is not None:
        rarest = 1 / (1 + max(len(lists), 1))
        table["novelty"] = np.array([_novelty(one, popularity, rarest) for one in shown])
    if likeness is not None:
        table["diversity"] = np.array([_diversity(likeness(one)) if len(one) > 1 else 0.0 for one in shown])
    place = {user: row for row, user in enumerate(judged)}
    parts = {name: [place[user] for user in users if user in place] for name, users in (slices or {}).items()}
    catalogue = set(items)

    def measured(rows: Sequence[int], slices: Mapping[str, Evaluation]) -> Evaluation:
        columns = np.column_stack([values[rows] for values in table.values()])
        seen = {item for row in rows for item in shown[row]}
        return Evaluation(
            k=k,
            users=len(rows),
            left_out=len(lists) - len(judged),
            metrics=dict(zip(table, means(columns, draws=draws, seed=seed), strict=True)),
            coverage=len(seen & catalogue) / len(catalogue) if catalogue else float("nan"),
            slices=slices,
        )

    return measured(range(len(judged)), {name: measured(rows, {}) for name, rows in parts.items() if rows})


def evaluate_recommender(
    recommender: Recommender, held: Mapping[Any, Collection[Any]], *, k: int = 10, diversity: bool = True, **asked: Any
) -> Evaluation:
    """Judge the lists that a recommender gives its users, each asked right after the user's newest interaction.

    Slices are users whose history is short, middling and long: thirds of those that are judged.

    Args:
        recommender: trained without what is held out.
        held: user → items found to be liked; users and items as the recommender's files named them.
        k: places.
        diversity: measure it too.
        asked: further arguments of :func:`evaluate`.
    """
    users = [user for user in held if held[user] and recommender.users.code(user) != UNKNOWN]
    lists = {user: found.items for user, found in recommender.recommend_many(users, k, at="last")}
    ids = recommender.items.ids
    share = recommender.known.counts() / max(len(recommender.users), 1)
    sizes = np.diff(recommender.known.offsets)[recommender.users.codes(users)]
    order = np.argsort(sizes, kind="stable")
    names = ("short histories", "middling histories", "long histories")
    thirds = {name: [users[row] for row in rows] for name, rows in zip(names, np.array_split(order, 3), strict=True)}
    return evaluate(
        lists,
        held,
        k=k,
        items=ids.names(range(len(ids))),
        popularity=dict(zip(ids.names(range(len(ids))), share.tolist(), strict=True)),
        likeness=(lambda items: recommender.likeness(ids.codes(items))) if diversity else None,
        slices={**thirds, **asked.pop("slices", {})},
        **asked,
    )


def candidate_recall(recommender: Recommender, held: Interactions, n: int | None = None) -> dict[str, float]:
    """Return for each retriever, and for all together, the mean share of a user's held items among its candidates.

    Args:
        recommender: trained without what is held out.
        held: in the recommender's codes.
        n: candidates of each retriever; ``None`` as it was trained.
    """
    depth = n or recommender.settings.candidates
    users = np.unique(held.user[held.weight > 0])
    pool = recommender.stages.pool
    pools = {"all": pool, **{one.name: pool.only(one) for one in pool.retrievers}}
    found: dict[str, list[Floats]] = {name: [] for name in pools}
    for part in in_parts(users.size, len(recommender.items)):
        chosen = users[part].astype(np.int64)
        sessions = recent(Sessions.of(recommender.known, chosen), recommender.settings.longest)
        wanted = held.matrix[chosen].toarray() > 0
        for name, one in pools.items():
            lists = one.candidates(sessions, depth)
            hit = np.bincount(lists.owner, wanted[lists.owner, lists.item], minlength=len(lists))
            found[name].append(hit / wanted.sum(axis=1))
    return {name: float(np.concatenate(shares).mean()) if shares else float("nan") for name, shares in found.items()}


def _novelty(shown: Sequence[Any], popularity: Mapping[Any, float], rarest: float) -> float:
    shares = [max(popularity.get(item, 0.0), rarest) for item in shown]
    return float(-np.log2(shares).mean()) if shares else 0.0


def _diversity(cosines: Floats) -> float:
    n = len(cosines)
    return float(1 - (cosines.sum() - np.trace(cosines)) / (n * (n - 1)))


def _line(part: Evaluation) -> str:
    return "  ".join(f"{name}@{part.k} {interval.value:.4f}" for name, interval in part.metrics.items())


__all__ = ["Evaluation", "candidate_recall", "evaluate", "evaluate_recommender"]
