"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from stackwright_interfaces import streams
from stackwright_interfaces.feature_store import CONTRACT, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl
from stackwright_interfaces.streams import StreamSource

SCHEMES: Final = ("redis://", "rediss://", "unix://")
"""How a URL begins: TCP, TLS, a socket in the file system."""

LONGEST_BUSY_WAIT: Final = 0.001
"""Seconds: to sleep and wake costs far less."""


@dataclass(frozen=True, kw_only=True)
class RedisConfig:
    """Which server holds the online rows, under which names, and how long it is waited for.

    Args:
        url: ``redis://USER:PASSWORD@HOST:PORT/DATABASE``, ``rediss://`` for TLS, ``unix://PATH`` for a socket.
        prefix: how the names of all keys begin; stacks that share a database need different ones.
        timeout: seconds to wait for a connection and for each answer, where a read brings no timeout of its own.
        pool_size: connections that one handle opens at most; further threads wait for a free one.
        busy_wait: seconds that a read looks out for its answer before the thread sleeps, while answers come so soon and
            no other thread reads; 0 to sleep at once.

    Raises:
        ValueError: an option has no meaning; the URL, which may hold a password, is not repeated.
    """

    url: str = field(default="redis://localhost:6379/0", repr=False)
    prefix: str = "stackwright"
    timeout: float = 5.0
    pool_size: int = 16
    busy_wait: float = 0.00005

    def __post_init__(self) -> None:
        if not self.url.startswith(SCHEMES):
            raise ValueError(f"url must begin with {', '.join(SCHEMES)}")
        if self.timeout <= 0:
            raise ValueError(f"timeout is {self.timeout}, must be more than 0")
        if self.pool_size < 1:
            raise ValueError(f"pool_size is {self.pool_size}, must be 1 or more")
        if not 0 <= self.busy_wait <= LONGEST_BUSY_WAIT:
            raise ValueError(f"busy_wait is {self.busy_wait}, must be 0 to {LONGEST_BUSY_WAIT} seconds")


@dataclass(frozen=True, kw_only=True)
class RedisStreamConfig:
    """Which stream of which server is read.

    Args:
        url: as of the online store.
        stream: name of the stream. An entry's field ``json`` holds an event; without it, its fields are the event's
            members.
        reader: who reads; each reader takes every entry once.
        timeout: seconds to wait for a connection and for each answer.

    Raises:
        ValueError: an option has no meaning; the URL, which may hold a password, is not repeated.
    """

    url: str = field(default="redis://localhost:6379/0", repr=False)
    stream: str
    reader: str = "stackwright"
    timeout: float = 5.0

    def __post_init__(self) -> None:
        if not self.url.startswith(SCHEMES):
            raise ValueError(f"url must begin with {', '.join(SCHEMES)}")
        if self.timeout <= 0:
            raise ValueError(f"timeout is {self.timeout}, must be more than 0")


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the online half of a feature store, and a source of events."""
    return (
        AdapterSpec(
            name="redis",
            provides=OnlineStore,
            contract=CONTRACT,
            config=RedisConfig,
            factory="stackwright_redis.online:RedisOnlineStore",
            conformance="stackwright_redis.conformance:RedisConformance",
            capabilities=frozenset({Capability.READERS}),
            description="Online rows on a Redis server, read and written by many processes and machines",
        ),
        AdapterSpec(
            name="redis",
            provides=StreamSource,
            contract=streams.CONTRACT,
            config=RedisStreamConfig,
            factory="stackwright_redis.stream:RedisStreamSource",
            conformance="stackwright_redis.conformance:RedisStreamConformance",
            description="Events of a Redis stream",
        ),
    )
