"""Gates on how a model behaves: on odd input, on little data, when fitted again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from stackwright.workflows.dataset import Dataset
from stackwright.workflows.gates.base import Candidate, gate
from stackwright_interfaces.types import Kind
from stackwright_numerics import metrics

Verdict = tuple[bool, str, Mapping[str, Any]]

_TINY: Final = 1e-9


@gate
def contract(candidate: Candidate) -> Verdict:
    """Inputs are what the service gives; missing values and unknown categories still get a finite answer."""
    model = candidate.model
    given = {field.name: str(field.type) for field in candidate.stack.service(candidate.part.service).output_fields}
    taken = {field.name: str(field.type) for field in model.manifest.signature.inputs}
    if given != taken:
        return False, "the inputs are not the service's outputs", {"inputs": taken, "outputs": given}
    usual = candidate.holdout.take(np.arange(min(100, len(candidate.holdout))))
    cases = {"usual": usual.columns, "missing": _all_missing(candidate), "unknown": _unknown(candidate, usual)}
    answers = {name: model.predict(columns).value for name, columns in cases.items()}
    flat = {name: f"{float(np.min(value)):.6g} to {float(np.max(value)):.6g}" for name, value in answers.items()}
    return True, f"{len(taken)} inputs; finite on usual, missing and unknown values", {"answers": flat}


def _all_missing(candidate: Candidate) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for field in candidate.model.manifest.signature.inputs:
        text = field.type.kind is Kind.STRING
        columns[field.name] = np.array([None], dtype=object) if text else np.array([np.nan])
    return columns


def _unknown(candidate: Candidate, usual: Dataset) -> dict[str, Any]:
    columns = dict(usual.columns)
    for name in candidate.model.manifest.signature.categories:
        columns[name] = np.full(len(usual), "\ufffdnever seen", dtype=object)
    return columns


@gate
def smoke(candidate: Candidate, rows: int, seconds: float, gain: float) -> Verdict:
    """On few rows the fit needs little CPU time, its loss falls, and twenty rows can be learned by heart."""
    few = candidate.train.take(_spread(candidate.train, rows))
    started = time.process_time()
    loss, dummy = _training_loss(candidate, few)
    took = time.process_time() - started
    twenty = candidate.train.take(np.tile(_spread(candidate.train, 20), 20))
    learned, guessed = _training_loss(candidate, twenty)
    evidence = {"seconds": took, "loss": loss, "dummy": dummy, "loss_20": learned, "dummy_20": guessed}
    passed = took <= seconds and loss <= (1 - gain) * dummy + _TINY and learned <= 0.5 * guessed + _TINY
    detail = (
        f"{took:.1f} s of CPU; error {loss:.3g} of a constant's {dummy:.3g}; on 20 rows {learned:.3g} of {guessed:.3g}"
    )
    return passed, detail, evidence


def _spread(rows: Dataset, number: int) -> Any:
    """Return places spread over the range of the target, so that few rows hold both classes."""
    order = np.argsort(rows.target, kind="stable")
    return np.sort(order[np.unique(np.linspace(0, len(order) - 1, min(number, len(order))).astype(np.int64))])


def _training_loss(candidate: Candidate, rows: Dataset) -> tuple[float, float]:
    """Return the error on the rows fitted, and that of the best constant: absolute, of classes logarithmic."""
    data = candidate.shaper(rows)
    fitted = _fit(candidate, rows, threads=1)
    answer = np.asarray(fitted.predictor().predict(data.inputs))
    classes = candidate.part.task == "classification"
    measure, middle = (metrics.log_loss, np.mean) if classes else (metrics.mae, np.median)
    constant = np.full(len(rows), middle(data.target))
    return measure(data.target, answer), measure(data.target, constant)


def _fit(candidate: Candidate, rows: Dataset, *, threads: int) -> Any:
    return candidate.shaper.trainer.fit(
        candidate.shaper.task,
        candidate.shaper(rows),
        None,
        candidate.parameters,
        seed=candidate.part.seed,
        threads=threads,
    )


@gate
def reproducible(candidate: Candidate, tolerance: float, rows: int) -> Verdict:
    """The same seed and data give the same model: all rows where there are few, else the newest, fitted twice."""
    newest = candidate.train.take(np.arange(max(0, len(candidate.train) - rows), len(candidate.train)))
    whole = len(newest) == len(candidate.train)
    inputs = candidate.shaper.inputs(candidate.holdout)
    first = candidate.model.predictor if whole else _fit(candidate, newest, threads=candidate.threads).predictor()
    before = np.asarray(first.predict(inputs))
    after = np.asarray(_fit(candidate, newest, threads=candidate.threads).predictor().predict(inputs))
    worst = float(np.max(np.abs(after - before) / np.maximum(np.abs(before), 1e-12)))
    return worst <= tolerance, f"fitted again on {len(newest):,} rows: differs by {worst:.1g}", {"difference": worst}
