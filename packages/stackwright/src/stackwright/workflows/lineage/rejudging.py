"""Judging a published version again: by the gates of the blueprint as it stands, on rows that are joined anew."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.gate_options import LEVEL, configured
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.parted_rows import Rows
from stackwright.workflows.datasets.rules import Learned
from stackwright.workflows.datasets.shaping import Shaper
from stackwright.workflows.datasets.spreading import looked_at, rows_in
from stackwright.workflows.gates import GATES, Candidate, GateResult, run_gate
from stackwright.workflows.gates.base import GREEN, INAPPLICABLE, result_of
from stackwright.workflows.lineage.training_rows import Rebuilt, rebuilt
from stackwright.workflows.training.publishing import REFIT
from stackwright.workflows.versions.evidence import gates_of
from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.model import Manifest, ModelRef
from stackwright_interfaces.registry import ModelVersion
from stackwright_numerics.split import TemporalSplit
from stackwright_serving.model import LoadedModel

_OF_THE_FIT: Final = ("seed", "threads", "half_life", "where", "rules", "k", "horizons", "quantiles", REFIT)


@dataclass
class Rejudged:
    """A published version, judged again gate by gate.

    Gates that need a fit are not run: what they found when the version was published is told. The others are run on the
    rows that it learned from and on newer ones: those of its publication where these can be had again and it did not
    learn from them afterwards, else all that were asked for after the newest row it learned from. What a version does,
    rather than how good its answers are, is judged on those of its publication even so.
    """

    stack: Stack
    part: ModelPart
    version: ModelVersion

    @cached_property
    def gates(self) -> Mapping[str, Mapping[str, Any]]:
        """Gate → its options and level, as the blueprint has them now."""
        return configured(self.part, self.stack.plugins)

    @cached_property
    def recorded(self) -> Mapping[str, Mapping[str, Any]]:
        """Gate → what it found when the version was published."""
        return {gate["name"]: gate for gate in gates_of(self.stack, self.version).get("gates", [])}

    def judge(self, name: str) -> GateResult:
        """Return what a gate finds, or found.

        Raises:
            TrainingError: there are no newer rows to judge it on.
        """
        settings = self.gates[name]
        gate = GATES.get(name)
        if gate is None or not gate.refits or (gate.tasks and self.part.task not in gate.tasks):
            return run_gate(self.behaving if gate is not None and gate.behaviour else self.candidate, name, settings)
        if name not in self.recorded:
            return result_of(name, Verdict(passed=False, detail=f"it was never run on {self.version.ref}"), settings)
        found = {key: value for key, value in self.recorded[name].items() if key in GateResult.__dataclass_fields__}
        before = GateResult(**found)
        told, applies = f"{before.detail} (when it was published)", before.state != INAPPLICABLE
        verdict = Verdict(before.state == GREEN, told, before.evidence, applies)
        return result_of(name, verdict, {**before.options, LEVEL: settings[LEVEL]}, before.seconds)

    @cached_property
    def candidate(self) -> Candidate:
        """The version with its rows."""
        return self._of(*self._rows)

    @cached_property
    def behaving(self) -> Candidate:
        """The same, with the newer rows of its publication where these can be had again."""
        if self._published is None or not self._manifest.parameters.get(REFIT):
            return self.candidate
        return self._of(*self._published)

    @cached_property
    def _folder(self) -> Path:
        return self.stack.registry.fetch(self.version)

    @cached_property
    def _manifest(self) -> Manifest:
        return Manifest.read(self._folder)

    @cached_property
    def _model(self) -> LoadedModel:
        return LoadedModel.published(self.version, self._folder, self.stack.model_format(self._manifest.flavour))

    def _of(self, train: Dataset, holdout: Dataset) -> Candidate:
        stack, part, manifest = self.stack, self.part, self._manifest
        fit = manifest.parameters
        return Candidate(
            stack=stack,
            part=part,
            folder=self._folder,
            model=self._model,
            shaper=Shaper.of(stack.trainer(part), _as_fitted(part, manifest), manifest.signature, self._rules.clips),
            train=train,
            holdout=holdout,
            parameters={name: value for name, value in fit.items() if name not in _OF_THE_FIT},
            threads=int(fit.get("threads", 1)),
            whole=len(train) == manifest.data.get("rows"),
        )

    @cached_property
    def _published(self) -> tuple[Dataset, Dataset] | None:
        """The rows it learned from, and the newer ones of its publication; ``None`` where these cannot be had again."""
        with (
            suppress(TrainingError),  # one from a notebook, or whose labels are gone
            rebuilt(self.stack, self.version) as built,
        ):
            if not built.differences:
                return self._looked_at(built.learned), self._looked_at(_held_back(built))
        return None

    def _looked_at(self, rows: Rows) -> Dataset:
        return looked_at(rows, self.stack.trainer(self.part), self._manifest.task)

    @cached_property
    def _rows(self) -> tuple[Dataset, Dataset]:
        """The rows it learned from, and newer ones."""
        published = self._published
        if published is not None and not self._manifest.parameters.get(REFIT):
            return published
        last = np.datetime64(str(self._manifest.data["last"]).removesuffix("Z"), "us")
        with rows_in(self.stack, self.part) as build:
            known = build()
            newer = known.through(_Newer(last))
            if not len(newer):
                todo = "Bring labels of later times: stackwright label SOURCE"
                raise TrainingError(self.version.ref, "no labelled row is newer than those it learned from", todo)
            if published is not None:
                return published[0], self._looked_at(newer)
            older = known.through(_Older(last)).through(self._rules)
            if not len(older):
                todo = "Bring the labels back that it learned from, or train again."
                raise TrainingError(self.version.ref, "no row is left of the times that it learned from", todo)
            return self._looked_at(older), self._looked_at(newer)

    @cached_property
    def _rules(self) -> Learned:
        """The rules that it learned by."""
        return Learned.written(self.part, self._manifest.parameters)

    def close(self) -> None:
        """Release the models that were loaded."""
        for name in ("candidate", "behaving"):
            if name in self.__dict__:
                self.__dict__[name].close()
        if "_model" in self.__dict__:
            self._model.close()


@dataclass(frozen=True)
class _Newer:
    """Keeps the rows after those that a version learned from."""

    last: np.datetime64
    reads: tuple[str, ...] = ()

    def __call__(self, rows: Dataset) -> Dataset:
        return rows.take(rows.begun > self.last)


@dataclass(frozen=True)
class _Older:
    """Keeps the rows up to the last that a version learned from, as they were known by then."""

    last: np.datetime64
    reads: tuple[str, ...] = ()

    def __call__(self, rows: Dataset) -> Dataset:
        return rows.take(rows.begun <= self.last).as_known(self.last)


def _held_back(built: Rebuilt) -> Rows:
    """Return the newer rows that a version was judged by when it was published."""
    ((_, holdout),) = built.rows.split(TemporalSplit(folds=1, holdout=built.part.holdout))
    return holdout


def _as_fitted(part: ModelPart, manifest: Manifest) -> ModelPart:
    """Return a model with the transform and weights of a version: the blueprint's may be others, a notebook's are none.

    A transform of the target is undone by the first step after the model.
    """
    logarithmic = tuple(manifest.postprocess[:1]) == ({"op": "exp"},)
    half_life = float(manifest.parameters.get("half_life", 0.0))
    return replace(part, transform="log" if logarithmic else "none", half_life=half_life)


def rejudge(stack: Stack, ref: str) -> Rejudged:
    """Return a published version to be judged again.

    Args:
        ref: ``NAME``, which is its newest version, ``NAME@VERSION`` or ``NAME@ALIAS``.

    Raises:
        ModelNotFound: there is none.
        BlueprintError: the blueprint has no such model.
    """
    version = stack.registry.resolve(ModelRef.parse(ref))
    return Rejudged(stack, stack.model(version.name), version)
