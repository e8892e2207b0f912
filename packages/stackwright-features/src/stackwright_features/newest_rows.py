"""Online reads of views without windows, of which the online store keeps the newest row of each key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_features.answers import (
    EXPIRED,
    INSTANT,
    NOT_FOUND,
    NULL,
    PRESENT,
    Answer,
    Statuses,
    microseconds_of,
    show,
)
from stackwright_features.service_plan import Lookup
from stackwright_features.single_row import SingleRow, SingleRowReader
from stackwright_interfaces.types import Kind
from stackwright_numerics.columns import NAT, Column, to_model_array
from stackwright_numerics.records import DAMAGED
from stackwright_numerics.rows import RowCodec, Rows

_NEVER: Final = np.array([NAT]).view(INSTANT)
_NEVER.flags.writeable = False


class NewestRows:
    """Reads the newest row of each key. A row whose time is yet to come is ``NOT_FOUND``: older ones are not kept.

    Args:
        lookup: what is needed of the view.
        defaults: output → its default.
    """

    def __init__(self, lookup: Lookup, defaults: Mapping[str, Column]) -> None:
        self.lookup = lookup
        self._codec = RowCodec(lookup.view.fields)
        self._defaults = defaults
        self._age = microseconds_of(lookup.view.max_age)
        self._shown = [
            (item.feature, item.field.type, item.field.type.kind is Kind.FLOAT64, defaults.get(item.field.name))
            for item in lookup.outputs
        ]
        self._single = SingleRowReader(lookup, defaults)
        self._not_found = self._single.outputs_of_null(NOT_FOUND)
        self._expired = self._single.outputs_of_null(EXPIRED)

    def answer(self, payloads: Sequence[bytes | None], at_us: int, _keyless: NDArray[np.bool_] | None) -> Answer:
        """Say what n payloads hold."""
        if len(payloads) == 1 and payloads[0] is not None:
            row = self._single.take_apart(payloads[0])
            if row is not None:
                try:
                    return self._answer_one(row, at_us)
                except DAMAGED:
                    pass  # the codec says what is damaged
        return self._answer_many(payloads, at_us)

    def _answer_one(self, row: SingleRow, at_us: int) -> Answer:
        _, position, due_us, event_us = row.words[:4]
        live, events = None, row.events
        if event_us > at_us:
            events, (values, statuses) = _NEVER, self._not_found
        elif self._age is not None and event_us < at_us - self._age:
            values, statuses = self._expired
        else:
            live, (values, statuses) = row, self._single.outputs(row)
        return Answer(values, statuses, events, (position, due_us), self._single.held(live, self.lookup.held_keys))

    def _outputs(self, rows: Rows) -> tuple[list[NDArray[Any]], list[Statuses]]:
        """The outputs of rows that all count; those without a null share their statuses, which are read-only."""
        present = np.full(len(rows.found), PRESENT)
        present.flags.writeable = False
        null: Statuses | None = None
        whole: dict[int, bool] = {}  # most columns share one mask
        values, statuses = [], []
        columns = rows.columns
        for feature, type_, is_float, default in self._shown:
            column = columns[feature]
            mask = id(column.valid)
            if mask not in whole:
                whole[mask] = bool(column.valid.all())
            if whole[mask]:
                values.append(column.values if is_float else to_model_array(column, type_))
                statuses.append(present)
            else:
                null = np.full(len(present), NULL) if null is None else null
                shown = show(column, type_, null, default)
                values.append(shown.values)
                statuses.append(shown.statuses)
        return values, statuses

    def _answer_many(self, payloads: Sequence[bytes | None], at_us: int) -> Answer:
        rows = self._codec.decode(payloads)
        known = rows.found & (rows.event_us <= at_us)
        live = known if self._age is None else known & (rows.event_us >= at_us - self._age)
        if live.all():
            values, statuses = self._outputs(rows)
            return Answer(
                values=values,
                statuses=statuses,
                events=rows.event_us.view(INSTANT),
                knows=(int(rows.position.max()), int(rows.due_us.max())),
                held={name: rows.columns[name] for name in self.lookup.held_keys},
            )
        why_null = np.where(live, NULL, np.where(known, EXPIRED, NOT_FOUND))
        columns = {
            name: Column(rows.columns[name].values, rows.columns[name].valid & live) for name in self.lookup.features
        }
        shown = [
            show(columns[output.feature], output.field.type, why_null, self._defaults.get(output.field.name))
            for output in self.lookup.outputs
        ]
        return Answer(
            values=[values for values, _ in shown],
            statuses=[statuses for _, statuses in shown],
            events=np.where(known, rows.event_us, NAT).view(INSTANT),
            knows=(int(rows.position.max()), int(rows.due_us.max())),
            held={name: columns[name] for name in self.lookup.held_keys},
        )
