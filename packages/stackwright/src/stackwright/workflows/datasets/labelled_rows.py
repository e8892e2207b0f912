"""Labels joined with features as they were, as plain columns: what a notebook models with, censored labels included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright_features.arrow import to_columns
from stackwright_interfaces.definitions import FeatureService, Target
from stackwright_interfaces.errors import DataError, MissingColumn, TrainingError, UsageError
from stackwright_interfaces.feature_store import ArrowStream
from stackwright_numerics.columns import to_model_array


@dataclass(frozen=True)
class LabelledRows:
    """Rows with features and truths, in order of the time asked.

    Args:
        service: ``name@version`` of the feature service.
        target: name of the target; empty where the labels have none.
        columns: model columns of the service's outputs.
        value: the truth, float64; NaN where it is censored, ``None`` where the labels have none.
        asked: when each row was asked for, ``datetime64[us]``, UTC.
        happened: when the truth came to be; ``NaT`` where it did not.
        observed: when it became known, or until when it had not come to be.
        censored: whether the truth had not come to be by then.
        keys: what the service was asked with.
        features: output → ``view@version:feature``, ``request:field`` or ``transform:name``.
        group: the list that each row was shown in, where the target names it; objects.
        position: the place that each was shown at, float64 with NaN, where the target names it.
    """

    service: str
    target: str
    columns: Mapping[str, Any]
    value: NDArray[np.float64] | None
    asked: NDArray[np.datetime64]
    happened: NDArray[np.datetime64]
    observed: NDArray[np.datetime64]
    censored: NDArray[np.bool_]
    keys: Mapping[str, Any]
    features: Mapping[str, str]
    group: NDArray[Any] | None = None
    position: NDArray[np.float64] | None = None


def labelled_rows(
    stack: Stack,
    name: str,
    labels: ArrowStream | None = None,
    *,
    target: str | None = None,
    time: str = "",
    censored: bool = False,
    known_at: datetime | None = None,
    as_of: datetime | None = None,
    known_by: bool = False,
) -> LabelledRows:
    """Join labels with the features of a service, as of each label's instant.

    Args:
        name: a model of the blueprint, whose service and target are taken; or ``name@version`` of a service.
        labels: a table of keys, request fields and times; ``None`` takes the label log of the target.
        target: of the label log, or of the table: the column that holds the truth.
        time: the column of the table that says when each row asks; empty takes the target's, or ``event_time``.
        censored: keep labels whose truth has not come to be.
        known_at: of the label log, pass over what was observed later; ``None`` takes all that is known now.
        as_of: pass over what was ingested after this instant.
        known_by: pass over rows created after the asked instant.

    Raises:
        UnknownName: the service or target is not applied.
        UsageError: neither labels nor a target are given.
        TrainingError: no label is known.
        MissingColumn: the table lacks what the service is asked with, or the time.
    """
    models = stack.blueprint.models
    service: FeatureService = stack.service(models[name].service if name in models else name)
    wanted = target or (models[name].target if name in models else None)
    if labels is None:
        if wanted is None:
            todo = "Give labels, or name the target whose label log is taken."
            raise UsageError(f"service {service.ref!r}", "neither labels nor a target", todo)
        found = _from_log(stack, stack.target(wanted), known_at or stack.clock(), censored=censored)
    else:
        found = _from_table(stack, pa.table(labels), wanted, time)
    needed = [field.name for field in (*service.request_keys, *service.request)]
    for column in needed:
        if column not in found.frame.column_names:
            raise MissingColumn.of("labels", column, found.frame.column_names)
    asked = found.frame.select([*needed, found.time])
    joined = pa.table(stack.features.join(service.ref, asked, time=found.time, as_of=as_of, known_by=known_by))
    columns = to_columns(joined, service.output_fields)
    return LabelledRows(
        service=service.ref,
        target=found.target,
        columns={field.name: to_model_array(columns[field.name], field.type) for field in service.output_fields},
        value=found.value,
        asked=_times(found.frame, found.time),
        happened=found.happened,
        observed=found.observed,
        censored=found.censored,
        keys={column: np.array(found.frame.column(column).to_pylist(), dtype=object) for column in needed},
        features=references(service),
        **_lists(stack, found),
    )


@dataclass(frozen=True)
class _Labels:
    frame: pa.Table
    time: str
    target: str
    value: NDArray[np.float64] | None
    happened: NDArray[np.datetime64]
    observed: NDArray[np.datetime64]
    censored: NDArray[np.bool_]


def _from_log(stack: Stack, target: Target, known_at: datetime, *, censored: bool) -> _Labels:
    log = journal.labels(stack, target)
    names, frame = log.names, log.read(known_at=known_at)
    unknown = np.asarray(frame.column(names.censored).fill_null(fill_value=False))
    unknown = unknown | ~np.asarray(frame.column(names.value).is_valid())
    if not censored:
        frame, unknown = frame.filter(pa.array(~unknown)), unknown[~unknown]
    if not frame.num_rows:
        raise TrainingError(f"target {target.name!r}", "no label is known", "Run: stackwright label FILE")
    value = _numbers(frame.column(names.value), names.value)
    value[unknown] = np.nan
    happened = _times(frame, names.happened)
    happened[unknown] = np.datetime64("NaT")
    return _Labels(frame, target.asked, target.name, value, happened, _times(frame, names.observed), unknown)


def _from_table(stack: Stack, frame: pa.Table, wanted: str | None, time: str) -> _Labels:
    known = {target.name: target for target in stack.definitions.targets}
    chosen = known.get(wanted or "")
    time = time or (chosen.asked if chosen is not None else "event_time")
    column = chosen.value.name if chosen is not None else wanted
    for name in (time, column):
        if name is not None and name not in frame.column_names:
            raise MissingColumn.of("labels", name, frame.column_names)
    frame = frame.sort_by([(time, "ascending")])
    asked = _times(frame, time)
    value = None if column is None else _numbers(frame.column(column), column)
    return _Labels(frame, time, wanted or "", value, asked, asked, np.zeros(len(asked), np.bool_))


def _lists(stack: Stack, labels: _Labels) -> dict[str, Any]:
    """Return the list and the place of each row, where the target says which columns hold them."""
    target = {item.name: item for item in stack.definitions.targets}.get(labels.target)
    if target is None or target.group not in labels.frame.column_names:
        return {}
    found: dict[str, Any] = {"group": np.array(labels.frame.column(target.group).to_pylist(), dtype=object)}
    if target.position in labels.frame.column_names:
        found["position"] = _numbers(labels.frame.column(target.position), str(target.position))
    return found


def _numbers(column: Any, name: str) -> NDArray[np.float64]:
    try:
        return np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowException as error:
        raise DataError("labels", f"{name!r} holds a {column.type}", "Name a column of numbers.") from error


def _times(frame: pa.Table, name: str) -> NDArray[np.datetime64]:
    try:
        column = frame.column(name).cast(pa.timestamp("us", "UTC"))
    except pa.ArrowException as error:
        raise DataError("labels", f"{name!r} holds a {frame.schema.field(name).type}", "Give times.") from error
    return np.array(column.to_numpy(), dtype="datetime64[us]")


def references(service: FeatureService) -> dict[str, str]:
    """Return where each output of a service comes from."""
    found = {field.name: f"request:{field.name}" for field in service.request}
    for selection in service.selections:
        found |= {f"{selection.prefix}{name}": f"{selection.view.ref}:{name}" for name in selection.features}
    found |= {step.name: f"transform:{step.name}" for step in service.transforms}
    return {field.name: found.get(field.name, field.name) for field in service.output_fields}
