"""From scores to a list: diversity, rules, and a little chance whose probabilities are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_recommender.identifiers import Codes

Floats = NDArray[np.float64]
DEPTH: Final = 50
"""How many of the best are looked at for diversity."""


@dataclass(frozen=True)
class Placed:
    """A list as it is shown.

    Args:
        item: codes in the order of their places.
        score: the ranker's score of each, after boosts; NaN for what was pinned and is no candidate.
        propensity: the probability with which chance put this item at this place.
        shuffled: whether chance decided this time.
    """

    item: Codes
    score: Floats
    propensity: Floats
    shuffled: bool


def diversified(
    item: Codes,
    score: Floats,
    vectors: NDArray[Any],
    length: int,
    *,
    diversity: float,
    limits: Sequence[tuple[Codes, int]] = (),
) -> NDArray[np.int64]:
    """Return places in ``item`` of up to ``length`` items, best first.

    Maximal marginal relevance (Carbonell, Goldstein, SIGIR 1998) over the ``DEPTH`` best: each next one has the
    greatest ``(1 - diversity) * relevance - diversity * (greatest cosine to what was chosen)``, with scores scaled to 0
    to 1. What lies deeper follows by score.

    Args:
        item: codes of n candidates.
        score: of each; equal ones keep the order of their codes.
        vectors: n × d, of length 1 or 0; not looked at without diversity.
        length: places.
        diversity: 0 for the order of scores, up to 1.
        limits: the group of every item of the catalogue (-1 for none), and the most there may be of one.
    """
    order = np.lexsort((item, -score))
    if not diversity and not limits:
        return np.asarray(order[:length])
    head = order[: max(DEPTH, length)] if diversity else order
    worth = score[head] - score[head].min(initial=np.inf)
    worth = worth / (worth.max(initial=0.0) or 1.0)
    alike = vectors[head] @ vectors[head].T if diversity else np.zeros((0, 0))
    nearest = np.full(head.size, -np.inf)
    left = np.ones(head.size, dtype=bool)
    chosen: list[int] = []
    counted: list[dict[int, int]] = [{} for _ in limits]
    while len(chosen) < length and left.any():
        value = worth if not diversity or not chosen else (1 - diversity) * worth - diversity * nearest
        best = int(np.argmax(np.where(left, value, -np.inf)))
        left[best] = False
        if not _counts(limits, counted, int(item[head[best]])):
            continue
        chosen.append(int(head[best]))
        if diversity:
            nearest = np.maximum(nearest, alike[best])
    rest = order[head.size :]
    chosen += [place for place in rest if _counts(limits, counted, int(item[place]))][: length - len(chosen)]
    return np.asarray(chosen, dtype=np.int64)


def _counts(limits: Sequence[tuple[Codes, int]], counted: list[dict[int, int]], code: int) -> bool:
    """Count an item where all limits leave room for it; tell whether they do."""
    groups = [int(group[code]) for group, _ in limits]
    if any(one >= 0 and seen.get(one, 0) >= most for one, seen, (_, most) in zip(groups, counted, limits, strict=True)):
        return False
    for one, seen in zip(groups, counted, strict=True):
        seen[one] = seen.get(one, 0) + 1
    return True


def placed(
    item: Codes,
    score: Floats,
    n: int,
    *,
    pinned: Mapping[int, int],
    explore: float = 0.0,
    depth: int = 0,
    rng: np.random.Generator | None = None,
) -> Placed:
    """Return the list of ``n`` places that is shown.

    With probability ``explore`` the first ``depth`` items are put in random order before the first of them are shown.
    The item at a place then had the probability ``explore / depth``, and ``1 - explore`` more if it stands there by
    score: what a replay divides by. Pinned items stand still, with probability 1.

    Args:
        item: codes, best first; none that is pinned.
        score: of each.
        n: places.
        pinned: place, from 0 → code.
        explore: 0 to 1.
        depth: items that chance orders, at least those that fill the list.
        rng: gives chance.
    """
    held = {place: code for place, code in pinned.items() if place < n}
    free = min(n - len(held), item.size)
    pool = min(max(depth, free), item.size)
    shuffled = bool(explore and rng is not None and pool > 1 and rng.random() < explore)
    order = np.arange(item.size)
    if shuffled and rng is not None:
        order[:pool] = rng.permutation(pool)
    order = order[:free]
    chance = explore if rng is not None and pool > 1 else 0.0
    propensity = np.where(order == np.arange(free), 1.0 - chance, 0.0) + (chance / pool if pool else 0.0)
    following = list(zip(item[order].tolist(), score[order].tolist(), propensity.tolist(), strict=True))[::-1]
    rows: list[tuple[int, float, float]] = []
    for place in range(n):
        if place in held:
            rows.append((held[place], np.nan, 1.0))
        elif following:
            rows.append(following.pop())
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return Placed(table[:, 0].astype(np.int32), table[:, 1], table[:, 2], shuffled)
