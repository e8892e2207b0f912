"""The layout of the table, and every statement that touches it.

One table for all views: view, key, order token, payload. ``bytea`` compares as unsigned bytes, and views under the
collation ``C`` too. Neither token nor payload is indexed, so that a page with room takes a newer row without touching
the index; hence the fill factor.
"""

from __future__ import annotations

from typing import Final

from psycopg import pq

from stackwright_postgres.plugin import PostgresConfig

LOCK: Final = 0x53774F6E
"""Advisory lock that is held while the table is made: the ASCII text ``SwOn``."""

FEW: Final = 32
"""Rows up to which each is asked for by a subquery of its own; measured: a third faster than a loop over arrays."""

TEXT: Final = 25
BYTEA: Final = 17


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


class Statements:
    """The statements on one table; ``few[n]`` reads ``n`` rows."""

    def __init__(self, config: PostgresConfig) -> None:
        schema, table = quoted(config.schema), f"{quoted(config.schema)}.{quoted(config.table)}"
        self.schema: Final = config.schema.encode()
        self.create_schema: Final = f"CREATE SCHEMA {schema}".encode()
        self.create_table: Final = (
            f'CREATE TABLE IF NOT EXISTS {table} (view text COLLATE "C" NOT NULL, key bytea NOT NULL, '
            "ord bytea NOT NULL, payload bytea NOT NULL, PRIMARY KEY (view, key)) WITH (fillfactor = 80)"
        ).encode()
        # All that follows: the names were quoted above, everything else is a parameter.
        self.few: Final = tuple(_few(table, count) for count in range(FEW + 1))
        self.many: Final = (
            "SELECT place, "  # noqa: S608
            f"(SELECT payload FROM {table} AS kept WHERE kept.view = asked.view AND kept.key = asked.key) "
            "FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS asked (view, key, place)"
        ).encode()
        self.page: Final = (
            f"SELECT key, ord, payload FROM {table} WHERE view = $1::text AND key > $2::bytea "  # noqa: S608
            "ORDER BY key LIMIT $3::text::bigint"
        ).encode()
        self.first: Final = self.page.replace(b"key > ", b"key >= ")
        self.upsert: Final = (
            f"INSERT INTO {table} AS kept (view, key, ord, payload) "  # noqa: S608
            "SELECT $1::text, key, ord, payload FROM unnest($2::bytea[], $3::bytea[], $4::bytea[]) "
            "AS given (key, ord, payload) ON CONFLICT (view, key) DO UPDATE "
            "SET ord = excluded.ord, payload = excluded.payload WHERE kept.ord < excluded.ord RETURNING key"
        ).encode()
        # Rows are locked in the order of their keys, as an upsert does, so that neither waits for the other in a ring.
        self.remove: Final = _remove(table, "key = ANY($2::bytea[])", "")
        self.remove_page: Final = _remove(table, "key > $2::bytea", "LIMIT $3::text::bigint")
        self.remove_first: Final = self.remove_page.replace(b"key > ", b"key >= ")


def _few(table: str, count: int) -> bytes:
    columns = [
        f"(SELECT payload FROM {table} WHERE view = ${2 * place + 1}::text AND key = ${2 * place + 2}::bytea)"  # noqa: S608
        for place in range(count)
    ]
    return f"SELECT {', '.join(columns)}".encode()


def _remove(table: str, which: str, limit: str) -> bytes:
    return (
        f"WITH doomed AS MATERIALIZED (SELECT key FROM {table} WHERE view = $1::text AND {which} "  # noqa: S608
        f"ORDER BY key {limit} FOR UPDATE) "
        f"DELETE FROM {table} AS kept USING doomed WHERE kept.view = $1::text AND kept.key = doomed.key "
        "RETURNING kept.key"
    ).encode()


def array(kind: int, items: list[bytes]) -> bytes:
    """Return a one-dimensional array in PostgreSQL's binary form: a header, then length and bytes of each."""
    head = [1, 0, kind, len(items), 1] if items else [0, 0, kind]
    parts = [number.to_bytes(4, "big") for number in head]
    for item in items:
        parts += (len(item).to_bytes(4, "big"), item)
    return b"".join(parts)


def column(result: pq.abc.PGresult, number: int) -> list[bytes]:
    """Return a column that is never null."""
    return [result.get_value(row, number) or b"" for row in range(result.ntuples)]
