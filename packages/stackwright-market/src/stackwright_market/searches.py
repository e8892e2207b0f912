"""Search sessions: what is asked, what is shown where, and what is clicked.

A click is an examination and an attraction (the examination hypothesis: Richardson et al., "Predicting clicks", WWW
2007; Craswell et al., "An experimental comparison of click position-bias models", WSDM 2008): the place in the list
decides alone whether a result is looked at, the person and the home decide whether it is then opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stackwright_market.clock import DAY, HOUR, time_of_day
from stackwright_market.geography import DISTRICTS
from stackwright_market.streams import Bools, Floats, Ints
from stackwright_market.world import World

PAGE: Final = 10
"""Results a search shows at most."""
EXAMINATION: Final[Floats] = np.arange(1, PAGE + 1, dtype=np.float64) ** -0.7
"""Probability that the result at each place is looked at."""
RANDOMISED: Final = 0.1
"""Share of searches whose results are shown in random order, so that the bias can be measured."""
CANDIDATES: Final = 60
"""Homes that are looked at for one page."""
FRESH: Final = HOUR // 2
"""Seconds until a new listing can be found."""


@dataclass(frozen=True)
class Searches:
    """Searches of one chunk; ``kind`` is -1 and ``most`` NaN where nothing was asked for."""

    session: Ints
    person: Ints
    at: Ints
    district: Ints
    kind: Ints
    most: Floats
    randomised: Bools
    results: Ints


@dataclass(frozen=True)
class Impressions:
    """What the searches of one chunk showed: ``search`` is the row of the search, ``position`` starts at 1."""

    search: Ints
    listing: Ints
    position: Ints
    clicked: Bools


def search_chunk(
    rng: np.random.Generator, world: World, low: int, high: int, count: int
) -> tuple[Searches, Impressions]:
    """Draw ``count`` searches of the whole days ``[low, high)`` with what they show and what is clicked."""
    session, person, at = _sessions(rng, world, low, high, count)
    people = world.people
    district = np.where(rng.random(count) < 0.8, people.home[person], rng.integers(0, len(DISTRICTS), count))
    kind = np.where(rng.random(count) < 0.6, people.kind[person], -1)
    ceiling = np.round(np.exp(people.budget[person]) * rng.uniform(1.05, 1.35, count), -4)
    most = np.where(rng.random(count) < 0.6, ceiling, np.nan)
    listing, found = _candidates(rng, world, low, high, district)
    found &= (world.listings.listed[listing] + FRESH <= at[:, None]) & (at[:, None] < world.deals.off[listing])
    found &= (kind[:, None] < 0) | (world.listings.kind[listing] == kind[:, None])
    asking = world.deals.asking_at(listing, np.broadcast_to(at[:, None], listing.shape))
    found &= ~(asking > most[:, None])
    randomised = rng.random(count) < RANDOMISED
    score = _relevance(rng, world, person, at, listing, asking)
    score = np.where(randomised[:, None], rng.random(score.shape), score)
    order = np.argsort(np.where(found, -score, np.inf), axis=1, kind="stable")[:, :PAGE]
    shown = np.take_along_axis(found, order, axis=1)
    search, place = np.nonzero(shown)
    chosen = listing[search, order[search, place]]
    attraction = 1 / (1 + np.exp(0.9 - world.affinity(person[search], chosen, at[search])))
    clicked = rng.random(len(search)) < EXAMINATION[place] * attraction
    searches = Searches(session, person, at, district, kind, most, randomised, shown.sum(axis=1))
    return searches, Impressions(search, chosen, place + 1, clicked)


def _sessions(rng: np.random.Generator, world: World, low: int, high: int, count: int) -> tuple[Ints, Ints, Ints]:
    """Return session number within the chunk, person and instant of each search; a session is about two searches."""
    sizes = np.minimum(rng.geometric(0.5, count), 5)
    session = np.repeat(np.arange(count), sizes)[:count]
    begins = low + rng.integers(0, (high - low) // DAY, count) * DAY + time_of_day(rng, count)
    person = world.people.pick(rng, begins)[session]
    nth = np.arange(count) - np.searchsorted(session, session, side="left")
    at = np.minimum(begins[session] + nth * rng.integers(30, 300, count), high - 1)
    return session, person, at


def _candidates(rng: np.random.Generator, world: World, low: int, high: int, district: Ints) -> tuple[Ints, Bools]:
    """Return for each search ``CANDIDATES`` homes of its district, all different, and which of them are there."""
    live = rng.permutation(world.on_market(low, high))
    home = world.geography.district[world.listings.neighbourhood[live]]
    live = live[np.argsort(home, kind="stable")]
    sizes = np.bincount(home, minlength=len(DISTRICTS))
    starts = np.cumsum(sizes) - sizes
    offset = rng.integers(0, np.maximum(sizes, 1)[district])
    column = np.arange(CANDIDATES)[None, :]
    size = sizes[district][:, None]
    place = starts[district][:, None] + (offset[:, None] + column) % np.maximum(size, 1)
    filled = np.broadcast_to(column < size, place.shape).copy()
    if not len(live):
        return np.zeros(place.shape, np.int64), filled
    return live[np.minimum(place, len(live) - 1)], filled


def _relevance(rng: np.random.Generator, world: World, person: Ints, at: Ints, listing: Ints, asking: Floats) -> Floats:
    """Return what the portal ranks by: price against budget, freshness, appeal and chance. It does not know tastes."""
    dear = np.log(asking) - world.people.budget[person][:, None]
    age = (at[:, None] - world.listings.listed[listing]) / (30 * DAY)
    chance = rng.standard_normal(listing.shape)
    return -np.minimum((dear / 0.4) ** 2, 3.0) - 0.3 * age + 0.3 * world.listings.appeal[listing] + 0.6 * chance
