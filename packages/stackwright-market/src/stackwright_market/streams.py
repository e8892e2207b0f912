"""One stream of random numbers for each part of the market, so that a change in one leaves the others as they were."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Columns: TypeAlias = dict[str, Any]
"""Column name → numpy or Arrow array, all of one length."""

PARTS: Final = (
    "geography", "listings", "people", "deals", "offers", "valuations", "figures", "dirt", "searches", "interest",
    "delivery",
)  # fmt: skip


def stream(seed: int, part: str, chunk: int = 0) -> np.random.Generator:
    """Return the generator of one chunk of one part: independent of all others, whatever order they are drawn in."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(PARTS.index(part), chunk)))
