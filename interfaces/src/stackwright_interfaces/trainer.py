"""The trainer: fits a model to rows, and says which parameters are worth tuning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

from stackwright_interfaces.model import Predictor, Signature

CONTRACT: Final = 1


class TaskKind(StrEnum):
    """What is predicted."""

    REGRESSION = "regression"
    CLASSIFICATION = "classification"
    RANKING = "ranking"
    TIME_TO_EVENT = "time_to_event"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a fit is for.

    Args:
        kind: what is predicted. Classification is binary; the model gives the probability of 1. A ranking gives a
            score, the best row of a list the highest; scores of different lists are not compared. A time to event gives
            the expected duration, and as further outputs the chance that the event comes within each horizon.
        signature: inputs in order with their categories, and the outputs.
        options: options of the trainer from the blueprint (``objective``, ...), without the name of the adapter.
        k: of a ranking, how many of the first places count.
        horizons: of a time to event, durations, ascending; one further output each.
        quantiles: of a regression, shares between 0 and 1, ascending. The value below which each share of targets is
            expected is one further output, in the units of the target as the trainer gets it; they never cross.
    """

    kind: TaskKind
    signature: Signature
    options: Mapping[str, Any] = field(default_factory=dict)
    k: int = 10
    horizons: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Rows to fit on or to validate with.

    Args:
        inputs: what the trainer's ``input`` asks for, as in :class:`~stackwright_interfaces.model.Predictor`.
        target: float64 array of n, after any declared transform of the target. Of a ranking the relevance, of a time to
            event the duration; both are 0 or more.
        weight: float64 array of n, or ``None``.
        group: int64 sizes of consecutive query groups, for ranking.
        position: of a ranking, int64 array of n, or ``None``: the place at which each row was shown, from 1, and 0
            where it is not known. Where relevance comes from clicks, a place alone adds some: a trainer may learn that
            apart. It is no input of the model.
        event: of a time to event, bool array of n: whether the event was seen; else the row is censored: the event was
            still to come after its duration. ``None`` is all.
    """

    inputs: Any
    target: Any
    weight: Any = None
    group: Any = None
    position: Any = None
    event: Any = None


class TrainingParts(ABC):
    """Rows to fit on by reference: read where they are needed, some at a time; ``len`` tells how many there are.

    It crosses to other processes by pickle, and can be read in each that sees the project's folder.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return how many rows there are."""

    @abstractmethod
    def read(self, start: int, stop: int) -> TrainingData:
        """Return the rows from ``start`` up to before ``stop``; the same ones, to the bit, whoever reads them.

        Raises:
            DataError: they cannot be read any more.
        """


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
    """Fits models: every trainer regressions and classifications, as far as it can; others where it declares them.

    A trainer that ranks has an attribute ``ranks``, one for times to an event ``takes_censored``, one that answers
    quantiles ``gives_quantiles``, one that takes rows by reference a method ``fit_parts``, and its spec declares the
    capability of that; each refuses a task that it does not do.

    Attributes:
        input: what ``TrainingData.inputs`` must be.
        spreads: whether a fit spreads itself over the compute slot; the trials of a search then come one by one.
        higher_is_better: of the metrics that it reports on validation rows (``valid_NAME`` or ``valid_NAME@PLACES``),
            the names of those that are better when they are higher. A search ends worse trials by them.
    """

    input: ClassVar[Literal["matrix", "columns"]] = "matrix"
    spreads: bool = False
    higher_is_better: ClassVar[frozenset[str]] = frozenset()

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
            TrainingError: the data or a parameter does not allow a fit, or the task is none that it does.
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


@runtime_checkable
class SupportsRanking(Protocol):
    """A trainer that ranks the rows of lists (``Capability.RANKING``).

    Attributes:
        ranks: true.
    """

    ranks: bool


@runtime_checkable
class SupportsTimeToEvent(Protocol):
    """A trainer that learns times to an event from censored rows too (``Capability.TIME_TO_EVENT``).

    Attributes:
        takes_censored: true.
    """

    takes_censored: bool


@runtime_checkable
class SupportsQuantiles(Protocol):
    """A trainer whose regressions answer quantiles as further outputs (``Capability.QUANTILES``).

    Attributes:
        gives_quantiles: true.
    """

    gives_quantiles: bool


@runtime_checkable
class SupportsParts(Protocol):
    """A trainer of regressions and classifications that takes rows by reference (``Capability.PARTS``)."""

    def fit_parts(
        self,
        task: Task,
        train: TrainingParts,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        """Fit as :meth:`Trainer.fit` does on the same rows given whole, to the bit; without validation rows.

        A trainer that spreads its fits has each worker read its own rows, and holds none of them itself.

        Raises:
            TrainingError: as :meth:`Trainer.fit` has it.
            DataError: rows cannot be read any more.
        """
        ...
