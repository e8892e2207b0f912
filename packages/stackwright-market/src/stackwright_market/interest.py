"""What happens outside the result list: homes opened from an alert or a link, contacts, and visits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stackwright_market.clock import DAY, HOUR, time_of_day
from stackwright_market.searches import FRESH
from stackwright_market.streams import Ints
from stackwright_market.world import World

ORIGINS: Final = ("alert", "link", "favourite")
CHANNELS: Final = ("message", "phone")
_RIVALS: Final = 3


@dataclass(frozen=True)
class Opened:
    """Pages opened, of a search's result or otherwise; one array element each."""

    person: Ints
    listing: Ints
    at: Ints

    def __len__(self) -> int:
        return len(self.at)


def direct_views(rng: np.random.Generator, world: World, low: int, high: int, count: int) -> tuple[Opened, Ints]:
    """Draw up to ``count`` pages opened without a search in ``[low, high)``, and their place in ``ORIGINS``.

    Appealing and new homes are opened more often, by those of a few people whom they suit best.
    """
    live = world.on_market(low, high)
    begins = np.maximum(world.listings.listed[live] + FRESH, low)
    ends = np.minimum(world.deals.off[live], high)
    age = (begins - world.listings.listed[live]) / (10 * DAY)
    weight = np.exp(0.9 * world.listings.appeal[live]) * (0.2 + np.exp(-age)) * np.maximum(ends - begins, 0)
    total = np.cumsum(weight)
    if not len(live) or total[-1] <= 0:
        count = 0
    drawn = np.searchsorted(total, rng.random(count) * (total[-1] if count else 0.0), side="right")
    drawn = np.minimum(drawn, max(len(live) - 1, 0))
    at = begins[drawn] + (rng.random(count) * (ends - begins)[drawn]).astype(np.int64)
    rivals = world.people.pick(rng, np.repeat(at, _RIVALS)).reshape(count, _RIVALS)
    listing = live[drawn]
    liking = world.affinity(rivals, *np.broadcast_arrays(listing[:, None], at[:, None])) if count else np.empty((0, 1))
    person = np.take_along_axis(rivals, liking.argmax(axis=1)[:, None], axis=1)[:, 0]
    return Opened(person, listing, at), rng.integers(0, len(ORIGINS), count)


def contacts(rng: np.random.Generator, world: World, opened: Opened) -> tuple[Ints, Ints]:
    """Return which of the opened pages lead to a contact, and when; never once the home is off the market."""
    liking = world.affinity(opened.person, opened.listing, opened.at)
    chance = 0.22 / (1 + np.exp(0.8 - liking))
    at = opened.at + 60 + rng.exponential(1_200, len(opened)).astype(np.int64)
    known = np.minimum(world.deals.off[opened.listing], world.clock.end)
    view = np.flatnonzero((rng.random(len(opened)) < chance) & (at < known))
    return view, at[view]


def visits(rng: np.random.Generator, world: World, listing: Ints, at: Ints) -> tuple[Ints, Ints]:
    """Return which contacts lead to a visit of the home, and when: one to ten days later, while it can be had."""
    day = (at + rng.integers(1, 11, len(at)) * DAY) // DAY * DAY
    when = day + np.clip(time_of_day(rng, len(at)), 9 * HOUR, 19 * HOUR)
    known = np.minimum(world.deals.off[listing], world.clock.end)
    contact = np.flatnonzero((rng.random(len(at)) < 0.45) & (when < known))
    return contact, when[contact]
