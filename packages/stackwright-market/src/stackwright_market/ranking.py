"""What a recommender learns from: the outcome of each impression, and the searches it will have to answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from stackwright_market.clock import MINUTE
from stackwright_market.events import Chunk
from stackwright_market.names import Names
from stackwright_market.streams import Bools, Ints
from stackwright_market.world import World
from stackwright_market.writer import Writer, chosen

_CLICK: Final[Mapping[str, str]] = {
    "impression_id": "int",
    "search_id": "int",
    "person_id": "text",
    "listing_id": "text",
    "position": "int",
    "randomised": "flag",
    "asked_at": "time",
    "happened_at": "time",
    "observed_at": "time",
    "clicked": "float",
}
TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "labels_click": _CLICK,
    "late_labels_click": _CLICK,
    "requests": {
        "search_id": "int",
        "person_id": "text",
        "district": "text",
        "property_type": "text",
        "max_price": "float",
        "asked_at": "time",
    },
}
SETTLED: Final = 30 * MINUTE
"""Seconds after which an impression that was not clicked counts as passed over."""


def write_ranking(writer: Writer, world: World, names: Names, chunk: Chunk) -> None:
    """Add the chunk's outcomes to the labels before or after the split, and the searches after it to the requests."""
    searches, split = chunk.searches, world.clock.split
    clicked_at = np.zeros(len(chunk.impressions.search), np.int64)
    clicked_at[chunk.clicked] = chunk.opened.at[: len(chunk.clicked)]
    shown_at = searches.at[chunk.impressions.search]
    happened = np.where(chunk.impressions.clicked, clicked_at, shown_at + SETTLED)
    observed = happened + MINUTE
    _write_labels(writer, "labels_click", world, names, chunk, happened, observed < split)
    known = (observed >= split) & (observed < world.clock.end)
    _write_labels(writer, "late_labels_click", world, names, chunk, happened, known)
    live = np.flatnonzero(searches.at >= split)
    writer.add(
        "requests",
        {
            "search_id": chunk.first_search + live,
            "person_id": chosen(names.person, searches.person[live]),
            "district": chosen(names.district, searches.district[live]),
            "property_type": chosen(names.kind, np.ma.array(searches.kind[live], mask=searches.kind[live] < 0)),
            "max_price": searches.most[live],
            "asked_at": world.clock.micros(searches.at[live]),
        },
    )


def _write_labels(
    writer: Writer, table: str, world: World, names: Names, chunk: Chunk, happened: Ints, which: Bools
) -> None:
    row = np.flatnonzero(which)
    shown, searches, micros = chunk.impressions, chunk.searches, world.clock.micros
    search = shown.search[row]
    writer.add(
        table,
        {
            "impression_id": chunk.first_impression + row,
            "search_id": chunk.first_search + search,
            "person_id": chosen(names.person, searches.person[search]),
            "listing_id": chosen(names.listing, shown.listing[row]),
            "position": shown.position[row],
            "randomised": searches.randomised[search],
            "asked_at": micros(searches.at[search]),
            "happened_at": micros(happened[row]),
            "observed_at": micros(happened[row] + MINUTE),
            "clicked": shown.clicked[row].astype(np.float64),
        },
    )
