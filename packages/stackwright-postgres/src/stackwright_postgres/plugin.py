"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from stackwright_interfaces.feature_store import CONTRACT, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl

LONGEST_NAME: Final = 63
"""Bytes that PostgreSQL keeps of a name; it cuts off the rest."""


@dataclass(frozen=True, kw_only=True)
class PostgresConfig:
    """Which server keeps the online rows, and how much a process may ask of it.

    Args:
        url: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...``, or libpq's ``key=value`` form.
        schema: the schema of the table; made where it is missing.
        table: the table that holds the rows of all views; made by the first write.
        timeout: seconds after which any call gives up that was not given a deadline of its own.
        pool_size: how many connections one store, or one reader, of one process opens at most.

    Raises:
        ValueError: a name PostgreSQL would not keep, or a limit that is not positive.
    """

    url: str = field(repr=False)
    schema: str = "public"
    table: str = "stackwright_online"
    timeout: float = 30.0
    pool_size: int = 8

    def __post_init__(self) -> None:
        for option, name in (("schema", self.schema), ("table", self.table)):
            if not name or "\0" in name or len(name.encode()) > LONGEST_NAME:
                raise ValueError(f"{option} must be 1 to {LONGEST_NAME} bytes long, without a zero byte: {name!r}")
        if not 0 < self.timeout <= 86_400:
            raise ValueError(f"timeout must be more than 0 and at most 86400 seconds: {self.timeout!r}")
        if self.pool_size < 1:
            raise ValueError(f"pool_size must be at least 1: {self.pool_size!r}")


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the online half of a feature store."""
    return (
        AdapterSpec(
            name="postgres",
            provides=OnlineStore,
            contract=CONTRACT,
            config=PostgresConfig,
            factory="stackwright_postgres.online:PostgresOnlineStore",
            conformance="stackwright_postgres.conformance:PostgresConformance",
            capabilities=frozenset({Capability.READERS}),
            description="Online rows in one PostgreSQL table, read and written by many processes and machines",
        ),
    )
