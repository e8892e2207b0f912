"""The sample: a world, its tables in a folder, and for each blueprint the views, labels and requests that it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from stackwright_interfaces.errors import UsageError, did_you_mean
from stackwright_interfaces.plugin import Progress, Sample
from stackwright_market import ranking, tables, traffic
from stackwright_market.clock import DAY, HOUR
from stackwright_market.dirt import Rows, soiled
from stackwright_market.events import chunks
from stackwright_market.figures import publish
from stackwright_market.names import Names
from stackwright_market.options import BLUEPRINTS, MarketOptions
from stackwright_market.searches import FRESH
from stackwright_market.streams import Ints, stream
from stackwright_market.truth import truth
from stackwright_market.valuations import Outcomes, Valuations, labels, make_valuations
from stackwright_market.world import World
from stackwright_market.writer import Writer, chosen

_MARKET: Final = {"listing": "listings", "neighbourhood": "neighbourhood_statistics", "sales": "sales"}
VIEWS: Final[Mapping[str, Mapping[str, str]]] = {
    "realtime": {**_MARKET, "interest": "interest"},
    "batch": {**_MARKET, "interest": "interest", "asking": "listing_prices"},
    "recommender": {"listing": "listings", "person": "persons", "interest": "interest", "history": "interest"},
}
"""Blueprint → view → table of its rows."""
TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "realtime": ("sale_price",),
    "batch": ("sale_price", "days_to_sale"),
    "recommender": ("click",),
}
"""Blueprint → its targets."""


def generate(folder: Path, blueprint: str, options: Mapping[str, Any], progress: Progress) -> Sample:
    """Write the market's tables into a folder, and say which of them a blueprint needs.

    Args:
        folder: is made if it is not there; files of the same names are replaced.
        blueprint: ``realtime`` (valuations), ``batch`` (valuations and days to sale at each month's turn) or
            ``recommender`` (clicks).
        options: see :class:`~stackwright_market.options.MarketOptions`.
        progress: told about days of events written.

    Raises:
        UsageError: an unknown blueprint, or an option that cannot be used.
        StorageError: the folder cannot be written to.
    """
    if blueprint not in BLUEPRINTS:
        todo = did_you_mean(blueprint, BLUEPRINTS) or f"Choose from: {', '.join(BLUEPRINTS)}."
        raise UsageError("sample market", f"no data for a blueprint named {blueprint!r}", todo)
    world = World.make(MarketOptions.read(options))
    names = Names.of(world)
    rows, valuations = soiled(world), make_valuations(world)
    with Writer(folder, _schemas(blueprint)) as writer:
        _write_market(writer, world, names, rows, valuations)
        late, twice = _write_traffic(writer, world, names, blueprint, progress)
        if blueprint != "recommender":
            _write_labels(writer, world, names, valuations, TARGETS[blueprint])
            _write_requests(writer, world, names, valuations, blueprint)
        facts = truth(world, rows, {"rows": writer.rows, "late_events": late, "resent_events": twice})
        (folder / "truth" / "truth.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return Sample(
        views={view: writer.path(table) for view, table in VIEWS[blueprint].items()},
        labels={target: writer.path(f"labels_{target}") for target in TARGETS[blueprint]},
        late_labels={target: writer.path(f"late_labels_{target}") for target in TARGETS[blueprint]},
        requests=writer.path("requests"),
        split=world.clock.moment(world.clock.split),
        truth=facts,
    )


def _schemas(blueprint: str) -> dict[str, Mapping[str, str]]:
    schemas = {**tables.TABLES, **traffic.TABLES}
    if blueprint == "recommender":
        return {**schemas, **ranking.TABLES}
    for target in TARGETS[blueprint]:
        columns = {
            "listing_id": "text",
            "condition": "int",
            "asked_at": "time",
            "happened_at": "time",
            "observed_at": "time",
            target: "float",
            "censored": "flag",
        }
        schemas |= {f"labels_{target}": columns, f"late_labels_{target}": columns}
    return {**schemas, "requests": {"listing_id": "text", "condition": "int", "asked_at": "time"}}


def _write_market(writer: Writer, world: World, names: Names, rows: Rows, valuations: Valuations) -> None:
    writer.add("neighbourhoods", tables.places(world, names))
    writer.add("neighbourhood_statistics", tables.statistics(world, names, publish(world)))
    writer.add("agents", tables.agents(world, names))
    writer.add("persons", tables.persons(world, names))
    writer.add("listings", tables.listings(world, names, rows))
    writer.add("listing_prices", tables.asking_prices(world, names))
    writer.add("sales", tables.sales(world, names))
    writer.add("truth/values", tables.values(world, names, valuations))
    writer.add("truth/faults", tables.faults(world, names, rows))


def _write_traffic(writer: Writer, world: World, names: Names, blueprint: str, progress: Progress) -> tuple[int, int]:
    """Write the events; return how many rows of interest came late, and how many twice."""
    days = world.clock.end // DAY
    late = twice = 0
    for number, chunk in enumerate(chunks(world)):
        traffic.write_events(writer, world, names, chunk)
        delivery = stream(world.options.seed, "delivery", number)
        came_late, came_twice = traffic.write_interest(writer, delivery, world, names, chunk)
        late, twice = late + came_late, twice + came_twice
        if blueprint == "recommender":
            ranking.write_ranking(writer, world, names, chunk)
        progress("days of events", chunk.high // DAY, days)
    return late, twice


def _write_labels(writer: Writer, world: World, names: Names, valuations: Valuations, targets: tuple[str, ...]) -> None:
    outcomes = {"sale_price": Outcomes.of_price, "days_to_sale": Outcomes.of_time_to_sale}
    known = world.clock.split - 1
    for target in targets:
        ends = outcomes[target](world)
        before = labels(valuations, ends, -1, known)
        after = labels(valuations, ends, known, world.clock.end - 1)
        writer.add(f"labels_{target}", tables.labels(world, names, before, target))
        writer.add(f"late_labels_{target}", tables.labels(world, names, after, target))


def _write_requests(writer: Writer, world: World, names: Names, valuations: Valuations, blueprint: str) -> None:
    """Write what is asked live: a valuation when its owner wants it, or of all homes on the market once a month."""
    clock = world.clock
    if blueprint == "realtime":
        live = valuations.asked >= clock.split
        listing, asked = valuations.listing[live], valuations.asked[live]
    else:
        turns = range(clock.split + 2 * HOUR, clock.end, 30 * DAY)
        homes = [_findable(world, turn) for turn in turns]
        listing = np.concatenate(homes)
        asked = np.repeat(np.array(turns), [len(home) for home in homes])
    writer.add(
        "requests",
        {
            "listing_id": chosen(names.listing, listing),
            "condition": world.listings.condition[listing],
            "asked_at": clock.micros(asked),
        },
    )


def _findable(world: World, at: int) -> Ints:
    live = world.on_market(at, at + 1)
    return live[world.listings.listed[live] + FRESH <= at]
