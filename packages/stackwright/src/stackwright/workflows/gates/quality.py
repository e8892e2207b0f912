"""Gates on how good a model is: beside a constant, a line and the champion, in every slice, and in what it promises."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.measures import Measure
from stackwright.workflows.datasets.popularity import popularity
from stackwright.workflows.gates.base import SUPERVISED, Candidate, gate
from stackwright.workflows.gates.slicing import Slice, slices_of
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.trainer import TaskKind
from stackwright_interfaces.types import Kind
from stackwright_numerics import metrics
from stackwright_numerics.baselines import Dummy, Linear, TaskName
from stackwright_numerics.categories import to_matrix
from stackwright_serving.model import LoadedModel, Prediction

Floats = NDArray[np.float64]

_CONFIDENCE: Final = 0.95
_DRAWS: Final = 200
_SHOWN: Final = 10


@gate()
def baseline(candidate: Candidate, min_gain: float) -> Verdict:
    """On rows it has not seen, the model beats a constant by a margin and is no worse than what is simple.

    Simple is a linear model; of a ranking, of the grade, and beside it what is popular: the mean relevance that a row's
    keys had in the rows learned from. A constant puts a list in random order. Of times the line is of the logarithm of
    the days, a row that waits taken for one whose event came.
    """
    measure, holdout = candidate.measure, candidate.holdout
    answers = {"model": candidate.answer.value, **_simple(candidate)}
    errors = {name: measure.loss(holdout, answer) for name, answer in answers.items()}
    gain = 1 - errors["model"] / errors["constant"] if errors["constant"] else -np.inf
    simple = [error for name, error in errors.items() if name not in ("model", "constant")]
    passed = bool(np.isfinite(gain) and gain >= min_gain and errors["model"] <= min(simple))
    shown = ", ".join(f"{name} {error:.4g}" for name, error in errors.items())
    count = f"{len(measure.units(holdout)):,} newer {measure.unit}"
    loss = measure.name(holdout)
    detail = f"{loss} on {count}: {shown}; gain {gain:.1%}, wanted is {min_gain:.1%}"
    return Verdict(passed, detail, {**errors, "gain": gain, "metric": loss})


def _simple(candidate: Candidate) -> dict[str, Floats]:
    """Return the answers of what is simple for the newer rows."""
    signature = candidate.model.manifest.signature
    train, holdout = (to_matrix(rows.columns, signature) for rows in (candidate.train, candidate.holdout))
    target = candidate.shaper.target(candidate.train)
    if candidate.task == TaskKind.TIME_TO_EVENT:
        target = np.log1p(target)
    categorical = [place for place, field in enumerate(signature.inputs) if field.type.kind is Kind.STRING]
    undo: Any = candidate.model.postprocess if candidate.task in SUPERVISED else np.asarray
    task: TaskName = "classification" if candidate.task == TaskKind.CLASSIFICATION else "regression"
    found = {
        "constant": undo(Dummy(task).fit(train, target).predict(holdout)),
        "linear": undo(Linear(task, categorical=categorical).fit(train, target).predict(holdout)),
    }
    popular = popularity(candidate.train, candidate.holdout)
    return found if popular is None else {**found, "popular": popular}


@gate()
def champion(candidate: Candidate, min_gain: float, rows: int) -> Verdict:
    """On rows that neither has seen, the model is not worse than the champion: a paired bootstrap of the gain.

    The gain is one minus the ratio of their losses; the lower end of its 95 % interval decides. Of a ranking, lists are
    drawn, and counted; of times, rows with all their pairs.
    """
    held, answer = candidate.rival.champion, candidate.rival.answer
    if held is None or answer is None:
        return Verdict.inapplicable(candidate.rival.why, {"champion": None if held is None else held.version.ref})
    measure, holdout = candidate.measure, candidate.holdout
    unseen = np.isnat(held.learned_until) | (holdout.begun > held.learned_until)
    fresh = holdout.take(unseen)
    new = len(measure.units(fresh)) if len(fresh) else 0
    if new < rows:
        detail = f"{new} {measure.unit} are new to {held.version.ref} too; {rows} are needed to tell them apart"
        return Verdict.inapplicable(detail, {"champion": held.version.ref, "rows": new})
    found = measure.compare(fresh, candidate.answer.value[unseen], answer.value[unseen])
    name = measure.name(fresh)
    evidence = {
        "champion": held.version.ref, "rows": new, "metric": name, "model": found.mine, "champion_loss": found.theirs,
        "gain": found.gain, "low": found.low, "high": found.high,
    }  # fmt: skip
    shown = f"{name} {found.mine:.4g}, of {held.version.ref} {found.theirs:.4g}"
    told = f"gain {found.gain:.2%}, surely {found.low:.2%}, wanted is {min_gain:.2%}"
    return Verdict(found.low >= min_gain, f"{shown}, on {new:,} {measure.unit}: {told}", evidence)


@gate()
def slices(candidate: Candidate, ratio: float, rows: int, by: list[str]) -> Verdict:
    """In no slice of the newer rows the error is more than so many times that of all, by more than chance explains.

    Slices are the values of text and boolean inputs, and of the columns in ``by``, whose numbers are cut in fifths.
    Losses of a class are taken in proportion to the entropy of the share of ones in the slice, and those of all rows to
    the mean of that over the slices of the column. Chance is a one-sided 95 %, divided by the number of slices. A slice
    in which the champion errs no less is told, and no reason to keep the champion.

    Of a ranking, lists are sliced, by columns of which a list has one value alone: those of the search and of who
    searched, not those of what was found.
    """
    measure, holdout = candidate.measure, candidate.holdout
    units = measure.units(holdout)
    found = list(
        slices_of(units, candidate.model.manifest.signature.inputs, by, rows, {**holdout.keys, **holdout.columns})
    )
    if not found:
        return Verdict.inapplicable(f"no slice has {rows} of the {len(units):,} newer {measure.unit}")
    losses = measure.losses(holdout, candidate.answer.value)
    if not losses.any():
        return Verdict(passed=True, detail="there is no error to be divided", evidence={"slices": len(found)})
    doubt = NormalDist().inv_cdf(1 - (1 - _CONFIDENCE) / len(found))
    rival = candidate.rival.answer
    theirs = None if rival is None else measure.losses(holdout, rival.value)
    judged = sorted((_judged(measure, item, units.target, losses, theirs, doubt) for item in found), key=_by_ratio)
    over = [item for item in judged if item["surely"] > ratio]
    worse = [item for item in over if item["champion"] is None or item["champion"] < item["loss"]]
    evidence = {"slices": len(judged), "overall": float(losses.mean()), "worst": judged[:_SHOWN], "n_red": len(worse)}
    told = ", ".join(f"{item['slice']} {item['ratio']:.2f} times (n {item['n']:,})" for item in (worse or judged)[:3])
    lead = f"{len(worse)} of {len(judged)} slices err too much" if worse else f"{len(judged)} slices; the worst"
    aside = f"; in {len(over) - len(worse)} the champion errs no less" if len(over) > len(worse) else ""
    return Verdict(not worse, f"{lead}: {told}{aside}", evidence)


def _by_ratio(item: dict[str, Any]) -> float:
    return -float(item["ratio"])


def _judged(
    measure: Measure, item: Slice, truth: Floats, losses: Floats, theirs: Floats | None, doubt: float
) -> dict[str, Any]:
    own = losses[item.rows]
    peers = sum(measure.inherent(truth[places]) * places.size for places in item.peers) / losses.size
    scale = peers / (float(losses.mean()) * measure.inherent(truth[item.rows]))
    ratio, spread = float(own.mean()) * scale, measure.spread(own) * scale
    rival = None if theirs is None else float(theirs[item.rows].mean())
    return {
        "slice": item.name, "n": int(own.size), "ratio": ratio, "surely": ratio - doubt * spread,
        "loss": float(own.mean()), "champion": rival,
    }  # fmt: skip


@gate(tasks=SUPERVISED, why="scores and expected times promise no probability, and have no intervals")
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


@gate(tasks=(TaskKind.RANKING,), refits=True)
def recall(candidate: Candidate, share: float) -> Verdict:
    """Of what proved relevant, the retrievers found enough for the ranker to choose from, as the trainer measured.

    A trainer that ranks the lists it is given has no retrievers; where the blueprint names this gate, it needs some.
    """
    found = candidate.measured.get("candidate_recall")
    if found is None and candidate.part.gates.get("recall") in (None, False):
        return Verdict.inapplicable("the trainer ranks the lists it is given: it measured no candidate_recall")
    if found is None:
        return Verdict(passed=False, detail="the trainer measured no candidate_recall")
    return Verdict(found >= share, f"{found:.1%} of the relevant are among the candidates", {"recall": found})
