"""What the engine itself offers."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

from stackwright_interfaces.compute import CONTRACT
from stackwright_interfaces.plugin import AdapterSpec, hookimpl


@dataclass(frozen=True, kw_only=True)
class LocalConfig:
    """How much of this machine is used.

    Args:
        workers: processes; 0 takes as many as there are processors. Each may use its share of them as threads.
    """

    workers: int = 0

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}; give 0 or more")


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the executor."""
    return (
        AdapterSpec(
            name="local",
            provides=Executor,
            contract=CONTRACT,
            config=LocalConfig,
            factory="stackwright.compute.local:LocalExecutor",
            conformance="stackwright.compute.conformance:LocalConformance",
            description="Fits in processes of this machine.",
        ),
    )
