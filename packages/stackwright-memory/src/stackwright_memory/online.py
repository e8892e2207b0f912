"""Online rows in memory: a dictionary a view, and compare-and-set under one lock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from threading import Lock

from stackwright_interfaces.feature_store import OnlineRow, OnlineStore
from stackwright_interfaces.plugin import Context
from stackwright_memory.plugin import MemoryConfig


class MemoryOnlineStore(OnlineStore):
    """The smallest correct :class:`OnlineStore`; usable from many threads of one process."""

    def __init__(self, _config: MemoryConfig, _context: Context) -> None:
        self._rows: dict[str, dict[bytes, OnlineRow]] = {}
        self._lock = Lock()

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store the rows that are newer than what is there; of one key's rows in a call only the greatest is."""
        taken = [False] * len(rows)
        with self._lock:
            stored = self._rows.setdefault(view, {})
            for place in sorted(range(len(rows)), key=lambda place: rows[place].order, reverse=True):
                row = rows[place]
                before = stored.get(row.key)
                if before is None or row.order > before.order:
                    stored[row.key] = row
                    taken[place] = True
        return taken

    def read(
        self,
        views: Sequence[str],
        keys: Sequence[Sequence[bytes]],
        *,
        timeout: float | None = None,  # noqa: ARG002 -- of the contract; nothing here ever waits
    ) -> list[list[bytes | None]]:
        """Return payloads."""
        answers: list[list[bytes | None]] = []
        for view, asked in zip(views, keys, strict=True):
            stored = self._rows.get(view, {})
            found = [stored.get(key) for key in asked]
            answers.append([None if row is None else row.payload for row in found])
        return answers

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give the rows that the view holds at the moment of the call."""
        with self._lock:
            return iter(list(self._rows.get(view, {}).values()))

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Remove rows."""
        with self._lock:
            stored = self._rows.get(view, {})
            if keys is None:
                return len(self._rows.pop(view, {}))
            return sum(stored.pop(key, None) is not None for key in keys)

    def close(self) -> None:
        """Nothing is held that must be released."""
