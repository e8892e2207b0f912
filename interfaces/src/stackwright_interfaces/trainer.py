"""The trainer: fits a model to rows, and says which parameters are worth tuning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Protocol

from stackwright_interfaces.model import Predictor, Signature

CONTRACT: Final = 1


class TaskKind(StrEnum):
    """What is predicted."""

    REGRESSION = "regression"
    CLASSIFICATION = "classification"
    RANKING = "ranking"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a fit is for.

    Args:
        kind: what is predicted. Classification is binary; the model gives the probability of 1.
        signature: inputs in order with their categories, and the output.
        options: options of the trainer from the blueprint (``objective``, ...), without the name of the adapter.
    """

    kind: TaskKind
    signature: Signature
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Rows to fit on or to validate with.

    Args:
        inputs: what the trainer's ``input`` asks for, as in :class:`~stackwright_interfaces.model.Predictor`.
        target: float64 array of n, after any declared transform of the target.
        weight: float64 array of n, or ``None``.
        group: int64 sizes of consecutive query groups, for ranking.
    """

    inputs: Any
    target: Any
    weight: Any = None
    group: Any = None


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A range worth searching: ``low`` to ``high``, or one of ``choices``.

    Args:
        log: search the logarithm.
        integer: whole numbers only.
        default: a good value, tried first.
    """

    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()
    log: bool = False
    integer: bool = False
    default: Any = None


class Report(Protocol):
    """Told about the progress of a fit; may raise :class:`StopFit` to end it early."""

    def __call__(self, step: int, steps: int, metrics: Mapping[str, float], /) -> None:
        """Take note of a step and what was measured at it."""
        ...


class StopFit(Exception):
    """Raised by a :class:`Report`: keep what was fitted so far, and end."""


class FittedModel(ABC):
    """A fit's result, in memory.

    Attributes:
        flavour: the flavour of the folder it saves.
        parameters: the parameters it was fitted with, after early stopping, all JSON values.
        metrics: what the trainer measured.
        code: code of the project that it needs: reference → SHA-256. The manifest records it.
    """

    flavour: ClassVar[str]
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    code: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def predictor(self) -> Predictor:
        """Return a predictor over the fitted model."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the payload into an existing, empty folder. The same fit writes the same bytes."""


class Trainer(ABC):
    """Fits models.

    Attributes:
        input: what ``TrainingData.inputs`` must be.
    """

    input: ClassVar[Literal["matrix", "columns"]] = "matrix"

    @abstractmethod
    def space(self, task: Task) -> Mapping[str, Distribution]:
        """Return the parameters worth tuning. Empty when there is nothing to tune."""

    @abstractmethod
    def fit(
        self,
        task: Task,
        train: TrainingData,
        valid: TrainingData | None,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        """Fit.

        Args:
            valid: rows for early stopping; never used to fit.
            params: parameters over the trainer's defaults and the blueprint's options.
            seed: the same seed, data and threads give the same bytes.

        Raises:
            TrainingError: the data or a parameter does not allow a fit.
        """

    def stops_early(self, task: Task, params: Mapping[str, Any]) -> bool:  # noqa: ARG002 -- of the contract
        """Tell whether a fit with these parameters ends by what it finds on validation rows.

        Such a fit is made first, on the older rows; the last one, on all rows, takes the parameters that it ended with.
        """
        return False

    def code(self) -> Mapping[str, str]:
        """Return what a fit depends on beside data, options and versions: code of the project, files. Name → SHA-256.

        Raises:
            ProjectError: it cannot be read.
        """
        return {}

    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""
