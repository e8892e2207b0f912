"""Tables as other protocols send them, as rows of named JSON values that fit a model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from stackwright_interfaces.types import Field, Kind
from stackwright_serving.exchange import Exchange
from stackwright_serving.refused import RowRefused
from stackwright_serving.served import Loaded
from stackwright_serving.state import Question, State
from stackwright_serving.values import InvalidValue, columns

_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class Table:
    """Rows as they came.

    Args:
        rows: objects, or lists of values by place.
        names: what the places of lists stand for; ``None`` where the sender did not say.
        text: every value is a text, as in CSV, and an empty one is null.
    """

    rows: Sequence[Any]
    names: Sequence[str] | None = None
    text: bool = False


@dataclass(frozen=True)
class Given:
    """The rows of a request, checked: either keys and request fields, or the model's inputs.

    Args:
        keys: request key → values.
        request: request field → values.
        inputs: model columns; empty where features are looked up.
        count: rows.
    """

    keys: Mapping[str, Sequence[Any]]
    request: Mapping[str, Sequence[Any]]
    inputs: Mapping[str, Any]
    count: int


def fit(table: Table, loaded: Loaded) -> Given:
    """Return the rows of a table as what a model needs.

    A table holds either the keys and request fields of the model's feature service, whose features are then looked up,
    or the model's inputs. Names say which; without names it is the number of values in a row, keys before inputs.

    Raises:
        InvalidValue: a row fits neither; the message names row and field.
    """
    keys, asked = (loaded.form.keys, loaded.form.fields) if loaded.form else ((), ())
    inputs = loaded.scorer.model.manifest.signature.inputs
    by_keys = bool(asked) and _means(table, [field.name for field in asked], [field.name for field in inputs])
    fields = asked if by_keys else inputs
    rows = [_row(row, place, table, fields) for place, row in enumerate(table.rows)]
    given = columns(rows, fields, keys=keys if by_keys else ())
    if not by_keys:
        return Given({}, {}, {field.name: _model_column(given[field.name], field) for field in fields}, len(rows))
    names = {field.name for field in keys}
    return Given(
        {name: values for name, values in given.items() if name in names},
        {name: values for name, values in given.items() if name not in names},
        {},
        len(rows),
    )


def question(state: State, given: Given, exchange: Exchange) -> Question:
    """Return rows as they are asked now."""
    now = state.clock()
    return Question(
        keys=given.keys,
        request=given.request,
        inputs=given.inputs,
        count=given.count,
        asked=now,
        now=now,
        request_ids=[exchange.id] * given.count,
        test=exchange.test,
    )


def _means(table: Table, asked: list[str], inputs: list[str]) -> bool:
    """Return whether a table holds keys and request fields, rather than inputs."""
    if table.names is not None:
        names = set(table.names)
    elif table.rows and isinstance(table.rows[0], Mapping):
        names = set(table.rows[0])
    else:
        counts = {len(row) for row in table.rows if isinstance(row, list)}
        return len(asked) in counts or len(inputs) not in counts
    return len(names & set(asked)) >= len(names & set(inputs))


def _row(row: Any, place: int, table: Table, fields: Sequence[Field]) -> Any:
    if isinstance(row, list):
        names = [field.name for field in fields] if table.names is None else table.names
        if len(row) != len(names):
            found = f"has {len(row)} values where {len(names)} are needed"
            raise InvalidValue(f"row {place}", found, f"Send: {', '.join(names)}.")
        row = dict(zip(names, row, strict=True))
    if table.text:
        known = {field.name: field for field in fields}
        return {name: _from_text(text, known.get(name), place) for name, text in row.items()}
    return row


def _from_text(text: str, field: Field | None, place: int) -> Any:
    """Return the JSON value that a cell of CSV stands for."""
    if text == "" or field is None:
        return None
    match field.type.kind:
        case Kind.BOOL if text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        case Kind.INT64 if _WHOLE.fullmatch(text) and len(text) <= 20:
            return int(text)
        case Kind.FLOAT64 if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
        case Kind.BOOL | Kind.INT64 | Kind.FLOAT64:
            raise InvalidValue(
                f"row {place}", f"field {field.name!r} is {text[:40]!r}", f"Send a value of type {field.type}."
            )
    return text


def from_arrow(value: Any) -> Any:
    """Return the JSON value that a value of an Arrow column stands for; NaN is null."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return value


def _model_column(values: list[Any], field: Field) -> Any:
    if field.type.kind is Kind.STRING:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    if field.type.kind in (Kind.BOOL, Kind.INT64, Kind.FLOAT64):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    raise RowRefused(f"input {field.name!r}", f"is a {field.type}", "Such inputs are read from the store alone.")
