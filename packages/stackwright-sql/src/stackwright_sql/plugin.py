"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stackwright_interfaces.plugin import AdapterSpec, hookimpl
from stackwright_interfaces.tables import CONTRACT, TableSource, TableTarget


@dataclass(frozen=True, kw_only=True)
class SqlConfig:
    """Which database is read or written, and how much of it at a time.

    Args:
        url: SQLAlchemy's, ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE`` say.
        batch_rows: rows that are fetched or written, and held, at a time.
        connect_timeout: seconds after which a server that does not answer is given up, where its driver can be told.

    Raises:
        ValueError: a limit is not positive.
    """

    url: str = field(repr=False)
    batch_rows: int = 20_000
    connect_timeout: int = 10

    def __post_init__(self) -> None:
        for option, value in (("batch_rows", self.batch_rows), ("connect_timeout", self.connect_timeout)):
            if value < 1:
                raise ValueError(f"{option} must be at least 1: {value!r}")


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer tables of databases, to read and to append to."""
    return (
        AdapterSpec(
            name="sql",
            provides=TableSource,
            contract=CONTRACT,
            config=SqlConfig,
            factory="stackwright_sql.source:SqlTableSource",
            description="Tables and queries of any database that SQLAlchemy speaks to",
        ),
        AdapterSpec(
            name="sql",
            provides=TableTarget,
            contract=CONTRACT,
            config=SqlConfig,
            factory="stackwright_sql.target:SqlTableTarget",
            description="Rows appended to a table of any database that SQLAlchemy speaks to",
        ),
    )
