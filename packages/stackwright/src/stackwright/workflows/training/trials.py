"""One trial of a search for parameters: judged on several newer periods, ended early where others did better by then.

A trial may run in another process, or on another machine that sees the project's folder: what it needs crosses as small
values, and the rows as an Arrow file that is mapped into memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import pyarrow as pa

from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.shaping import Shaper, first_of
from stackwright.workflows.training.fitting import Fitter
from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.trainer import FittedModel, StopFit, TaskKind
from stackwright_numerics import metrics
from stackwright_numerics.lists import PLACES
from stackwright_numerics.split import TemporalSplit

PERIOD: Final = 0.15
"""Share of the rows that each fold is judged on."""

CHECKS: Final = 4
"""How often a trial is compared to others in each fold: at every quarter of a fit's steps, then by its answers."""

_USUAL: Final = {
    "regression": "mae",
    "classification": "log_loss",
    "ranking": "ndcg",
    "time_to_event": "c_index",
}

_ROWS: Final = "rows.arrow"
_TIMES: Final = ("asked", "observed")
_VALID: Final = "valid_"


@dataclass(frozen=True)
class Judge:
    """How trials are compared.

    Args:
        task: regression, classification, ranking or time to event.
        metric: by name; empty takes the mean absolute error of the transformed target, of classes the logarithmic loss,
            of a ranking ``ndcg``, of times ``c_index``.
        folds: newer periods.
        gap: days between the rows fitted on and a period.
        k: of a ranking, the places that count.
    """

    task: str
    metric: str = ""
    folds: int = 3
    gap: float = 0.0
    k: int = PLACES

    @property
    def compared(self) -> str:
        """The name of what is compared."""
        return self.metric or _USUAL[self.task]

    @property
    def sign(self) -> float:
        """-1 where a higher value is better."""
        return -1.0 if self.compared in metrics.HIGHER_IS_BETTER else 1.0

    def split(self, rows: Dataset) -> Iterator[tuple[Dataset, Dataset]]:
        """Give (older, newer) rows, the truth of the older known when the newer were asked for.

        Raises:
            TrainingError: the rows do not make so many periods.
        """
        share = min(0.5, PERIOD * self.folds)
        todo = "Bring labels of more times, or set tune = { folds = ..., gap = ... } lower."
        yield from rows.split(TemporalSplit(folds=self.folds, holdout=share, gap=timedelta(days=self.gap)), todo=todo)

    def value(self, fitter: Fitter, fitted: FittedModel, newer: Dataset) -> float:
        """Return the metric of answers for newer rows; NaN where it cannot be had."""
        if self.metric or self.task in (TaskKind.RANKING, TaskKind.TIME_TO_EVENT):
            answer = fitter.predict(fitted, newer)
            found = metrics.score(self.task, newer.target, answer, group=newer.group, event=newer.event, k=self.k)
            return float(found.get(self.compared, np.nan))
        data = fitter.shaper(newer)
        answer = first_of(fitted.predictor().predict(data.inputs))
        measure = metrics.log_loss if self.task == "classification" else metrics.mae
        return float(measure(data.target, answer))


@dataclass(frozen=True)
class Question:
    """What a trial is asked.

    Args:
        number: 0, 1, 2, ...
        parameters: what is tried.
        bars: check → the loss above which the trial ends there.
        seconds: after which it ends; ``None`` never.
    """

    number: int
    parameters: Mapping[str, Any]
    bars: Mapping[int, float] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a trial gave.

    Args:
        state: ``complete``; ``pruned``, ended early; or ``failed``.
        loss: mean over all folds, lower is better; ``None`` unless complete.
        chosen: the parameters of the fit on the newest fold, after early stopping.
        seen: check → loss.
        seconds: how long it took.
        cpu: CPU seconds of its process.
        process: id of its process.
        error: why it failed.
    """

    state: Literal["complete", "pruned", "failed"]
    loss: float | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    seen: Mapping[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    cpu: float = 0.0
    process: int = 0
    error: str = ""


class Workshop(Protocol):
    """Where a trial finds what to fit and the rows, in whatever process it runs."""

    def open(self) -> tuple[Fitter, Dataset]:
        """Return both."""
        ...

    def is_open(self) -> bool:
        """Return whether anybody still waits for what is made in it."""
        ...


@dataclass(frozen=True)
class Here:
    """A workshop of this process."""

    fitter: Fitter
    rows: Dataset

    def open(self) -> tuple[Fitter, Dataset]:
        """Return what it holds."""
        return self.fitter, self.rows

    def is_open(self) -> bool:
        """Return true: who waits is in this process."""
        return True


@dataclass(frozen=True)
class Elsewhere:
    """A workshop that other processes can open, each once.

    Args:
        folder: holds the rows.
        factory: ``module:callable`` of the trainer.
        config: its configuration.
        context: what the factory gets beside.
        fitter: the fitter, without its trainer.
    """

    folder: Path
    factory: str
    config: Any
    context: Context
    fitter: Fitter

    @classmethod
    def furnished(
        cls, folder: Path, fitter: Fitter, rows: Dataset, *, factory: str, config: Any, context: Context
    ) -> Elsewhere:
        """Write the rows into a folder, and return the workshop over it."""
        _write(folder / _ROWS, rows)
        bare = replace(fitter, shaper=replace(fitter.shaper, trainer=None))  # type: ignore[arg-type] # made anew there
        return cls(folder, factory, config, context, bare)

    def open(self) -> tuple[Fitter, Dataset]:
        """Make the trainer and map the rows; both are kept for the next trial of the same search."""
        return _opened(_ByFolder(self))

    def is_open(self) -> bool:
        """Return whether the folder is there: a search that ends, however it does, removes it."""
        return self.folder.exists()


class _ByFolder:
    """A workshop that equals another of the same folder; configurations need not be hashable."""

    def __init__(self, workshop: Elsewhere) -> None:
        self.workshop = workshop

    def __hash__(self) -> int:
        return hash(self.workshop.folder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByFolder) and other.workshop.folder == self.workshop.folder


@lru_cache(maxsize=1)
def _opened(by_folder: _ByFolder) -> tuple[Fitter, Dataset]:
    workshop = by_folder.workshop
    module, _, name = workshop.factory.partition(":")
    trainer = getattr(import_module(module), name)(workshop.config, workshop.context)
    shaper: Shaper = replace(workshop.fitter.shaper, trainer=trainer)
    return replace(workshop.fitter, shaper=shaper), _read(workshop.folder / _ROWS)


def _write(path: Path, rows: Dataset) -> None:
    columns = {f"column {name}": column for name, column in rows.columns.items()}
    about = {f"about {name}": values for name, values in rows.about.items()}
    table = pa.table({**columns, **about, "target": rows.target, "asked": rows.asked, "observed": rows.observed})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _read(path: Path) -> Dataset:
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    arrays = {name: _array(table.column(name)) for name in table.column_names}
    own = {name: arrays.pop(name) for name in ("target", *_TIMES)}
    about = {name: arrays.pop(name) for name in tuple(arrays) if name.startswith("about ")}
    columns = {name.removeprefix("column "): array for name, array in arrays.items()}
    told = {name.removeprefix("about "): array for name, array in about.items()}
    return Dataset(columns, own["target"], own["asked"], own["observed"], keys={}, **told)


def _array(column: pa.ChunkedArray) -> Any:
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    texts = pa.types.is_string(whole.type) or pa.types.is_null(whole.type)
    return whole.to_numpy(zero_copy_only=False).astype(object) if texts else whole.to_numpy(zero_copy_only=False)


class _Watch:
    """A report that compares a trial to its bars; it ends the fit where it is worse, out of time, or for nobody."""

    def __init__(self, question: Question, workshop: Workshop) -> None:
        self._bars = question.bars
        self._workshop = workshop
        self._ends = None if question.seconds is None else time.monotonic() + question.seconds
        self.fold = 0
        self.higher_is_better: frozenset[str] = frozenset()
        self.seen: dict[int, float] = {}
        self.ended = False

    def __call__(self, step: int, steps: int, measured: Mapping[str, float], /) -> None:
        """Take note of a step of a fit."""
        quarter = step * CHECKS // steps
        if step * CHECKS % steps < CHECKS and 0 < quarter < CHECKS:
            loss = _loss_of(measured, self.higher_is_better)
            if loss is not None:
                self.ended = self.check(self.fold * CHECKS + quarter - 1, loss)
        self.ended = self.ended or (self._ends is not None and time.monotonic() > self._ends)
        self.ended = self.ended or not self._workshop.is_open()
        if self.ended:
            raise StopFit

    def check(self, number: int, loss: float) -> bool:
        """Take note of a loss; return whether it is worse than it may be."""
        self.seen[number] = loss
        return not loss <= self._bars.get(number, np.inf)


def _loss_of(measured: Mapping[str, float], higher_is_better: frozenset[str]) -> float | None:
    """Return the first metric on newer rows, lower is better."""
    name = next((name for name in measured if name.startswith(_VALID)), None)
    if name is None or not np.isfinite(measured[name]):
        return None
    metric, _, _places = name.removeprefix(_VALID).partition("@")
    return -float(measured[name]) if metric in higher_is_better else float(measured[name])


def run(workshop: Workshop, judge: Judge, question: Question) -> Answer:
    """Run a trial. A set of parameters that cannot be fitted is an answer too."""
    started, busy = time.perf_counter(), time.process_time()
    watch = _Watch(question, workshop)
    try:
        fitter, rows = workshop.open()
        answer = _judged(fitter, judge.split(rows), judge, question, watch)
    except TrainingError as error:
        answer = Answer("failed", error=str(error))
    return replace(
        answer,
        seen=watch.seen,
        seconds=round(time.perf_counter() - started, 4),
        cpu=round(time.process_time() - busy, 4),
        process=os.getpid(),
    )


def _judged(
    fitter: Fitter, folds: Iterator[tuple[Dataset, Dataset]], judge: Judge, question: Question, watch: _Watch
) -> Answer:
    watch.higher_is_better = metrics.HIGHER_IS_BETTER | fitter.shaper.trainer.higher_is_better
    losses: list[float] = []
    chosen: Mapping[str, Any] = {}
    for fold, (older, newer) in enumerate(folds):
        watch.fold = fold
        fitted = fitter.fit(older, question.parameters, watch, valid=newer)
        if watch.ended:
            return Answer("pruned")
        losses.append(judge.sign * judge.value(fitter, fitted, newer))
        if not np.isfinite(losses[-1]):
            return Answer("failed", error="its answers are not finite, or the metric cannot be had of them")
        worse = watch.check(fold * CHECKS + CHECKS - 1, float(np.mean(losses)))
        if worse and fold + 1 < judge.folds:
            return Answer("pruned")
        chosen = fitted.parameters
    return Answer("complete", loss=float(np.mean(losses)), chosen=dict(chosen))
