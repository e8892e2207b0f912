"""SQL of a user over tables that are handed in: no file, no history, no extension."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from stackwright_duckdb.plugin import DuckDBConfig
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import ArrowStream

_SETTINGS: Final = {
    "TimeZone": "'UTC'",
    "python_enable_replacements": "false",
    "enable_external_access": "false",
    "lock_configuration": "true",
}


def run(query: str, tables: Mapping[str, ArrowStream], config: DuckDBConfig, temp: Path) -> Any:
    """Return the result of one SELECT as a ``pyarrow.Table``.

    Args:
        query: the statement.
        tables: name → table.
        config: limits of memory and threads.
        temp: folder for what does not fit in memory.

    Raises:
        FeatureStoreError: it is not understood, is no SELECT, or fails.
    """
    limits = {"memory_limit": config.memory_limit, "threads": config.threads, "temp_directory": str(temp)}
    settings: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    connection = duckdb.connect(":memory:", config=settings)
    try:
        for name, table in tables.items():
            connection.register(name, pa.table(table))
        connection.execute("SET enable_progress_bar = false")
        for name, value in _SETTINGS.items():
            connection.execute(f"SET GLOBAL {name} = {value}")
        statements = connection.extract_statements(query)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise FeatureStoreError("SQL", "it is not one SELECT", "Write one SELECT statement.")
        return connection.sql(query).to_arrow_table()
    except duckdb.Error as error:
        raise FeatureStoreError("SQL", str(error).strip(), "Correct the SQL.") from error
    finally:
        connection.close()
