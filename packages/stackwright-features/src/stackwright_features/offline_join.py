"""The point-in-time join: label rows with the outputs of a service behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright_features.arrow import arrow_type, from_column, microseconds, read_table, to_column
from stackwright_features.casts import cast
from stackwright_features.normalise import one_column, warn_of_assumed_utc
from stackwright_features.service_plan import Lookup, ServicePlan
from stackwright_features.times import Clock, to_utc
from stackwright_features.transforms import Step, needed, run
from stackwright_interfaces.definitions import FeatureService, FeatureView
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.feature_store import EVENT, ROW, Asked, OfflineStore, Watermark
from stackwright_interfaces.types import Field
from stackwright_numerics.columns import to_model_array

AsOf: TypeAlias = Callable[[FeatureView], Watermark | None]


def join_labels(
    store: OfflineStore,
    plan: ServicePlan,
    steps: Sequence[Step],
    labels: object,
    *,
    time: str,
    known_by: bool,
    as_of: AsOf,
) -> Any:
    """Join a label table of n rows with the outputs of a service.

    Args:
        store: the half that keeps history.
        plan: what the service needs.
        steps: its transforms.
        labels: anything with ``__arrow_c_stream__``.
        time: the labels' column of asked instants.
        known_by: pass over rows created after the asked instant.
        as_of: how much of a view to know; ``None`` is all.

    Returns:
        ``pyarrow.Table`` of n: the columns of the labels, then the outputs. A request field that is an output stays in
        its place, in its declared type and with its default.

    Raises:
        MissingColumn: a key, request field or the time column is missing.
        WrongType: one of them is of another type.
        DataError: an asked instant is null, or a label column has the name of an output.
        DefinitionError: a transform fails.
    """
    service = plan.service
    where = f"labels of {service.ref}"
    table = read_table(labels, where)
    _refuse_collisions(table, service, where)
    at = _asked_instants(table, time, where)
    request = {field.name: _typed(table, field, where) for field in service.request}
    keys = {field.name: _typed(table, field, where) for field in service.request_keys}

    first = _look_up(store, plan.first, keys, at, known_by=known_by, as_of=as_of)
    keys |= {f"{lookup.view.name}.{name}": first[lookup, name] for lookup in plan.first for name in lookup.held_keys}
    found = first | _look_up(store, plan.second, keys, at, known_by=known_by, as_of=as_of)

    values = {
        output.field.name: found[lookup, output.feature]
        for lookup in (*plan.first, *plan.second)
        for output in lookup.outputs
    }
    values = {name: _with_default(plan, name, column) for name, column in (values | request).items()}
    values |= _transformed(plan, steps, values, at)
    return _assembled(table, service, values)


def _refuse_collisions(table: Any, service: FeatureService, where: str) -> None:
    request = {field.name for field in service.request}
    collide = [field.name for field in service.output_fields if field.name in table.column_names]
    collide = [name for name in collide if name not in request]
    if collide:
        found = f"{', '.join(map(repr, collide))} is a column of the labels and an output of the service"
        raise DataError(where, found, "Rename the label's column, or select the feature with a prefix.")


def _asked_instants(table: Any, time: str, where: str) -> Any:
    asked = to_utc(one_column(table, time, where), Clock(), where=where, name=time)
    if asked.times.null_count:
        row = int(np.flatnonzero(asked.times.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(where, f"column {time!r} is null in row {row}", "Say for each row at which instant it asks.")
    warn_of_assumed_utc(where, int(np.count_nonzero(asked.assumed)), stacklevel=4)
    return asked.times


def _typed(table: Any, field: Field, where: str) -> Any:
    return cast(one_column(table, field.name, where), field.type, where=where, name=field.name)


def _look_up(
    store: OfflineStore, lookups: Sequence[Lookup], keys: Mapping[str, Any], at: Any, *, known_by: bool, as_of: AsOf
) -> dict[tuple[Lookup, str], Any]:
    """Ask one wave; names that a user chose cannot collide with each other, since the store sees numbered ones."""
    if not lookups:
        return {}
    sources = dict.fromkeys(source for lookup in lookups for source in lookup.sources)
    names = {source: f"key_{number}" for number, source in enumerate(sources)}
    rows = {ROW: pa.array(np.arange(len(at), dtype=np.int64)), EVENT: at}
    rows |= {name: keys[source] for source, name in names.items()}
    asked = [
        Asked(
            view=lookup.view,
            keys={key: names[source] for key, source in zip(lookup.view.entity.key_names, lookup.sources, strict=True)},
            features={feature: f"value_{number}_{place}" for place, feature in enumerate(lookup.features)},
            as_of=as_of(lookup.view),
        )
        for number, lookup in enumerate(lookups)
    ]
    answer = read_table(store.join(pa.table(rows), asked, known_by=known_by), "offline store")
    return {
        (lookup, feature): answer.column(name).cast(arrow_type(lookup.feature_type(feature)))
        for lookup, wanted in zip(lookups, asked, strict=True)
        for feature, name in wanted.features.items()
    }


def _with_default(plan: ServicePlan, name: str, column: Any) -> Any:
    if name not in plan.defaults or not column.null_count:
        return column
    return pc.coalesce(column, from_column(plan.defaults[name], plan.types[name])[0])


def _transformed(plan: ServicePlan, steps: Sequence[Step], values: Mapping[str, Any], at: Any) -> dict[str, Any]:
    arrays = {
        name: to_model_array(to_column(values[name], plan.types[name]), plan.types[name]) for name in needed(steps)
    }
    instants = microseconds(at).view("datetime64[us]")
    return {name: from_column(column, plan.types[name]) for name, column, _ in run(steps, arrays, instants, len(at))}


def _assembled(table: Any, service: FeatureService, values: Mapping[str, Any]) -> Any:
    request = {field.name for field in service.request}
    for field in service.output_fields:
        if field.name in request:
            table = table.set_column(table.column_names.index(field.name), field.name, values[field.name])
        else:
            table = table.append_column(field.name, values[field.name])
    return table
