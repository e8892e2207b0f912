"""The stream of events, cut into chunks of whole days, so that any number of them needs the same memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from stackwright_market.clock import DAY
from stackwright_market.interest import Opened, contacts, direct_views, visits
from stackwright_market.searches import Impressions, Searches, search_chunk
from stackwright_market.streams import Ints, stream
from stackwright_market.world import World

CHUNK_EVENTS: Final = 40_000
"""A chunk has about so many events, if a day has not more."""
CHUNK_DAYS: Final = 14
"""A chunk has at most so many days."""
FROM_SEARCHES: Final = 0.5
"""Share of the events that searches bring; the others are pages opened otherwise, contacts and visits."""

_A_SEARCH: Final = 10.0
_A_VIEW: Final = 1.1


@dataclass(frozen=True)
class Chunk:
    """The events of a few days. Numbers (``first_...``) are those of the first row; the others follow.

    Args:
        clicked: rows of ``impressions`` that were clicked.
        opened: pages opened: first the clicks, then the others; their events are numbered in this order.
        origin: place in ``ORIGINS`` of each page opened without a search.
        contact_view: row of ``opened`` that led to each contact; contacts are numbered after the pages.
        contact_at: when, seconds since the opening.
        visit_contact: row of the contact that led to each visit.
        visit_at: when the home is visited.
        offer_visits: rows of the world's offers whose visit was booked in these days.
        offers: rows of the world's offers made in these days.
    """

    high: int
    searches: Searches
    impressions: Impressions
    clicked: Ints
    opened: Opened
    origin: Ints
    contact_view: Ints
    contact_at: Ints
    visit_contact: Ints
    visit_at: Ints
    offer_visits: Ints
    offers: Ints
    first_search: int
    first_session: int
    first_impression: int
    first_event: int
    first_visit: int

    @property
    def from_searches(self) -> int:
        """Searches, and what they showed and brought."""
        return len(self.searches.at) + len(self.impressions.search) + len(self.clicked)

    @property
    def direct(self) -> int:
        """Pages opened without a search, and the contacts and visits that opened pages lead to."""
        return len(self.origin) + len(self.contact_at) + len(self.visit_at)


def chunks(world: World) -> Iterator[Chunk]:
    """Draw the events of the whole market in order of time.

    How many events a search brings is known only when it was drawn; each chunk makes up for what those before it
    had too many or too few.
    """
    plan = _plan(world)
    offers_booked = np.argsort(world.offers.booked, kind="stable")
    booked = world.offers.booked[offers_booked]
    offered = world.offers.offered
    brought = {"searches": 0, "from_searches": 0, "direct": 0, "views": 0}
    ids = {"search": 0, "session": 0, "impression": 0, "event": 0, "visit": len(world.offers)}
    for number, (low, high, due) in enumerate(plan):
        searches = _wanted(FROM_SEARCHES * due, brought["from_searches"], brought["searches"], _A_SEARCH)
        views = _wanted((1 - FROM_SEARCHES) * due, brought["direct"], brought["views"], _A_VIEW)
        chunk = _draw(
            world,
            number,
            (low, high),
            (searches, views),
            offers_booked[slice(*np.searchsorted(booked, [low, high]))],
            np.arange(*np.searchsorted(offered, [low, high])),
            ids,
        )
        brought["searches"] += len(chunk.searches.at)
        brought["from_searches"] += chunk.from_searches
        brought["direct"] += chunk.direct
        brought["views"] += len(chunk.origin)
        ids["search"] += len(chunk.searches.at)
        ids["session"] += int(chunk.searches.session.max(initial=-1)) + 1
        ids["impression"] += len(chunk.impressions.search)
        ids["event"] += len(chunk.opened) + len(chunk.contact_at)
        ids["visit"] += len(chunk.visit_at)
        yield chunk


def _wanted(due: float, brought: int, so_far: int, guess: float) -> int:
    """Return how many more to draw for ``due`` events, by what those so far brought; at first, by a guess."""
    each = (brought + 10 * guess) / (so_far + 10)
    return max(0, round((due - brought) / each))


def _plan(world: World) -> list[tuple[int, int, float]]:
    """Return first and last second of each chunk, and how many events are due by its end."""
    days = world.clock.end // DAY
    a_day = world.options.events / days
    step = int(np.clip(CHUNK_EVENTS / a_day, 1, CHUNK_DAYS))
    season = 1.0 + 0.2 * world.clock.season(np.arange(days, dtype=np.int64) * DAY, peak=0.3)
    due = np.cumsum(season) / season.sum() * world.options.events
    edges = [*range(0, days, step), days]
    return [(low * DAY, high * DAY, float(due[high - 1])) for low, high in pairwise(edges)]


def _draw(
    world: World,
    number: int,
    span: tuple[int, int],
    wanted: tuple[int, int],
    offer_visits: Ints,
    offers: Ints,
    ids: dict[str, int],
) -> Chunk:
    rng = stream(world.options.seed, "searches", number)
    searches, impressions = search_chunk(rng, world, *span, wanted[0])
    clicked = np.flatnonzero(impressions.clicked)
    listing, search = impressions.listing[clicked], impressions.search[clicked]
    moment = searches.at[search] + 4 * impressions.position[clicked] + rng.integers(1, 30, len(clicked))
    moment = np.minimum(moment, np.minimum(world.deals.off[listing], world.clock.end) - 1)
    rng = stream(world.options.seed, "interest", number)
    direct, origin = direct_views(rng, world, *span, wanted[1])
    opened = Opened(
        np.concatenate([searches.person[search], direct.person]),
        np.concatenate([listing, direct.listing]),
        np.concatenate([moment, direct.at]),
    )
    contact_view, contact_at = contacts(rng, world, opened)
    visit_contact, visit_at = visits(rng, world, opened.listing[contact_view], contact_at)
    return Chunk(
        high=span[1],
        searches=searches,
        impressions=impressions,
        clicked=clicked,
        opened=opened,
        origin=origin,
        contact_view=contact_view,
        contact_at=contact_at,
        visit_contact=visit_contact,
        visit_at=visit_at,
        offer_visits=offer_visits,
        offers=offers,
        first_search=ids["search"],
        first_session=ids["session"],
        first_impression=ids["impression"],
        first_event=ids["event"],
        first_visit=ids["visit"],
    )
