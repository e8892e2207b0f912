"""Stores and a registry with one vice each, for the tests of comparing: what is wrong must be found and named.

The file is put on the path by a fixture, so that the processes of trials find it too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from crooked_plugin import CrookedConfig

from stackwright_files.plugin import FilesConfig
from stackwright_files.registry import FilesRegistry
from stackwright_interfaces import registry
from stackwright_interfaces.feature_store import ORDER, OnlineRow
from stackwright_interfaces.plugin import Context
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.plugin import MemoryConfig
from stackwright_sqlite.online import SQLiteOnlineStore
from stackwright_sqlite.plugin import SQLiteConfig

_DISLIKED = b"\x0307\x00"
"""The home 07, which the forgetful store never finds."""


class CrookedOnline(SQLiteOnlineStore):
    """An SQLite store with a vice."""

    def __init__(self, config: CrookedConfig, context: Context) -> None:
        super().__init__(SQLiteConfig(path=config.path), context)
        self._vice = config.vice
        self._after = config.after
        self._written = 0

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        self._written += len(rows)
        if self._vice == "dying" and self._written > self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._vice == "failing":
            raise RuntimeError("the store is full of eels")
        if self._vice == "stale":  # takes whatever comes, also what is older
            super().drop(view, [row.key for row in rows])
        return super().write(view, rows)

    def read(
        self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None
    ) -> list[list[bytes | None]]:
        found = super().read(views, keys, timeout=timeout)
        if self._vice != "forgetful":
            return found
        return [
            [None if key == _DISLIKED else payload for key, payload in zip(asked, payloads, strict=True)]
            for asked, payloads in zip(keys, found, strict=True)
        ]

    def scan(self, view: str) -> Iterator[OnlineRow]:
        for row in super().scan(view):
            altered = self._vice == "altering" and row.payload[-1:] != b"}"
            yield OnlineRow(row.key, row.order, row.payload[:-1] + b"?") if altered else row


class CrookedOffline(MemoryOfflineStore):
    """A store in memory with a vice."""

    def __init__(self, config: CrookedConfig, context: Context) -> None:
        super().__init__(MemoryConfig(), context)
        self._vice = config.vice

    def join(self, labels: Any, asked: Any, *, known_by: bool = False) -> Any:
        found = pa.table(super().join(labels, asked, known_by=known_by))
        if self._vice != "rounding":
            return found
        columns = [pc.round(column, 0) if pa.types.is_floating(column.type) else column for column in found.columns]
        return pa.table(dict(zip(found.column_names, columns, strict=True)))

    def ingest(self, view: Any, rows: Any) -> Any:
        table = pa.table(rows)
        if self._vice == "losing":
            table = table.slice(1)
        if self._vice == "tie":  # of rows of one instant the least wins
            turned = [token[:8] + bytes(255 - byte for byte in token[8:]) for token in table.column(ORDER).to_pylist()]
            table = table.set_column(table.column_names.index(ORDER), ORDER, pa.array(turned, pa.binary(24)))
        return super().ingest(view, table)


class CrookedRegistry(FilesRegistry):
    """A registry of files with a vice."""

    def __init__(self, config: CrookedConfig, context: Context) -> None:
        super().__init__(FilesConfig(url=str(config.path)), context)
        self._vice = config.vice
        self._after = config.after
        self._lines = 0

    def publish(self, name: str, folder: Path, record: Mapping[str, Any], *, who: str = "") -> Any:
        self._live()
        return super().publish(name, folder, {} if self._vice == "forgetful" else record, who=who)

    def record(self, event: registry.Event, *, expected: int | None = None) -> None:
        self._live()
        if self._vice != "silent" or event.kind == "alias":
            super().record(event, expected=expected)

    def _live(self) -> None:
        self._lines += 1
        if self._vice == "dying" and self._lines > self._after:
            os.kill(os.getpid(), signal.SIGKILL)
