"""Rows as a trainer takes them: the signature, the weights, and inputs in the trainer's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright.assembly.blueprint import ModelPart
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.parted_rows import PartedRows, Rows
from stackwright_interfaces.definitions import FeatureService, Target
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.trainer import Task, TaskKind, Trainer, TrainingData, TrainingParts
from stackwright_interfaces.types import FLOAT64, Field, Kind
from stackwright_numerics.categories import fit_categories, to_matrix
from stackwright_serving.rules import Rules

_INPUTS = (Kind.BOOL, Kind.INT64, Kind.FLOAT64, Kind.STRING)


def signature(
    service: FeatureService,
    target: Target,
    dataset: Rows,
    horizons: Sequence[float] = (),
    quantiles: Sequence[float] = (),
) -> Signature:
    """Return the model's inputs and outputs; categories are those of the dataset.

    Args:
        horizons: of a time to event, days; the chance of the event within each is an output, ``within_30`` say.
        quantiles: of a regression, shares; the value of each is an output, ``quantile_90`` say.

    Raises:
        DefinitionError: the service gives what no model takes.
    """
    check_inputs(service)
    further = (*map(_within, horizons), *map(_quantile, quantiles))
    texts = [field.name for field in service.output_fields if field.type.kind is Kind.STRING]
    return Signature(
        inputs=tuple(Field(field.name, field.type, description=field.description) for field in service.output_fields),
        outputs=tuple(Field(name, FLOAT64) for name in (target.name, *further)),
        categories={name: fit_categories(dataset.values(name)) for name in texts},
    )


def check_inputs(service: FeatureService) -> None:
    """See that a model takes what a service gives.

    Raises:
        DefinitionError: it gives something else.
    """
    for item in service.output_fields:
        if item.type.kind not in _INPUTS:
            todo = "Name the outputs of the service that a model can take, or transform this one to a number."
            raise DefinitionError(f"service {service.ref!r}", f"output {item.name!r} is a {item.type}", todo)


def first_of(answer: Any) -> NDArray[np.float64]:
    """Return what a predictor answers, without its further outputs."""
    numbers = np.asarray(answer, dtype=np.float64)
    return numbers if numbers.ndim == 1 else numbers[:, 0]


def _within(days: float) -> str:
    return f"within_{days:g}".replace(".", "_")


def _quantile(share: float) -> str:
    return f"quantile_{100 * share:g}".replace(".", "_")


def recency(
    asked: NDArray[np.datetime64], half_life: float, newest: np.datetime64 | None = None
) -> NDArray[np.float64] | None:
    """Return weights ``2 ** (-age / half_life)``, ages in days before the newest; ``None`` where all weigh alike.

    Args:
        newest: the newest of all, where these are some of the rows.
    """
    if not half_life or not asked.size:
        return None
    age = ((asked.max() if newest is None else newest) - asked) / np.timedelta64(1, "D")
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
        task = Task(
            kind=TaskKind(model.task),
            signature=signature_,
            k=model.k,
            horizons=model.horizons,
            quantiles=model.quantiles,
        )
        return cls(trainer, task, model.transform, model.half_life, dict(clips or {}))

    def trying(self) -> Shaper:
        """Return what shapes rows for a fit on some of them, whose first output alone is looked at.

        Quantiles are left out, and horizons: few rows, or old ones, may hold no event that came so late.
        """
        outputs = self.task.signature.outputs[:1]
        task = replace(self.task, signature=replace(self.task.signature, outputs=outputs), horizons=(), quantiles=())
        return replace(self, task=task)

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
        """Return inputs, transformed target and weights; lists and their places; which events came."""
        return TrainingData(
            inputs=self.inputs(dataset),
            target=self.target(dataset),
            weight=recency(dataset.begun, self.half_life),
            group=None if dataset.group is None else dataset.sizes,
            position=dataset.position,
            event=dataset.event,
        )

    def target(self, dataset: Dataset) -> NDArray[np.float64]:
        """Return the transformed target."""
        return np.log(dataset.target) if self.transform == "log" else dataset.target

    @property
    def postprocess(self) -> tuple[Mapping[str, Any], ...]:
        """Steps that undo the transform of the target."""
        return ({"op": "exp"},) if self.transform == "log" else ()

    def by_reference(self, rows: PartedRows) -> TrainingParts:
        """Return a reference to rows, by which others read what they would be given whole: matrix, target, weights."""
        return _Referred(rows.for_others(), replace(self, trainer=None), rows.newest)  # type: ignore[arg-type] # not needed there


@dataclass(frozen=True)
class _Referred(TrainingParts):
    """Rows in files, shaped by whoever reads them.

    Args:
        newest: when the newest of all rows was asked for, from which their age counts.
    """

    rows: PartedRows
    shaper: Shaper
    newest: np.datetime64

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, start: int, stop: int) -> TrainingData:
        """Return these rows."""
        found = self.rows.read(start, stop)
        return TrainingData(
            inputs=self.shaper.matrix(found),
            target=self.shaper.target(found),
            weight=recency(found.begun, self.shaper.half_life, self.newest),
        )
