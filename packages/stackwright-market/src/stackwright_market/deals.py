"""How each listing ends: asking prices, the sale with its late registration, or the withdrawal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stackwright_market.clock import DAY, Clock
from stackwright_market.geography import Geography
from stackwright_market.listings import Listings
from stackwright_market.options import MarketOptions
from stackwright_market.streams import Bools, Floats, Ints, stream

NEVER: Final = np.iinfo(np.int64).max // 4
"""Later than anything, in seconds."""
CUTS: Final = 3
"""Asking prices are lowered at most so often."""
FEWEST_DAYS: Final = 4
"""No home sells sooner."""


@dataclass(frozen=True)
class Deals:
    """Ends of listings, one array element a listing; ``NEVER`` for what does not come to be.

    Args:
        asking: first asking price, euros.
        cut_at: when the asking price was lowered, listings × ``CUTS``, seconds since the opening.
        cut: factor of each lowering.
        off: off the market: agreed or withdrawn.
        agreed: an offer was accepted.
        closed: the home changed hands.
        registered: the registry published price and date.
        price: sale price, euros; known nowhere before ``agreed``, and to the public from ``registered`` on.
    """

    asking: Floats
    cut_at: Ints
    cut: Floats
    off: Ints
    agreed: Ints
    closed: Ints
    registered: Ints
    price: Floats

    @property
    def sold(self) -> Bools:
        """Which listings sell, one day."""
        return self.agreed < NEVER

    def asking_at(self, listing: Ints, at: Ints) -> Floats:
        """Return the asking prices (euros) of these listings at these instants, arrays of one shape."""
        lowered = np.where(at[..., None] >= self.cut_at[listing], self.cut[listing], 1.0)
        asking: Floats = np.round(self.asking[listing] * lowered.prod(axis=-1), -3)
        return asking


def make_deals(options: MarketOptions, clock: Clock, geography: Geography, listings: Listings) -> Deals:
    """Draw the ends: dear homes wait longer and are withdrawn more often; prices scatter around the worth."""
    rng = stream(options.seed, "deals")
    count = len(listings)
    wait = np.exp(
        rng.normal(np.log(30), 0.75, count)
        + 4.0 * (listings.overpricing - 0.045)
        - 0.12 * listings.appeal
        - 0.15 * clock.season(listings.listed, peak=0.3)
    )
    patience = 40 + rng.exponential(170, count)
    sold = wait < patience
    on_market = (np.clip(np.minimum(wait, patience), FEWEST_DAYS, 300) * DAY).astype(np.int64)
    off = listings.listed + on_market
    agreed = np.where(sold, off, NEVER)
    closed = np.where(sold, off + (rng.gamma(6.0, 7.0, count).clip(14) * DAY).astype(np.int64), NEVER)
    delay = (rng.gamma(2.0, 9.0, count).clip(2) * DAY).astype(np.int64)
    asking = np.exp(
        geography.log_price(listings.neighbourhood, listings.listed) + listings.worth + listings.overpricing
    )
    scatter = listings.spread * rng.standard_t(7, count) / np.sqrt(7 / 5)
    price = np.exp(geography.log_price(listings.neighbourhood, np.where(sold, off, 0)) + listings.worth + scatter)
    cut_at = listings.listed[:, None] + np.cumsum(rng.integers(30 * DAY, 70 * DAY, (count, CUTS)), axis=1)
    lowers = np.cumprod(rng.random((count, CUTS)) < 0.6, axis=1).astype(bool)
    return Deals(
        asking=asking.round(-3),
        cut_at=np.where(lowers & (cut_at < off[:, None]), cut_at, NEVER),
        cut=rng.uniform(0.93, 0.98, (count, CUTS)).round(3),
        off=off,
        agreed=agreed,
        closed=closed,
        registered=np.where(sold, closed + delay, NEVER),
        price=np.where(sold, np.round(price, -2), np.nan),
    )
