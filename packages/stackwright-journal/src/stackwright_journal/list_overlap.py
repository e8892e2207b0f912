"""The lists of a shadow, held against those that were shown beside them.

- *overlap*: items that the first ``k`` places of both hold ÷ how many the longer of both holds there.
- *NDCG*: of the items clicked in what was shown, by their places in the shadow's list; what it leaves out counts as
  missed. Only what was shown can be clicked: the number favours the list that was shown, whose own stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_journal.list_numbers import interval
from stackwright_journal.list_reading import ShownLists
from stackwright_numerics import top_k
from stackwright_numerics.intervals import means

_DRAWS: Final = 300


def overlaps(found: ShownLists, *, k: int) -> list[dict[str, Any]]:
    """Return the numbers of each version that was a shadow, as JSON values; ``None`` stands for what cannot be told.

    Args:
        found: lists of all arms.
        k: places that count.
    """
    names = {one["list_id"]: number for number, one in enumerate(found.lists)}
    pairs: dict[int, list[tuple[int, int]]] = {}
    for number, one in enumerate(found.lists):
        if (shown := names.get(one.get("beside", ""))) is not None:
            pairs.setdefault(int(one["version"]), []).append((shown, number))
    return [{"version": version, **_compared(found, chosen, k)} for version, chosen in sorted(pairs.items())]


def _compared(found: ShownLists, pairs: Sequence[tuple[int, int]], k: int) -> Mapping[str, Any]:
    starts = np.searchsorted(found.number, np.arange(len(found) + 1))
    common: list[float] = []
    hits: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]] = []
    relevant: list[int] = []
    for number, other in pairs:
        shown, shadow = ([str(item) for item in found.lists[one]["items"]] for one in (number, other))
        first, second = set(shown[:k]), set(shadow[:k])
        if first or second:
            common.append(len(first & second) / max(len(first), len(second)))
        earned = found.clicked[starts[number] : starts[number + 1]] > 0
        clicked = {item for item, taken in zip(shown, earned.tolist(), strict=True) if taken}
        if clicked:
            hits.append((_hits(shadow, clicked, k), _hits(shown, clicked, k)))
            relevant.append(len(clicked))
    told: dict[str, Any] = {"lists": len(pairs), "k": k, "judged": len(hits), "overlap": None}
    if common:
        told["overlap"] = interval(means(np.array(common)[:, np.newaxis], draws=_DRAWS)[0])
    if not hits:
        return {**told, "ndcg": None, "shown_ndcg": None, "gain": None}
    ndcg, shown_ndcg = (top_k.ndcg(np.array(rows), relevant) for rows in zip(*hits, strict=True))
    columns = means(np.column_stack([ndcg, shown_ndcg, ndcg - shown_ndcg]), draws=_DRAWS)
    return {**told, **dict(zip(("ndcg", "shown_ndcg", "gain"), map(interval, columns), strict=True))}


def _hits(items: Sequence[str], clicked: set[str], k: int) -> NDArray[np.bool_]:
    """Return which of ``k`` places hold a clicked item."""
    places: NDArray[np.bool_] = np.zeros(k, dtype=bool)
    there = [item in clicked for item in items[:k]]
    places[: len(there)] = there
    return places
