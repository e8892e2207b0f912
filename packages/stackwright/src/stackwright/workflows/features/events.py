"""Events as texts, one JSON object each: read as rows of a view, or told whose they are where they cannot be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa

from stackwright_features.arrow import arrow_type
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.forms import value_from_json, value_to_json
from stackwright_interfaces.types import Field, Kind, fit

EVENT: Final = "__event"
"""Column of the quarantine that keeps the text of an event that cannot be read."""

_NOT_TEXT: Final = frozenset({Kind.BOOL, Kind.INT64, Kind.FLOAT64, Kind.LIST, Kind.VECTOR})


class Unread(NamedTuple):
    """An event that cannot be read.

    Attributes:
        place: its place among the others, from 1.
        text: as it came.
        reason: what is wrong with it.
    """

    place: int
    text: str
    reason: str


@dataclass(frozen=True)
class Events:
    """Events of a view: those that can be read as a table, and the others."""

    table: Any
    unread: Sequence[Unread]


def read_events(texts: Sequence[str], view: FeatureView) -> Events:
    """Read events, one JSON object each, whose members are named as the view's source has them.

    A member may be a text that holds a number, a boolean or a list: streams often carry texts alone.
    """
    in_file = {field: column for column, field in view.source.rename.items()}
    fields = {in_file.get(field.name, field.name): field for field in (*view.entity.keys, *view.fields)}
    times = [name for name in (view.source.event_time, view.source.created_time) if name and name not in fields]
    rows, unread = [], []
    for place, text in enumerate(texts, 1):
        try:
            rows.append(_row(json.loads(text), fields, times))
        except (ValueError, ArithmeticError, TypeError, RecursionError) as error:
            unread.append(Unread(place, text, str(error)))
    columns = {name: pa.array([row[name] for row in rows], arrow_type(field.type)) for name, field in fields.items()}
    columns |= {name: pa.array([row[name] for row in rows], pa.string()) for name in times}
    return Events(pa.table(columns), unread)


def _row(event: Any, fields: dict[str, Field], times: Sequence[str]) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise TypeError("it is no JSON object")
    row = {name: _value(name, event.get(name), field) for name, field in fields.items()}
    for name in times:
        value = event.get(name)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name} is {value!r}, no ISO 8601 time")
        row[name] = value or None
    return row


def _value(name: str, value: Any, field: Field) -> Any:
    if value is None or (value == "" and field.type.kind in _NOT_TEXT):
        return None
    try:
        if isinstance(value, str) and field.type.kind in _NOT_TEXT:
            value = json.loads(value)
        return fit(value_from_json(value, field.type), field.type)
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"{name} is {value!r}, declared is {field.type}") from error


def is_of(text: str, keys: Mapping[str, tuple[Field, Any]]) -> bool | None:
    """Tell whether an event is of these keys, however little of it can be read.

    An event of which not even the keys can be read is taken for the entity's where each of their values stands in its
    text, not within a longer word or number: rather too many are removed than one too few.

    Args:
        keys: member of the event → key of the entity, and its value.

    Returns:
        ``None`` where it cannot be told.
    """
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        event = None
    if isinstance(event, dict) and all(event.get(name) is not None for name in keys):
        return all(_equals(name, event[name], *key) for name, key in keys.items())
    return True if all(_stands_in(text, *key) for key in keys.values()) else None


def _equals(name: str, found: Any, field: Field, value: Any) -> bool:
    try:
        return bool(_value(name, found, field) == value)
    except ValueError:
        return str(found) == str(value)


def _stands_in(text: str, field: Field, value: Any) -> bool:
    plain = {str(value), str(value_to_json(value, field.type))}
    forms = "|".join(re.escape(form) for form in plain | {json.dumps(one)[1:-1] for one in plain})
    return re.search(rf"(?<!\w)(?<!\d\.)(?:{forms})(?!\w)(?!\.\d)", text) is not None
