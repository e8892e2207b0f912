"""What the ranker sees of a candidate: where every signal puts it in its list, and what is known of item and session.

Places in the list carry over from retrievers fitted on a part of the interactions to those fitted on all, scores do
not: so a signal becomes a place (0 for the best; equal ones share the better) and a standing (its distance from the
list's mean in standard deviations), both of the list alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError, DataError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.interactions import DAY, Interactions, Lists, Sessions
from stackwright_recommender.ranker import Parts
from stackwright_recommender.retrieval.contract import Scores, State
from stackwright_recommender.timeline import LastTaken

Floats = NDArray[np.float64]

BLEND: Final = "blend"
"""The last column: the ranker's own, 0 here."""

_LAST: Final = 2**31 - 1
_PLACE: Final = 2**32 - 1

_FUSED: Final = 60.0
"""As in Cormack, Clarke, Büttcher, "Reciprocal rank fusion", SIGIR 2009."""


class Features:
    """Builds the ranker's matrix.

    Args:
        signals: names of the pool's signals.
        items: the items.
        popularity: natural logarithm of 1 + users of each item.
        rating: mean rating of each item, drawn to the mean of all as if five more had given it; NaN without ratings.
        first: seconds since 1970 at which each item was first taken.
        taken: when each was last taken.
    """

    def __init__(
        self,
        signals: Sequence[str],
        items: Catalogue,
        popularity: Floats,
        rating: Floats,
        first: Floats,
        taken: LastTaken,
    ) -> None:
        self._items = items
        self._popularity = popularity
        self._rating = rating
        self._first = first
        self._taken = taken
        self._born = np.where(np.isfinite(items.since), items.since, first)
        self._values = np.column_stack([popularity, items.price, items.numbers])
        numbers = items.number_names
        self.names = (
            *(f"{signal}_place" for signal in signals),
            *(f"{signal}_standing" for signal in signals),
            "mean_standing", "fused_places", "signals_that_know",
            "popularity", "rating", "age", "quiet", "price",
            "history", "usual_popularity", "less_usual_popularity", "less_usual_price",
            *numbers, *(f"less_usual_{name}" for name in numbers),
            BLEND,
        )  # fmt: skip
        self.parts = Parts(slice(len(signals), 2 * len(signals)), self.names.index("history"), len(self.names))

    @classmethod
    def of(cls, signals: Sequence[str], interactions: Interactions, items: Catalogue) -> Self:
        """Learn what the items' interactions tell of them."""
        n = len(items)
        first = np.full(n, np.inf)
        np.minimum.at(first, interactions.item, interactions.time)
        first[np.isinf(first)] = np.nan
        rating = np.full(n, np.nan)
        if interactions.rating is not None and np.isfinite(interactions.rating).any():
            given = np.isfinite(interactions.rating)
            what, value = interactions.item[given], interactions.rating[given]
            rating = (np.bincount(what, value, n) + 5 * value.mean()) / (np.bincount(what, minlength=n) + 5)
        return cls(signals, items, np.log1p(interactions.counts()), rating, first, LastTaken.of(interactions))

    def matrix(
        self,
        sessions: Sessions,
        lists: Lists,
        signals: Scores,
        live: Mapping[str, Floats] | None = None,
    ) -> Floats:
        """Return a row an item of the lists, in C order.

        Args:
            sessions: m histories.
            lists: m lists.
            signals: signals × items of all lists.
            live: name of a number, or ``price`` → its present value for each item of the lists.

        Raises:
            DataError: ``live`` names what the ranker does not know, or values of another count.
        """
        places, standings = _standings(signals, lists)
        rows = np.empty((lists.item.size, len(self.names)))
        count = len(signals)
        rows[:, :count] = places.T
        rows[:, count : 2 * count] = standings.T
        known = np.isfinite(standings)
        told = known.sum(axis=0)
        rows[:, 2 * count] = np.where(known, standings, 0.0).sum(axis=0) / np.maximum(told, 1)
        rows[:, 2 * count + 1] = np.where(known, 1 / (_FUSED + places), 0.0).sum(axis=0)
        rows[:, 2 * count + 2] = told
        self._fill(rows[:, 2 * count + 3 :], sessions, lists, live or {})
        return rows

    def _fill(self, rows: Floats, sessions: Sessions, lists: Lists, live: Mapping[str, Floats]) -> None:
        item, owner = lists.item, lists.owner
        usual = _usual(sessions, self._values[sessions.item])[owner]
        values = self._values[item]
        for name, given in live.items():
            values[:, self._column(name)] = _column(name, given, item.size)
        width = values.shape[1] - 2
        rows[:, 0] = values[:, 0]
        rows[:, 1] = self._rating[item]
        rows[:, 2] = (sessions.at[owner] - self._born[item]) / DAY
        rows[:, 3] = (sessions.at[owner] - self._taken.before(item, sessions.at[owner])) / DAY
        rows[:, 4] = values[:, 1]
        rows[:, 5] = np.bincount(sessions.owner, sessions.weight > 0, minlength=len(sessions))[owner]
        rows[:, 6] = usual[:, 0]
        rows[:, 7:9] = values[:, :2] - usual[:, :2]
        rows[:, 9 : 9 + width] = values[:, 2:]
        rows[:, 9 + width : -1] = values[:, 2:] - usual[:, 2:]
        rows[:, -1] = 0.0

    def _column(self, name: str) -> int:
        known = ("popularity", "price", *self._items.number_names)
        if name not in known[1:]:
            todo = f"Give some of: {', '.join(known[1:])}."
            raise DataError("live values", f"{name!r} is no number of the items", todo)
        return known.index(name)

    def state(self) -> State:
        """Return what was learned."""
        taken = self._taken.newest()
        table = {"popularity": self._popularity, "rating": self._rating, "first": self._first}
        return {**table, "taken": taken.item, "taken_at": taken.time}

    @classmethod
    def restore(cls, signals: Sequence[str], items: Catalogue, state: State) -> Self:
        """Take what :meth:`state` gave; nobody took new items.

        Raises:
            ArtifactError: it is something else.
        """
        try:
            more = (0, len(items) - state["popularity"].size)
            rating, first = (np.pad(state[name], more, constant_values=np.nan) for name in ("rating", "first"))
            taken = LastTaken(state["taken"], state["taken_at"])
            return cls(signals, items, np.pad(state["popularity"], more), rating, first, taken)
        except (KeyError, ValueError) as error:
            raise ArtifactError("features", f"damaged ({error!r})", "Train the recommender again.") from error


def _standings(signals: Scores, lists: Lists) -> tuple[Floats, Floats]:
    """Return place and standing of each item in its list by each signal, NaN where the signal says nothing.

    Sums run over the sorted values of each list: neither the order of its items nor other lists change a bit.
    """
    values = signals.astype(np.float64)
    sizes = np.diff(lists.offsets)
    filled = sizes[sizes > 0]
    alone = filled.size == 1 and signals.dtype == np.float32
    places, falling = _of_one(signals) if alone else _of_many(values, lists, sizes)
    starts = lists.offsets[:-1][sizes > 0]
    rows: Any = slice(None) if filled.size == 1 else np.repeat(np.arange(starts.size), filled)
    known = np.isfinite(falling)
    count = np.maximum(np.add.reduceat(known, starts, axis=1, dtype=np.int64), 1)
    mean = (np.add.reduceat(np.where(known, falling, 0.0), starts, axis=1) / count)[:, rows]
    away = np.where(known, falling - mean, 0.0)
    deviation = np.sqrt(np.add.reduceat(away**2, starts, axis=1) / count)
    standings = (values - mean) / np.where(deviation > 0, deviation, 1.0)[:, rows]
    places[~np.isfinite(values)] = np.nan
    return places, standings


def _of_one(signals: Scores) -> tuple[Floats, Floats]:
    """Return the places of one list's items, and their values, falling and NaN last.

    A value's bits, turned so that they compare like the value, and its place in the list are sorted as one number:
    numbers are sorted many times faster than places by them.
    """
    bits = (-signals).view(np.int32).astype(np.int64)
    turned = np.where(np.isnan(signals), _LAST, bits ^ ((bits >> 31) & _LAST))
    order = np.sort(turned << 32 | np.arange(signals.shape[1]), axis=1) & _PLACE
    falling = np.take_along_axis(signals, order, axis=1).astype(np.float64)
    places = np.empty(signals.shape)
    np.put_along_axis(places, order, _first_of_equals(falling), axis=1)
    return places, falling


def _first_of_equals(falling: Floats) -> NDArray[np.int64]:
    """Return for each place of the last axis the first that has its value."""
    new = np.ones(falling.shape, dtype=bool)
    new[..., 1:] = falling[..., 1:] != falling[..., :-1]
    return np.asarray(np.maximum.accumulate(np.where(new, np.arange(falling.shape[-1]), 0), axis=-1))


def _of_many(values: Floats, lists: Lists, sizes: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return what :func:`_of_one` returns of each list, one after the other."""
    m, width = len(lists), int(sizes.max(initial=0))
    at = (lists.owner, np.arange(lists.item.size) - lists.offsets[lists.owner])
    table = np.full((len(values), m, width), np.nan)
    table[:, at[0], at[1]] = values
    order = np.argsort(-table, axis=2)
    falling = np.take_along_axis(table, order, axis=2)
    places = np.empty(table.shape)
    np.put_along_axis(places, order, _first_of_equals(falling), axis=2)
    return places[:, at[0], at[1]], falling[:, at[0], at[1]]


def _usual(sessions: Sessions, values: Floats) -> Floats:
    """Return sessions × columns: the mean of each column over the history, NaN where none is known.

    Args:
        values: columns of the items of all histories.
    """
    there = np.isfinite(values)
    weight = sessions.weight[:, None] * there
    known = np.where(there, values, 0.0)
    answer = np.empty((len(sessions), values.shape[1]))
    for column in range(values.shape[1]):
        total = np.bincount(sessions.owner, weight[:, column], minlength=len(sessions))
        sums = np.bincount(sessions.owner, weight[:, column] * known[:, column], minlength=len(sessions))
        answer[:, column] = sums / np.where(total > 0, total, np.nan)
    return answer


def _column(name: str, given: Any, rows: int) -> Floats:
    values = np.asarray(given, dtype=np.float64)
    if values.shape != (rows,):
        raise DataError("live values", f"{values.size} values of {name!r} for {rows} candidates", "Give one each.")
    return values
