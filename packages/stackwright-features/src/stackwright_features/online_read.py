"""The online read: the outputs of a service for many keys, now.

One read of the online store answers all views whose keys come with the request, and a second one those whose keys are
held by a row of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_features.answers import INSTANT, NULL, PRESENT, Answer, Statuses, show
from stackwright_features.service_plan import ServicePlan
from stackwright_features.straight_read import StraightRead
from stackwright_features.times import to_microseconds
from stackwright_features.transforms import Step, needed, run
from stackwright_features.values import count_rows, typed_columns
from stackwright_features.watermarks import KnownWatermarks
from stackwright_features.wave import Wave
from stackwright_interfaces.feature_store import FeatureRows, OnlineStore, Payloads, Watermark
from stackwright_numerics.columns import Column, nulls, to_model_array


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
            Wave(online, lookups, plan.defaults, self.watermarks) for lookups in (plan.first, plan.second) if lookups
        ]
        self._straight = StraightRead.of(plan, self._waves, self.watermarks)

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
        at_us = to_microseconds(at)
        fetched: Payloads | None = None
        if self._straight is not None and not request:
            fetched = self._straight.fetch(keys, deadline)
            rows_found = self._straight.answer(fetched, at_us, at) if fetched else None
            if rows_found is not None:
                return rows_found
        key_columns = typed_columns(self._keys, keys, where=self._where)
        request_columns = typed_columns(self._request, request, where=self._where)
        rows = count_rows(self._where, key_columns, request_columns)
        if rows == 0:
            return self._empty(at)
        found = self._look_up(key_columns, rows, at_us, deadline, fetched)
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

    def _look_up(
        self, keys: dict[str, Column], rows: int, at_us: int, deadline: float | None, fetched: Payloads | None
    ) -> _Found:
        """Look everything up; what was fetched already is the payloads of the first wave."""
        found = _Found([], [], {}, {})
        for wave in self._waves:
            asked = wave.encode(keys)
            payloads = fetched or wave.fetch([item.keys for item in asked], deadline)
            fetched = None
            for reader, answer in wave.answer(asked, payloads, rows, at_us):
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
