"""Events into a view and online at once: pushed by hand, or taken from a stream."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from stackwright.assembly.stack import Stack
from stackwright.workflows.features import quarantine, sharing
from stackwright.workflows.features.catalogue import find_view, materialize
from stackwright.workflows.features.events import EVENT, Events, read_events
from stackwright.workflows.features.ingestion import add_rows
from stackwright.workflows.outcome import Outcome, Table
from stackwright_features.expectations import REASON
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import DataError, UsageError
from stackwright_interfaces.streams import StreamSource

BATCH: Final = 5_000
"""Events taken from a stream at a time."""

STANDARD_INPUT: Final = "-"


def push(stack: Stack, name: str, source: str) -> Outcome:
    """Add events to a view and bring them online. All or nothing.

    Args:
        name: the view.
        source: a file of JSON lines, or ``-`` for standard input.

    Raises:
        UnknownName: no such view.
        UsageError: there is no such file.
        DataError: a line cannot be read; nothing was added.
    """
    view = find_view(stack.definitions, name)
    sharing.refuse_foreign(stack, view)
    lines = [line for line in _read_lines(source) if line.strip()]
    events = read_events(lines, view)
    for place, _, reason in events.unread:
        raise DataError(f"{source} event {place}", reason, "Mend it and push again. Nothing was added.")
    return _pushed(stack, view, events.table, origin="standard input" if source == STANDARD_INPUT else source)


def _read_lines(source: str) -> list[str]:
    if source == STANDARD_INPUT:
        return sys.stdin.read().split("\n")
    try:
        return Path(source).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise UsageError(source, "no such file", "Check the path, or give - for standard input.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(source, f"cannot be read ({error})", "Give a UTF-8 file of JSON lines.") from error


def _pushed(stack: Stack, view: FeatureView, table: Any, origin: str) -> Outcome:
    added = add_rows(stack, view, table, origin=origin, described=False)
    online = materialize(stack, [view.ref]).data["views"][view.ref]["written"]
    title = f"Pushed {added.data['added']:,} new rows into {view.ref}, {online:,} of its keys are online anew"
    return Outcome(title, {**added.data, "written": online}, added.tables, added.notes)


def drain(stack: Stack, name: str, source: StreamSource, view: FeatureView) -> Outcome:
    """Take what a stream holds into its view, a batch at a time; each is committed after it was stored.

    An event that cannot be read is set aside, with the reason.
    """
    sharing.refuse_foreign(stack, view)
    taken = added = aside = 0
    while batch := source.poll(BATCH):
        events = read_events([event.text for event in batch], view)
        if events.unread:
            quarantine.put(stack, view, _set_aside(events), f"stream {name}")
        done = _pushed(stack, view, events.table, f"stream {name}")
        source.commit(batch[-1].offset)
        taken += len(batch)
        added += int(done.data["added"])
        aside += len(events.unread) + int(done.data["set_aside"])
        stack.progress(f"stream {name}", taken, taken)
    data = {"stream": name, "view": view.ref, "events": taken, "added": added, "set_aside": aside}
    table = Table(("stream", "view", "events", "new rows", "set aside"), [tuple(data.values())])
    return Outcome(f"Took {taken:,} events from stream {name}", data, (table,))


def _set_aside(events: Events) -> Any:
    return pa.table({EVENT: [item.text for item in events.unread], REASON: [item.reason for item in events.unread]})
