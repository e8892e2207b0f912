"""The texts that stand for the world's numbers in tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from stackwright_market.geography import DISTRICTS
from stackwright_market.interest import CHANNELS, ORIGINS
from stackwright_market.listings import ENERGY, TYPES
from stackwright_market.world import World
from stackwright_market.writer import identifiers


@dataclass(frozen=True)
class Names:
    """Arrow arrays of texts, by number."""

    listing: Any
    person: Any
    agent: Any
    neighbourhood: Any
    district: Any
    kind: Any
    energy: Any
    origin: Any
    channel: Any

    @classmethod
    def of(cls, world: World) -> Self:
        """Name everything in the world."""
        return cls(
            listing=identifiers("L", len(world.listings)),
            person=identifiers("P", len(world.people)),
            agent=identifiers("A", int(world.listings.agent.max()) + 1),
            neighbourhood=pa.array(world.geography.names),
            district=pa.array(DISTRICTS),
            kind=pa.array(TYPES),
            energy=pa.array(ENERGY),
            origin=pa.array(ORIGINS),
            channel=pa.array(CHANNELS),
        )
