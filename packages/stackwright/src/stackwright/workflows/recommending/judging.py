"""How good lists are: asked of a recommender for the users whose interactions were held out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright.workflows.recommending.holding_out import Held
from stackwright_interfaces.recommender import Items, Recommender, Request, SupportsCandidates
from stackwright_numerics import top_k

Floats = NDArray[np.float64]
SESSION: Final = 5
"""Items that someone unknown is said to have looked at, when such lists are judged."""
_STRANGERS: Final = 500
"""Users that are asked for as if they were unknown."""
_DRAWS: Final = 1_000


@dataclass(frozen=True)
class Lists:
    """Lists of users, and what each was found to like.

    Args:
        items: user → items, best first.
        wanted: user → items that hit.
        k: places that count.
    """

    items: Mapping[Any, Sequence[Any]]
    wanted: Mapping[Any, Collection[Any]]
    k: int

    @cached_property
    def each(self) -> dict[str, Floats]:
        """Metric → its value of each user."""
        hits = np.zeros((len(self.items), self.k), dtype=bool)
        for row, (user, shown) in enumerate(self.items.items()):
            wanted = self.wanted[user]
            hits[row, : min(len(shown), self.k)] = [item in wanted for item in shown[: self.k]]
        counts = [len(self.wanted[user]) for user in self.items]
        return {name: metric(hits, counts) for name, metric in top_k.METRICS.items()}

    def mean(self, metric: str = "ndcg") -> float:
        """Return the mean of a metric over the users."""
        return float(self.each[metric].mean())


def lists_of(recommender: Recommender, held: Held, k: int, taken: Mapping[Any, Collection[Any]] | None = None) -> Lists:
    """Ask for the lists of users, each at the instant that what was held out is asked for.

    Args:
        taken: user → items that the user took meanwhile, and that are passed over in the lists.
    """
    chosen, taken = list(held.wanted), taken or {}
    more = max((len(taken.get(user, ())) for user in chosen), default=0)
    found = recommender.answer_users(chosen, Request(n=k + more), at=[held.asked[user] for user in chosen])
    shown = {user: [item for item in answer.items if item not in taken.get(user, ())][:k] for user, answer in found}
    return Lists(shown, held.wanted, k)


def popular(held: Held, k: int, items: Items | None = None) -> Lists:
    """Return what most users took, less what each user took and what could not be shown when the user's list is asked.

    Args:
        items: what is known of the items: between which instants each may be shown.
    """
    best = sorted(held.users, key=lambda item: (-held.users[item], str(item)))
    since, until = (_instants(best, items, role) for role in ("since", "until"))
    lists = {}
    for user in held.wanted:
        seen, at = set(held.seen[user]), held.asked[user]
        shown = (place for place in range(len(best)) if not (since[place] > at or until[place] <= at))
        lists[user] = list(islice((best[place] for place in shown if best[place] not in seen), k))
    return Lists(lists, held.wanted, k)


def _instants(best: Sequence[Any], items: Items | None, role: str) -> list[float]:
    """Return an instant of each item, seconds since 1970; NaN where none is known."""
    known: dict[Any, float] = {}
    if items is not None and role in items.columns:
        micros = items.table[items.columns[role]].cast(pa.int64()).to_pylist()
        times = (float("nan") if one is None else one / 1e6 for one in micros)
        known = dict(zip(items.table["item"].to_pylist(), times, strict=True))
    return [known.get(item, float("nan")) for item in best]


def strangers(recommender: Recommender, held: Held, k: int) -> dict[str, Lists]:
    """Return lists of some users as if they were unknown: by the newest that they looked at, and by nothing at all."""
    users = list(held.wanted)
    places = np.unique(np.linspace(0, len(users) - 1, min(_STRANGERS, len(users))).astype(np.int64))
    users = [users[place] for place in places.tolist()]
    lists: dict[str, dict[Any, Sequence[Any]]] = {"session": {}, "cold": {}}
    for user in users:
        at, session = held.asked[user], held.seen[user][-SESSION:]
        lists["session"][user] = recommender.answer(Request(session=session, n=k, at=at)).items
        lists["cold"][user] = recommender.answer(Request(n=k, at=at)).items
    return {name: Lists(found, held.wanted, k) for name, found in lists.items()}


def candidate_recall(recommender: Recommender, held: Held) -> dict[str, float]:
    """Return for each retriever, and for ``all`` of them, the mean share of what was held out that it names.

    Nothing where the recommender does not tell what its retrievers name.
    """
    if not isinstance(recommender, SupportsCandidates):
        return {}
    shares: dict[str, list[float]] = {}
    at = [held.asked[user] for user in held.wanted]
    for user, named in recommender.candidates_of(list(held.wanted), at=at):
        wanted = set(held.wanted[user])
        everything = {"all": {item for items in named.values() for item in items}, **named}
        for name, items in everything.items():
            shares.setdefault(name, []).append(len(wanted & set(items)) / len(wanted))
    return {name: float(np.mean(found)) for name, found in shares.items()}


def measured(
    recommender: Recommender,
    held: Held,
    lists: Lists,
    *,
    popular: Lists,
    recall: Mapping[str, float],
    catalogue: int,
) -> dict[str, float]:
    """Return every metric of lists.

    Coverage is the share of the catalogue that any list shows; novelty the mean of ``-log2(users of the item / users)``
    (Vargas, Castells, RecSys 2011); ``cold_items`` the share of what was held out that nobody took before, and
    ``cold_recall`` how much of it the lists hold.

    Args:
        popular: what is popular, for the same users.
        recall: what :func:`candidate_recall` found.
        catalogue: items that there are.
    """
    found = {name: float(values.mean()) for name, values in lists.each.items()}
    shown = {item for places in lists.items.values() for item in places}
    taken = [max(held.users.get(item, 0), 1) for places in lists.items.values() for item in places]
    novelty = float(-np.log2(np.array(taken) / held.people).mean()) if taken else 0.0
    found |= {"coverage": len(shown) / max(catalogue, 1), "novelty": novelty}
    cold = [(user, item) for user, liked in held.wanted.items() for item in liked if item not in held.users]
    found["cold_items"] = len(cold) / sum(len(liked) for liked in held.wanted.values())
    if cold:
        found["cold_recall"] = float(np.mean([item in set(lists.items.get(user, ())) for user, item in cold]))
    for name, other in strangers(recommender, held, lists.k).items():
        found[f"{name}_ndcg"] = other.mean()
    found["popular_ndcg"] = popular.mean()
    if recall:
        found["candidate_recall"] = recall["all"]
    return found


def by_history(held: Held, lists: Lists) -> list[dict[str, Any]]:
    """Return users and NDCG of thirds of the users, by how much is known of them; JSON values."""
    users = list(lists.items)
    order = np.argsort([len(held.seen[user]) for user in users], kind="stable")
    ndcg = lists.each["ndcg"]
    names = ("short histories", "middling histories", "long histories")
    return [
        {"slice": name, "users": int(rows.size), "ndcg": float(ndcg[rows].mean())}
        for name, rows in zip(names, np.array_split(order, 3), strict=True)
        if rows.size
    ]


def gain(mine: Floats, theirs: Floats, seed: int = 7) -> tuple[float, float, float]:
    """Return mean difference of paired values, and the ends of its 95 % bootstrap interval (Efron 1979)."""
    difference = mine - theirs
    means = np.array([draw.mean() for draw in _draws(difference, np.random.default_rng(seed))])
    low, high = np.quantile(means, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def _draws(values: Floats, rng: np.random.Generator) -> Iterator[Floats]:
    for _ in range(_DRAWS):
        yield values[rng.integers(0, values.size, values.size)]
