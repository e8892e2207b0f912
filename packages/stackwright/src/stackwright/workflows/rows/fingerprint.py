"""A hash of rows: of their names, types and values, in order, however they are cut."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
import pyarrow as pa

_ROWS: Final = 8_192
"""Rows that are hashed together."""


class Fingerprint:
    """The SHA-256 of a table that comes in pieces.

    Args:
        schema: names and types; metadata does not count.
    """

    def __init__(self, schema: Any) -> None:
        self._sink = _Hash()
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._sink, mode="w"), schema.remove_metadata())
        self._held = schema.remove_metadata().empty_table()

    def add(self, table: Any) -> None:
        """See more rows, a ``pyarrow.Table``."""
        self._held = pa.concat_tables([self._held, table.replace_schema_metadata()])
        whole = len(self._held) - len(self._held) % _ROWS
        for start in range(0, whole, _ROWS):
            self._write(self._held.slice(start, _ROWS))
        self._held = self._held.slice(whole)

    def finish(self) -> str:
        """Return the hash in hexadecimal digits; no rows come after that."""
        self._write(self._held)
        self._writer.close()
        return self._sink.hash.hexdigest()

    def _write(self, rows: Any) -> None:
        # Taken row by row, for where a slice began shows in its buffers.
        copied = rows.combine_chunks().take(pa.array(np.arange(len(rows))))
        for batch in copied.to_batches():
            self._writer.write_batch(batch)


class _Hash:
    """A file that keeps of what is written its SHA-256 alone."""

    closed = False

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...
