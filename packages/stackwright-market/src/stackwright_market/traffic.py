"""The tables of events, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stackwright_market.clock import HOUR
from stackwright_market.dirt import delivered, resent
from stackwright_market.events import Chunk
from stackwright_market.names import Names
from stackwright_market.streams import Ints
from stackwright_market.world import World
from stackwright_market.writer import Writer, chosen

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "searches": {
        "search_id": "int",
        "session_id": "int",
        "person_id": "text",
        "district": "text",
        "property_type": "text",
        "max_price": "float",
        "results": "int",
        "randomised": "flag",
        "searched_at": "time",
    },
    "impressions": {
        "impression_id": "int",
        "search_id": "int",
        "person_id": "text",
        "listing_id": "text",
        "position": "int",
        "clicked": "flag",
        "shown_at": "time",
    },
    "clicks": {
        "event_id": "int",
        "impression_id": "int",
        "search_id": "int",
        "person_id": "text",
        "listing_id": "text",
        "position": "int",
        "clicked_at": "time",
    },
    "direct_views": {
        "event_id": "int",
        "person_id": "text",
        "listing_id": "text",
        "origin": "text",
        "viewed_at": "time",
    },
    "contacts": {
        "event_id": "int",
        "view_id": "int",
        "person_id": "text",
        "listing_id": "text",
        "channel": "text",
        "contacted_at": "time",
    },
    "visits": {
        "visit_id": "int",
        "contact_id": "int",
        "person_id": "text",
        "listing_id": "text",
        "booked_at": "time",
        "visited_at": "time",
    },
    "offers": {
        "offer_id": "int",
        "visit_id": "int",
        "person_id": "text",
        "listing_id": "text",
        "amount": "float",
        "accepted": "flag",
        "offered_at": "time",
    },
    "interest": {
        "event_id": "int",
        "listing_id": "text",
        "person_id": "text",
        "viewed_by": "text",
        "contacted_by": "text",
        "neighbourhood_id": "text",
        "property_type": "text",
        "asking_price": "float",
        "happened_at": "time",
        "recorded_at": "time",
    },
}


def write_events(writer: Writer, world: World, names: Names, chunk: Chunk) -> None:
    """Add the chunk's rows to every table but ``interest``."""
    _write_searches(writer, world, names, chunk)
    _write_views(writer, world, names, chunk)
    _write_deals(writer, world, names, chunk)


def write_interest(
    writer: Writer, rng: np.random.Generator, world: World, names: Names, chunk: Chunk
) -> tuple[int, int]:
    """Add the chunk's rows to ``interest``: pages opened and contacts by listing; return how many came late, and twice.

    A few rows are written down hours later and a few are sent again, as happens where browsers report events. What is
    written down after the end is not known, and left out.
    """
    contact = chunk.contact_view
    views, count = len(chunk.opened), len(chunk.opened) + len(contact)
    person = np.concatenate([chunk.opened.person, chunk.opened.person[contact]])
    listing = np.concatenate([chunk.opened.listing, chunk.opened.listing[contact]])
    at = np.concatenate([chunk.opened.at, chunk.contact_at])
    again = resent(rng, count)
    event = np.concatenate([np.arange(count), again])
    recorded = delivered(rng, at)
    recorded = np.concatenate([recorded, recorded[again] + rng.integers(5, 600, len(again))])
    order = np.argsort(at[event], kind="stable")
    order = order[recorded[order] < world.clock.end]
    event, recorded = event[order], recorded[order]
    person, listing, at, view = person[event], listing[event], at[event], event < views
    writer.add(
        "interest",
        {
            "event_id": chunk.first_event + event,
            "listing_id": chosen(names.listing, listing),
            "person_id": chosen(names.person, person),
            "viewed_by": chosen(names.person, np.ma.array(person, mask=~view)),
            "contacted_by": chosen(names.person, np.ma.array(person, mask=view)),
            "neighbourhood_id": chosen(names.neighbourhood, world.listings.neighbourhood[listing]),
            "property_type": chosen(names.kind, world.listings.kind[listing]),
            "asking_price": world.deals.asking_at(listing, at),
            "happened_at": world.clock.micros(at),
            "recorded_at": world.clock.micros(recorded),
        },
    )
    return int((recorded - at >= HOUR).sum()), int((order >= count).sum())


def _write_searches(writer: Writer, world: World, names: Names, chunk: Chunk) -> None:
    searches, shown, micros = chunk.searches, chunk.impressions, world.clock.micros
    writer.add(
        "searches",
        {
            "search_id": chunk.first_search + np.arange(len(searches.at)),
            "session_id": chunk.first_session + searches.session,
            "person_id": chosen(names.person, searches.person),
            "district": chosen(names.district, searches.district),
            "property_type": chosen(names.kind, np.ma.array(searches.kind, mask=searches.kind < 0)),
            "max_price": searches.most,
            "results": searches.results,
            "randomised": searches.randomised,
            "searched_at": micros(searches.at),
        },
    )
    writer.add(
        "impressions",
        {
            "impression_id": chunk.first_impression + np.arange(len(shown.search)),
            "search_id": chunk.first_search + shown.search,
            "person_id": chosen(names.person, searches.person[shown.search]),
            "listing_id": chosen(names.listing, shown.listing),
            "position": shown.position,
            "clicked": shown.clicked,
            "shown_at": micros(searches.at[shown.search]),
        },
    )


def _write_views(writer: Writer, world: World, names: Names, chunk: Chunk) -> None:
    opened, clicked, micros = chunk.opened, chunk.clicked, world.clock.micros
    clicks, shown = len(clicked), chunk.impressions
    event = chunk.first_event + np.arange(len(opened))
    person, listing = chosen(names.person, opened.person), chosen(names.listing, opened.listing)
    writer.add(
        "clicks",
        {
            "event_id": event[:clicks],
            "impression_id": chunk.first_impression + clicked,
            "search_id": chunk.first_search + shown.search[clicked],
            "person_id": person[:clicks],
            "listing_id": listing[:clicks],
            "position": shown.position[clicked],
            "clicked_at": micros(opened.at[:clicks]),
        },
    )
    writer.add(
        "direct_views",
        {
            "event_id": event[clicks:],
            "person_id": person[clicks:],
            "listing_id": listing[clicks:],
            "origin": chosen(names.origin, chunk.origin),
            "viewed_at": micros(opened.at[clicks:]),
        },
    )
    view = chunk.contact_view
    writer.add(
        "contacts",
        {
            "event_id": _contact_ids(chunk),
            "view_id": event[view],
            "person_id": person.take(pa.array(view)),
            "listing_id": listing.take(pa.array(view)),
            "channel": chosen(names.channel, (event[view] % 3 == 0).astype(np.int64)),
            "contacted_at": micros(chunk.contact_at),
        },
    )


def _write_deals(writer: Writer, world: World, names: Names, chunk: Chunk) -> None:
    offers, micros, contact = world.offers, world.clock.micros, chunk.visit_contact
    view, booked = chunk.contact_view[contact], chunk.offer_visits
    known = np.arange(len(contact) + len(booked)) < len(contact)
    contact_id = np.concatenate([_contact_ids(chunk)[contact], np.zeros(len(booked), np.int64)])
    writer.add(
        "visits",
        {
            "visit_id": np.concatenate([chunk.first_visit + np.arange(len(contact)), booked]),
            "contact_id": np.ma.array(contact_id, mask=~known),
            "person_id": _both(names.person, chunk.opened.person[view], offers.person[booked]),
            "listing_id": _both(names.listing, chunk.opened.listing[view], offers.listing[booked]),
            "booked_at": micros(np.concatenate([chunk.contact_at[contact], offers.booked[booked]])),
            "visited_at": micros(np.concatenate([chunk.visit_at, offers.visited[booked]])),
        },
    )
    made = chunk.offers
    writer.add(
        "offers",
        {
            "offer_id": made,
            "visit_id": made,
            "person_id": chosen(names.person, offers.person[made]),
            "listing_id": chosen(names.listing, offers.listing[made]),
            "amount": offers.amount[made],
            "accepted": offers.accepted[made],
            "offered_at": micros(offers.offered[made]),
        },
    )


def _contact_ids(chunk: Chunk) -> Ints:
    return chunk.first_event + len(chunk.opened) + np.arange(len(chunk.contact_at))


def _both(texts: Any, first: Ints, second: Ints) -> Any:
    return chosen(texts, np.concatenate([first, second]))
