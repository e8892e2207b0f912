"""What each feature is worth to a model: its loss, when fitted again without that, on the rows it was judged by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright.assembly.project import write_json
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.shaping import Shaper
from stackwright.workflows.gates import Candidate
from stackwright.workflows.lineage.rejudging import rejudge
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.training.fitting import Fitter
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import ProjectError, StackwrightError, TrainingError

Floats = NDArray[np.float64]


def features_of(service: FeatureService) -> dict[str, str]:
    """Return name in a service → feature, as the catalogue names it; request fields are none."""
    found = {
        f"{selection.prefix}{name}": f"{selection.view.ref}:{name}"
        for selection in service.selections
        for name in selection.features
    }
    return found | {step.name: f"{service.ref}:{step.name}" for step in service.transforms}


def dependents(service: FeatureService, name: str) -> set[str]:
    """Return a name of a service with all that is computed from it."""
    found = {name}
    for step in service.transforms:
        if found & set(step.inputs):
            found.add(step.name)
    return found


def ablate(stack: Stack, ref: str) -> Outcome:
    """Fit a version again without each feature, and with all; keep what that costs on the newer rows.

    Without a feature, inputs that are computed from it are left out as well. Parameters, seed, rows and weights are
    those of the version. The value is the share by which the loss is greater without the feature, with a 95 % interval
    by a paired bootstrap over those rows: of features that say the same, either alone may be worth nothing.

    Args:
        ref: ``NAME``, which is its newest version, ``NAME@VERSION`` or ``NAME@ALIAS``.

    Raises:
        ModelNotFound: there is none.
        TrainingError: it reads no features, or its rows cannot be had again.
    """
    judged = rejudge(stack, ref)
    if judged.part.data is not None:
        found = "it learns from rows of its own, which are no features"
        raise TrainingError(judged.part.place, found, "Ablate a model that has a service.")
    service = stack.service(judged.part.service)
    try:
        candidate = judged.candidate
        inputs = {field.name for field in candidate.shaper.task.signature.inputs}
        whole = _answer(candidate, candidate.shaper)
        named = features_of(service)
        values: dict[str, dict[str, Any]] = {}
        for done, (name, feature) in enumerate(named.items()):
            stack.progress("features", done, len(named))
            without = dependents(service, name) & inputs
            if without:
                values[feature] = {"inputs": sorted(without), **_worth(candidate, whole, without)}
        stack.progress("features", len(named), len(named))
        loss = candidate.measure.loss(candidate.holdout, whole)
        about = {"model": judged.version.ref, "digest": judged.version.digest, "rows": len(candidate.holdout)}
        kept = {**about, "metric": candidate.measure.name(candidate.holdout), "loss": loss, "features": values}
    finally:
        judged.close()
    write_json(_path(stack, judged.version.name), {**kept, "at": stack.clock().isoformat()})
    return _outcome(kept)


def known(stack: Stack, model: str) -> Mapping[str, Any]:
    """Return what was found of a model last; empty where nothing was.

    Raises:
        ProjectError: it cannot be read.
    """
    path = _path(stack, model)
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        todo = f"Delete it, and run: stackwright ablate {model}"
        raise ProjectError(str(path), f"cannot be read ({error})", todo) from error
    return found


def _path(stack: Stack, model: str) -> Path:
    return stack.project.state / "ablation" / f"{model.replace('/', '--')}.json"


def _answer(candidate: Candidate, shaper: Shaper) -> Floats:
    fitter = Fitter(shaper.trying(), candidate.part.seed, candidate.threads)
    return fitter.predict(fitter.fit(candidate.train, candidate.parameters), candidate.holdout)


def _worth(candidate: Candidate, whole: Floats, left_out: set[str]) -> dict[str, Any]:
    """Return by how much the loss is greater without some inputs; null with the reason where that cannot be had."""
    shaper = candidate.shaper
    signature = shaper.task.signature
    inputs = tuple(field for field in signature.inputs if field.name not in left_out)
    if not inputs:
        return {"value": None, "low": None, "high": None, "why": "the model has no other input"}
    categories = {name: values for name, values in signature.categories.items() if name not in left_out}
    task = replace(shaper.task, signature=replace(signature, inputs=inputs, categories=categories))
    clips = {name: limits for name, limits in shaper.clips.items() if name not in left_out}
    try:
        without = _answer(candidate, replace(shaper, task=task, clips=clips))
    except StackwrightError as error:  # of an input that a parameter names, say
        return {"value": None, "low": None, "high": None, "why": str(error)}
    # Theirs over mine: the gain of leaving it out is the loss of having it.
    found = candidate.measure.compare(candidate.holdout, without, whole)
    return {"value": -found.gain, "low": -found.high, "high": -found.low, "why": ""}


def _outcome(kept: Mapping[str, Any]) -> Outcome:
    values: Mapping[str, Mapping[str, Any]] = kept["features"]
    order = sorted(values, key=lambda name: -(values[name]["value"] or 0.0))
    rows = [(name, *(values[name][key] for key in ("value", "low", "high", "why"))) for name in order]
    title = (
        f"{kept['model']}: {kept['metric']} {kept['loss']:.4g} on {kept['rows']:,} newer rows, fitted with all features"
    )
    notes = ("Worth: the share by which the loss is greater without it, and its 95 % interval.",)
    return Outcome(title, kept, (Table(("feature", "worth", "from", "to", "why not"), rows),), notes)
