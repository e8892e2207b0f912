"""Gates on how good a model is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stackwright.workflows.gates.base import Candidate, gate
from stackwright_interfaces.types import Kind
from stackwright_numerics import metrics
from stackwright_numerics.baselines import Dummy, Linear, TaskName
from stackwright_numerics.categories import to_matrix

Verdict = tuple[bool, str, Mapping[str, Any]]


@gate
def baseline(candidate: Candidate, min_gain: float) -> Verdict:
    """On rows it has not seen, the model beats a constant by a margin and is no worse than a linear model."""
    signature = candidate.model.manifest.signature
    train, holdout = (to_matrix(rows.columns, signature) for rows in (candidate.train, candidate.holdout))
    target = candidate.shaper(candidate.train).target
    categorical = [place for place, field in enumerate(signature.inputs) if field.type.kind is Kind.STRING]
    undo = candidate.model.postprocess
    task: TaskName = "classification" if candidate.part.task == "classification" else "regression"
    answers = {
        "model": candidate.model.predict(candidate.holdout.columns).value,
        "constant": undo(Dummy(task).fit(train, target).predict(holdout)),
        "linear": undo(Linear(task, categorical=categorical).fit(train, target).predict(holdout)),
    }
    loss, measure = loss_of(task, candidate.holdout.target)
    errors = {name: measure(candidate.holdout.target, answer) for name, answer in answers.items()}
    gain = 1 - errors["model"] / errors["constant"] if errors["constant"] else -np.inf
    passed = bool(np.isfinite(gain) and gain >= min_gain and errors["model"] <= errors["linear"])
    shown = ", ".join(f"{name} {error:.4g}" for name, error in errors.items())
    return passed, f"{loss} on {len(candidate.holdout):,} newer rows: {shown}", {**errors, "gain": gain, "metric": loss}


def loss_of(task: TaskName, truth: Any) -> tuple[str, Callable[..., float]]:
    """Return how models are compared, by name: relative errors where every truth is positive, else absolute ones."""
    if task == "classification":
        return "log_loss", metrics.log_loss
    return ("mape", metrics.mape) if (np.asarray(truth) > 0).all() else ("mae", metrics.mae)
