"""Homes on the market: what is written about them, what they are worth, and what nobody writes down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stackwright_market.clock import DAY, Clock, time_of_day
from stackwright_market.geography import CENTRE, DISTRICTS, KM_PER_DEGREE, Geography
from stackwright_market.options import MarketOptions
from stackwright_market.streams import Floats, Ints, stream

TYPES: Final = ("apartment", "townhouse", "house")
ENERGY: Final = ("A", "B", "C", "D", "E", "F", "G")
APARTMENT, _, HOUSE = range(3)
QUALITY_SD: Final = 0.07
"""Spread of the log worth that no attribute tells: the view from the window, the neighbours, the light."""
BUMPS: Final = 16
"""Places whose nearness is worth something: a park, a station, a motorway."""


@dataclass(frozen=True)
class Listings:
    """Listings in the order they came to the market; one array element each.

    Args:
        neighbourhood: row in the geography.
        agent: number of the agent.
        kind: place in ``TYPES``.
        area: living area, m².
        floor: storey, 0 is the ground; of apartments alone.
        energy: place in ``ENERGY``.
        garden: m².
        condition: 1 (a ruin) to 5 (as new), known to who lives there, in no listing.
        listed: when it came to the market, seconds since the opening.
        quality: log worth that no attribute tells; sellers and visitors see it.
        overpricing: log of the first asking price over the worth.
        appeal: how much it is looked at, standardised.
        worth: log worth relative to the reference home of the neighbourhood, quality included.
        spread: standard deviation of the log price around the worth.
        taste: position on the four axes by which people differ (modern, central, spacious, green), standardised.
    """

    neighbourhood: Ints
    agent: Ints
    kind: Ints
    area: Floats
    rooms: Ints
    bathrooms: Ints
    floor: Ints
    year_built: Ints
    energy: Ints
    parking: Ints
    garden: Floats
    balcony: Ints
    lift: Ints
    latitude: Floats
    longitude: Floats
    condition: Ints
    listed: Ints
    quality: Floats
    overpricing: Floats
    appeal: Floats
    worth: Floats
    spread: Floats
    taste: Floats

    def __len__(self) -> int:
        return len(self.listed)


def make_listings(options: MarketOptions, clock: Clock, geography: Geography) -> Listings:
    """Draw the homes and the moments they are listed."""
    rng = stream(options.seed, "listings")
    count = options.listings
    neighbourhood, listed = _arrivals(rng, count, clock, geography)
    latitude = geography.latitude[neighbourhood] + rng.normal(0, 0.45, count) / KM_PER_DEGREE
    longitude = geography.longitude[neighbourhood] + rng.normal(0, 0.75, count) / KM_PER_DEGREE
    distance = distance_km(latitude, longitude)
    kind = (rng.random(count)[:, None] > _kinds(distance)).sum(axis=1)
    apartment = kind == APARTMENT
    area = np.exp(rng.normal(np.array([4.25, 4.7, 4.95])[kind], np.array([0.33, 0.2, 0.27])[kind])).round(1)
    area = np.clip(area, 22.0, 420.0)
    rooms = np.clip(np.round(area / rng.normal(27, 3.5, count).clip(18)), 1, 12).astype(np.int64)
    age = np.where(rng.random(count) < 0.12, rng.uniform(80, 140, count), rng.gamma(2.2, 16, count))
    year_built = (2024 - age).astype(np.int64)
    newness = -(age - age.mean()) / age.std()
    floor = np.where(apartment, rng.poisson(2.2, count), 0)
    quality = rng.normal(0, QUALITY_SD, count)
    overpricing = rng.normal(0.045, 0.045, count)
    appeal = 0.8 * quality / QUALITY_SD - 0.4 * (overpricing - 0.045) / 0.045 + rng.normal(0, 0.45, count)
    district = geography.district[neighbourhood]
    fashion = rng.normal(0, 0.07, (len(DISTRICTS), len(TYPES)))[district, kind]
    garden = np.where(apartment, 0.0, rng.gamma(2.0, np.where(kind == HOUSE, 180.0, 50.0))).round()
    green = geography.green_share[neighbourhood] + garden / 1000
    drawn = {
        "kind": kind,
        "area": area,
        "rooms": rooms,
        "bathrooms": 1 + rng.binomial(2, np.clip((area - 50) / 300, 0.02, 0.9)),
        "floor": floor,
        "year_built": year_built,
        "energy": np.clip(np.round(2.6 - 1.4 * newness + rng.normal(0, 1.0, count)), 0, 6).astype(np.int64),
        "parking": rng.binomial(2, np.where(apartment, 0.25, 0.55)),
        "garden": garden,
        "balcony": (rng.random(count) < np.where(apartment, 0.55, 0.3)).astype(np.int64),
        "lift": (apartment & (rng.random(count) < 0.25 + 0.1 * floor)).astype(np.int64),
        "condition": np.clip(np.round(rng.normal(3.2 + 0.4 * newness, 0.9)), 1, 5).astype(np.int64),
    }
    return Listings(
        neighbourhood=neighbourhood,
        agent=(rng.pareto(1.2, count) * 4).astype(np.int64) % _agents(count),
        latitude=latitude.round(5),
        longitude=longitude.round(5),
        listed=listed,
        quality=quality,
        overpricing=overpricing,
        appeal=appeal,
        worth=_worth(drawn, age, distance) + _bumps(rng, latitude, longitude) + fashion + quality,
        spread=_spread(kind, age, distance, area),
        taste=_standardised(np.stack([newness, -distance, np.log(area), green], axis=1)),
        **drawn,
    )


def distance_km(latitude: Floats, longitude: Floats) -> Floats:
    """Return the distance to the town's centre, km."""
    north = (latitude - CENTRE[0]) * KM_PER_DEGREE
    east = (longitude - CENTRE[1]) * KM_PER_DEGREE * np.cos(np.radians(CENTRE[0]))
    distance: Floats = np.hypot(north, east)
    return distance


def _agents(listings: int) -> int:
    return max(10, listings // 150)


def _arrivals(rng: np.random.Generator, count: int, clock: Clock, geography: Geography) -> tuple[Ints, Ints]:
    weight = geography.supply()
    cumulative = np.cumsum(weight)
    cell = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    cell = np.minimum(cell, weight.size - 1)
    neighbourhood, day = np.divmod(cell, weight.shape[1])
    listed = day * DAY + time_of_day(rng, count)
    order = np.argsort(listed, kind="stable")
    return neighbourhood[order], np.minimum(listed[order], clock.end - 1)


def _kinds(distance: Floats) -> Floats:
    """Return the cumulative shares of apartments and of apartments with townhouses: fewer as the town thins out."""
    apartments = 0.88 - 0.055 * np.clip(distance, 0, 12)
    return np.stack([apartments, apartments + (1 - apartments) * 0.5], axis=1)


def _worth(home: dict[str, Floats | Ints], age: Floats, distance: Floats) -> Floats:
    """Return the log worth of what is written down, relative to a home of 80 m²; the effects depend on each other."""
    apartment = home["kind"] == APARTMENT
    aged = np.minimum(age, 70)
    worth: Floats = np.array([0.0, 0.03, 0.10])[home["kind"].astype(np.int64)]
    worth += np.where(apartment, 0.95, 0.75) * np.log(home["area"] / 80)
    worth += 0.02 * (home["rooms"] - home["area"] / 27).clip(-2, 2)
    worth += np.where((age > 80) & (distance < 4), 0.08, -0.0045 * aged) + 0.09 * (age < 5)
    worth += np.array([-0.24, -0.10, 0.0, 0.04, 0.07])[home["condition"].astype(np.int64) - 1] * (0.6 + aged / 50)
    worth += 0.035 * (home["bathrooms"] - 1) - 0.018 * (home["energy"] - 3)
    worth += np.where(distance < 4, 0.06, 0.02) * home["parking"] + 0.025 * home["balcony"]
    worth += 0.02 * np.log1p(home["garden"] / 20)
    climb = np.where(home["lift"] == 1, 0.015, -0.03) * np.clip(home["floor"] - 1, -1, 8)
    worth += np.where(apartment, climb, 0.0)
    return worth


def _bumps(rng: np.random.Generator, latitude: Floats, longitude: Floats) -> Floats:
    """Return the worth of nearness to some places, good and bad."""
    worth = np.zeros(len(latitude))
    for _ in range(BUMPS):
        angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0, 11)
        north = latitude - CENTRE[0] - radius * np.sin(angle) / KM_PER_DEGREE
        east = (longitude - CENTRE[1]) * np.cos(np.radians(CENTRE[0])) - radius * np.cos(angle) / KM_PER_DEGREE
        near = np.exp(-((north**2 + east**2) * KM_PER_DEGREE**2) / (2 * rng.uniform(1.2, 2.5) ** 2))
        worth += rng.choice([-1, 1]) * rng.uniform(0.12, 0.25) * near
    return worth


def _spread(kind: Ints, age: Floats, distance: Floats, area: Floats) -> Floats:
    """Return how uncertain a price is: large, old and remote homes sell for anything, new flats for what flats cost."""
    spread: Floats = (
        0.055 + 0.00035 * np.minimum(age, 100) + 0.02 * (kind == HOUSE) + 0.002 * np.clip(distance - 5, 0, 10)
    )
    spread += 0.03 * np.clip(np.log(area / 120), 0, 1)
    return spread


def _standardised(values: Floats) -> Floats:
    standardised: Floats = (values - values.mean(axis=0)) / values.std(axis=0)
    return standardised
