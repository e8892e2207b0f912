"""Offers, accepted and refused, and the visits they follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stackwright_market.clock import DAY, HOUR, Clock
from stackwright_market.deals import Deals
from stackwright_market.listings import Listings
from stackwright_market.options import MarketOptions
from stackwright_market.people import People
from stackwright_market.streams import Bools, Floats, Ints, stream


@dataclass(frozen=True)
class Offers:
    """Offers in the order they were made; one array element each.

    Args:
        amount: euros.
        booked: when the visit before it was booked, seconds since the opening.
        visited: when the home was visited.
        offered: when the offer was made.
    """

    listing: Ints
    person: Ints
    amount: Floats
    accepted: Bools
    booked: Ints
    visited: Ints
    offered: Ints

    def __len__(self) -> int:
        return len(self.offered)


def make_offers(options: MarketOptions, clock: Clock, listings: Listings, people: People, deals: Deals) -> Offers:
    """Draw the offers: every sale has an accepted one, many listings have refused ones before; each follows a visit."""
    rng = stream(options.seed, "offers")
    refused = np.repeat(np.arange(len(listings)), rng.poisson(np.where(deals.sold, 0.8, 0.4)))
    accepted = np.flatnonzero(deals.sold)
    listing = np.concatenate([accepted, refused])
    is_accepted = np.arange(len(listing)) < len(accepted)
    room = deals.off[listing] - listings.listed[listing] - 2 * DAY
    early = listings.listed[listing] + 2 * DAY + (room * rng.random(len(listing))).astype(np.int64)
    late = deals.off[listing] - rng.integers(2 * HOUR, 30 * HOUR, len(listing))
    offered = np.where(is_accepted, late, np.minimum(early, deals.off[listing] - 2 * HOUR))
    visited = np.maximum(offered - rng.integers(4 * HOUR, 4 * DAY, len(listing)), listings.listed[listing] + 30 * HOUR)
    booked = np.maximum(visited - rng.integers(5 * HOUR, 3 * DAY, len(listing)), listings.listed[listing] + 2 * HOUR)
    low = np.fmin(deals.asking[listing], deals.price[listing]) * rng.uniform(0.85, 0.985, len(listing))
    amount = np.where(is_accepted, deals.price[listing], np.round(low, -3))
    order = np.argsort(offered, kind="stable")
    order = order[offered[order] < clock.end]
    return Offers(
        listing=listing[order],
        person=people.pick(rng, booked[order]),
        amount=amount[order],
        accepted=is_accepted[order],
        booked=booked[order],
        visited=visited[order],
        offered=offered[order],
    )
