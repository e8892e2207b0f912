"""The training set of a model: labels known by now, joined with the features as they were when each was asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.datasets import own_data
from stackwright.workflows.datasets.pins import Pin
from stackwright_features.arrow import to_columns
from stackwright_interfaces.definitions import FeatureService, Target
from stackwright_interfaces.errors import DataError, DefinitionError, TrainingError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.trainer import Task, TaskKind, Trainer, TrainingData
from stackwright_interfaces.types import FLOAT64, Field, Kind
from stackwright_numerics.categories import fit_categories, to_matrix
from stackwright_numerics.columns import to_model_array
from stackwright_numerics.split import TemporalSplit
from stackwright_serving.rules import Rules, inside

_INPUTS = (Kind.BOOL, Kind.INT64, Kind.FLOAT64, Kind.STRING)
_TRUTHS = (Kind.BOOL, Kind.INT64, Kind.FLOAT64, Kind.DECIMAL)


@dataclass(frozen=True)
class Dataset:
    """Rows in order of the time asked.

    Args:
        columns: model columns of the service's outputs.
        target: the truth, float64, untransformed.
        asked: when each was asked for, ``datetime64[us]``.
        observed: when its truth became known.
        keys: key columns, as they were given.
        pin: how much was known when they were built.
    """

    columns: Mapping[str, Any]
    target: NDArray[np.float64]
    asked: NDArray[np.datetime64]
    observed: NDArray[np.datetime64]
    keys: Mapping[str, Any]
    pin: Pin | None = None

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[Any]) -> Dataset:
        """Return these rows (a mask or positions); rows one after the other are not copied."""
        places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        chosen: Any = places
        if places.size and (np.diff(places) == 1).all():
            chosen = slice(int(places[0]), int(places[-1]) + 1)
        return Dataset(
            columns={name: column[chosen] for name, column in self.columns.items()},
            target=self.target[chosen],
            asked=self.asked[chosen],
            observed=self.observed[chosen],
            keys={name: column[chosen] for name, column in self.keys.items()},
            pin=self.pin,
        )

    @classmethod
    def together(cls, parts: Sequence[Dataset]) -> Dataset:
        """Return the rows of all parts, in their order."""
        first = parts[0]
        return cls(
            columns={name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns},
            target=np.concatenate([part.target for part in parts]),
            asked=np.concatenate([part.asked for part in parts]),
            observed=np.concatenate([part.observed for part in parts]),
            keys={name: np.concatenate([part.keys[name] for part in parts]) for name in first.keys},
        )

    def split(
        self,
        folds: TemporalSplit,
        *,
        todo: str = "Bring labels of more times, observed sooner; or change holdout, or set interval = 0.",
    ) -> Iterator[tuple[Dataset, Dataset]]:
        """Give (older, newer) rows of each fold; the truth of the older was known when the newer were asked for.

        Args:
            todo: what to do about rows that cannot be cut so.

        Raises:
            TrainingError: the rows cannot be cut so.
        """
        try:
            for fold in folds.split(self.asked, observed=self.observed):
                yield self.take(fold.train), self.take(fold.test)
        except DataError as error:
            raise TrainingError("labelled rows", error.found, todo) from error

    def fingerprint(self) -> dict[str, Any]:
        """Return rows, SHA-256 of all values in order, first and last time asked."""
        return dict(self._fingerprint)

    @cached_property
    def _fingerprint(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        times = {"": self.asked, " ": self.observed, "  ": self.target}
        for name, column in sorted({**times, **self.columns}.items()):
            digest.update(_sized(name.encode()))
            data = _bytes(column)
            digest.update(b"%d:" % len(data))
            digest.update(data)
        return {
            "rows": len(self),
            "sha256": digest.hexdigest(),
            "first": str(self.asked[0]) + "Z",
            "last": str(self.asked[-1]) + "Z",
        }


def _bytes(column: NDArray[Any]) -> bytes | memoryview:
    if column.dtype == object:
        values = column.tolist()
        if set(map(type, values)) <= {str, type(None)}:  # few texts stand in many rows
            known = {value: _text(value) for value in set(values)}
            return b"".join(map(known.__getitem__, values))
        return b"".join(map(_text, values))
    return np.ascontiguousarray(column).reshape(-1).view(np.uint8).data


def _text(value: Any) -> bytes:
    return b"-" if value is None else _sized(str(value).encode())


def _sized(data: bytes) -> bytes:
    return b"%d:" % len(data) + data


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
    _check_target(service, target)
    pin = pin or Pin.now(stack, service, target, known_at or stack.clock())
    labels = known_labels(stack, target, pin.known_at, pin.labels)
    needed = [field.name for field in (*service.request_keys, *service.request)]
    observed = journal.labels(stack, target).names.observed
    frame = labels.select(list(dict.fromkeys([*needed, target.asked, observed, target.value.name])))
    joined = pa.table(stack.features.join(service.ref, frame, time=target.asked, as_of=pin.views))
    columns = to_columns(joined, service.output_fields)
    dataset = Dataset(
        columns={field.name: to_model_array(columns[field.name], field.type) for field in service.output_fields},
        target=np.asarray(frame.column(target.value.name).to_numpy(), dtype=np.float64),
        asked=_times(frame, target.asked),
        observed=_times(frame, observed),
        keys={name: np.array(frame.column(name).to_pylist(), dtype=object) for name in needed},
        pin=pin,
    )
    return _selected(dataset, model)


def _check_target(service: FeatureService, target: Target) -> None:
    where = f"target {target.name!r}"
    if target.value.type.kind not in _TRUTHS:
        todo = "Declare the value as a number or a boolean."
        raise DefinitionError(where, f"its value is a {target.value.type}", todo)
    present = {*target.entity.key_names, *(field.name for field in target.request)}
    lacking = [field.name for field in (*service.request_keys, *service.request) if field.name not in present]
    if lacking:
        found = f"its labels do not hold {', '.join(map(repr, lacking))}, which {service.ref!r} is asked with"
        raise DefinitionError(where, found, "Add it to the target's request fields.")


def _times(frame: pa.Table, name: str) -> NDArray[np.datetime64]:
    return np.asarray(frame.column(name).cast(pa.timestamp("us", "UTC")).to_numpy(), dtype="datetime64[us]")


def known_labels(stack: Stack, target: Target, known_at: datetime, position: int | None = None) -> pa.Table:
    """Return the uncensored labels observed by an instant, in order of the time asked, then of the keys.

    Args:
        position: pass over what came to the label log after this position.

    Raises:
        TrainingError: there is none.
    """
    log = journal.labels(stack, target)
    labels = log.read(known_at=known_at, position=position)
    censored = np.asarray(labels.column(log.names.censored).fill_null(fill_value=False))
    labels = labels.filter(pa.array(np.asarray(labels.column(log.names.value).is_valid()) & ~censored))
    if not labels.num_rows:
        raise TrainingError(f"target {target.name!r}", "no label is known", "Run: stackwright label FILE")
    order = [(name, "ascending") for name in (target.asked, *target.entity.key_names)]
    return labels.sort_by(order)


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


def column_of(dataset: Dataset, model: ModelPart, name: str, key: str, *, texts: bool = False) -> NDArray[Any]:
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


def signature(service: FeatureService, target: Target, dataset: Dataset) -> Signature:
    """Return the model's inputs and output; categories are those of the dataset.

    Raises:
        DefinitionError: the service gives what no model takes.
    """
    for item in service.output_fields:
        if item.type.kind not in _INPUTS:
            todo = "Name the outputs of the service that a model can take, or transform this one to a number."
            raise DefinitionError(f"service {service.ref!r}", f"output {item.name!r} is a {item.type}", todo)
    texts = [field.name for field in service.output_fields if field.type.kind is Kind.STRING]
    return Signature(
        inputs=tuple(Field(field.name, field.type, description=field.description) for field in service.output_fields),
        outputs=(Field(target.name, FLOAT64),),
        categories={name: fit_categories(dataset.columns[name]) for name in texts},
    )


def recency(asked: NDArray[np.datetime64], half_life: float) -> NDArray[np.float64] | None:
    """Return weights ``2 ** (-age / half_life)``, ages in days before the newest; ``None`` where all weigh alike."""
    if not half_life or not asked.size:
        return None
    age = (asked.max() - asked) / np.timedelta64(1, "D")
    weight: NDArray[np.float64] = np.exp2(-age / half_life)
    return weight


@dataclass(frozen=True)
class Shaper:
    """Turns rows into what a trainer takes.

    Args:
        task: what is fitted.
        transform: of the target: ``none`` or ``log``.
        half_life: days after which an older row weighs half; 0 weighs all alike.
        clips: input → limits that its values are kept within.
    """

    trainer: Trainer
    task: Task
    transform: str
    half_life: float
    clips: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        trainer: Trainer,
        model: ModelPart,
        signature_: Signature,
        clips: Mapping[str, tuple[float, float]] | None = None,
    ) -> Shaper:
        """Return the shaper of a model."""
        task = Task(kind=TaskKind(model.task), signature=signature_)
        return cls(trainer, task, model.transform, model.half_life, dict(clips or {}))

    def columns(self, dataset: Dataset) -> Mapping[str, Any]:
        """Return the columns as the model is given them."""
        return Rules({"clip": self.clips}).clipped(dataset.columns)

    def matrix(self, dataset: Dataset) -> NDArray[np.float64]:
        """Return the inputs as numbers."""
        return to_matrix(self.columns(dataset), self.task.signature)

    def inputs(self, dataset: Dataset) -> Any:
        """Return the inputs alone."""
        if self.trainer.input == "matrix":
            return self.matrix(dataset)
        columns = self.columns(dataset)
        return {field.name: columns[field.name] for field in self.task.signature.inputs}

    def __call__(self, dataset: Dataset) -> TrainingData:
        """Return inputs, transformed target and weights."""
        weight = recency(dataset.asked, self.half_life)
        return TrainingData(inputs=self.inputs(dataset), target=self.target(dataset), weight=weight)

    def target(self, dataset: Dataset) -> NDArray[np.float64]:
        """Return the transformed target."""
        return np.log(dataset.target) if self.transform == "log" else dataset.target

    @property
    def postprocess(self) -> tuple[Mapping[str, Any], ...]:
        """Steps that undo the transform of the target."""
        return ({"op": "exp"},) if self.transform == "log" else ()
