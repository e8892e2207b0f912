"""Training a published version again, from what its manifest and record say, and telling what comes out otherwise."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from stackwright.assembly.model_part import TunePart
from stackwright.assembly.stack import Stack
from stackwright.workflows.lineage.reproduce_lists import reproduce_lists
from stackwright.workflows.lineage.reproduction import Check, compared, fingerprint, reproduced
from stackwright.workflows.lineage.training_rows import Rebuilt, rebuilt
from stackwright.workflows.outcome import Outcome
from stackwright.workflows.training.publishing import REFIT, stage
from stackwright.workflows.training.recording import Recording
from stackwright.workflows.training.train import fit_again, fit_rows
from stackwright.workflows.training.trial_log import TrialLog
from stackwright.workflows.versions.resolving import find
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.recommender import TASK
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.trainer import (
    Distribution,
    FittedModel,
    Report,
    SupportsParts,
    Task,
    Trainer,
    TrainingData,
    TrainingParts,
)
from stackwright_serving import golden
from stackwright_serving.model import LoadedModel

TOLERANCE = golden.TOLERANCE


class _Fixed(Trainer):
    """A trainer whose search is over: it fits with the parameters that were found then."""

    input: ClassVar[Literal["matrix", "columns"]]

    def __init__(self, inner: Trainer, parameters: Mapping[str, Any]) -> None:
        self._inner, self._parameters = inner, parameters
        self.input = inner.input  # type: ignore[misc]  # what it is depends on the trainer inside
        self.spreads = inner.spreads

    def space(self, task: Task) -> Mapping[str, Distribution]:
        del task
        return {}

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
        given = {**self._parameters, **params}
        return self._inner.fit(task, train, valid, given, seed=seed, threads=threads, report=report)

    def stops_early(self, task: Task, params: Mapping[str, Any]) -> bool:
        return self._inner.stops_early(task, {**self._parameters, **params})


class _FixedOfParts(_Fixed):
    """One that takes rows by reference."""

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
        assert isinstance(self._inner, SupportsParts)
        given = {**self._parameters, **params}
        return self._inner.fit_parts(task, train, given, seed=seed, threads=threads, report=report)


def reproduce(stack: Stack, ref: str) -> Outcome:
    """Train a version again with the data as known then, and compare data, digest and golden predictions.

    A recommender is trained again on what its sources hold now. Nothing is published. A search for parameters is not
    made again: those that it found are taken.

    Args:
        ref: ``NAME@VERSION`` or ``NAME@ALIAS``; a bare name is its newest version.

    Returns:
        An outcome that is not ok where something came out otherwise; it says what, and what may have caused it.

    Raises:
        ModelNotFound: there is no such version, or it does not say how it was trained.
        UnknownName: its service or target is not applied any more.
        TrainingError: it was not trained by ``train``, or cannot be any more.
    """
    version = find(stack, ref)
    folder = stack.registry.fetch(version)
    then = Manifest.read(folder)
    if then.task == TASK:
        return reproduce_lists(stack, version)
    stack.project.cache.mkdir(parents=True, exist_ok=True)
    with (
        rebuilt(stack, version) as built,
        tempfile.TemporaryDirectory(prefix="reproduce-", dir=stack.project.cache) as place,
    ):
        again = Path(place) / "model"
        now = _train(stack, version, built, again, refit=bool(then.parameters.get(REFIT)))
        checks = [
            Check("training rows", not built.differences, " ".join(built.differences) or fingerprint(then)),
            *compared(then, now),
            _golden(stack, version, folder, again, now),
        ]
    return reproduced(stack, version, then, now, checks)


def _train(stack: Stack, version: ModelVersion, built: Rebuilt, folder: Path, *, refit: bool) -> Manifest:
    part = replace(built.part, tune=TunePart(), trials=0)
    inner = stack.trainer(part)
    fixed = _FixedOfParts if isinstance(inner, SupportsParts) else _Fixed
    trainer = fixed(inner, version.record.get("tuned", {}))
    run = Recording(stack, part.name)
    try:
        log = TrialLog(stack.project.state / "tuning" / "none.jsonl")
        fitted = fit_rows(stack, part, built.rows, run, log, trainer)
        return stage(stack, part, fit_again(stack, part, built.rows, fitted, trainer) if refit else fitted, folder)
    finally:
        run.drop()


def _golden(stack: Stack, version: ModelVersion, before: Path, after: Path, now: Manifest) -> Check:
    """Give the golden inputs of the published version to the one trained again."""
    columns, expected = golden.read(before, now.signature.inputs)
    with closing(LoadedModel.load(after, stack.model_format(now.flavour), name=version.name)) as model:
        given = model.predict(columns).value
    difference = float(np.max(np.abs(given - expected) / np.maximum(np.abs(expected), 1e-12), initial=0.0))
    return Check("golden predictions", difference <= TOLERANCE, f"differ by {difference:.3g} at most, relatively")
