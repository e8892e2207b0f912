"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stackwright_interfaces.plugin import AdapterSpec, Capability, check_options, hookimpl
from stackwright_interfaces.server import CONTRACT, Server


@dataclass(frozen=True, kw_only=True)
class SageMakerConfig:
    """Options of the server. What SageMaker says in the environment goes before port and workers.

    Args:
        host: address to listen on; SageMaker asks from outside of the container.
        port: port to listen on; 0 takes a free one.
        workers: worker processes.
        drain: seconds that accepted requests are given to end when the server stops; SageMaker kills it after 30.
        server: the server adapter that hosts the application; its options host, port, workers and drain are set.

    Raises:
        ValueError: an option is out of its range.
    """

    host: str = "0.0.0.0"  # noqa: S104  # a container is asked from outside
    port: int = 8080
    workers: int = 1
    drain: float = 20.0
    server: str = "uvicorn"

    def __post_init__(self) -> None:
        check_options(
            self,
            ("host", self.host, "an address or a name"),
            ("port", 0 <= self.port <= 65_535, "0 to 65535"),
            ("workers", self.workers >= 1, "1 or more"),
            ("drain", 0 <= self.drain <= 24, "0 to 24"),
            ("server", self.server and self.server != "sagemaker", "another server adapter"),
        )


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the server."""
    return [
        AdapterSpec(
            name="sagemaker",
            provides=Server,
            contract=CONTRACT,
            config=SageMakerConfig,
            factory="stackwright_sagemaker.server:SageMakerServer",
            capabilities=frozenset({Capability.IMAGES}),
            description="HTTP as Amazon SageMaker asks its containers; writes images",
        )
    ]
