"""The online read: the outputs of a service for many keys, now.

One read of the online store answers all views whose keys come with the request, and a second one those whose keys are
held by a row of the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_features.answers import INSTANT, NULL, PRESENT, Answer, Reader, Statuses, show
from stackwright_features.newest_rows import NewestRows
from stackwright_features.service_plan import Lookup, ServicePlan
from stackwright_features.times import to_microseconds
from stackwright_features.transforms import Step, needed, run
from stackwright_features.values import count_rows, typed_columns
from stackwright_features.watermarks import VIEW, KnownWatermarks
from stackwright_features.windowed_events import WindowedEvents
from stackwright_interfaces.errors import StoreTimeout
from stackwright_interfaces.feature_store import FeatureRows, OnlineStore, Watermark
from stackwright_numerics.columns import Column, nulls, to_model_array
from stackwright_numerics.keys import encode_keys


class OnlineRead:
    """Reads one service; made once and used for every read of it, from any thread.

    Args:
        online: the half that answers now.
        plan: what the service needs.
        steps: its transforms.
    """

    def __init__(self, online: OnlineStore, plan: ServicePlan, steps: Sequence[Step]) -> None:
        service = plan.service
        self._plan = plan
        self._steps = steps
        self._inputs = needed(steps)
        self._where = f"read of {service.ref}"
        self._keys = service.request_keys
        self._request = service.request
        self._outputs = service.output_fields
        self._names = tuple(field.name for field in service.output_fields)
        self._looked_up = [name for lookup in (*plan.first, *plan.second) for name in lookup.names]
        computed = [field.name for field in (*service.request, *(step.output for step in service.transforms))]
        self._in_order = self._names == (*self._looked_up, *computed)
        self.watermarks = KnownWatermarks([lookup.view.ref for lookup in (*plan.first, *plan.second)])
        self._waves = [
            _Wave(online, lookups, plan.defaults, self.watermarks) for lookups in (plan.first, plan.second) if lookups
        ]

    def __call__(
        self,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]],
        at: datetime,
        timeout: float | None,
    ) -> FeatureRows:
        """Read n keys.

        Args:
            keys: request key → n values.
            request: request field → n values.
            at: the present.
            timeout: seconds.

        Raises:
            MissingColumn: a key or request field is missing.
            WrongType: a value is of another type.
            DataError: the values are not of one length.
            StoreTimeout: the deadline passed.
        """
        deadline = None if timeout is None else monotonic() + timeout
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        key_columns = typed_columns(self._keys, keys, where=self._where)
        request_columns = typed_columns(self._request, request, where=self._where)
        rows = count_rows(self._where, key_columns, request_columns)
        if rows == 0:
            return self._empty(at)
        at_us = to_microseconds(at)
        found = self._look_up(key_columns, rows, at_us, deadline)
        values = dict(zip(self._looked_up, found.values, strict=True))
        statuses = dict(zip(self._looked_up, found.statuses, strict=True))
        for field in self._request:
            default = self._plan.defaults.get(field.name)
            shown = show(request_columns[field.name], field.type, np.full(rows, NULL), default)
            values[field.name], statuses[field.name] = shown
        if self._steps:
            inputs = {name: values[name] for name in self._inputs}
            for name, column, array in run(self._steps, inputs, np.full(rows, at_us).view(INSTANT), rows):
                values[name], statuses[name] = array, np.where(column.valid, PRESENT, NULL)
        return FeatureRows(
            names=self._names,
            columns=values if self._in_order else {name: values[name] for name in self._names},
            statuses=statuses if self._in_order else {name: statuses[name] for name in self._names},
            events=found.events,
            watermarks=found.watermarks,
            at=at,
        )

    def _look_up(self, keys: dict[str, Column], rows: int, at_us: int, deadline: float | None) -> _Found:
        found = _Found([], [], {}, {})
        for wave in self._waves:
            for reader, answer in wave.read(keys, rows, at_us, deadline):
                view = reader.lookup.view
                found.values.extend(answer.values)
                found.statuses.extend(answer.statuses)
                for name, column in answer.held.items():
                    keys[f"{view.name}.{name}"] = column
                self._note(found, view.ref, answer)
        return found

    def _note(self, found: _Found, ref: str, answer: Answer) -> None:
        events = answer.events
        watermark = self.watermarks.of(ref, answer.knows)
        if ref in found.events:  # read by other keys as well: the older of both, and the more that is known
            events = np.fmin(found.events[ref], events)
            watermark = max((mark for mark in (found.watermarks.get(ref), watermark) if mark is not None), default=None)
        found.events[ref] = events
        if watermark is not None:
            found.watermarks[ref] = watermark

    def _empty(self, at: datetime) -> FeatureRows:
        return FeatureRows(
            names=self._names,
            columns={field.name: to_model_array(nulls(field.type, 0), field.type) for field in self._outputs},
            statuses={name: np.zeros(0, np.int8) for name in self._names},
            at=at,
        )


class _Found(NamedTuple):
    """What the views say: outputs in the order of the lookups, event times and watermarks by view reference."""

    values: list[NDArray[Any]]
    statuses: list[Statuses]
    events: dict[str, NDArray[np.datetime64]]
    watermarks: dict[str, Watermark]


class _Keys(NamedTuple):
    """Encoded keys of n rows: those without a null part, their places (``None`` if all), and which are without."""

    keys: list[bytes]
    places: list[int] | None
    keyless: NDArray[np.bool_] | None


class _Wave:
    """Lookups that one read of the online store answers."""

    def __init__(
        self,
        online: OnlineStore,
        lookups: Sequence[Lookup],
        defaults: Mapping[str, Column],
        watermarks: KnownWatermarks,
    ) -> None:
        self._online = online
        self._watermarks = watermarks
        self._readers: list[Reader] = [
            WindowedEvents(lookup, defaults) if lookup.view.windows else NewestRows(lookup, defaults)
            for lookup in lookups
        ]
        self._refs = [lookup.view.ref for lookup in lookups]
        types = {lookup.sources: [key.type for key in lookup.view.entity.keys] for lookup in lookups}
        self._key_sets = list(types.items())
        self._key_set_of = [list(types).index(lookup.sources) for lookup in lookups]

    def read(
        self, columns: Mapping[str, Column], rows: int, at_us: int, deadline: float | None
    ) -> Iterator[tuple[Reader, Answer]]:
        """Read the rows of these keys, and first, if it is due, what the store knows."""
        encoded = [_encoded(sources, types, columns) for sources, types in self._key_sets]
        asked = [encoded[number] for number in self._key_set_of]
        timeout = None if deadline is None else _left(deadline)
        states = self._watermarks.wanted()
        keys = [item.keys for item in asked]
        if states:
            known, *payloads = self._online.read([VIEW, *self._refs], [states, *keys], timeout=timeout)
            self._watermarks.learn(known)
        else:
            payloads = self._online.read(self._refs, keys, timeout=timeout)
        for reader, item, found in zip(self._readers, asked, payloads, strict=True):
            yield reader, reader.answer(_spread(found, item.places, rows), at_us, item.keyless)


def _encoded(sources: Sequence[str], types: Sequence[Any], columns: Mapping[str, Column]) -> _Keys:
    keys = encode_keys([columns[source] for source in sources], types)
    there = [key for key in keys if key is not None]
    if len(there) == len(keys):
        return _Keys(there, None, None)
    keyless = np.fromiter((key is None for key in keys), np.bool_, len(keys))
    return _Keys(there, np.flatnonzero(~keyless).tolist(), keyless)


def _spread(payloads: Sequence[bytes | None], places: Sequence[int] | None, rows: int) -> Sequence[bytes | None]:
    if places is None:
        return payloads
    spread: list[bytes | None] = [None] * rows
    for place, payload in zip(places, payloads, strict=True):
        spread[place] = payload
    return spread


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise StoreTimeout("online store", "the deadline passed before all views were read", "Allow more time.")
    return left
