"""When each home is valued, and what is known of its price later: the labels, late and sometimes censored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from stackwright_market.clock import DAY, HOUR
from stackwright_market.deals import NEVER
from stackwright_market.streams import Bools, Floats, Ints, stream
from stackwright_market.world import World

_FRESH: Final = 0.2
"""Share of homes valued within two hours of their listing, when nobody has looked at them yet."""
_REPORTED: Final = 6 * HOUR
"""Seconds until an agent's word of an agreement or a withdrawal is written down."""


@dataclass(frozen=True)
class Valuations:
    """One a home, in order of time, from the clock's start on; never once the home is off the market.

    Args:
        listing: the home.
        asked: the instant, seconds since the opening.
    """

    listing: Ints
    asked: Ints


@dataclass(frozen=True)
class Outcomes:
    """How something ends for each listing; ``NEVER`` for what does not come to be.

    Args:
        value: what is learned, NaN if it never comes to be.
        happened: when it came to be.
        observed: when it became known.
        given_up: when it became known that it will not come to be.
    """

    value: Floats
    happened: Ints
    observed: Ints
    given_up: Ints

    @classmethod
    def of_price(cls, world: World) -> Self:
        """The sale price: it comes to be at the closing, and is known once registered."""
        deals = world.deals
        return cls(deals.price, deals.closed, deals.registered, _withdrawn(world))

    @classmethod
    def of_time_to_sale(cls, world: World) -> Self:
        """The days from the listing to the agreement."""
        deals = world.deals
        days = np.where(deals.sold, (deals.off - world.listings.listed) / DAY, np.nan)
        observed = np.where(deals.sold, deals.agreed + _REPORTED, NEVER)
        return cls(days.round(3), deals.agreed, observed, _withdrawn(world))


@dataclass(frozen=True)
class Labels:
    """What is known of valuations; ``value`` is NaN and ``happened`` ``NEVER`` where censored."""

    listing: Ints
    asked: Ints
    happened: Ints
    observed: Ints
    value: Floats
    censored: Bools


def make_valuations(world: World) -> Valuations:
    """Draw them: some at once, the others during the first weeks on the market."""
    rng = stream(world.options.seed, "valuations")
    listed, off = world.listings.listed, world.deals.off
    count = len(listed)
    at_once = rng.integers(HOUR // 2, 2 * HOUR, count)
    later = np.minimum(rng.exponential(15 * DAY, count), 45 * DAY).astype(np.int64) + HOUR
    later = np.minimum(later, ((off - listed) * rng.uniform(0.5, 0.95, count)).astype(np.int64))
    asked = listed + np.where(rng.random(count) < _FRESH, at_once, later)
    order = np.argsort(asked, kind="stable")
    order = order[(asked[order] >= world.clock.start) & (asked[order] < world.clock.end)]
    return Valuations(order, asked[order])


def labels(valuations: Valuations, outcomes: Outcomes, since: int, until: int) -> Labels:
    """Return what became known in ``(since, until]``, in that order.

    A home still on its way at ``until`` gives a censored row observed then; once its end is known, a later row for
    the same listing and ``asked`` revises it.
    """
    of, asked = valuations.listing, valuations.asked
    known, given_up = outcomes.observed[of], outcomes.given_up[of]
    told = np.minimum(known, given_up)
    observed = np.minimum(told, until)
    chosen = np.flatnonzero((asked < until) & (told > since))
    chosen = chosen[np.argsort(observed[chosen], kind="stable")]
    censored = (known > until)[chosen]
    return Labels(
        listing=of[chosen],
        asked=asked[chosen],
        happened=np.where(censored, NEVER, outcomes.happened[of][chosen]),
        observed=observed[chosen],
        value=np.where(censored, np.nan, outcomes.value[of][chosen]),
        censored=censored,
    )


def _withdrawn(world: World) -> Ints:
    return np.where(world.deals.sold, NEVER, world.deals.off + _REPORTED)
