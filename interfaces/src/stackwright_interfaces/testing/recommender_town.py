"""A small town for the kit of recommenders: people who like one kind of home, and look at homes in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stackwright_interfaces.recommender import Interactions, Items

PEOPLE: Final = 80
HOMES: Final = 60
KINDS: Final = ("flat", "house", "loft")
START: Final = datetime(2024, 1, 1, tzinfo=UTC)
NOW: Final = START + timedelta(days=30)
"""After every look."""

SOLD: Final = "h007"
"""Off the market before :data:`NOW`."""
NEW: Final = "new-loft"
"""A home that nobody looked at."""


def _kind(home: int) -> str:
    return KINDS[home % len(KINDS)]


KIND: Final = {**{f"h{home:03}": _kind(home) for home in range(HOMES)}, NEW: "loft"}
"""Home → its kind."""
LIKES: Final = {f"p{person:02}": KINDS[person % len(KINDS)] for person in range(PEOPLE)}
"""Person → the kind of home that they look at, but for one in five."""


def interactions(*, numbers: bool = False) -> Interactions:
    """Return who looked at what.

    Args:
        numbers: identifiers are whole numbers.
    """
    rng = np.random.default_rng(1)
    user, item, time = [], [], []
    for person in range(PEOPLE):
        own = [home for home in range(HOMES) if home % len(KINDS) == person % len(KINDS)]
        chosen = [int(home) for home in rng.permutation(own)[:8]]
        chosen[3:3] = [int(home) for home in rng.integers(0, HOMES, 2)]
        for place, home in enumerate(dict.fromkeys(chosen)):
            user.append(person if numbers else f"p{person:02}")
            item.append(home if numbers else f"h{home:03}")
            time.append(START + timedelta(hours=6 * person, minutes=10 * place))
    columns: dict[str, Any] = {"user": user, "item": item, "time": pa.array(time, pa.timestamp("us", "UTC"))}
    return Interactions(table=pa.table(columns), columns=("user", "item", "time"))


def items() -> Items:
    """Return what is known of the homes, one of them new and one sold."""
    homes = [*(f"h{home:03}" for home in range(HOMES)), NEW]
    count = len(homes)
    until = [START + timedelta(days=25) if home == SOLD else None for home in homes]
    table = pa.table({
        "item": homes,
        "kind": pa.array([[KIND[home]] for home in homes], pa.list_(pa.string())),
        "rooms": pa.array([1.0 + KINDS.index(KIND[home]) for home in homes]),
        "agent": [f"agent{place % 4}" for place in range(count)],
        "asking": pa.array([100_000.0 + 1_000 * place for place in range(count)]),
        "sold": pa.array(until, pa.timestamp("us", "UTC")),
    })  # fmt: skip
    columns = {"group": "agent", "price": "asking", "until": "sold"}
    return Items(table=table, attributes=("kind",), numbers=("rooms",), columns=columns)


def seen(person: str) -> set[str]:
    """Return the homes that a person looked at."""
    table = interactions().table
    pairs = zip(table["user"].to_pylist(), table["item"].to_pylist(), strict=True)
    return {home for user, home in pairs if user == person}
