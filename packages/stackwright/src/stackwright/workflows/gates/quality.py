"""Gates on how good a model is: beside a constant, a line and the champion, in every slice, and in what it promises."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.gates.base import SUPERVISED, Candidate, gate
from stackwright.workflows.gates.slicing import Slice, slices_of
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.types import Kind
from stackwright_numerics import metrics
from stackwright_numerics.baselines import Dummy, Linear, TaskName
from stackwright_numerics.categories import to_matrix
from stackwright_serving.model import LoadedModel, Prediction

Floats = NDArray[np.float64]

_CLIP: Final = 1e-15
_CONFIDENCE: Final = 0.95
_REPLICATES: Final = 500
_DRAWS: Final = 200
_SHOWN: Final = 10


@gate(tasks=SUPERVISED)
def baseline(candidate: Candidate, min_gain: float) -> Verdict:
    """On rows it has not seen, the model beats a constant by a margin and is no worse than a linear model."""
    signature = candidate.model.manifest.signature
    train, holdout = (to_matrix(rows.columns, signature) for rows in (candidate.train, candidate.holdout))
    target = candidate.shaper.target(candidate.train)
    categorical = [place for place, field in enumerate(signature.inputs) if field.type.kind is Kind.STRING]
    undo = candidate.model.postprocess
    task: TaskName = "classification" if candidate.part.task == "classification" else "regression"
    answers = {
        "model": candidate.answer.value,
        "constant": undo(Dummy(task).fit(train, target).predict(holdout)),
        "linear": undo(Linear(task, categorical=categorical).fit(train, target).predict(holdout)),
    }
    loss, measure = loss_of(task, candidate.holdout.target)
    errors = {name: measure(candidate.holdout.target, answer) for name, answer in answers.items()}
    gain = 1 - errors["model"] / errors["constant"] if errors["constant"] else -np.inf
    passed = bool(np.isfinite(gain) and gain >= min_gain and errors["model"] <= errors["linear"])
    shown = ", ".join(f"{name} {error:.4g}" for name, error in errors.items())
    detail = f"{loss} on {len(candidate.holdout):,} newer rows: {shown}; gain {gain:.1%}, wanted is {min_gain:.1%}"
    return Verdict(passed, detail, {**errors, "gain": gain, "metric": loss})


def loss_of(task: TaskName, truth: Any) -> tuple[str, Callable[..., float]]:
    """Return how models are compared, by name: relative errors where every truth is positive, else absolute ones."""
    if task == "classification":
        return "log_loss", metrics.log_loss
    return ("mape", metrics.mape) if (np.asarray(truth) > 0).all() else ("mae", metrics.mae)


def losses_of(task: str, truth: Floats, answer: Floats) -> Floats:
    """Return the loss of each row, whose mean is that of :func:`loss_of`."""
    if task == "classification":
        share = np.clip(answer, _CLIP, 1 - _CLIP)
        return np.asarray(-(truth * np.log(share) + (1 - truth) * np.log1p(-share)))
    relative = bool((truth > 0).all())
    return np.abs(metrics.relative_error(truth, answer) if relative else answer - truth)


@gate(tasks=SUPERVISED)
def champion(candidate: Candidate, min_gain: float, rows: int) -> Verdict:
    """On rows that neither has seen, the model is not worse than the champion: a paired bootstrap of the gain.

    The gain is one minus the ratio of their losses; the lower end of its 95 % interval decides.
    """
    held, answer = candidate.rival.champion, candidate.rival.answer
    if held is None or answer is None:
        return Verdict.inapplicable(candidate.rival.why, {"champion": None if held is None else held.version.ref})
    truth = candidate.holdout.target
    unseen = np.isnat(held.learned_until) | (candidate.holdout.asked > held.learned_until)
    new = int(unseen.sum())
    if new < rows:
        detail = f"{new} rows are new to {held.version.ref} too; {rows} are needed to tell them apart"
        return Verdict.inapplicable(detail, {"champion": held.version.ref, "rows": new})
    mine, theirs = (losses_of(candidate.task, truth, value)[unseen] for value in (candidate.answer.value, answer.value))
    gain, (low, high) = _gain(mine, theirs), _interval(mine, theirs)
    name, _ = loss_of("classification" if candidate.task == "classification" else "regression", truth)
    evidence = {
        "champion": held.version.ref, "rows": new, "metric": name, "model": float(mine.mean()),
        "champion_loss": float(theirs.mean()), "gain": gain, "low": low, "high": high,
    }  # fmt: skip
    shown = f"{name} {mine.mean():.4g}, of {held.version.ref} {theirs.mean():.4g}"
    detail = f"{shown}, on {new:,} rows: gain {gain:.2%}, surely {low:.2%}, wanted is {min_gain:.2%}"
    return Verdict(low >= min_gain, detail, evidence)


def _gain(mine: Floats, theirs: Floats) -> float:
    mean = float(theirs.mean())
    return 1 - float(mine.mean()) / mean if mean > 0 else (0.0 if not mine.any() else -float("inf"))


def _interval(mine: Floats, theirs: Floats) -> tuple[float, float]:
    if not theirs.any():
        return (_gain(mine, theirs),) * 2
    return metrics.bootstrap(
        lambda drawn: _gain(mine[drawn], theirs[drawn]), len(mine), level=_CONFIDENCE, replicates=_REPLICATES
    )


@gate(tasks=SUPERVISED)
def slices(candidate: Candidate, ratio: float, rows: int, by: list[str]) -> Verdict:
    """In no slice of the newer rows the error is more than so many times that of all, by more than chance explains.

    Slices are the values of text and boolean inputs, and of the columns in ``by``, whose numbers are cut in fifths.
    Losses of a class are taken in proportion to the entropy of the share of ones in the slice, and those of all rows to
    the mean of that over the slices of the column. Chance is a one-sided 95 %, divided by the number of slices. A slice
    in which the champion errs no less is told, and no reason to keep the champion.
    """
    holdout = candidate.holdout
    found = list(slices_of(holdout, candidate.model.manifest.signature.inputs, by, rows))
    if not found:
        return Verdict.inapplicable(f"no slice has {rows} of the {len(holdout):,} newer rows")
    losses = losses_of(candidate.task, holdout.target, candidate.answer.value)
    if not losses.any():
        return Verdict(passed=True, detail="there is no error to be divided", evidence={"slices": len(found)})
    doubt = NormalDist().inv_cdf(1 - (1 - _CONFIDENCE) / len(found))
    judged = sorted((_judged(candidate, item, losses, doubt) for item in found), key=_by_ratio)
    over = [item for item in judged if item["surely"] > ratio]
    worse = [item for item in over if item["champion"] is None or item["champion"] < item["loss"]]
    evidence = {"slices": len(judged), "overall": float(losses.mean()), "worst": judged[:_SHOWN], "n_red": len(worse)}
    told = ", ".join(f"{item['slice']} {item['ratio']:.2f} times (n {item['n']:,})" for item in (worse or judged)[:3])
    lead = f"{len(worse)} of {len(judged)} slices err too much" if worse else f"{len(judged)} slices; the worst"
    aside = f"; in {len(over) - len(worse)} the champion errs no less" if len(over) > len(worse) else ""
    return Verdict(not worse, f"{lead}: {told}{aside}", evidence)


def _by_ratio(item: dict[str, Any]) -> float:
    return -float(item["ratio"])


def _judged(candidate: Candidate, item: Slice, losses: Floats, doubt: float) -> dict[str, Any]:
    task, truth, rival = candidate.task, candidate.holdout.target, candidate.rival.answer
    own = losses[item.rows]
    peers = sum(_inherent(task, truth[places]) * places.size for places in item.peers) / losses.size
    scale = peers / (float(losses.mean()) * _inherent(task, truth[item.rows]))
    ratio, spread = float(own.mean()) * scale, float(own.std(ddof=1)) * scale / np.sqrt(own.size)
    theirs = None if rival is None else float(losses_of(task, truth[item.rows], rival.value[item.rows]).mean())
    return {
        "slice": item.name, "n": int(own.size), "ratio": ratio, "surely": ratio - doubt * float(spread),
        "loss": float(own.mean()), "champion": theirs,
    }  # fmt: skip


def _inherent(task: str, truth: Floats) -> float:
    """Return the entropy of the share of ones, half a row of each class added; for numbers 1."""
    if task != "classification":
        return 1.0
    share = (float(truth.sum()) + 0.5) / (truth.size + 1)
    return float(-(share * np.log(share) + (1 - share) * np.log1p(-share)))


@gate(tasks=SUPERVISED)
def calibration(candidate: Candidate, ece: float, coverage: float, rows: int) -> Verdict:
    """On newer rows probabilities come true as often as they say, and intervals hold as many truths.

    What chance alone brings about in so many rows is allowed on top; and a model that is off by no more than the
    champion is not held back.
    """
    holdout = candidate.holdout
    if len(holdout) < rows:
        return Verdict.inapplicable(f"{len(holdout)} newer rows; {rows} are needed")
    answer = candidate.answer
    if candidate.task == "classification":
        gap, noise = metrics.ece(holdout.target, answer.value), _ece_noise(answer.value)
        evidence, limit = {"ece": gap, "noise": noise, "rows": len(holdout)}, max(ece, noise)
        detail = f"expected calibration error {gap:.3f} on {len(holdout):,} rows; chance alone gives up to {noise:.3f}"
    elif answer.lower is None or answer.upper is None:
        return Verdict.inapplicable("the model gives no intervals")
    else:
        level = _level(candidate.model)
        gap, noise = _coverage_gap(answer, holdout, level), _coverage_noise(level, len(holdout))
        evidence, limit = {"gap": gap, "level": level, "noise": noise, "rows": len(holdout)}, coverage + noise
        detail = f"intervals hold {level + gap:.1%} of {len(holdout):,} newer truths, meant are {level:.0%}"
    theirs = _champion_gap(candidate)
    excused = theirs is not None and abs(gap) > limit and abs(theirs) >= abs(gap)
    aside = f"; the champion is off by {abs(theirs):.3f}" if excused and theirs is not None else ""
    return Verdict(abs(gap) <= limit or excused, detail + aside, {**evidence, "champion_gap": theirs})


def _champion_gap(candidate: Candidate) -> float | None:
    """Return how far the champion is off on the same rows; ``None`` where there is nothing to compare."""
    answer, held, rows = candidate.rival.answer, candidate.rival.champion, candidate.holdout
    if answer is None or held is None or held.model is None:
        return None
    if candidate.task == "classification":
        return metrics.ece(rows.target, answer.value)
    return None if answer.lower is None else _coverage_gap(answer, rows, _level(held.model))


def _level(model: LoadedModel) -> float:
    return float((model.manifest.intervals or {})["level"])


def _coverage_gap(answer: Prediction, rows: Dataset, level: float) -> float:
    assert answer.lower is not None
    assert answer.upper is not None
    return metrics.interval_coverage(rows.target, answer.lower, answer.upper) - level


def _coverage_noise(level: float, rows: int) -> float:
    return NormalDist().inv_cdf(0.5 + _CONFIDENCE / 2) * float(np.sqrt(level * (1 - level) / rows))


def _ece_noise(share: Floats) -> float:
    """Return the calibration error that truths drawn from the shares themselves exceed in one of twenty draws."""
    random = np.random.default_rng(7)
    drawn = [metrics.ece(random.random(share.size) < share, share) for _ in range(_DRAWS)]
    return float(np.quantile(drawn, _CONFIDENCE))


@gate(tasks=("ranking",), refits=True)
def recall(candidate: Candidate, share: float) -> Verdict:
    """Of what proved relevant, the retrievers found enough for the ranker to choose from, as the trainer measured."""
    found = candidate.measured.get("candidate_recall")
    if found is None:
        return Verdict(passed=False, detail="the trainer measured no candidate_recall")
    return Verdict(found >= share, f"{found:.1%} of the relevant are among the candidates", {"recall": found})
