"""The known facts of a sample, as JSON values: what a monitor ought to find, and what a model cannot know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stackwright_market.dirt import FAULTS, LATE, RESENT, SHARES, Rows
from stackwright_market.geography import STRUCK, SUPPLY_FACTOR
from stackwright_market.listings import QUALITY_SD
from stackwright_market.searches import EXAMINATION, RANDOMISED
from stackwright_market.world import World


def truth(world: World, rows: Rows, counted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts; ``counted`` are numbers that only writing the tables could tell."""
    clock, geography, people = world.clock, world.geography, world.people
    return {
        "start": clock.moment(clock.start).isoformat(),
        "split": clock.moment(clock.split).isoformat(),
        "end": clock.moment(clock.end).isoformat(),
        "shift": _shift(world),
        "appreciation": dict(zip(geography.names, geography.growth.round(5).tolist(), strict=True)),
        "noise": {
            "quality_sd": QUALITY_SD,
            "price_sd": float(world.listings.spread.mean().round(5)),
            "best_mdape": _best_mdape(world),
        },
        "examination": EXAMINATION.round(6).tolist(),
        "randomised_searches": RANDOMISED,
        "dirt": _dirt(world, rows),
        "late_events": {"share": LATE, "rows": counted["late_events"]},
        "resent_events": {"share": RESENT, "rows": counted["resent_events"]},
        "new_persons": int((people.registered >= clock.split).sum()),
        "new_listings": int((world.listings.listed >= clock.split).sum()),
        "rows": dict(counted["rows"]),
    }


def _shift(world: World) -> dict[str, Any] | None:
    geography = world.geography
    if not geography.struck.any():
        return None
    return {
        "at": world.clock.moment(world.clock.shift).isoformat(),
        "district": STRUCK,
        "neighbourhoods": np.array(geography.names)[geography.struck].tolist(),
        "price_factor": world.options.shift,
        "supply_factor": SUPPLY_FACTOR,
    }


def _dirt(world: World, rows: Rows) -> dict[str, Any]:
    """Return for each kind of fault its share of the listings and the rows that have it."""
    facts: dict[str, Any] = {}
    for number, fault in enumerate(FAULTS):
        hit = int((rows.fault == number).sum())
        facts[fault] = {"share": round(SHARES[number] * world.options.dirt, 6), "rows": hit}
    share = round((1 - sum(SHARES)) * world.options.dirt, 6)
    return {**facts, "duplicate": {"share": share, "rows": int(rows.repeated.sum())}}


def _best_mdape(world: World) -> float:
    """Return the error of who knows everything about homes and market that is written down, measured on all sales."""
    listings, deals = world.listings, world.deals
    sold = np.flatnonzero(deals.sold)
    level = world.geography.log_price(listings.neighbourhood[sold], deals.agreed[sold])
    known = np.exp(level + listings.worth[sold] - listings.quality[sold])
    return float(np.median(np.abs(known / deals.price[sold] - 1)).round(5))
