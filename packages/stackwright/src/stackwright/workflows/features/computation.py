"""Computed views: an interval at a time, each once, and again where its inputs have changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from stackwright.assembly.stack import Stack
from stackwright.workflows.features.ingestion import add_rows
from stackwright.workflows.outcome import Outcome, Table
from stackwright_features.computing import stamped
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import DefinitionError, FeatureStoreError, UsageError
from stackwright_interfaces.feature_store import SupportsComputing

DAY: Final = timedelta(days=1)


def backfill(
    stack: Stack,
    view: FeatureView,
    start: datetime,
    end: datetime,
    *,
    step: timedelta | None = None,
    force: bool = False,
) -> Outcome:
    """Compute a view for a span of the past, an interval at a time. What was done before is passed over.

    The rows of an interval that is computed for the first time count as created when they became true; those of one
    that gives something else than before are revisions, created now.

    Args:
        start: where the first interval starts.
        end: where the last one ends.
        step: length of an interval; without it the schedule's ``every``, or a day.
        force: compute intervals again whose inputs have not changed.

    Raises:
        DefinitionError: the view is not computed, or its function or SQL fails.
        UsageError: the span is empty, or the step does not divide it.
    """
    length = step or (view.schedule.every if view.schedule else DAY)
    if end <= start or length <= timedelta(0) or (end - start) % length:
        todo = f"Give a span of whole steps; a step is {length}. --step SECONDS gives another."
        raise UsageError("--from, --to", f"from {start.isoformat()} to {end.isoformat()} is no such span", todo)
    count = (end - start) // length
    rows = computed = 0
    for number in range(count):
        stack.progress(f"backfill {view.ref}", number, count)
        added = compute_interval(stack, view, start + number * length, start + (number + 1) * length, force=force)
        computed += added is not None
        rows += added or 0
    stack.progress(f"backfill {view.ref}", count, count)
    title = f"Computed {computed:,} of {count:,} intervals of {view.ref}, {rows:,} new rows"
    data = {"view": view.ref, "intervals": count, "computed": computed, "rows": rows}
    notes = () if computed == count else (f"{count - computed:,} were computed before, from the same inputs.",)
    return Outcome(title, data, (Table(("intervals", "computed", "new rows"), [(count, computed, rows)]),), notes)


def compute_interval(
    stack: Stack, view: FeatureView, start: datetime, end: datetime, *, force: bool = False
) -> int | None:
    """Compute and ingest the rows of one interval.

    Returns:
        New rows, or ``None`` where it was computed before from the same inputs.

    Raises:
        DefinitionError: the view is not computed, or its function or SQL fails.
        FeatureStoreError: the feature store computes no views.
    """
    if view.computed is None:
        raise DefinitionError(f"view {view.ref!r}", "it is not computed", "Ingest its rows, or declare computed=.")
    store = stack.features
    if not isinstance(store, SupportsComputing):
        todo = "Name an offline and an online part instead, or ingest the rows of the view."
        raise FeatureStoreError("feature_store", "it computes no views from others", todo)
    log = _Log(stack, view.ref)
    key = [start.isoformat(), end.isoformat()]
    before = log.last(key)
    if before is not None and not force and before["positions"] == dict(store.known_inputs(view.ref)):
        return None
    started = time.perf_counter()
    found = store.compute(view.ref, start, end)
    table = pa.table(found.rows)
    digest = _digest(table)
    added = 0
    if before is None or before["digest"] != digest:
        rows = table if before is None else stamped(table, view, stack.clock())
        outcome = add_rows(stack, view, rows, origin=f"computed for {key[0]} to {key[1]}")
        added = int(outcome.data["added"])
    seconds = round(time.perf_counter() - started, 4)
    log.append({"interval": key, "positions": dict(found.positions), "digest": digest, "seconds": seconds})
    return added


def seconds_of(stack: Stack, view: str) -> float | None:
    """Return how long the intervals of a view took to be computed, together; ``None`` where none was timed.

    Args:
        view: ``name@version``.
    """
    timed = [line["seconds"] for line in _Log(stack, view).lines() if "seconds" in line]
    return round(sum(timed), 4) if timed else None


def _digest(table: Any) -> str:
    """Return a hash of rows, whatever their order."""
    names = sorted(table.column_names)
    lines = sorted(json.dumps(row, default=str) for row in table.select(names).to_pylist())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Log:
    """The intervals of a view that were computed: a line each, the last of an interval counts."""

    def __init__(self, stack: Stack, view: str) -> None:
        self._path: Path = stack.project.state / "computed" / f"{view}.jsonl"

    def last(self, interval: list[str]) -> dict[str, Any] | None:
        """Return what was written of an interval last."""
        found = None
        for line in self.lines():
            if line["interval"] == interval:
                found = line
        return found

    def append(self, line: dict[str, Any]) -> None:
        """Write a line, durably."""
        import os

        self._path.parent.mkdir(parents=True, exist_ok=True)
        whole = not self._path.exists() or self._path.read_bytes()[-1:] in (b"", b"\n")
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(("" if whole else "\n") + json.dumps(line) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def lines(self) -> Iterator[dict[str, Any]]:
        """Give every whole line."""
        for text in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else ():
            try:
                yield json.loads(text)
            except ValueError:  # cut off in mid-line; its interval is computed again
                continue
