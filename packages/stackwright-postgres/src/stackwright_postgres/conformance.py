"""What the conformance kit is told of the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from psycopg import sql


class PostgresConformance:
    """A table a test, on the server that is given."""

    options: ClassVar[Mapping[str, Any]] = {"table": "{name}"}

    def tidy(self: Any, folder: Path) -> None:
        """Drop the table of a folder."""
        config = self.config(folder)
        table = sql.Identifier(config.schema, config.table)
        with psycopg.connect(config.url) as connection:
            connection.execute("SET lock_timeout = '10s'")
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
