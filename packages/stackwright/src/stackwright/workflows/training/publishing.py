"""Publishing: what was fitted is staged as a folder, judged there, and published as it was judged."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
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
from stackwright.workflows.gates import Candidate, run_gates
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

_VENDORS: Final = {"onnx": "onnxruntime", "sklearn": "scikit-learn"}
"""Flavour → the distribution that computes, where it has another name."""


@dataclass(frozen=True)
class Fitted:
    """A fit with everything a manifest says of it.

    Args:
        postprocess: every step between the model's number and the answer.
        trials: of the search before the fit, JSON values.
        rules: what the manifest's parameters say of rules; empty where there are none.
        tuned: the parameters that the search found; empty where nothing was searched.
    """

    fitter: Fitter
    model: FittedModel
    signature: Signature
    train: Dataset
    holdout: Dataset
    intervals: IntervalTable | None
    postprocess: tuple[Mapping[str, Any], ...]
    trials: list[dict[str, Any]]
    rules: Mapping[str, Any] = field(default_factory=dict)
    tuned: Mapping[str, Any] = field(default_factory=dict)

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
) -> ModelVersion:
    """Stage a fit, run the gates on what was staged, publish it, and record the evidence.

    Args:
        key: what the training depended on, as one hash.
        seconds: gets the duration of each step.
        about: what else the version's record says, of its run and its code say.
    """
    stack.project.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stage-", dir=stack.project.cache) as folder:
        staged = Path(folder) / "model"
        with timed(seconds, "stage"):
            manifest = stage(stack, part, fitted, staged)
            format_ = stack.model_format(manifest.flavour)
            model = LoadedModel.load(staged, format_, name=part.name)
        with closing(model):
            candidate = Candidate(
                stack=stack,
                part=part,
                folder=staged,
                model=model,
                shaper=fitted.fitter.shaper,
                train=fitted.train,
                holdout=fitted.holdout,
                parameters=fitted.model.parameters,
                threads=fitted.fitter.threads,
                measured=fitted.model.metrics,
            )
            with timed(seconds, "gates"):
                gates = run_gates(candidate, stack.progress)
            with timed(seconds, "evaluate"):
                record = {**_record(part, fitted, model), **(about or {})}
            with timed(seconds, "publish"):
                version = stack.registry.publish(part.name, staged, record, who=who())
                evidence.record(stack, part, version, gates, key)
    return version


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
        data=fitted.train.fingerprint(),
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
        "data": {"train": fitted.train.fingerprint(), "holdout": fitted.holdout.fingerprint()},
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
