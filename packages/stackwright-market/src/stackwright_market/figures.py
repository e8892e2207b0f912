"""What the statistics office publishes: a month's figures for each neighbourhood, some days into the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stackwright_market.clock import DAY, HOUR
from stackwright_market.streams import Floats, Ints, stream
from stackwright_market.world import World

PUBLISHED: Final = 4 * DAY + 6 * HOUR
"""Seconds after the month's end at which its figures come out."""
_REFERENCE_AREA: Final = 80.0


@dataclass(frozen=True)
class Published:
    """One row a neighbourhood and month, in order of time; ``at`` is in seconds since the opening."""

    neighbourhood: Ints
    at: Ints
    median_price_m2: Floats
    sales: Ints


def publish(world: World) -> Published:
    """Draw the figures: the office sees all sales of the month, many more than come to this market."""
    clock = world.clock
    opening = np.datetime64(clock.opening, "s")
    first = opening.astype("datetime64[M]") + 1
    last = np.datetime64(clock.opening + clock.end - PUBLISHED - HOUR, "s").astype("datetime64[M]")
    months = np.arange(first, last + 1).astype("datetime64[s]")
    before = (months - np.timedelta64(DAY, "s")).astype("datetime64[M]").astype("datetime64[s]")
    ends, begins = ((edge - opening).astype(np.int64) for edge in (months, before))
    count = len(world.geography.names)
    neighbourhood = np.tile(np.arange(count), len(months))
    middle = np.repeat(np.maximum((ends + begins) // 2, 0), count)
    rng = stream(world.options.seed, "figures")
    log_price = world.geography.log_price(neighbourhood, middle) + rng.normal(0, 0.015, len(middle))
    busy = 1.0 + 0.25 * clock.season(middle, peak=0.45)
    return Published(
        neighbourhood=neighbourhood,
        at=np.repeat(ends + PUBLISHED, count),
        median_price_m2=(np.exp(log_price) / _REFERENCE_AREA).round(0),
        sales=rng.poisson(60 * world.geography.size[neighbourhood] * busy),
    )
