"""The training set of a model: labels known by now, joined with the features as they were when each was asked for."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.datasets import own_data
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.outcomes import durations, in_lists
from stackwright.workflows.datasets.part_files import Part, write
from stackwright.workflows.datasets.parted_rows import PartedRows, Rows
from stackwright.workflows.datasets.pins import Pin
from stackwright.workflows.datasets.shaping import check_inputs
from stackwright_features.arrow import to_columns
from stackwright_interfaces.definitions import FeatureService, Target
from stackwright_interfaces.errors import DefinitionError, TrainingError
from stackwright_interfaces.trainer import TaskKind
from stackwright_interfaces.types import Kind
from stackwright_journal.label_columns import LabelNames
from stackwright_numerics.columns import to_model_array
from stackwright_serving.rules import inside

PART_ROWS: Final = 100_000
"""Rows of a file, where they are laid down in parts, and rows that are joined at once; more where joins were many."""

MOST_PARTS: Final = 50
"""Each join looks through the history again, or starts a job of Spark."""

_TRUTHS = (Kind.BOOL, Kind.INT64, Kind.FLOAT64, Kind.DECIMAL)


def build(stack: Stack, model: ModelPart, *, known_at: datetime | None = None, pin: Pin | None = None) -> Dataset:
    """Join the labels known at an instant with their features.

    Args:
        known_at: labels observed by then count; now, where it is not given.
        pin: build what was built when this much was known.

    Raises:
        TrainingError: there is no label.
        UnknownName: the service or target is not applied.
        DefinitionError: the target holds no number, or not what the service is asked with.
    """
    if model.data is not None:
        return _selected(own_data.load(stack, model, model.data), model)
    service, target = stack.service(model.service), stack.target(model.target)
    _check_target(service, target, model.task)
    pin = pin or Pin.now(stack, service, target, known_at or stack.clock())
    return _selected(_labelled(stack, service, target, model, pin), model)


def build_in_parts(
    stack: Stack, model: ModelPart, folder: Path, *, known_at: datetime | None = None, pin: Pin | None = None
) -> PartedRows:
    """Join the labels known at an instant with their features, some at a time, and lay them down in a folder.

    Args:
        folder: where the files go; whoever reads the rows sees it.
        known_at: as :func:`build` has it.
        pin: as there.

    Raises:
        TrainingError: as :func:`build` has it.
        StorageError: the disk cannot take them.
    """
    service, target = stack.service(model.service), stack.target(model.target)
    _check_target(service, target, model.task)
    check_inputs(service)
    pin = pin or Pin.now(stack, service, target, known_at or stack.clock())
    names = journal.labels(stack, target).names
    told = (names.asked, names.observed, names.value, names.censored)
    columns = {*asked_with(service), *target.entity.key_names, *told}
    labels = journal.labels(stack, target).read_in_parts(
        folder, size=PART_ROWS, most=MOST_PARTS, known_at=pin.known_at, position=pin.labels, columns=columns
    )
    parts: list[Part] = []
    done, known = 0, 0
    for told in labels:
        labelled = _known(told, target, names)
        if len(labelled):
            rows = _selected(_joined(stack, service, target, model, pin, labelled), model)
            for start in range(0, len(rows), PART_ROWS):
                some = rows.take(np.arange(start, min(start + PART_ROWS, len(rows))))
                parts.append(write(folder / f"{len(parts):06}.parquet", some))
        done, known = done + len(told), known + len(labelled)
        stack.progress("training set", done, labels.rows)
    if not known:
        raise _unlabelled(target)
    return PartedRows(tuple(parts), pin)


def _labelled(stack: Stack, service: FeatureService, target: Target, model: ModelPart, pin: Pin) -> Dataset:
    """Return the labels that a pin knows, joined with their features."""
    labels = known_labels(stack, target, pin.known_at, pin.labels, waiting=model.task == TaskKind.TIME_TO_EVENT)
    return _joined(stack, service, target, model, pin, labels)


def _joined(
    stack: Stack, service: FeatureService, target: Target, model: ModelPart, pin: Pin, labels: pa.Table
) -> Dataset:
    """Return labels joined with their features."""
    times = model.task == TaskKind.TIME_TO_EVENT
    names = journal.labels(stack, target).names
    needed = asked_with(service)
    about = [name for name in (target.group, target.position) if name and model.task == TaskKind.RANKING]
    truth = (names.happened, names.censored) if times else (names.value,)
    frame = labels.select(list(dict.fromkeys([*needed, names.asked, names.observed, *truth, *about])))
    joined = pa.table(stack.features.join(service.ref, frame, time=names.asked, as_of=pin.views))
    columns = to_columns(joined, service.output_fields)
    asked, observed = _times(frame, names.asked), _times(frame, names.observed)
    event = None
    if times:
        censored = np.asarray(frame.column(names.censored).fill_null(fill_value=False))
        target_, event = durations(asked, _times(frame, names.happened), observed, censored, target.horizon)
    else:
        target_ = np.asarray(frame.column(names.value).to_numpy(), dtype=np.float64)
    dataset = Dataset(
        columns={field.name: to_model_array(columns[field.name], field.type) for field in service.output_fields},
        target=target_,
        asked=asked,
        observed=observed,
        keys={name: np.array(frame.column(name).to_pylist(), dtype=object) for name in needed},
        pin=pin,
        event=event,
    )
    if model.task != TaskKind.RANKING:
        return dataset
    if target.group is None:
        todo = "Say which column names the list: Target(..., group=...)."
        raise DefinitionError(f"target {target.name!r}", "names no group, and a ranking is of lists", todo)
    position = None if target.position is None else frame.column(target.position).cast(pa.float64()).to_numpy()
    return in_lists(dataset, _labels_of(frame, target.group), position, f"labels of {target.name!r}")


def asked_with(service: FeatureService) -> list[str]:
    """Return the names of what a service is asked with."""
    return [field.name for field in (*service.request_keys, *service.request)]


def _labels_of(frame: pa.Table, name: str) -> NDArray[Any]:
    return np.array(frame.column(name).to_pylist(), dtype=object)


def _check_target(service: FeatureService, target: Target, task: str) -> None:
    where = f"target {target.name!r}"
    if target.value.type.kind not in _TRUTHS and task != TaskKind.TIME_TO_EVENT:
        todo = "Declare the value as a number or a boolean."
        raise DefinitionError(where, f"its value is a {target.value.type}", todo)
    present = {*target.entity.key_names, *(field.name for field in target.request)}
    lacking = [field.name for field in (*service.request_keys, *service.request) if field.name not in present]
    if lacking:
        found = f"its labels do not hold {', '.join(map(repr, lacking))}, which {service.ref!r} is asked with"
        raise DefinitionError(where, found, "Add it to the target's request fields.")


def _times(frame: pa.Table, name: str) -> NDArray[np.datetime64]:
    return np.asarray(frame.column(name).cast(pa.timestamp("us", "UTC")).to_numpy(), dtype="datetime64[us]")


def known_labels(
    stack: Stack,
    target: Target,
    known_at: datetime,
    position: int | None = None,
    *,
    waiting: bool = False,
) -> pa.Table:
    """Return the uncensored labels observed by an instant, in order of the time asked, then of the keys.

    Args:
        position: pass over what came to the label log after this position.
        waiting: return those as well whose truth is still to come.

    Raises:
        TrainingError: there is none.
    """
    log = journal.labels(stack, target)
    labels = _known(log.read(known_at=known_at, position=position), target, log.names, waiting=waiting)
    if not labels.num_rows:
        raise _unlabelled(target)
    return labels


def _known(labels: pa.Table, target: Target, names: LabelNames, *, waiting: bool = False) -> pa.Table:
    """Return the labels whose truth is known, or still to come, in order of the time asked, then of the keys."""
    censored = np.asarray(labels.column(names.censored).fill_null(fill_value=False))
    known = np.asarray(labels.column(names.value).is_valid()) & ~censored
    if waiting:
        known = censored | np.asarray(labels.column(names.happened).is_valid())
    order = [(name, "ascending") for name in (target.asked, *target.entity.key_names)]
    return labels.filter(pa.array(known)).sort_by(order)


def _unlabelled(target: Target) -> TrainingError:
    return TrainingError(f"target {target.name!r}", "no label is known", "Run: stackwright label FILE")


def _selected(dataset: Dataset, model: ModelPart) -> Dataset:
    """Return the rows that the model learns from and is judged by."""
    keep = np.isfinite(dataset.target)
    if model.transform == "log":
        keep &= dataset.target > 0
    for name, limits in model.where.items():
        keep &= inside(column_of(dataset, model, name, "where"), limits)
    for name, allowed in model.rules.select.items():
        texts = isinstance(allowed[0], str)
        if name == model.target:
            todo = "Use where: the truth is not known when the model is asked."
            raise TrainingError(f"{model.place} rules select", f"{name!r} is the target", todo)
        keep &= inside(column_of(dataset, model, name, "rules select", texts=texts), allowed)
    return dataset.take(keep)


def column_of(dataset: Rows, model: ModelPart, name: str, key: str, *, texts: bool = False) -> NDArray[Any]:
    """Return the column, or the target, that a rule of a model names.

    Raises:
        TrainingError: there is none, or it holds something else.
    """
    where = f"{model.place} {key}"
    column: NDArray[Any] | None = dataset.target if name == model.target else dataset.columns.get(name)
    if column is None:
        known = ", ".join([model.target, *dataset.columns])
        raise TrainingError(where, f"no column {name!r}", f"Choose from: {known}.")
    if texts != (column.dtype == object):
        held, todo = ("no texts", "Give [lowest, highest].") if texts else ("no numbers", "Name a column of numbers.")
        raise TrainingError(where, f"{name!r} holds {held}", todo)
    return column
