"""What this distribution offers. uvicorn itself is imported when a server starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stackwright_interfaces.plugin import AdapterSpec, check_options, hookimpl
from stackwright_interfaces.server import CONTRACT, Server


@dataclass(frozen=True, kw_only=True)
class UvicornConfig:
    """Options of the server.

    Args:
        host: address to listen on; anything but a loopback address is open to the network.
        port: port to listen on; 0 takes a free one.
        workers: worker processes.
        drain: seconds that accepted requests are given to end when the server stops.
        keep_alive: seconds an idle connection is kept.
        receive: seconds a client is given to send a request, from its first byte to its last.
        head: bytes of a request's head, its line and headers, that are taken.
        connections: connections of one worker that may be open; more are answered with 503 and closed.
        backlog: connections that may wait to be accepted.
        delay: seconds between the order to stop, from which on the application says that it is not ready, and the end
            of taking new connections; as long as a load balancer needs to look elsewhere.
        start: seconds a worker is given to come up.

    Raises:
        ValueError: an option is out of its range.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    drain: float = 20.0
    keep_alive: float = 5.0
    receive: float = 30.0
    head: int = 65_536
    connections: int = 1000
    backlog: int = 2048
    delay: float = 0.0
    start: float = 60.0

    def __post_init__(self) -> None:
        check_options(
            self,
            ("host", self.host, "an address or a name"),
            ("port", 0 <= self.port <= 65_535, "0 to 65535"),
            ("workers", self.workers >= 1, "1 or more"),
            ("drain", self.drain >= 0, "0 or more"),
            ("keep_alive", self.keep_alive >= 0, "0 or more"),
            ("receive", self.receive > 0, "more than 0"),
            ("head", self.head >= 256, "256 or more"),
            ("connections", self.connections >= 1, "1 or more"),
            ("backlog", 1 <= self.backlog <= 65_535, "1 to 65535"),
            ("delay", self.delay >= 0, "0 or more"),
            ("start", self.start > 0, "more than 0"),
        )


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the server."""
    return [
        AdapterSpec(
            name="uvicorn",
            provides=Server,
            contract=CONTRACT,
            config=UvicornConfig,
            factory="stackwright_uvicorn.server:UvicornServer",
            description="HTTP on this machine, by uvicorn with worker processes",
        )
    ]
