"""The tables that every sample has, and how the world becomes rows of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stackwright_market.clock import HOUR
from stackwright_market.deals import NEVER
from stackwright_market.dirt import FAULTS, IMPOSSIBLE_YEAR, MISSABLE, SPOILT, SQUARE_FEET, Rows
from stackwright_market.figures import Published
from stackwright_market.names import Names
from stackwright_market.streams import Columns, Ints
from stackwright_market.valuations import Labels, Valuations
from stackwright_market.world import World
from stackwright_market.writer import chosen

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "neighbourhoods": {"neighbourhood_id": "text", "district": "text", "latitude": "float", "longitude": "float"},
    "neighbourhood_statistics": {
        "neighbourhood_id": "text",
        "median_price_m2": "float",
        "sales_month": "int",
        "school_score": "float",
        "green_share": "float",
        "published_at": "time",
        "recorded_at": "time",
    },
    "agents": {"agent_id": "text", "district": "text"},
    "persons": {
        "person_id": "text",
        "home_district": "text",
        "wanted_type": "text",
        "budget": "float",
        "registered_at": "time",
        "recorded_at": "time",
    },
    "listings": {
        "listing_id": "text",
        "neighbourhood_id": "text",
        "agent_id": "text",
        "property_type": "text",
        "area": "float",
        "rooms": "int",
        "bathrooms": "int",
        "floor": "int",
        "year_built": "int",
        "energy_label": "text",
        "parking": "int",
        "garden": "float",
        "balcony": "flag",
        "lift": "flag",
        "latitude": "float",
        "longitude": "float",
        "changed_at": "time",
        "recorded_at": "time",
    },
    "listing_prices": {"listing_id": "text", "asking_price": "float", "changed_at": "time", "recorded_at": "time"},
    "sales": {
        "sale_id": "int",
        "listing_id": "text",
        "neighbourhood_id": "text",
        "person_id": "text",
        "price": "float",
        "price_m2": "float",
        "agreed_at": "time",
        "closed_at": "time",
        "registered_at": "time",
        "recorded_at": "time",
    },
    "truth/values": {"listing_id": "text", "asked_at": "time", "value": "float", "value_without_shift": "float"},
    "truth/faults": {"listing_id": "text", "column": "text", "fault": "text", "recorded_at": "time"},
}

_COLUMNS: Final = {"energy": "energy_label"}
"""Columns that the table calls otherwise than the world."""


def places(world: World, names: Names) -> Columns:
    """Return the rows of ``neighbourhoods``."""
    return {
        "neighbourhood_id": names.neighbourhood,
        "district": chosen(names.district, world.geography.district),
        "latitude": world.geography.latitude.round(5),
        "longitude": world.geography.longitude.round(5),
    }


def agents(world: World, names: Names) -> Columns:
    """Return the rows of ``agents``: each sits in the district of their first listing, or in the first."""
    seat = np.zeros(len(names.agent), np.int64)
    agent, first = np.unique(world.listings.agent, return_index=True)
    seat[agent] = world.geography.district[world.listings.neighbourhood[first]]
    return {"agent_id": names.agent, "district": chosen(names.district, seat)}


def persons(world: World, names: Names) -> Columns:
    """Return the rows of ``persons``."""
    people, clock = world.people, world.clock
    return {
        "person_id": names.person,
        "home_district": chosen(names.district, people.home),
        "wanted_type": chosen(names.kind, people.kind),
        "budget": np.round(np.exp(people.budget), -3),
        "registered_at": clock.micros(people.registered),
        "recorded_at": clock.micros(people.registered + 1),
    }


def statistics(world: World, names: Names, published: Published) -> Columns:
    """Return the rows of ``neighbourhood_statistics``."""
    geography, clock = world.geography, world.clock
    return {
        "neighbourhood_id": chosen(names.neighbourhood, published.neighbourhood),
        "median_price_m2": published.median_price_m2,
        "sales_month": published.sales,
        "school_score": geography.school_score[published.neighbourhood],
        "green_share": geography.green_share[published.neighbourhood],
        "published_at": clock.micros(published.at),
        "recorded_at": clock.micros(published.at + HOUR),
    }


def listings(world: World, names: Names, rows: Rows) -> Columns:
    """Return the rows of ``listings``, faults included."""
    homes, clock, of = world.listings, world.clock, rows.listing
    area = homes.area[of].copy()
    area[rows.hit("missing", "area")] = np.nan
    area[rows.hit("impossible", "area")] *= -1
    area[rows.hit("unit", "area")] *= SQUARE_FEET
    year = homes.year_built[of].copy()
    year[rows.hit("impossible", "year_built")] = IMPOSSIBLE_YEAR

    def nullable(values: Ints, column: str) -> Any:
        return np.ma.array(values, mask=rows.hit("missing", column))

    return {
        "listing_id": chosen(names.listing, of),
        "neighbourhood_id": chosen(names.neighbourhood, homes.neighbourhood[of]),
        "agent_id": chosen(names.agent, homes.agent[of]),
        "property_type": chosen(names.kind, homes.kind[of]),
        "area": area.round(1),
        "rooms": homes.rooms[of],
        "bathrooms": nullable(homes.bathrooms[of], "bathrooms"),
        "floor": np.ma.array(homes.floor[of], mask=homes.kind[of] != 0),
        "year_built": nullable(year, "year_built"),
        "energy_label": chosen(names.energy, nullable(homes.energy[of], "energy")),
        "parking": homes.parking[of],
        "garden": homes.garden[of],
        "balcony": homes.balcony[of] == 1,
        "lift": homes.lift[of] == 1,
        "latitude": homes.latitude[of],
        "longitude": homes.longitude[of],
        "changed_at": clock.micros(rows.changed),
        "recorded_at": clock.micros(rows.recorded),
    }


def faults(world: World, names: Names, rows: Rows) -> Columns:
    """Return the rows of ``truth/faults``: each spoilt value and each repeated row of ``listings``."""
    spoils = [(fault, column) for fault in FAULTS for column in sorted({*MISSABLE, *SPOILT})]
    hits = [*(rows.hit(fault, column) for fault, column in spoils), rows.repeated]
    row = np.concatenate([np.flatnonzero(hit) for hit in hits])
    kind = np.repeat(np.arange(len(hits)), [hit.sum() for hit in hits])
    columns = [_COLUMNS.get(column, column) for _, column in spoils]
    return {
        "listing_id": chosen(names.listing, rows.listing[row]),
        "column": chosen(pa.array([*columns, None]), kind),
        "fault": chosen(pa.array([*(fault for fault, _ in spoils), "duplicate"]), kind),
        "recorded_at": world.clock.micros(rows.recorded[row]),
    }


def asking_prices(world: World, names: Names) -> Columns:
    """Return the rows of ``listing_prices``: the first asking price, then each lowering, up to the end."""
    first = np.arange(len(world.listings))
    lowered, nth = np.nonzero(world.deals.cut_at < NEVER)
    listing = np.concatenate([first, lowered])
    at = np.concatenate([world.listings.listed, world.deals.cut_at[lowered, nth]])
    order = np.argsort(at, kind="stable")
    order = order[at[order] + 60 < world.clock.end]
    listing, at = listing[order], at[order]
    return {
        "listing_id": chosen(names.listing, listing),
        "asking_price": world.deals.asking_at(listing, at),
        "changed_at": world.clock.micros(at),
        "recorded_at": world.clock.micros(at + 60),
    }


def sales(world: World, names: Names) -> Columns:
    """Return the rows of ``sales``: those that the registry has published by the end."""
    deals, homes, clock = world.deals, world.listings, world.clock
    order = np.argsort(deals.registered, kind="stable")
    of = order[deals.registered[order] + 6 * HOUR < clock.end]
    buyer = np.zeros(len(homes), np.int64)
    buyer[world.offers.listing[world.offers.accepted]] = world.offers.person[world.offers.accepted]
    return {
        "sale_id": of,
        "listing_id": chosen(names.listing, of),
        "neighbourhood_id": chosen(names.neighbourhood, homes.neighbourhood[of]),
        "person_id": chosen(names.person, buyer[of]),
        "price": deals.price[of],
        "price_m2": (deals.price[of] / homes.area[of]).round(2),
        "agreed_at": clock.micros(deals.agreed[of]),
        "closed_at": clock.micros(deals.closed[of]),
        "registered_at": clock.micros(deals.registered[of]),
        "recorded_at": clock.micros(deals.registered[of] + 6 * HOUR),
    }


def values(world: World, names: Names, valuations: Valuations) -> Columns:
    """Return the rows of ``truth/values``: what each valued home was worth, with and without the planted shift."""
    of, at = valuations.listing, valuations.asked
    place, worth = world.listings.neighbourhood[of], world.listings.worth[of]
    return {
        "listing_id": chosen(names.listing, of),
        "asked_at": world.clock.micros(at),
        "value": np.exp(world.geography.log_price(place, at) + worth),
        "value_without_shift": np.exp(world.geography.log_price(place, at, shifted=False) + worth),
    }


def labels(world: World, names: Names, known: Labels, value: str) -> Columns:
    """Return label rows; ``value`` names the column of the truth."""
    clock, of = world.clock, known.listing
    happened = np.ma.array(np.where(known.censored, 0, known.happened), mask=known.censored)
    return {
        "listing_id": chosen(names.listing, of),
        "condition": world.listings.condition[of],
        "asked_at": clock.micros(known.asked),
        "happened_at": clock.micros(happened),
        "observed_at": clock.micros(known.observed),
        value: known.value,
        "censored": known.censored,
    }
