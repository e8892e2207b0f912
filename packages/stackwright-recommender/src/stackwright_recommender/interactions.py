"""Who took what and when, as sorted arrays; and sessions, the part of it that an answer is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from stackwright_recommender.identifiers import UNKNOWN, Codes

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Offsets = NDArray[np.int64]
Sparse = Any
"""A ``scipy.sparse.csr_matrix``."""

DAY: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Interactions:
    """Pairs of user and item, each once, sorted by user, then time, then the order they came in.

    Args:
        user: code of each pair's user.
        item: code of each pair's item.
        time: seconds since 1970 of the newest interaction of the pair; zeros where no times are known.
        weight: how much taste it tells of, the most of the pair's interactions; 0 means seen and not liked.
        rating: the newest rating of the pair, NaN where there is none; ``None`` where nobody rates.
        users: how many users there are, with and without pairs.
        items: how many items there are.
        timed: whether times are known.
    """

    user: Codes
    item: Codes
    time: Floats
    weight: Floats
    rating: Floats | None = None
    users: int
    items: int
    timed: bool = True

    @classmethod
    def of(
        cls,
        user: ArrayLike,
        item: ArrayLike,
        time: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        rating: ArrayLike | None = None,
        *,
        users: int | None = None,
        items: int | None = None,
    ) -> Self:
        """Sort events and keep each pair once.

        Args:
            user: codes of n events.
            item: codes.
            time: seconds since 1970, finite.
            weight: 0 or more; ``None`` is 1.
            rating: NaN where there is none.
            users: how many users there are; ``None`` takes those in the events.
            items: how many items there are.
        """
        who, what = np.asarray(user, dtype=np.int32), np.asarray(item, dtype=np.int32)
        when = np.zeros(who.size) if time is None else np.asarray(time, dtype=np.float64)
        strength = np.ones(who.size) if weight is None else np.asarray(weight, dtype=np.float64)
        judged = None if rating is None else np.asarray(rating, dtype=np.float64)
        users = int(who.max(initial=-1)) + 1 if users is None else users
        items = int(what.max(initial=-1)) + 1 if items is None else items
        order = np.lexsort((when, what, who))
        pair = who[order].astype(np.int64) * max(items, 1) + what[order]
        starts = np.flatnonzero(np.diff(pair, prepend=-1))
        stops = np.append(starts[1:], order.size)
        last = order[stops - 1]
        most = np.maximum.reduceat(strength[order], starts) if order.size else strength
        kept = np.lexsort((last, when[last], who[last]))
        last = last[kept]
        return cls(
            user=who[last],
            item=what[last],
            time=when[last],
            weight=most[kept],
            rating=None if judged is None else judged[last],
            users=users,
            items=items,
            timed=time is not None,
        )

    def __len__(self) -> int:
        return self.user.size

    def take(self, rows: NDArray[Any]) -> Self:
        """Return some of the pairs: a mask, or places in ascending order."""
        rating = None if self.rating is None else self.rating[rows]
        columns = {name: getattr(self, name)[rows] for name in ("user", "item", "time", "weight")}
        return replace(self, **columns, rating=rating)

    def of_more(self, *, items: int) -> Self:
        """Return the same among more items."""
        return replace(self, items=items)

    @cached_property
    def offsets(self) -> Offsets:
        """Where each user's pairs begin; one more than users."""
        return np.searchsorted(self.user, np.arange(self.users + 1)).astype(np.int64)

    @cached_property
    def back(self) -> NDArray[np.int64]:
        """How many pairs of the same user are newer."""
        return self.offsets[self.user + 1] - 1 - np.arange(len(self))

    @cached_property
    def newest(self) -> float:
        """The time of the newest pair; 0 where there is none."""
        return float(self.time.max(initial=0.0))

    @property
    def matrix(self) -> Sparse:
        """Users × items, float32: the weights."""
        weights = (self.weight.astype(np.float32), self.item, self.offsets)
        return sp.csr_matrix(weights, shape=(self.users, self.items))

    def counts(self) -> Floats:
        """Return how many users liked each item."""
        return np.bincount(self.item, self.weight > 0, minlength=self.items).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Histories that m answers are made from, each in the order of time; and where and when is asked.

    Args:
        offsets: where each history begins; m + 1.
        item: codes, oldest first.
        weight: of each, as of :class:`Interactions`.
        back: how many of its history are newer, 0 for the newest.
        items: how many items there are.
        at: seconds since 1970 at which is asked, m.
        area: code of the area that is asked for, -1 where none is.
        place: m × 2, latitude and longitude in degrees that is asked for, NaN where none is.
    """

    offsets: Offsets
    item: Codes
    weight: Floats
    back: Floats
    items: int
    at: Floats
    area: Codes
    place: Floats
    _memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, known: Interactions, users: NDArray[Any]) -> Self:
        """Return what is known of some users, each asked right after the newest of it."""
        starts, stops = known.offsets[users], known.offsets[users + 1]
        rows = spans(starts, stops)
        at = np.full(users.size, known.newest)
        at[stops > starts] = known.time[stops[stops > starts] - 1]
        return cls.one_after_another(known.item[rows], known.weight[rows], stops - starts, known.items, at)

    @classmethod
    def one_after_another(cls, item: Codes, weight: Floats, sizes: NDArray[np.int64], items: int, at: Floats) -> Self:
        """Return sessions whose histories follow each other, of which no area or place is asked for."""
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        back = np.repeat(offsets[1:], sizes) - 1 - np.arange(item.size)
        m = sizes.size
        return cls(
            offsets=offsets,
            item=item,
            weight=weight,
            back=back.astype(np.float64),
            items=items,
            at=at,
            area=np.full(m, UNKNOWN, dtype=np.int32),
            place=np.full((m, 2), np.nan),
        )

    def __len__(self) -> int:
        return self.offsets.size - 1

    def one(self, number: int) -> Self:
        """Return one of the sessions."""
        span, row = slice(self.offsets[number], self.offsets[number + 1]), slice(number, number + 1)
        columns = {name: getattr(self, name)[span] for name in ("item", "weight", "back")}
        asked = {name: getattr(self, name)[row] for name in ("at", "area", "place")}
        offsets = self.offsets[number : number + 2] - self.offsets[number]
        return replace(self, offsets=offsets, **columns, **asked, _memo={})

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Length of each history."""
        return np.diff(self.offsets)

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """The session that each item of a history belongs to."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def matrix(self, half_life: float | None = None) -> Sparse:
        """Return m × items: weights, halved every ``half_life`` items back."""
        if half_life not in self._memo:
            decay = 1.0 if half_life is None else np.exp2(-self.back / half_life)
            weights = (self.weight * decay, self.item, self.offsets)
            self._memo[half_life] = sp.csr_matrix(weights, shape=(len(self), self.items))
        return self._memo[half_life]

    def remembers(self, key: Any) -> bool:
        """Tell whether something was made for a key."""
        return key in self._memo

    def remember(self, key: Any, make: Any) -> Any:
        """Return what ``make()`` gave for a key, made once."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]


@dataclass(frozen=True)
class Lists:
    """Items to be put in order, list after list.

    Args:
        offsets: where each list begins; one more than lists.
        item: codes.
    """

    offsets: Offsets
    item: Codes

    @classmethod
    def of(cls, lists: Sequence[Codes]) -> Self:
        """Return lists, one after the other."""
        offsets = np.cumsum([0, *(len(one) for one in lists)], dtype=np.int64)
        return cls(offsets, np.concatenate([*lists, np.zeros(0, np.int32)]).astype(np.int32))

    def __len__(self) -> int:
        return self.offsets.size - 1

    def part(self, number: int) -> Codes:
        """Return the items of one list."""
        return self.item[self.offsets[number] : self.offsets[number + 1]]

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """The list that each item belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


def spans(starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of ``[starts[i], stops[i])``, one span after the other."""
    sizes = stops - starts
    ends = np.cumsum(sizes)
    return np.asarray(np.arange(sizes.sum()) - np.repeat(ends - sizes - starts, sizes), dtype=np.int64)
