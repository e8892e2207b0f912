"""What feature stores hold and are asked, taken down from a project; from the sample market where it holds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from stackwright.assembly import blueprint as blueprints
from stackwright.assembly.stack import Stack
from stackwright.workflows.new import load_sample, new
from stackwright.workflows.swapping.questions import Questions, of_view, recorded
from stackwright_features.arrow import read_table
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import OfflineStore, Watermark

HISTORY: Final = 20_000
"""Rows of a view's history that a trial takes."""

FOREVER: Final = datetime(9999, 12, 31, tzinfo=UTC)

_PROBES: Final = 200
_SAMPLE: Final = {"listings": "300"}
_SAMPLED: Final = """\
name = "sample"

[feature_store]
offline = { adapter = "memory" }
online = { adapter = "memory" }
"""


@dataclass(frozen=True)
class History:
    """Rows of one view's history, by key and order token."""

    view: FeatureView
    rows: Any


@contextmanager
def sampled(stack: Stack, folder: Path) -> Iterator[Stack]:
    """Give a stack of the sample market in a folder, for projects that hold nothing to ask about.

    Raises:
        PluginError: blueprint, sample or the store in memory is not installed.
    """
    new(folder, "realtime", sample=True, options=_SAMPLE, progress=stack.progress, plugins=stack.plugins)
    (folder / blueprints.FILE).write_text(_SAMPLED, encoding="utf-8")
    with Stack(folder, env="", plugins=stack.plugins, progress=stack.progress) as made:
        _fill(made)
        yield made


def _fill(stack: Stack) -> None:
    from stackwright.workflows.features.catalogue import apply, ingest, materialize
    from stackwright.workflows.monitoring.labels import label

    sample = load_sample(stack.project)
    assert sample is not None
    apply(stack)
    for view, path in sample.views.items():
        ingest(stack, view, path)
    materialize(stack)
    for target, path in sample.labels.items():
        label(stack, path, target=target)


def history(stack: Stack, offline: OfflineStore) -> list[History]:
    """Return rows of every view that the project keeps itself, whole keys together."""
    found = []
    views = stack.definitions.views
    for done, view in enumerate(views):
        stack.progress("recording", done, len(views))
        parts, rows = [], 0
        for part in offline.changes(view, None, Watermark(offline.watermark(view).position, FOREVER)):
            parts.append(read_table(part, "offline store"))
            rows += len(parts[-1])
            if rows >= HISTORY:
                break
        if parts:
            found.append(History(view, pa.concat_tables(parts).slice(0, HISTORY)))
    stack.progress("recording", 1, 1)
    return found


def asked(stack: Stack, kept: list[History]) -> Iterator[Questions]:
    """Give what the project was asked, and for each view questions around the events of some of its rows.

    A question is put at the instant of an event, and one microsecond before and after: there ages, windows and ties
    show.
    """
    from stackwright_features.arrow import microseconds
    from stackwright_features.times import from_microseconds
    from stackwright_interfaces.feature_store import EVENT

    yield from recorded(stack)
    for item in kept:
        step = max(1, len(item.rows) // _PROBES)
        probes = item.rows.take(pa.array(range(0, len(item.rows), step)))
        events = microseconds(probes.column(EVENT)).tolist()
        at = [from_microseconds(event + shift) for event in events for shift in (-1, 0, 1)]
        keys = {
            key.name: [value for value in probes.column(key.name).to_pylist() for _ in range(3)]
            for key in item.view.entity.keys
        }
        yield of_view(item.view, keys, at, f"events of {item.view.ref}")
