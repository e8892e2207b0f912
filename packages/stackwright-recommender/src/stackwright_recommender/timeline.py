"""What was known of each item at a time gone by: counts that halve, and when it was last taken."""

from __future__ import annotations

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from stackwright_recommender.identifiers import Codes
from stackwright_recommender.interactions import DAY, Interactions

Floats = NDArray[np.float64]
_MOST: Final = 256


class Trends:
    """Users of each item that count half after some days, as of ticks of a clock: a quarter of the half-life, or more.

    Args:
        ticks: seconds since 1970, ascending; at least one.
        table: ticks × items: what was counted before each tick.
    """

    def __init__(self, ticks: Floats, table: NDArray[np.float32]) -> None:
        self.ticks = ticks
        self.table = table

    @classmethod
    def of(cls, interactions: Interactions, half_life: float) -> Self:
        """Count; at the first tick nothing was taken yet, at the last, that of the newest interaction, everything."""
        start, stop = float(interactions.time.min(initial=np.inf)), interactions.newest
        start = min(start, stop)
        step = max(half_life * DAY / 4, (stop - start) / _MOST)
        count = int((stop - start) / step) + 1 if step > 0 else 1
        ticks: Floats = start + step * np.arange(count + 1, dtype=np.float64)
        ticks[-1] = stop
        tick = 1 + np.minimum(((interactions.time - start) / step).astype(np.int64) if step > 0 else 0, count - 1)
        aged = (interactions.weight > 0) * np.exp2((interactions.time - ticks[tick]) / (half_life * DAY))
        added = np.zeros((count + 1, interactions.items))
        np.add.at(added, (tick, interactions.item), aged)
        for number in range(1, count + 1):
            added[number] += added[number - 1] * 2.0 ** ((ticks[number - 1] - ticks[number]) / (half_life * DAY))
        return cls(ticks, added.astype(np.float32))

    def at(self, seconds: Floats) -> NDArray[np.float32]:
        """Return times × items: counts as of the last tick by each time, those of the first tick before that."""
        place = np.searchsorted(self.ticks, seconds, side="right") - 1
        return self.table[np.clip(place, 0, len(self.ticks) - 1)]


class LastTaken:
    """When each item was last taken.

    Args:
        item: codes, ascending.
        time: seconds since 1970, ascending for each item.
    """

    def __init__(self, item: Codes, time: Floats) -> None:
        self.item = item
        self.time = time
        self._span = float(time.max(initial=0.0) - time.min(initial=0.0)) + 1.0
        self._start = float(time.min(initial=0.0))
        self._keys = item * self._span + (time - self._start)

    @classmethod
    def of(cls, interactions: Interactions) -> Self:
        """Sort interactions by item and time."""
        order = np.lexsort((interactions.time, interactions.item))
        return cls(interactions.item[order], interactions.time[order])

    def newest(self) -> Self:
        """Return the last time of each item alone."""
        last = np.flatnonzero(np.diff(self.item, append=-1))
        return type(self)(self.item[last], self.time[last])

    def before(self, item: Codes, at: Floats) -> Floats:
        """Return for each pair of item and instant when the item was last taken by then, NaN where it was not."""
        if not self.item.size:
            return np.full(item.size, np.nan)
        after = np.clip(at - self._start, -0.5, self._span - 0.5)
        place = np.searchsorted(self._keys, item * self._span + after, side="right") - 1
        found = self.item[np.maximum(place, 0)] == item
        return np.where(found & (place >= 0), self.time[np.maximum(place, 0)], np.nan)
