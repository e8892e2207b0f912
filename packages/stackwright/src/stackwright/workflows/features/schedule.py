"""``tick``: what is due is run, with retries and catch-up, and streams are drained, by one caller at a time.

A view's runs are due at the multiples of its schedule. What was done is noted after it was done, so that a run that was
cut off is due still. Whoever comes while another runs a view passes it over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.blueprint import StreamPart
from stackwright.assembly.locking import held
from stackwright.assembly.project import write_atomically
from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows.features import sharing
from stackwright.workflows.features.catalogue import find_view, ingest, materialize
from stackwright.workflows.features.computation import compute_interval
from stackwright.workflows.features.push import drain
from stackwright.workflows.outcome import Outcome, Table
from stackwright_interfaces.definitions import FeatureView, Schedule
from stackwright_interfaces.errors import ProjectError, StackwrightError

FIRST_WAIT: Final = 1.0
"""Seconds before a run that failed is tried again; doubled each time."""


@dataclass(frozen=True)
class Run:
    """What became of one scheduled view.

    Args:
        state: ``done``, ``not due``, ``failed`` or ``busy``, where another caller is at it.
        due: the last instant it was due at.
        done: the last due instant whose run succeeded.
        fresh: whether its objective is met; ``None`` where it has none.
    """

    view: str
    state: str
    due: datetime
    done: datetime | None
    rows: int = 0
    attempts: int = 0
    fresh: bool | None = None
    error: str = ""


def tick(stack: Stack, at: datetime | None = None, *, wait: Callable[[float], None] = time.sleep) -> Outcome:
    """Drain the streams, then run what is due of every scheduled view: ingest or compute, and bring online.

    A computed view is run for each interval that was missed, the oldest first; another view once, since its source
    holds what was missed.

    Args:
        at: the present; without it, now.
        wait: waits so many seconds before a run is tried again.

    Raises:
        ProjectError: what was noted cannot be read.
    """
    now = at or stack.clock()
    streams = [_drained(stack, name, part) for name, part in stack.blueprint.streams.items()]
    runs = [_look_after(stack, view, schedule, now, wait) for view, schedule in _scheduled(stack)]
    headings = ("view", "state", "due", "done", "rows", "attempts", "fresh")
    rows = [[getattr(run, heading) for heading in headings] for run in runs]
    failed = [run for run in runs if run.error]
    stale = [run for run in runs if run.fresh is False]
    broken = [item for item in streams if item.get("error")]
    notes = [f"stream {item['stream']} failed: {item['error']}" for item in broken]
    notes += [f"{run.view} failed: {run.error}" for run in failed]
    notes += [f"{run.view} is stale: its last run that succeeded was due at {run.done}" for run in stale]
    done = sum(run.state == "done" for run in runs)
    title = f"{done} of {len(runs)} scheduled views were run" if runs else "No view has a schedule"
    title += f", {sum(item.get('events', 0) for item in streams):,} events were taken from streams" if streams else ""
    data = {
        "views": [{**vars(run), "due": run.due.isoformat(), "done": run.done and run.done.isoformat()} for run in runs]
    }
    data["streams"] = streams
    tables = (Table(headings, rows),) if runs else ()
    return Outcome(title, data, tables, tuple(notes), ok=not failed and not stale and not broken)


def _drained(stack: Stack, name: str, part: StreamPart) -> dict[str, Any]:
    """Take what a stream holds, unless another caller is at it."""
    with held(stack.project.state / "schedule" / f"stream-{name}.lock") as mine:
        if not mine:
            return {"stream": name, "state": "busy"}
        try:
            with closing(stack.stream(name)) as source:
                done = drain(stack, name, source, find_view(stack.definitions, part.view))
        except StackwrightError as failure:
            return {"stream": name, "state": "failed", "error": redact(str(failure))}
    return {"state": "done", **done.data}


def _scheduled(stack: Stack) -> Iterator[tuple[FeatureView, Schedule]]:
    """Give the project's own scheduled views, those that others are computed from first."""
    views = {view.ref: view for view in stack.definitions.views if not sharing.is_foreign(stack, view)}
    needs = {ref: [item.ref for item in view.computed.inputs] if view.computed else [] for ref, view in views.items()}
    for ref in TopologicalSorter(needs).static_order():
        if ref in views and (schedule := views[ref].schedule) is not None:
            yield views[ref], schedule


def _look_after(
    stack: Stack, view: FeatureView, schedule: Schedule, now: datetime, wait: Callable[[float], None]
) -> Run:
    due, note = schedule.last_due(now), _Note(stack, view)
    with held(note.lock) as mine:
        done = note.read()
        if not mine or (done is not None and done >= due):
            return Run(view.ref, "not due" if mine else "busy", due, done, fresh=_fresh(schedule, done, now))
        rows, error, attempts = 0, "", 0
        while attempts <= schedule.retries:
            if attempts:
                wait(FIRST_WAIT * 2 ** (attempts - 1))
            attempts += 1
            try:
                rows += _run(stack, view, schedule, note, due)
                error = ""
                break
            except StackwrightError as failure:
                error = redact(str(failure))
        done = note.read()
        state = "failed" if error else "done"
        return Run(view.ref, state, due, done, rows, attempts, _fresh(schedule, done, now), error)


def _run(stack: Stack, view: FeatureView, schedule: Schedule, note: _Note, due: datetime) -> int:
    """Bring a view up to a due instant; return its new rows."""
    rows = 0
    if view.computed is not None:
        start = note.read() or due - schedule.every
        while start < due:
            rows += compute_interval(stack, view, start, start + schedule.every) or 0
            start += schedule.every
            if start < due:
                note.write(start)
    elif view.source.location:
        source, _, table = view.source.location.partition("#")
        place = source if source.startswith("env:") else stack.url(source)
        rows = int(ingest(stack, view.ref, place, table=table or None).data["added"])
    if "online" in stack.plan.choices or "feature_store" in stack.plan.choices:
        materialize(stack, [view.ref])
    note.write(due)
    return rows


def _fresh(schedule: Schedule, done: datetime | None, now: datetime) -> bool | None:
    if schedule.freshness is None:
        return None
    return done is not None and now - done <= schedule.freshness


class _Note:
    """Until when a view was looked after."""

    def __init__(self, stack: Stack, view: FeatureView) -> None:
        self._path: Path = stack.project.state / "schedule" / f"{view.ref}.json"

    def read(self) -> datetime | None:
        """Return the last due instant that was done; ``None`` before the first."""
        if not self._path.exists():
            return None
        try:
            document: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            return datetime.fromisoformat(document["done"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            todo = "Delete it; the view is then looked after as if for the first time."
            raise ProjectError(str(self._path), f"cannot be read ({error})", todo) from error

    def write(self, done: datetime) -> None:
        """Note a due instant as done."""
        write_atomically(self._path, json.dumps({"done": done.isoformat()}).encode())

    @property
    def lock(self) -> Path:
        """Whoever holds it may look after the view."""
        return self._path.with_suffix(".lock")
