"""Trainers on trial: each fits the model's training task on the older rows, twice, and answers for the newer ones."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.plan import Choice
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets import building
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.rules import Learned
from stackwright.workflows.datasets.shaping import Shaper
from stackwright.workflows.swapping.answers import Answers
from stackwright.workflows.swapping.scratch import Scratch
from stackwright.workflows.swapping.trial import Workload, now, timed
from stackwright.workflows.training.fitting import Fitter, threads_for
from stackwright.workflows.training.train import check_enough, takes
from stackwright_interfaces.model import Signature
from stackwright_interfaces.plugin import Progress
from stackwright_interfaces.trainer import FittedModel, Trainer
from stackwright_numerics.split import TemporalSplit

ERROR: Final = "median relative error of newer rows"
"""The measure by which a trainer of a regression may not be worse than the other."""

ROWS: Final = 200
"""Newer rows whose answers are shown and timed one by one."""


@dataclass(frozen=True)
class TrainerWorkload(Workload):
    """A model's training task.

    Args:
        part: the model.
        signature: its inputs and outputs.
        older: rows that are learned from.
        newer: rows that are answered for.
        clips: input → limits.
        origin: where all this comes from, for people.
    """

    part: ModelPart
    signature: Signature
    older: Dataset
    newer: Dataset
    clips: dict[str, tuple[float, float]]
    origin: str

    def run(self, scratch: Scratch, choice: Choice, answers: Answers, progress: Progress) -> None:
        """Fit twice: the same rows and seed must give the same bytes; then answer, many rows at once and one by one."""
        trainer: Trainer = scratch.build(choice, now)
        shaper = Shaper.of(trainer, self.part, self.signature, self.clips)
        fitter = Fitter(shaper, self.part.seed, threads_for(len(self.older)))
        digests = []
        for repeat in range(2):
            progress(f"trial of {choice.spec.name}", repeat, 3)
            model: FittedModel = timed(answers, "fit", fitter.fit, self.older, {})
            digests.append(_digest(model))
        answers.add("fit", "same rows and seed", **{"gives the same bytes again": digests[0] == digests[1]})
        found = fitter.predict(model, self.newer)
        answers.add("predict", "newer rows", **{"all answers are finite": bool(np.isfinite(found).all())})
        for row in range(min(ROWS, len(self.newer))):
            one = self.newer.take(np.array([row]))
            timed(answers, "predict one row", fitter.predict, model, one)
        answers.told |= _measures(found, self.newer.target)
        for row, value in enumerate(found[:ROWS].tolist()):
            answers.told[f"answer for newer row {row + 1}"] = value
        progress(f"trial of {choice.spec.name}", 1, 1)


def _measures(found: Any, truth: Any) -> dict[str, float]:
    told = {"mean absolute error of newer rows": float(np.mean(np.abs(found - truth)))}
    if (truth > 0).all():
        told[ERROR] = float(np.median(np.abs(found - truth) / truth))
    return told


def _digest(model: FittedModel) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        digests: Sequence[str] = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
        return " ".join([*(str(path.relative_to(folder)) for path in files), *digests])


def record(stack: Stack, part: ModelPart) -> TrainerWorkload:
    """Take down a model's training task as it stands.

    Raises:
        TrainingError: there are too few labels.
    """
    stack.progress("recording", 0, 1)
    rows = building.build(stack, part)
    check_enough(part, rows, "Bring more labels: stackwright label FILE")
    ((older, newer),) = rows.split(TemporalSplit(folds=1, holdout=part.holdout))
    rules = Learned.of(part, older)
    learned = rules(older)
    stack.progress("recording", 1, 1)
    return TrainerWorkload(
        part, takes(stack, part, learned), learned, newer, dict(rules.clips), f"{len(rows):,} rows of {part.name}"
    )
