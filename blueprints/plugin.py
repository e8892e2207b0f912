"""The blueprints that ``stackwright new`` can copy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stackwright_interfaces.plugin import BlueprintSpec, hookimpl


@hookimpl
def stackwright_blueprints() -> Iterable[BlueprintSpec]:
    """Offer the blueprints of this distribution."""
    here = Path(__file__).resolve().parent
    return (
        BlueprintSpec(
            name="realtime",
            folder=here / "realtime",
            description="Answers while somebody waits: features in SQLite, LightGBM, HTTP. Values homes in the sample.",
            sample="market",
        ),
        BlueprintSpec(
            name="batch",
            folder=here / "batch",
            features=here / "realtime" / "features.py",
            description="Scores a table every night: partitions, a database, checks. Values homes in the sample.",
            sample="market",
        ),
        BlueprintSpec(
            name="recommender",
            folder=here / "recommender",
            description="Lists of items for a search, a home page, or like an item. Ranks homes in the sample.",
            sample="market",
            sample_options={"listings": 4_000, "events": 120_000, "persons": 2_500},
        ),
    )
