"""The sample as the engine sees it: nothing is generated, and nothing heavy is imported, until it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from stackwright_interfaces.plugin import SampleSpec, hookimpl
from stackwright_market.options import MarketOptions


@hookimpl
def stackwright_samples() -> Iterable[SampleSpec]:
    """Offer the sample property market."""
    return (
        SampleSpec(
            name="market",
            factory="stackwright_market.sample:generate",
            options=asdict(MarketOptions()),
            description="A property market with known truth: listings, prices, searches, clicks, sales.",
        ),
    )
