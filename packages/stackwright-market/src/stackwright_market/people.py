"""People who look for a home: where, how large, for how much, and what they like. A few are very active."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stackwright_market.clock import DAY, Clock
from stackwright_market.geography import DISTRICTS, Geography
from stackwright_market.listings import TYPES
from stackwright_market.options import MarketOptions
from stackwright_market.streams import Floats, Ints, stream


@dataclass(frozen=True)
class People:
    """Persons in the order they registered; one array element each.

    Args:
        registered: seconds since the opening, negative before it.
        home: the district they look in, place in ``DISTRICTS``.
        kind: the type of home they look for, place in ``TYPES``.
        budget: log euros.
        taste: what they like, on the axes of :class:`~stackwright_market.listings.Listings`.
        activity: running sum of their weights: a few people do most of the looking.
    """

    registered: Ints
    home: Ints
    kind: Ints
    budget: Floats
    taste: Floats
    activity: Floats

    def __len__(self) -> int:
        return len(self.registered)

    def pick(self, rng: np.random.Generator, at: Ints) -> Ints:
        """Draw one registered person for each instant, the active more often."""
        known = np.searchsorted(self.registered, at, side="right")
        drawn = rng.random(len(at)) * self.activity[known - 1]
        return np.minimum(np.searchsorted(self.activity, drawn, side="right"), known - 1)


def make_people(options: MarketOptions, clock: Clock, geography: Geography) -> People:
    """Draw the people: half were registered before the opening, the others come until the end."""
    rng = stream(options.seed, "people")
    count = options.persons
    early = count // 2
    registered = np.concatenate(
        [rng.integers(-720 * DAY, 0, early), rng.integers(0, clock.end, count - early)],
    )
    registered.sort()
    weight = np.bincount(geography.district, geography.size)
    home = rng.choice(len(DISTRICTS), count, p=weight / weight.sum())
    level = np.bincount(geography.district, geography.level) / np.bincount(geography.district)
    area = rng.normal(0, 0.38, count)
    return People(
        registered=registered,
        home=home,
        kind=rng.choice(len(TYPES), count, p=(0.55, 0.22, 0.23)),
        budget=level[home] + 0.87 * area + rng.normal(0.05, 0.15, count),
        taste=rng.normal(0, 1, (count, 4)),
        activity=np.cumsum(rng.pareto(1.5, count) + 0.1),
    )
