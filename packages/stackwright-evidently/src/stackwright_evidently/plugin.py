"""What this distribution offers. Evidently itself is imported when a report is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stackwright_interfaces.monitor import CONTRACT, Monitor
from stackwright_interfaces.plugin import AdapterSpec, hookimpl


@dataclass(frozen=True, kw_only=True)
class EvidentlyConfig:
    """Options of the reporter.

    Args:
        rows: rows of each side that the report looks at, spread evenly; Evidently needs seconds for each 100,000.
        summary: add statistics and charts of every column.

    Raises:
        ValueError: ``rows`` is not positive.
    """

    rows: int = 20_000
    summary: bool = True

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"rows is {self.rows}, must be 1 or more")


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the reporter."""
    return [
        AdapterSpec(
            name="evidently",
            provides=Monitor,
            contract=CONTRACT,
            config=EvidentlyConfig,
            factory="stackwright_evidently.monitor:EvidentlyMonitor",
            description="Drift and summary reports as one HTML page, by Evidently",
        )
    ]
