"""Publishing: what was fitted is staged as a folder, judged there, and published as it was judged."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.shaping import first_of
from stackwright.workflows.gates import Candidate, GateResult, run_gates
from stackwright.workflows.gates.base import run_again
from stackwright.workflows.identity import who
from stackwright.workflows.training.fitting import Fitter
from stackwright.workflows.training.recording import timed
from stackwright.workflows.versions import evidence
from stackwright_interfaces.catalogue import meaning
from stackwright_interfaces.model import Manifest, Signature, describe_files
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.trainer import FittedModel, TaskKind
from stackwright_numerics import metrics
from stackwright_numerics.conformal import IntervalTable
from stackwright_numerics.drift import Histogram
from stackwright_serving import golden
from stackwright_serving.model import QUANTILES, LoadedModel
from stackwright_serving.postprocess import compile_steps

GOLDEN_ROWS: Final = 20
REFIT: Final = "refit"
"""Parameter of a manifest whose model learned from the rows that it had been judged by before."""

_VENDORS: Final = {"onnx": "onnxruntime", "recommender": "lightgbm", "sklearn": "scikit-learn"}
"""Flavour → the distribution that computes, where it has another name."""


@dataclass(frozen=True)
class Fitted:
    """A fit with everything a manifest says of it.

    Args:
        train: rows that it learned from, all or some of them, spread evenly.
        holdout: newer rows, all or some of them, spread evenly.
        data: the fingerprints of all of either.
        postprocess: every step between the model's number and the answer.
        trials: of the search before the fit, JSON values.
        rules: what the manifest's parameters say of rules; empty where there are none.
        tuned: the parameters that the search found; empty where nothing was searched.
        given: the parameters that it was fitted with.
        refit: whether it learned from the newer rows too.
    """

    fitter: Fitter
    model: FittedModel
    signature: Signature
    train: Dataset
    holdout: Dataset
    data: Mapping[str, Mapping[str, Any]]
    intervals: IntervalTable | None
    postprocess: tuple[Mapping[str, Any], ...]
    trials: list[dict[str, Any]]
    rules: Mapping[str, Any] = field(default_factory=dict)
    tuned: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    refit: bool = False

    @property
    def looked_at(self) -> dict[str, int]:
        """How many of the rows are looked at, of ``train`` and of ``holdout``, where these are not all."""
        shown = {"train": len(self.train), "holdout": len(self.holdout)}
        return {name: rows for name, rows in shown.items() if rows < self.data[name]["rows"]}

    def answers(self, rows: Dataset) -> NDArray[np.float64]:
        """Return the model's answers, every step after it done."""
        return compile_steps(self.postprocess)(first_of(self._raw(rows)))

    def further(self, rows: Dataset) -> dict[str, NDArray[np.float64]]:
        """Return what the model answers beyond its first output."""
        names = [field.name for field in self.signature.outputs[1:]]
        if not names:
            return {}
        raw = np.asarray(self._raw(rows), dtype=np.float64)
        if self.fitter.shaper.task.quantiles:
            raw = compile_steps(self.postprocess)(raw)
        return {name: raw[:, place] for place, name in enumerate(names, 1)}

    def _raw(self, rows: Dataset) -> Any:
        return self.model.predictor().predict(self.fitter.shaper.inputs(rows))


def judge_and_publish(
    stack: Stack,
    part: ModelPart,
    fitted: Fitted,
    key: str,
    seconds: dict[str, float],
    about: Mapping[str, Any] | None = None,
    again: Callable[[], Fitted] | None = None,
) -> ModelVersion:
    """Stage a fit, run the gates on what was staged, publish it, and record the evidence.

    Args:
        key: what the training depended on, as one hash.
        seconds: gets the duration of each step.
        about: what else the version's record says, of its run and its code say.
        again: fits on all rows. Where every gate lets the fit pass that was judged, this one is published in its place.
    """
    stack.project.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stage-", dir=stack.project.cache) as folder:
        judged = _judged(stack, part, fitted, Path(folder) / "model", seconds)
        if again is not None and all(gate.passed for gate in judged.gates):
            judged = _judged_again(stack, part, judged, again, Path(folder) / "refit", seconds)
        with timed(seconds, "publish"):
            record = {**judged.record, **(about or {})}
            version = stack.registry.publish(part.name, judged.folder, record, who=who())
            evidence.record(stack, part, version, judged.gates, key)
    return version


@dataclass(frozen=True)
class _Judged:
    """What is published: a staged folder, what the gates found, and what the version's record says."""

    folder: Path
    digest: str
    gates: Sequence[GateResult]
    record: dict[str, Any]


def _judged(stack: Stack, part: ModelPart, fitted: Fitted, folder: Path, seconds: dict[str, float]) -> _Judged:
    with timed(seconds, "stage"):
        model = _staged(stack, part, fitted, folder)
    with closing(model):
        with timed(seconds, "gates"):
            gates = run_gates(_candidate(stack, part, fitted, folder, model), stack.progress)
        with timed(seconds, "evaluate"):
            record = _record(part, fitted, model)
    return _Judged(folder, model.digest, gates, record)


def _judged_again(
    stack: Stack, part: ModelPart, judged: _Judged, again: Callable[[], Fitted], folder: Path, seconds: dict[str, float]
) -> _Judged:
    """Fit again on all rows, and judge that fit by what it can be judged by: what it does, not how good it is."""
    with timed(seconds, "refit"):
        fitted = again()
        model = _staged(stack, part, fitted, folder)
    with closing(model), timed(seconds, "refit gates"):
        gates = run_again(_candidate(stack, part, fitted, folder, model), judged.gates, judged.digest)
    told = {
        "parameters": dict(fitted.model.parameters),
        "data": {**judged.record["data"], "train": dict(fitted.data["train"])},
        REFIT: {"judged": judged.digest, "learned": judged.record["data"]["train"]},
    }
    return _Judged(folder, model.digest, gates, {**judged.record, **told})


def _staged(stack: Stack, part: ModelPart, fitted: Fitted, folder: Path) -> LoadedModel:
    manifest = stage(stack, part, fitted, folder)
    return LoadedModel.load(folder, stack.model_format(manifest.flavour), name=part.name)


def _candidate(stack: Stack, part: ModelPart, fitted: Fitted, folder: Path, model: LoadedModel) -> Candidate:
    return Candidate(
        stack=stack,
        part=part,
        folder=folder,
        model=model,
        shaper=fitted.fitter.shaper,
        train=fitted.train,
        holdout=fitted.holdout,
        parameters=fitted.model.parameters,
        threads=fitted.fitter.threads,
        measured=fitted.model.metrics,
        whole="train" not in fitted.looked_at,
    )


def stage(stack: Stack, part: ModelPart, fitted: Fitted, folder: Path) -> Manifest:
    """Write payload, golden predictions and manifest into a new folder."""
    service, target = stack.service(part.service), stack.target(part.target)
    folder.mkdir()
    fitted.model.save(folder)
    chosen = fitted.holdout.take(_golden_rows(fitted.holdout))
    answers, further = fitted.answers(chosen), fitted.further(chosen)
    golden.write(folder, chosen.columns, fitted.signature.inputs, answers, further)
    manifest = Manifest(
        flavour=fitted.model.flavour,
        files=describe_files(folder),
        signature=fitted.signature,
        task=part.task,
        target=target.name,
        service=service.ref,
        definitions={
            **{selection.view.ref: meaning(selection.view) for selection in service.selections},
            service.ref: meaning(service),  # over a view of its name, for it holds what it uses of its views
            target.name: meaning(target),
        },
        transforms={step.name: step.code for step in service.transforms},
        postprocess=fitted.postprocess,
        intervals=None if fitted.intervals is None else fitted.intervals.to_json(),
        histograms=_histograms(fitted),
        data=fitted.data["train"],
        code={**versions(fitted.model.flavour), **fitted.model.code},
        parameters={
            **fitted.model.parameters,
            "seed": part.seed,
            "threads": fitted.fitter.threads,
            "half_life": part.half_life,
            "where": {name: list(limits) for name, limits in part.where.items()},
            **({"k": part.k} if part.task == TaskKind.RANKING else {}),
            **({"horizons": list(part.horizons)} if part.horizons else {}),
            **({QUANTILES: list(part.quantiles)} if part.quantiles else {}),
            **fitted.rules,
            **({REFIT: True} if fitted.refit else {}),
        },
    )
    manifest.write(folder)
    return manifest


def _golden_rows(rows: Dataset) -> Any:
    """Return rows spread over the range of the target."""
    order = np.argsort(rows.target, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, min(GOLDEN_ROWS, len(order))).astype(np.int64))]


def _histograms(fitted: Fitted) -> dict[str, Any]:
    columns = {field.name: fitted.train.columns[field.name] for field in fitted.signature.inputs}
    found = {name: Histogram.of(column).to_json() for name, column in columns.items()}
    predicted = fitted.answers(fitted.holdout)
    return {**found, "prediction": Histogram.of(predicted).to_json()}


def _record(part: ModelPart, fitted: Fitted, model: LoadedModel) -> dict[str, Any]:
    answer = model.predict(fitted.holdout.columns)
    return {
        "metrics": measured(part, fitted.holdout, answer.value, answer.lower, answer.upper),
        "parameters": dict(fitted.model.parameters),
        "trials": fitted.trials,
        "tuned": dict(fitted.tuned),
        "data": {**fitted.data, **({"looked_at": fitted.looked_at} if fitted.looked_at else {})},
        "owner": who(),
        "python": platform.python_version(),
    }


def measured(part: ModelPart, rows: Dataset, answer: Any, lower: Any = None, upper: Any = None) -> dict[str, float]:
    """Return every metric of a model's answers."""
    found = metrics.score(
        part.task, rows.target, answer, lower=lower, upper=upper, group=rows.group, event=rows.event, k=part.k
    )
    return {name: value for name, value in found.items() if np.isfinite(value)}


def versions(flavour: str) -> dict[str, str]:
    """Return the versions that the numbers depend on."""
    found = {}
    for name in ("numpy", _VENDORS.get(flavour, flavour), f"stackwright-{flavour}"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
