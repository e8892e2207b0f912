"""Gates on how a model behaves: on odd input, on little data, when fitted again, whatever comes with a row."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.shaping import first_of
from stackwright.workflows.gates.base import (
    SUPERVISED,
    Candidate,
    gate,
    newest,
    relative_difference,
    repeated,
    some,
    spread,
)
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.trainer import TaskKind
from stackwright_interfaces.types import Kind
from stackwright_numerics import metrics

_TINY: Final = 1e-9
_SINGLE_ROWS: Final = 50
_BATCH: Final = 7


@gate(behaviour=True)
def contract(candidate: Candidate) -> Verdict:
    """Inputs are what the service gives; missing values and unknown categories still get a finite answer."""
    model = candidate.model
    given = {field.name: str(field.type) for field in candidate.stack.service(candidate.part.service).output_fields}
    taken = {field.name: str(field.type) for field in model.manifest.signature.inputs}
    if given != taken:
        detail = "the inputs are not the service's outputs"
        return Verdict(passed=False, detail=detail, evidence={"inputs": taken, "outputs": given})
    usual = newest(candidate.holdout, 100)
    cases = {"usual": usual.columns, "missing": _all_missing(candidate, usual), "unknown": _unknown(candidate, usual)}
    answers = {name: model.predict(columns).value for name, columns in cases.items()}
    flat = {name: f"{float(np.min(value)):.6g} to {float(np.max(value)):.6g}" for name, value in answers.items()}
    detail = f"{len(taken)} inputs; finite on usual, missing and unknown values"
    return Verdict(passed=True, detail=detail, evidence={"answers": flat})


def _all_missing(candidate: Candidate, usual: Dataset) -> dict[str, Any]:
    """Return one row without any value, but for those that the model refuses to do without."""
    columns: dict[str, Any] = {}
    signature = candidate.model.manifest.signature
    for field in signature.inputs:
        text = field.type.kind is Kind.STRING
        columns[field.name] = np.array([None], dtype=object) if text else np.array([np.nan])
        if signature.missing.get(field.name) == "refuse":
            columns[field.name] = usual.columns[field.name][:1]
    return columns


def _unknown(candidate: Candidate, usual: Dataset) -> dict[str, Any]:
    columns = dict(usual.columns)
    for name in candidate.model.manifest.signature.categories:
        columns[name] = np.full(len(usual), "\ufffdnever seen", dtype=object)
    return columns


@gate(refits=True)
def smoke(candidate: Candidate, rows: int, seconds: float, gain: float) -> Verdict:
    """On few rows the fit needs little CPU time, its loss falls, and twenty rows can be learned by heart.

    The loss is absolute, of classes logarithmic, of a ranking one minus NDCG, of times one minus the C-index.
    """
    few = some(candidate.train, rows)
    started = time.process_time()
    loss, dummy = _training_loss(candidate, few)
    took = time.process_time() - started
    learned, guessed = _training_loss(candidate, repeated(some(candidate.train, 20), 20))
    evidence = {"seconds": took, "loss": loss, "dummy": dummy, "loss_20": learned, "dummy_20": guessed}
    passed = took <= seconds and loss <= (1 - gain) * dummy + _TINY and learned <= 0.5 * guessed + _TINY
    detail = (
        f"{took:.1f} s of CPU; error {loss:.3g} of a constant's {dummy:.3g}; on 20 rows {learned:.3g} of {guessed:.3g}"
    )
    return Verdict(passed, detail, evidence)


def _training_loss(candidate: Candidate, rows: Dataset) -> tuple[float, float]:
    """Return the error on the rows fitted, and that of the best constant."""
    data = candidate.shaper(rows)
    fitted = _fit(candidate, rows, threads=1)
    answer = first_of(fitted.predictor().predict(data.inputs))
    if candidate.task not in SUPERVISED:
        return candidate.measure.loss(rows, answer), candidate.measure.loss(rows, np.zeros(len(rows)))
    classes = candidate.task == TaskKind.CLASSIFICATION
    measure, middle = (metrics.log_loss, np.mean) if classes else (metrics.mae, np.median)
    constant = np.full(len(rows), middle(data.target))
    return measure(data.target, answer), measure(data.target, constant)


def _fit(candidate: Candidate, rows: Dataset, *, threads: int, whole: bool = False) -> Any:
    shaper = candidate.shaper if whole else candidate.shaper.trying()
    return shaper.trainer.fit(
        shaper.task,
        shaper(rows),
        None,
        candidate.parameters,
        seed=candidate.part.seed,
        threads=threads,
    )


@gate(refits=True)
def reproducible(candidate: Candidate, tolerance: float, rows: int) -> Verdict:
    """The same seed and data give the same model: all rows where there are few, else the newest, fitted twice."""
    learned = newest(candidate.train, rows)
    whole = candidate.whole and len(learned) == len(candidate.train)
    inputs = candidate.shaper.inputs(candidate.holdout)
    first = candidate.model.predictor if whole else _fit(candidate, learned, threads=candidate.threads).predictor()
    again = _fit(candidate, learned, threads=candidate.threads, whole=whole).predictor()
    worst = relative_difference(first.predict(inputs), again.predict(inputs))
    detail = f"fitted again on {len(learned):,} rows: differs by {worst:.1g}"
    return Verdict(worst <= tolerance, detail, {"difference": worst, "rows": len(learned)})


@gate(behaviour=True)
def invariance(candidate: Candidate, tolerance: float, rows: int) -> Verdict:
    """An answer depends on the row's features alone: not on the rows beside it, their order, or whose row it is."""
    few = spread(candidate.holdout, rows)
    own_name = _names_the_row(few)
    if own_name:
        detail = f"input {own_name[0]!r} is the row's own key {own_name[1]!r}"
        return Verdict(passed=False, detail=detail, evidence={"input": own_name[0], "key": own_name[1]})
    whole = _answers(candidate, few.columns)
    order = np.random.default_rng(0).permutation(len(few))
    keys = {name: column[order] for name, column in few.keys.items() if name not in few.columns}
    ones = np.unique(np.linspace(0, len(few) - 1, min(_SINGLE_ROWS, len(few))).astype(np.int64))
    found = {
        "row order": relative_difference(whole[order], _answers(candidate, _part(few.columns, order))),
        "id": relative_difference(whole, _answers(candidate, {**few.columns, **keys})),
        "one at a time": relative_difference(whole[ones], _in_batches(candidate, _part(few.columns, ones), 1)),
        f"{_BATCH} at a time": relative_difference(whole, _in_batches(candidate, few.columns, _BATCH)),
    }
    worst = max(found, key=lambda name: found[name])
    detail = f"{len(few):,} rows: differs by {found[worst]:.1g} at most ({worst})"
    return Verdict(found[worst] <= tolerance, detail, {"rows": len(few), "differences": found})


def _names_the_row(rows: Dataset) -> tuple[str, str] | None:
    """Return an input that repeats a key of its row, and the key; one that tells few rows apart is a feature."""
    for key, values in rows.keys.items():
        texts = [str(value) for value in values.tolist()]
        if key in rows.columns or len(set(texts)) < max(2, 0.5 * len(texts)):
            continue
        for name, column in rows.columns.items():
            if column.dtype == object and [str(value) for value in column.tolist()] == texts:
                return name, key
    return None


def _answers(candidate: Candidate, columns: Mapping[str, Any]) -> Any:
    return candidate.model.predict(columns).value


def _part(columns: Mapping[str, Any], rows: Any) -> dict[str, Any]:
    return {name: column[rows] for name, column in columns.items()}


def _in_batches(candidate: Candidate, columns: Mapping[str, Any], size: int) -> Any:
    count = len(next(iter(columns.values())))
    places = (np.arange(start, min(start + size, count)) for start in range(0, count, size))
    return np.concatenate([_answers(candidate, _part(columns, rows)) for rows in places])


@gate(behaviour=True)
def direction(candidate: Candidate, inputs: Mapping[str, int], share: float, rows: int) -> Verdict:
    """Where one input alone grows, the answer moves as declared: pairs of rows that differ in it only.

    The other value of a pair is one that the input has in another row that the model learned from.
    """
    if not inputs:
        return Verdict.inapplicable("no input is declared to push the answer up or down")
    few, found = spread(candidate.holdout, rows), {}
    before = _answers(candidate, few.columns)
    random = np.random.default_rng(0)
    for name, sign in inputs.items():
        column, learned = few.columns[name], candidate.train.columns[name]
        other = random.choice(learned[np.isfinite(learned)], len(few))
        pairs = np.isfinite(column) & (other != column)
        moved = (_answers(candidate, {**few.columns, name: other}) - before) * np.sign(other - column) * sign
        slack = _TINY * np.abs(before)
        kept = float(np.mean(moved[pairs] >= -slack[pairs])) if pairs.any() else 1.0
        found[name] = {"sign": sign, "pairs": int(pairs.sum()), "share": kept}
    worst = min(found, key=lambda name: found[name]["share"])
    shown = f"{found[worst]['share']:.1%} of {found[worst]['pairs']:,} pairs move as declared of {worst}"
    detail = f"{len(found)} inputs; the fewest: {shown}, wanted are {share:.1%}"
    return Verdict(found[worst]["share"] >= share, detail, {"inputs": found})
