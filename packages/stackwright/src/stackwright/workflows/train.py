"""Training: labels and features in, a published model with evidence out."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.gate_options import configured
from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows import dataset as datasets
from stackwright.workflows.dataset import Dataset, Shaper
from stackwright.workflows.evidence import gates_of, trained_on
from stackwright.workflows.fitting import Fitter, forward, threads_for, tune
from stackwright.workflows.identity import who
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.publishing import Fitted, judge_and_publish, timed, versions
from stackwright_interfaces.catalogue import canonical, meaning
from stackwright_interfaces.errors import ModelNotFound, TrainingError
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.registry import ModelVersion, Run, SupportsRuns
from stackwright_numerics.split import TemporalSplit

MIN_ROWS: Final = 100

_SETTINGS: Final = ("task", "transform", "holdout", "interval", "interval_half_life", "level", "trials", "seed")


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
    with timed(seconds, "training set"):
        rows = datasets.build(stack, part)
    stack.progress("training set", 1, 1)
    if len(rows) < MIN_ROWS:
        found = f"{len(rows)} labelled rows, at least {MIN_ROWS} are needed"
        raise TrainingError(f"model {part.name!r}", found, "Bring more labels: stackwright label FILE")
    key = _key(stack, part, rows)
    known = None if force else trained_on(stack, part.name, key)
    if known is not None:
        return _outcome(stack, known, f"{known.ref} was trained on exactly this before: nothing to do", changed=False)
    run = Run(id=uuid.uuid4().hex, name=part.name, status="running", started=stack.clock(), record={"owner": who()})
    _save(stack, run)
    try:
        with timed(seconds, "fit"):
            fitted = _fit(stack, part, rows)
        version = judge_and_publish(stack, part, fitted, key, seconds)
    except BaseException as error:
        record = {**run.record, "error": redact(str(error))}
        _save(stack, replace(run, status="failed", ended=stack.clock(), record=record))
        raise
    record = {**run.record, "steps": seconds}
    done = replace(run, status="finished", ended=stack.clock(), model=version.ref, record=record)
    _save(stack, replace(done, parameters=version.record["parameters"], metrics=version.record["metrics"]))
    outcome = _outcome(stack, version, f"Published {version.ref}", changed=True)
    return replace(outcome, data={**outcome.data, "seconds": seconds})


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
        "code": versions(part.trainer.adapter),
    }
    return hashlib.sha256(canonical(document)).hexdigest()


def _save(stack: Stack, run: Run) -> None:
    if isinstance(stack.registry, SupportsRuns):
        stack.registry.save_run(run)


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
