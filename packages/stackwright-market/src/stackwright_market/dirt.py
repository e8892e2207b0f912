"""What goes wrong on the way into a table: missing, impossible and misread values, rows sent twice or late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stackwright_market.clock import DAY, HOUR
from stackwright_market.streams import Bools, Ints, stream
from stackwright_market.world import World

FAULTS: Final = ("missing", "impossible", "unit")
SHARES: Final = (0.4, 0.2, 0.2)
"""How the option ``dirt`` is divided among ``FAULTS``; what remains are rows sent twice."""
CLEAN: Final = -1
MISSABLE: Final = ("area", "bathrooms", "year_built", "energy")
SPOILT: Final = ("area", "year_built")
"""Columns that may hold an impossible value: a negative area, a year that has not come."""
IMPOSSIBLE_YEAR: Final = 9999
SQUARE_FEET: Final = 10.7639
"""Square feet of a square metre: an area in the wrong unit is so many times too large."""
LATE: Final = 0.02
"""Share of events written down hours or days after they happened."""
RESENT: Final = 0.01
"""Share of events sent again: the same event, written down later."""


@dataclass(frozen=True)
class Rows:
    """Rows of the listings' table in the order they were written down; one array element each.

    Args:
        listing: the listing.
        changed: when the row became true, seconds since the opening.
        recorded: when it was written down.
        fault: place in ``FAULTS``, or ``CLEAN``.
        column: place in ``MISSABLE`` of a missing value, in ``SPOILT`` of an impossible one; 0 of an area misread.
        repeated: whether the row says again what was said before.
    """

    listing: Ints
    changed: Ints
    recorded: Ints
    fault: Ints
    column: Ints
    repeated: Bools

    def __len__(self) -> int:
        return len(self.listing)

    def hit(self, fault: str, column: str) -> Bools:
        """Return in which rows this fault spoils this column."""
        columns = {"missing": MISSABLE, "impossible": SPOILT, "unit": ("area",)}[fault]
        place = columns.index(column) if column in columns else CLEAN
        hit: Bools = (self.fault == FAULTS.index(fault)) & (self.column == place)
        return hit


def soiled(world: World) -> Rows:
    """Return the rows of the listings' table: one a listing, corrections of half the faults, and rows sent twice."""
    rng = stream(world.options.seed, "dirt")
    listed, count = world.listings.listed, len(world.listings)
    edges = np.cumsum(SHARES) * world.options.dirt
    fault = np.searchsorted(edges, rng.random(count), side="right")
    fault = np.where(fault == len(edges), CLEAN, fault)
    columns = np.array([len(MISSABLE), len(SPOILT), 1, 1])
    column = rng.integers(0, columns[fault])
    recorded = listed + rng.integers(20, 900, count)
    mended = np.flatnonzero((fault != CLEAN) & (rng.random(count) < 0.5))
    mended_at = listed[mended] + rng.integers(3 * DAY, 14 * DAY, len(mended))
    again = np.flatnonzero(rng.random(count) < (1 - sum(SHARES)) * world.options.dirt)
    sent_again = recorded[again] + rng.integers(HOUR, 2 * DAY, len(again))
    first, clean = np.arange(count), np.full(len(mended), CLEAN)
    rows = Rows(
        listing=np.concatenate([first, mended, again]),
        changed=np.concatenate([listed, mended_at, listed[again]]),
        recorded=np.concatenate([recorded, mended_at + 60, sent_again]),
        fault=np.concatenate([fault, clean, fault[again]]),
        column=np.concatenate([column, clean, column[again]]),
        repeated=np.arange(count + len(mended) + len(again)) >= count + len(mended),
    )
    order = np.argsort(rows.recorded, kind="stable")
    order = order[rows.recorded[order] < world.clock.end]
    return Rows(**{name: values[order] for name, values in rows.__dict__.items()})


def delivered(rng: np.random.Generator, at: Ints) -> Ints:
    """Return when events were written down: within minutes but for a share of ``LATE``, which takes up to two days."""
    prompt = rng.exponential(40, len(at)).astype(np.int64) + 1
    late = rng.integers(HOUR, 2 * DAY, len(at))
    return at + np.where(rng.random(len(at)) < LATE, late, prompt)


def resent(rng: np.random.Generator, count: int) -> Ints:
    """Return which of so many events are sent a second time."""
    return np.flatnonzero(rng.random(count) < RESENT)
