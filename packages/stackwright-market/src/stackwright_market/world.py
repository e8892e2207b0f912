"""The whole market before anybody looks at it: everything whose size grows with the entities, not with the events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from stackwright_market.clock import Clock
from stackwright_market.deals import Deals, make_deals
from stackwright_market.geography import Geography, make_geography
from stackwright_market.listings import Listings, make_listings
from stackwright_market.offers import Offers, make_offers
from stackwright_market.options import MarketOptions
from stackwright_market.people import People, make_people
from stackwright_market.streams import Floats, Ints


@dataclass(frozen=True)
class World:
    """Town, homes, people, and how each listing ends."""

    options: MarketOptions
    clock: Clock
    geography: Geography
    listings: Listings
    people: People
    deals: Deals
    offers: Offers

    @classmethod
    def make(cls, options: MarketOptions) -> Self:
        """Draw everything from the seed."""
        clock = Clock.of(options)
        geography = make_geography(options, clock)
        listings = make_listings(options, clock, geography)
        people = make_people(options, clock, geography)
        deals = make_deals(options, clock, geography, listings)
        offers = make_offers(options, clock, listings, people, deals)
        return cls(options, clock, geography, listings, people, deals, offers)

    def on_market(self, low: int, high: int) -> Ints:
        """Return the listings on the market at some instant of ``[low, high)``."""
        listed = np.searchsorted(self.listings.listed, high, side="left")
        return np.flatnonzero(self.deals.off[:listed] > low)

    def affinity(self, person: Ints, listing: Ints, at: Ints) -> Floats:
        """Return how much people like listings (a logit without its constant); arrays of one shape.

        The asking price against the budget counts most, then taste, appeal and the type of home.
        """
        people, listings = self.people, self.listings
        dear = np.log(self.deals.asking_at(listing, at)) - people.budget[person]
        liked = np.einsum("...i,...i->...", people.taste[person], listings.taste[listing])
        alike = people.kind[person] == listings.kind[listing]
        liking: Floats = (
            0.5 * liked - np.minimum((dear / 0.3) ** 2, 4.0) + 0.35 * listings.appeal[listing] + 0.6 * alike
        )
        return liking
