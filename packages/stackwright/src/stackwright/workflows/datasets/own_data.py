"""Rows from elsewhere than the feature store: a file, a bucket, a database. Every input then comes with the request."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright.assembly.blueprint import DataPart, ModelPart
from stackwright.assembly.model_part import data_service
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.outcomes import in_lists
from stackwright.workflows.datasets.request_store import RequestStore
from stackwright.workflows.rows.csv_rows import without_nulls
from stackwright.workflows.rows.sources import rows_of
from stackwright_features.arrow import read_table, to_column
from stackwright_features.casts import cast, plain
from stackwright_interfaces.definitions import Definitions, Entity, FeatureService, Target
from stackwright_interfaces.errors import DataError, MissingColumn
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.trainer import TaskKind
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, TIMESTAMP, Field, Type
from stackwright_numerics.columns import Column, to_model_array
from stackwright_numerics.order import content_hash

_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_STORES: Final = ("feature_store", "offline", "online")
_LONGEST: Final = 100_000.0
"""Days after which times would leave their type."""


def load(stack: Stack, part: ModelPart, data: DataPart) -> Dataset:
    """Read the rows of a model, and make known to the stack what service and target they stand for.

    Rows are ordered by their time, then by a hash of their content. Without a time the hash alone orders them: a
    shuffle that does not depend on how the source orders them, so that the newest rows are rows at random, of a ranking
    lists at random.

    Raises:
        UsageError: there is no such source.
        DataError: it lacks a column, or one holds what no model takes.
        StorageError: bucket or database cannot be reached.
    """
    where = f"{part.place} data"
    about = (data.time, data.observed, data.group, data.position, data.censored)
    wanted = [*data.inputs, data.target, *(name for name in about if name)]
    needed = wanted if data.inputs else ()
    with rows_of(stack, data.source, {}, table=data.table, query=data.query, needed=needed) as rows:
        table = read_table(rows, where)
    for name in wanted:
        if name not in table.column_names:
            raise MissingColumn.of(where, name, table.column_names)
    inputs = data.inputs or [name for name in table.column_names if name not in wanted]
    fields = [Field(name, _type_of(table.column(name), name, where)) for name in inputs]
    stack.implied = implied(part, fields)
    order, asked, observed = _ordered(table, data, fields, where)
    truth = _typed(table, _truth(table, data.target, where), where)
    target = np.where(truth.valid, truth.values.astype(np.float64), np.nan)[order]
    told = {
        name: _about(table, data, name, where)[order] for name in (data.group, data.position, data.censored) if name
    }
    arrays: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for field in fields:  # one after the other, each let go where it came from: rows are held little more than once
        column = _typed(table, field, where)
        table = table.drop_columns([field.name])
        arrays[field.name] = to_model_array(column, field.type)[order]
        given[field.name] = _given(column)[order] if field.type == BOOL else arrays[field.name]
    found = Dataset(arrays, target, asked[order], observed[order], keys=given)
    if part.task == TaskKind.TIME_TO_EVENT:
        return _timed(found, data, told.get(data.censored))
    if data.group:
        listed = in_lists(found, told[data.group], told.get(data.position), where)
        return listed if data.time else replace(listed, asked=listed.begun, observed=listed.begun)
    return found


def _about(table: pa.Table, data: DataPart, name: str, where: str) -> Any:
    """Return a column that says something of the rows and is no input: numbers as float64, all else as it is."""
    field = Field(name, _type_of(table.column(name), name, where))
    if field.type == STRING and name != data.group:
        raise DataError(where, f"column {name!r} holds texts", "Give numbers; of what is censored true and false.")
    column = _typed(table, field, where)
    return column.values if field.type == FLOAT64 and column.valid.all() else _given(column)


def _timed(rows: Dataset, data: DataPart, censored: Any) -> Dataset:
    """Return rows of durations; what is not said to be known later is known when the time has passed."""
    waiting = np.zeros(len(rows), np.bool_) if censored is None else np.array([bool(value) for value in censored])
    observed = rows.observed
    if data.time and not data.observed:
        days = np.nan_to_num(rows.target).clip(0, _LONGEST)
        observed = rows.asked + (days * 86_400e6).astype("timedelta64[us]")
    return replace(rows, observed=observed, event=~waiting)


def _given(column: Column) -> Any:
    """Return truth values as a request brings them."""
    values = column.values.astype(object)
    values[~column.valid] = None
    return values


def _type_of(array: Any, name: str, where: str) -> Type:
    """Return the type of a column: what a text file holds tells by its values, but for those of ``NULLS``."""
    found = plain(array)
    kind = found.type
    if pa.types.is_boolean(kind):
        return BOOL
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return FLOAT64
    if pa.types.is_null(kind):
        return FLOAT64
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        todo = "Name the columns that the model reads: data = { inputs = [...] }"
        raise DataError(where, f"column {name!r} holds {kind}, which no model takes", todo)
    texts = without_nulls(pc.unique(found.cast(pa.string())), FLOAT64).drop_null()
    if not len(texts):
        return FLOAT64 if found.null_count == len(found) else STRING
    if pc.all(pc.is_in(texts, pa.array([*_TRUE, *_FALSE]))).as_py():
        return BOOL
    try:
        texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return STRING
    return FLOAT64


def _truth(table: pa.Table, name: str, where: str) -> Field:
    type_ = _type_of(table.column(name), name, where)
    if type_ == STRING:
        raise DataError(where, f"the target {name!r} holds texts", "Give numbers, or true and false.")
    return Field(name, type_)


def _typed(table: pa.Table, field: Field, where: str) -> Column:
    array = plain(table.column(field.name))
    texts = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    if texts and field.type != STRING:
        array = without_nulls(array, field.type)
    if texts and field.type == BOOL:
        array = pc.if_else(pc.is_valid(array), pc.is_in(array, pa.array(_TRUE)), None)
    elif (texts and field.type == FLOAT64) or pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    found = cast(array, field.type, where=where, name=field.name)
    return _texts(found) if field.type == STRING else to_column(found, field.type)


def _texts(array: Any) -> Column:
    """Return texts of which equal ones are one object: few stand in many rows."""
    coded = array.dictionary_encode()
    known = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    codes = coded.indices.fill_null(len(known) - 1).to_numpy()
    return Column(known[codes], codes < len(known) - 1)


def _ordered(table: pa.Table, data: DataPart, fields: Sequence[Field], where: str) -> tuple[Any, Any, Any]:
    """Return the order of the rows, when each was, and when its truth became known."""
    if not data.time:
        order = np.argsort(_hashes(table, data, fields, where), kind="stable")
        asked = np.empty(len(order), dtype="datetime64[us]")
        asked[order] = np.datetime64(0, "us") + np.arange(len(order)) * np.timedelta64(1, "s")
        return order, asked, asked
    asked = _instants(table, data.time, where)
    observed = _instants(table, data.observed, where) if data.observed else asked
    order = np.argsort(asked, kind="stable")
    ties = asked.size > 1 and bool((np.diff(asked[order]) == np.timedelta64(0, "us")).any())
    return np.lexsort((_hashes(table, data, fields, where), asked)) if ties else order, asked, observed


def _hashes(table: pa.Table, data: DataPart, fields: Sequence[Field], where: str) -> Any:
    columns = {field.name: _typed(table, field, where) for field in fields}
    if data.group:
        group = Field(data.group, _type_of(table.column(data.group), data.group, where))
        columns[" group"] = _typed(table, group, where)
    return content_hash({**columns, " target": _typed(table, _truth(table, data.target, where), where)})


def _instants(table: pa.Table, name: str, where: str) -> Any:
    column = to_column(cast(table.column(name), TIMESTAMP, where=where, name=name), TIMESTAMP)
    if not column.valid.all():
        row = int(np.flatnonzero(~column.valid)[0])
        raise DataError(where, f"column {name!r} has no time in row {row}", "Give every row one, or leave it out.")
    return np.asarray(column.values, dtype="datetime64[us]")


def implied(part: ModelPart, fields: Sequence[Field]) -> Definitions:
    """Return the service and the target that the rows of a model stand for."""
    name = data_service(part.name).partition("@")[0]
    row = Entity(name=name, keys=(Field("row_id", INT64),))
    target = Target(name=part.target, entity=row, value=Field(part.target, FLOAT64))
    return Definitions(entities=(row,), services=(request_service(name, fields),), targets=(target,))


def request_service(name: str, fields: Sequence[Field]) -> FeatureService:
    """Return a service whose every feature comes with the request."""
    return FeatureService(name=name, request=tuple(Field(field.name, field.type) for field in fields))


def service_of(manifest: Manifest) -> FeatureService:
    """Return the service of a model that learned from rows of its own."""
    return request_service(manifest.service.partition("@")[0], manifest.signature.inputs)


def as_seen(stack: Stack, part: ModelPart) -> Stack:
    """Return a stack as a model with rows of its own sees it: without stores, every feature in the request.

    It shares all else with the stack, which closes it.
    """
    seen = copy.copy(stack)
    choices = {slot: choice for slot, choice in stack.plan.choices.items() if slot not in _STORES}
    seen.__dict__ |= {
        "plan": replace(stack.plan, choices=choices),
        "features": RequestStore(stack.service(part.service)),
    }
    return seen
