"""Training: labels and features in, a published model with evidence out."""

from __future__ import annotations

import hashlib
import platform
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.gate_options import configured
from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows import dataset as datasets
from stackwright.workflows.dataset import Dataset, Shaper
from stackwright.workflows.fitting import Fitter, forward, threads_for, tune
from stackwright.workflows.gates import Candidate, GateResult, run_gates
from stackwright.workflows.identity import who
from stackwright.workflows.outcome import Outcome, Table
from stackwright_interfaces.catalogue import canonical, meaning
from stackwright_interfaces.errors import ModelNotFound, TrainingError
from stackwright_interfaces.model import Manifest, ModelRef, Signature, describe_files
from stackwright_interfaces.registry import Event, ModelVersion, Run, SupportsRuns
from stackwright_interfaces.trainer import FittedModel
from stackwright_numerics import metrics
from stackwright_numerics.conformal import IntervalTable
from stackwright_numerics.drift import Histogram
from stackwright_numerics.split import TemporalSplit
from stackwright_serving import golden
from stackwright_serving.model import LoadedModel
from stackwright_serving.postprocess import compile_steps

MIN_ROWS: Final = 100
GOLDEN_ROWS: Final = 20

_SETTINGS: Final = ("task", "transform", "holdout", "interval", "interval_half_life", "level", "trials", "seed")


@dataclass(frozen=True)
class Fitted:
    """A fit with everything a manifest says of it."""

    fitter: Fitter
    model: FittedModel
    signature: Signature
    train: Dataset
    holdout: Dataset
    intervals: IntervalTable | None
    postprocess: tuple[Mapping[str, Any], ...]
    trials: list[dict[str, Any]]

    def answers(self, rows: Dataset) -> NDArray[np.float64]:
        """Return the model's answers, every step after it done."""
        raw = self.model.predictor().predict(self.fitter.shaper.inputs(rows))
        return compile_steps(self.postprocess)(np.asarray(raw, dtype=np.float64))


def train(stack: Stack, name: str | None = None, *, force: bool = False) -> Outcome:
    """Build the training set, fit, judge and publish a model.

    Nothing is done where a version of the same data, definitions, parameters and code is published already.

    Args:
        name: the model; may be left out where the blueprint has one.
        force: train even so.

    Raises:
        TrainingError: there are too few labels, or the fit fails.
    """
    part = stack.model(name)
    seconds: dict[str, float] = {}
    stack.progress("training set", 0, 1)
    with _timed(seconds, "training set"):
        rows = datasets.build(stack, part)
    stack.progress("training set", 1, 1)
    if len(rows) < MIN_ROWS:
        found = f"{len(rows)} labelled rows, at least {MIN_ROWS} are needed"
        raise TrainingError(f"model {part.name!r}", found, "Bring more labels: stackwright label FILE")
    key = _key(stack, part, rows)
    known = None if force else _published(stack, part.name, key)
    if known is not None:
        return _outcome(stack, known, f"{known.ref} was trained on exactly this before: nothing to do", changed=False)
    run = Run(id=uuid.uuid4().hex, name=part.name, status="running", started=stack.clock(), record={"owner": who()})
    _save(stack, run)
    try:
        version = _train(stack, part, rows, key, seconds)
    except BaseException as error:
        record = {**run.record, "error": redact(str(error))}
        _save(stack, replace(run, status="failed", ended=stack.clock(), record=record))
        raise
    record = {**run.record, "steps": seconds}
    done = replace(run, status="finished", ended=stack.clock(), model=version.ref, record=record)
    _save(stack, replace(done, parameters=version.record["parameters"], metrics=version.record["metrics"]))
    outcome = _outcome(stack, version, f"Published {version.ref}", changed=True)
    return replace(outcome, data={**outcome.data, "seconds": seconds})


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Note how long a step took."""
    started = time.perf_counter()
    yield
    seconds[step] = round(time.perf_counter() - started, 4)


def _train(stack: Stack, part: ModelPart, rows: Dataset, key: str, seconds: dict[str, float]) -> ModelVersion:
    with _timed(seconds, "fit"):
        fitted = _fit(stack, part, rows)
    stack.project.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stage-", dir=stack.project.cache) as folder:
        staged = Path(folder) / "model"
        with _timed(seconds, "stage"):
            manifest = _stage(stack, part, fitted, staged)
            format_ = stack.model_format(manifest.flavour)
            model = LoadedModel.load(staged, format_, name=part.name)
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
        )
        with _timed(seconds, "gates"):
            gates = run_gates(candidate, stack.progress)
        with _timed(seconds, "evaluate"):
            record = _record(part, fitted, model)
        with _timed(seconds, "publish"):
            version = stack.registry.publish(part.name, staged, record, who=who())
            _evidence(stack, part, version, gates, key)
        model.close()
    return version


def _fit(stack: Stack, part: ModelPart, rows: Dataset) -> Fitted:
    service, target = stack.service(part.service), stack.target(part.target)
    ((learned, holdout),) = rows.split(TemporalSplit(folds=1, holdout=part.holdout))
    signature = datasets.signature(service, target, learned)
    shaper = Shaper.of(stack.trainer(part), part, signature)
    fitter = Fitter(shaper, part.seed, threads_for(len(learned)))
    parameters, trials = tune(fitter, learned, part.trials, stack.progress)
    table, postprocess = None, shaper.postprocess
    if part.task == "regression" and (part.interval or part.level):
        found = forward(fitter, learned, parameters, stack.progress)
        scale = found.scale(part.interval_half_life) if part.level else 1.0
        if part.level:
            postprocess = (*postprocess, {"op": "scale", "by": scale})
        if part.interval:
            table = found.intervals(signature, part.interval, part.interval_half_life, scale)
    model = fitter.fit(learned, parameters, stack.progress)
    return Fitted(fitter, model, signature, learned, holdout, table, postprocess, trials)


def _stage(stack: Stack, part: ModelPart, fitted: Fitted, folder: Path) -> Manifest:
    """Write payload, golden predictions and manifest into a new folder."""
    service, target = stack.service(part.service), stack.target(part.target)
    folder.mkdir()
    fitted.model.save(folder)
    chosen = fitted.holdout.take(_golden_rows(fitted.holdout))
    golden.write(folder, chosen.columns, fitted.signature.inputs, fitted.answers(chosen))
    manifest = Manifest(
        flavour=fitted.model.flavour,
        files=describe_files(folder),
        signature=fitted.signature,
        task=part.task,
        target=target.name,
        service=service.ref,
        definitions={
            service.ref: meaning(service),
            target.name: meaning(target),
            **{selection.view.ref: meaning(selection.view) for selection in service.selections},
        },
        transforms={step.name: step.code for step in service.transforms},
        postprocess=fitted.postprocess,
        intervals=None if fitted.intervals is None else fitted.intervals.to_json(),
        histograms=_histograms(fitted),
        data=fitted.train.fingerprint(),
        code=_versions(fitted.model.flavour),
        parameters={
            **fitted.model.parameters,
            "seed": part.seed,
            "threads": fitted.fitter.threads,
            "half_life": part.half_life,
            "where": {name: list(limits) for name, limits in part.where.items()},
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
    measured = metrics.score(part.task, fitted.holdout.target, answer.value, lower=answer.lower, upper=answer.upper)
    return {
        "metrics": {name: value for name, value in measured.items() if np.isfinite(value)},
        "parameters": dict(fitted.model.parameters),
        "trials": fitted.trials,
        "data": {"train": fitted.train.fingerprint(), "holdout": fitted.holdout.fingerprint()},
        "owner": who(),
        "python": platform.python_version(),
    }


def _evidence(stack: Stack, part: ModelPart, version: ModelVersion, gates: Sequence[GateResult], key: str) -> None:
    evidence = {
        "digest": version.digest,
        "key": key,
        "configuration": gate_configuration(part),
        "gates": [result.to_json() for result in gates],
    }
    stack.registry.record(
        Event(
            at=stack.clock(),
            kind="evidence",
            name=version.name,
            version=version.version,
            who=who(),
            why="gates",
            evidence=evidence,
        )
    )


def gate_configuration(part: ModelPart) -> str:
    """Return the SHA-256 of the gates and options that a model must pass."""
    return hashlib.sha256(canonical(configured(part))).hexdigest()


def _key(stack: Stack, part: ModelPart, rows: Dataset) -> str:
    """Return what a training depends on, as one hash."""
    document = {
        "data": rows.fingerprint(),
        "service": meaning(stack.service(part.service)),
        "target": meaning(stack.target(part.target)),
        "model": {name: getattr(part, name) for name in _SETTINGS},
        "selection": {"half_life": part.half_life, "where": {name: list(rule) for name, rule in part.where.items()}},
        "trainer": [part.trainer.adapter, dict(part.trainer.options)],
        "gates": configured(part),
        "code": _versions(part.trainer.adapter),
    }
    return hashlib.sha256(canonical(document)).hexdigest()


def _versions(flavour: str) -> dict[str, str]:
    """Return the versions that the numbers depend on."""
    found = {}
    for name in ("numpy", "scikit-learn" if flavour == "sklearn" else flavour, f"stackwright-{flavour}"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _published(stack: Stack, name: str, key: str) -> ModelVersion | None:
    """Return the newest version whose newest evidence is of this training; what was cut off has none."""
    versions, events = stack.registry.history(name)
    found = (version for version in reversed(versions) if evidence_of(events, version).get("key") == key)
    return next(found, None)


def _save(stack: Stack, run: Run) -> None:
    if isinstance(stack.registry, SupportsRuns):
        stack.registry.save_run(run)


def gates_of(stack: Stack, version: ModelVersion) -> Mapping[str, Any]:
    """Return the newest evidence for a version's digest; empty where there is none."""
    return evidence_of(stack.registry.history(version.name)[1], version)


def evidence_of(events: Sequence[Event], version: ModelVersion) -> Mapping[str, Any]:
    """Return the newest evidence for a version's digest among lines of the journal; empty where there is none."""
    about = (event for event in reversed(events) if event.kind == "evidence")
    found = (event.evidence for event in about if (event.name, event.version) == (version.name, version.version))
    return next((evidence for evidence in found if evidence.get("digest") == version.digest), {})


def _outcome(stack: Stack, version: ModelVersion, title: str, *, changed: bool) -> Outcome:
    evidence = gates_of(stack, version)
    gates = evidence.get("gates", [])
    red = [gate["name"] for gate in gates if not gate["passed"]]
    measured = version.record.get("metrics", {})
    tables = (
        Table(("gate", "state", "what was found"), [(gate["name"], _state(gate), gate["detail"]) for gate in gates]),
        Table(("metric on newer rows", "value"), sorted(measured.items())),
    )
    data = {
        "model": version.ref,
        "digest": version.digest,
        "changed": changed,
        "metrics": dict(measured),
        "gates": {gate["name"]: bool(gate["passed"]) for gate in gates},
    }
    notes = (
        (f"Red: {', '.join(red)}. It cannot be promoted.",) if red else (f"Next: stackwright promote {version.ref}",)
    )
    return Outcome(title, data, tables, notes, ok=not red)


def _state(gate: Mapping[str, Any]) -> str:
    return "green" if gate["passed"] else "RED"


def newest(stack: Stack, name: str) -> ModelVersion | None:
    """Return the newest version of a model, or ``None``."""
    try:
        return stack.registry.resolve(ModelRef(name))
    except ModelNotFound:
        return None
