"""Online reads of views with windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stackwright_features.answers import (
    EXPIRED,
    INSTANT,
    NOT_FOUND,
    NULL,
    Answer,
    Shown,
    microseconds_of,
    show,
)
from stackwright_features.service_plan import Lookup
from stackwright_interfaces.types import Type
from stackwright_numerics.columns import NAT, Column, nulls
from stackwright_numerics.events import Events, EventsCodec
from stackwright_numerics.windows import compute, lower_edge


class WindowedEvents:
    """Reads the events of a view: windows over them, and the newest one that has come for its stored columns.

    A key that was never seen has empty windows (a count of 0), and its features are ``NOT_FOUND``. A key with a null
    part has null windows. ``max_age`` expires stored columns and leaves windows alone.

    Args:
        lookup: what is needed of the view.
        defaults: output → its default.
    """

    def __init__(self, lookup: Lookup, defaults: Mapping[str, Column]) -> None:
        self.lookup = lookup
        self._codec = EventsCodec(lookup.view.fields)
        self._defaults = defaults
        self._types = {field.name: field.type for field in lookup.view.features}
        self._windows = frozenset(window.name for window in lookup.windows)
        self._stored = [name for name in lookup.features if name not in self._windows]
        self._age = microseconds_of(lookup.view.max_age)

    def answer(self, payloads: Sequence[bytes | None], at_us: int, keyless: NDArray[np.bool_] | None) -> Answer:
        """Say what n payloads hold."""
        events = self._codec.decode(payloads)
        stops = _places(events, at_us + 1)
        known = stops > events.offsets[:-1]
        newest = np.where(known, stops - 1, 0)
        event_us = np.where(known, events.event_us[newest], NAT) if len(events.event_us) else np.full(len(known), NAT)
        live = known if self._age is None else known & (event_us >= at_us - self._age)
        stored = {name: _newest(events.columns[name], newest, live, self._types[name]) for name in self._stored}
        windows = self._aggregated(events, at_us, keyless)
        why_null = np.where(live, NULL, np.where(known, EXPIRED, NOT_FOUND))
        why_empty = np.where(known, NULL, NOT_FOUND)
        outputs = []
        for output in self.lookup.outputs:
            name, declared = output.feature, output.field.type
            if name in self._windows:
                values, statuses = show(windows[name], declared, why_empty, None)
                outputs.append(Shown(values, np.where(known, statuses, NOT_FOUND)))
            else:
                outputs.append(show(stored[name], declared, why_null, self._defaults.get(output.field.name)))
        return Answer(
            values=[shown.values for shown in outputs],
            statuses=[shown.statuses for shown in outputs],
            events=event_us.view(INSTANT),
            knows=(int(events.position.max()), int(events.due_us.max())),
            held={name: stored[name] for name in self.lookup.held_keys},
        )

    def _aggregated(self, events: Events, at_us: int, keyless: NDArray[np.bool_] | None) -> dict[str, Column]:
        stops = _places(events, at_us)
        found = {}
        for window in self.lookup.windows:
            edge = int(lower_edge(np.array([at_us]), window)[0])
            values, valid = compute(window, events.columns, _places(events, edge), stops)
            found[window.name] = Column(values, valid if keyless is None else valid & ~keyless)
        return found


def _places(events: Events, instant_us: int) -> NDArray[np.int64]:
    """For each key the place of its first event at or after an instant; its events ascend in time."""
    if len(events.offsets) == 2:
        return events.event_us.searchsorted([instant_us])
    before = np.zeros(len(events.event_us) + 1, np.int64)
    np.cumsum(events.event_us < instant_us, out=before[1:])
    starts = events.offsets[:-1]
    return starts + before[events.offsets[1:]] - before[starts]


def _newest(column: Column, newest: NDArray[np.int64], live: NDArray[np.bool_], type: Type) -> Column:
    if not len(column.valid):
        return nulls(type, len(live))
    return Column(column.values[newest], column.valid[newest] & live)
