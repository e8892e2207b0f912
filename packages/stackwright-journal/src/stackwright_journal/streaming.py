"""What a server's workers are asked, counted as it streams by: each counts for itself, and any can tell for all.

A worker queues what it answers, and a thread of its own counts it into the histograms of the model's manifest, by hour.
It writes its counts to a file of the shared folder; adding up the files gives those of all workers, the dead included,
for the last hours. Memory goes by bins and hours, not by rows.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_journal.counting import ColumnCounts
from stackwright_numerics.number_columns import joined

SPAN: Final = 24
"""Hours that are told of."""

_HOUR: Final = 3600.0
_ONCE: Final = 2000
_PREDICTION: Final = "prediction"

Served = tuple[str, int]


@dataclass(frozen=True)
class _Answered:
    served: Served
    columns: Mapping[str, NDArray[Any]]
    prediction: NDArray[Any]


class LiveCounts:
    """Counts of what this worker answers. Made after a fork, used from any thread.

    Args:
        folder: shared by the workers of a server, on a local disk.
        flush_seconds: longest wait of a row before it is counted and written.
        limit: rows that may wait; beyond, rows are dropped, which makes the counts those of a sample.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        *,
        flush_seconds: float = 5.0,
        limit: int = 20_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._own = folder / f"{os.getpid()}-{secrets.token_hex(8)}.json"
        self._flush_seconds = flush_seconds
        self._limit = limit
        self._clock = clock
        self._queue: deque[_Answered] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._counted: dict[tuple[Served, int], ColumnCounts] = {}
        self._histograms: dict[Served, Mapping[str, Any]] = {}
        self._ended = threading.Event()
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="live-counts", daemon=True)
        self._thread.start()

    def append(
        self,
        model: str,
        version: int,
        histograms: Mapping[str, Any],
        columns: Mapping[str, NDArray[Any]],
        prediction: NDArray[Any],
    ) -> bool:
        """Queue the rows of a request; never blocks and never raises.

        Args:
            histograms: of the model's manifest.
            columns: input → array of n; others are passed over.
            prediction: answers of n.

        Returns:
            Whether there was room for them.
        """
        rows = len(prediction)
        with self._lock:
            if self._waiting + rows > self._limit:
                self.dropped += rows
                return False
            self._waiting += rows
            self._histograms.setdefault((model, version), histograms)
            self._queue.append(_Answered((model, version), columns, prediction))
        return True

    def totals(self) -> dict[Served, ColumnCounts]:
        """Return (model, version) → counts of all workers in the last hours."""
        now = self._hour()
        found: dict[Served, ColumnCounts] = {}
        for document in _documents(self._folder, now):
            for item in document["counts"]:
                if not now - SPAN < item["hour"] <= now:
                    continue
                served = (item["model"], item["version"])
                if served not in found:
                    histograms = _read(self._reference(served))
                    if histograms is None:
                        continue
                    found[served] = ColumnCounts(histograms)
                found[served].add_counts(item["rows"], item["columns"])
        return found

    def flush(self) -> None:
        """Count what waits, and write it."""
        with self._lock:
            waiting, self._queue = self._queue, deque()
            self._waiting = 0
        by_served: dict[Served, list[_Answered]] = {}
        for answered in waiting:
            by_served.setdefault(answered.served, []).append(answered)
        for served, parts in by_served.items():
            self._count(served, parts)
        if by_served:
            self._write()

    def close(self) -> None:
        """Count and write what waits, and end the thread. Closing twice is allowed."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._flush_seconds):
            self.flush()
        self.flush()

    def _hour(self) -> int:
        return int(self._clock() // _HOUR)

    def _count(self, served: Served, parts: list[_Answered]) -> None:
        """Count rows together: a comparison of few numbers costs as much as one of thousands."""
        key = (served, self._hour())
        if key not in self._counted:
            self._counted[key] = ColumnCounts(self._histograms[served])
        for begin in range(0, len(parts), _ONCE):
            few = parts[begin : begin + _ONCE]
            with suppress(Exception):  # a column of another type than was learned costs these rows, not the worker
                prediction = np.concatenate([part.prediction for part in few])
                columns = joined([part.columns for part in few])
                self._counted[key].add_columns({**columns, _PREDICTION: prediction}, len(prediction))
            time.sleep(0)  # whoever answers goes first

    def _write(self) -> None:
        now = self._hour()
        self._counted = {key: counts for key, counts in self._counted.items() if now - SPAN < key[1] <= now}
        items = []
        for (served, hour), counts in self._counted.items():
            document = counts.to_json()
            about = {"model": served[0], "version": served[1], "hour": hour}
            items.append({**about, "rows": document["rows"], "columns": document["counts"]})
        with suppress(OSError):  # a full disk costs the telling, not the answers
            self._folder.mkdir(parents=True, exist_ok=True)
            for served in {served for served, _ in self._counted}:
                reference = self._reference(served)
                if not reference.exists():
                    _replace(reference, dict(self._histograms[served]))
            _replace(self._own, {"hour": now, "counts": items})

    def _reference(self, served: Served) -> Path:
        return self._folder / f"{served[0].replace('/', '--')}@{served[1]}.reference"


def _replace(path: Path, document: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document), encoding="utf-8")
    temporary.replace(path)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _documents(folder: Path, now: int) -> list[Any]:
    """Return what the workers wrote; what is too old to count is removed."""
    found = []
    for path in sorted(folder.glob("*.json")):
        document = _read(path)
        if not isinstance(document, Mapping):
            continue
        if int(document.get("hour", 0)) <= now - SPAN:
            with suppress(OSError):
                path.unlink()
            continue
        found.append(document)
    return found
