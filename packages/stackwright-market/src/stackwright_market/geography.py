"""A town that is on no map: districts, neighbourhoods, what a home costs there, and how that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stackwright_market.clock import DAY, MONTH, Clock
from stackwright_market.options import MarketOptions
from stackwright_market.streams import Bools, Floats, Ints, stream

CENTRE: Final = (54.0, 6.0)
"""Latitude and longitude of the town's centre, degrees."""
KM_PER_DEGREE: Final = 111.195
DISTRICTS: Final = (
    "old_town", "harbour", "university", "riverside", "hillside", "garden_city", "westend", "eastfield",
)  # fmt: skip
STRUCK: Final = "harbour"
"""The district that the planted shift strikes."""
SUPPLY_FACTOR: Final = 3.0
"""So many times more homes come to the market there once it has struck, for a shift of any size but none."""

_RADIUS: Final = np.array([0.6, 2.5, 3.5, 4.5, 6.0, 8.0, 10.0, 12.0])
_SIZE: Final = np.array([0.8, 1.2, 1.2, 1.1, 1.0, 1.0, 0.9, 0.8])
_EACH: Final = 6
_REFERENCE: Final = float(np.log(330_000))
"""Log price in euros of the reference home of 80 m² at the centre when the market opens."""


@dataclass(frozen=True)
class Geography:
    """Neighbourhoods, in rows.

    Args:
        names: neighbourhood ids.
        district: place in ``DISTRICTS``.
        latitude: degrees.
        longitude: degrees.
        size: weight in the supply of homes.
        level: log price of the reference home at the opening, euros.
        growth: appreciation a year, in logs, without the town's common ups and downs.
        index: log price relative to the opening, neighbourhoods × months.
        school_score: 1 to 10.
        green_share: share of green land.
        shift: log price change of the planted shift.
    """

    clock: Clock
    names: tuple[str, ...]
    district: Ints
    latitude: Floats
    longitude: Floats
    size: Floats
    level: Floats
    growth: Floats
    index: Floats
    school_score: Floats
    green_share: Floats
    shift: float

    @property
    def struck(self) -> Bools:
        """Which neighbourhoods the planted shift strikes; none if there is no shift."""
        struck: Bools = (self.district == DISTRICTS.index(STRUCK)) & (self.shift != 0.0)
        return struck

    def log_price(self, neighbourhood: Ints, seconds: Ints, *, shifted: bool = True) -> Floats:
        """Return the log price (euros) of the reference home: level, index, season and, if asked for, the shift."""
        month = np.clip(seconds / MONTH, 0.0, self.index.shape[1] - 1.001)
        before = month.astype(np.int64)
        older, newer = self.index[neighbourhood, before], self.index[neighbourhood, before + 1]
        price = self.level[neighbourhood] + older + (newer - older) * (month - before)
        price += 0.02 * self.clock.season(seconds, peak=0.42)
        if shifted:
            price += self.shift * (self.struck[neighbourhood] & (seconds >= self.clock.shift))
        return price

    def supply(self) -> Floats:
        """Return the weight of each (neighbourhood, day since the opening) in the arrival of listings."""
        midnights = np.arange(self.clock.end // DAY, dtype=np.int64) * DAY
        season = 1.0 + 0.12 * self.clock.season(midnights, peak=0.35)
        weight = self.size[:, None] * season[None, :]
        weight[np.ix_(self.struck, midnights >= self.clock.shift)] *= SUPPLY_FACTOR
        return weight


def make_geography(options: MarketOptions, clock: Clock) -> Geography:
    """Lay out the town: rich near the centre and by the river, each neighbourhood with its own fortune."""
    rng = stream(options.seed, "geography")
    districts = len(DISTRICTS)
    count = districts * _EACH
    district = np.repeat(np.arange(districts), _EACH)
    angle = np.repeat(rng.permutation(districts) * 2 * np.pi / districts, _EACH) + rng.normal(0, 0.25, count)
    radius = np.abs(_RADIUS[district] + rng.normal(0, 0.6, count)) + 0.2
    level = _REFERENCE - 0.05 * radius + np.repeat(rng.normal(0, 0.12, districts), _EACH) + rng.normal(0, 0.12, count)
    months = clock.end // MONTH + 3
    growth = rng.normal(0.02, 0.03, count)
    town = np.cumsum(rng.normal(0, 0.003, months))
    own = np.cumsum(rng.normal(0, 0.003, (count, months)), axis=1)
    index = growth[:, None] * np.arange(months)[None, :] / 12 + town[None, :] + own
    return Geography(
        clock=clock,
        names=tuple(f"{DISTRICTS[place]}_{number % _EACH + 1}" for number, place in enumerate(district)),
        district=district,
        latitude=CENTRE[0] + radius * np.sin(angle) / KM_PER_DEGREE,
        longitude=CENTRE[1] + radius * np.cos(angle) / (KM_PER_DEGREE * np.cos(np.radians(CENTRE[0]))),
        size=_SIZE[district] * rng.lognormal(0, 0.3, count),
        level=level,
        growth=growth,
        index=index - index[:, :1],
        school_score=np.clip(6 + 4 * (level - level.mean()) + rng.normal(0, 1.2, count), 1, 10).round(1),
        green_share=np.clip(rng.beta(2, 5, count) + 0.02 * radius, 0, 0.9).round(3),
        shift=float(np.log(options.shift)),
    )
