"""What lists did: clicks by place, ranking metrics of clicked items, coverage, novelty and the share of what is new.

- *CTR by position*: items that earned something ÷ items shown at a place, with a Wilson interval (1927).
- *examination*: how likely a place is looked at, by the first, from lists that chance put in order; where there are.
- *NDCG*, *MRR*: of lists with something clicked, by their places (:mod:`stackwright_numerics.top_k`).
- *coverage*: different items shown, and their share of the catalogue where its size is known.
- *novelty*: mean over shown items of ``-log2(lists that showed the item ÷ lists)`` (Vargas, Castells, RecSys 2011).
- *concentration*: the Gini coefficient of how often each shown item was shown: 0 where all are alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError
from stackwright_journal.list_reading import ShownLists
from stackwright_numerics import counterfactual, top_k
from stackwright_numerics.intervals import Interval, means, wilson

PLACES: Final = 10
_DRAWS: Final = 300


def describe(shown: ShownLists, *, k: int = PLACES, catalogue: int | None = None) -> dict[str, Any]:
    """Return the numbers as JSON values; ``None`` stands for what cannot be told.

    Args:
        shown: lists.
        k: places that NDCG counts.
        catalogue: how many items the recommender knows; ``None`` where nobody says.
    """
    lists = len(shown)
    flags = Counter(flag for one in shown.lists for flag in one.get("flags", ()))
    sizes = np.bincount(shown.number, minlength=lists)
    return {
        "lists": lists,
        "items": int(shown.item.size),
        "clicks": int((shown.clicked > 0).sum()),
        "strays": shown.strays,
        "empty": int((sizes == 0).sum()),
        "ctr": _rate(int((shown.clicked > 0).sum()), int(shown.item.size)),
        "ctr_by_position": _by_position(shown),
        "examination": _examined(shown),
        **_ranked(shown, k),
        "coverage": _coverage(shown, catalogue),
        "novelty": novelty(shown),
        "concentration": _gini(shown),
        "cold_items": float(shown.cold.mean()) if shown.cold.size else None,
        "flags": {flag: count / lists for flag, count in sorted(flags.items())},
        "by_version": {str(name): count for name, count in sorted(_versions(shown).items())},
    }


def logged_of(shown: ShownLists) -> counterfactual.Logged:
    """Return what a replay takes.

    Raises:
        DataError: there is no item, or a propensity is out of range.
    """
    return counterfactual.Logged(shown.number, shown.position, shown.propensity, shown.clicked, shown.item)


def interval(found: Interval) -> dict[str, float | None]:
    """Return an interval as JSON values."""
    return {name: _number(value) for name, value in vars(found).items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _rate(hits: int, n: int) -> dict[str, Any]:
    """Return a share with its Wilson interval."""
    if not n:
        return {"n": 0, "value": None, "low": None, "high": None}
    return {"n": n, **interval(wilson(hits / n, n))}


def _by_position(shown: ShownLists) -> dict[str, Any]:
    there = np.bincount(shown.position)
    hits = np.bincount(shown.position, shown.clicked > 0)
    return {str(place): _rate(int(hits[place]), int(there[place])) for place in range(1, there.size)}


def _examined(shown: ShownLists) -> dict[str, Any] | None:
    shuffled = np.array(["shuffled" in one.get("flags", ()) for one in shown.lists], dtype=bool)
    if not shuffled.any():
        return None
    try:
        found = counterfactual.examination(logged_of(shown.some(shuffled)), draws=_DRAWS)
    except DataError:  # nothing clicked at the first place
        return None
    return {str(place): interval(one) for place, one in found.items()}


def ranked(shown: ShownLists, k: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which lists have something clicked, and NDCG and MRR (columns) of those by their first ``k`` places."""
    hits: NDArray[np.bool_] = np.zeros((len(shown), k), dtype=bool)
    inside = shown.position <= k
    hits[shown.number[inside], shown.position[inside] - 1] = shown.clicked[inside] > 0
    relevant = np.bincount(shown.number, shown.clicked > 0, minlength=len(shown)).astype(np.int64)
    judged = relevant > 0
    if not judged.any():
        return judged, np.zeros((0, 2))
    return judged, np.column_stack(
        [top_k.ndcg(hits[judged], relevant[judged]), top_k.mrr(hits[judged], relevant[judged])]
    )


def _ranked(shown: ShownLists, k: int) -> Mapping[str, Any]:
    judged, columns = ranked(shown, k)
    if not judged.any():
        return {"k": k, "judged": 0, "ndcg": None, "mrr": None}
    ndcg, mrr = means(columns, draws=_DRAWS)
    return {"k": k, "judged": int(judged.sum()), "ndcg": interval(ndcg), "mrr": interval(mrr)}


def _coverage(shown: ShownLists, catalogue: int | None) -> dict[str, Any]:
    different = len({str(item) for item in shown.item.tolist()})
    return {"items": different, "catalogue": catalogue, "share": different / catalogue if catalogue else None}


def novelty(shown: ShownLists) -> float | None:
    """Return the mean of ``-log2(share of the lists that show the item)`` over what was shown, in bits."""
    if not shown.item.size:
        return None
    times = times_shown(shown)
    return float(-np.log2(times / len(shown)) @ times / times.sum())


def times_shown(shown: ShownLists) -> NDArray[np.float64]:
    """Return how many lists showed each item that was shown."""
    return np.array(list(Counter(map(str, shown.item.tolist())).values()), dtype=np.float64)


def _gini(shown: ShownLists) -> float | None:
    if not shown.item.size:
        return None
    times = np.sort(times_shown(shown))
    n = times.size
    return float((2 * np.arange(1, n + 1) - n - 1) @ times / (n * times.sum()))


def _versions(shown: ShownLists) -> Counter[int]:
    return Counter(int(one["version"]) for one in shown.lists)
