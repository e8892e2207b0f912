"""What this distribution offers. BentoML itself is imported in child processes alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stackwright_interfaces.plugin import AdapterSpec, Capability, check_options, hookimpl
from stackwright_interfaces.server import CONTRACT, Server


@dataclass(frozen=True, kw_only=True)
class BentoMLConfig:
    """Options of the server.

    Args:
        host: address to listen on; anything but a loopback address is open to the network.
        port: port to listen on; 0 takes a free one.
        workers: worker processes.
        drain: seconds that accepted requests are given to end when the server stops.
        keep_alive: seconds an idle connection is kept.
        timeout: seconds after which BentoML answers a request with 504 itself.
        backlog: connections that may wait to be accepted.
        start: seconds all workers together are given to come up.
        batch: path of the application, ``/predict`` say, to which ``/predict_batch`` sends the rows of many requests at
            once; empty for none.
        batch_size: rows that are sent at once at most.
        batch_latency: seconds that a request to ``/predict_batch`` may take, waiting for others included.

    Raises:
        ValueError: an option is out of its range.
    """

    host: str = "127.0.0.1"
    port: int = 3000
    workers: int = 1
    drain: int = 20
    keep_alive: int = 5
    timeout: float = 60.0
    backlog: int = 2048
    start: float = 120.0
    batch: str = ""
    batch_size: int = 100
    batch_latency: float = 1.0

    def __post_init__(self) -> None:
        check_options(
            self,
            ("host", self.host, "an address or a name"),
            ("port", 0 <= self.port <= 65_535, "0 to 65535"),
            ("workers", self.workers >= 1, "1 or more"),
            ("drain", self.drain >= 0, "0 or more"),
            ("keep_alive", self.keep_alive >= 0, "0 or more"),
            ("timeout", self.timeout > 0, "more than 0"),
            ("backlog", 64 <= self.backlog <= 65_535, "64 to 65535"),
            ("start", self.start > 0, "more than 0"),
            ("batch", not self.batch or self.batch.startswith("/"), "a path that starts with /"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("batch_latency", self.batch_latency > 0, "more than 0"),
        )


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the server."""
    return [
        AdapterSpec(
            name="bentoml",
            provides=Server,
            contract=CONTRACT,
            config=BentoMLConfig,
            factory="stackwright_bentoml.server:BentoMLServer",
            capabilities=frozenset({Capability.IMAGES}),
            description="HTTP on this machine, by BentoML with worker processes; builds bentos",
        )
    ]
