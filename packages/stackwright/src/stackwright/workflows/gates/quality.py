"""Gates on how good a model is: beside a constant, a line and the champion, and in every slice."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.measures import Measure
from stackwright.workflows.datasets.popularity import popularity
from stackwright.workflows.gates.base import SUPERVISED, Candidate, gate
from stackwright.workflows.gates.slicing import Slice, slices_of
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.trainer import TaskKind
from stackwright_interfaces.types import Kind
from stackwright_numerics.baselines import Dummy, Linear, TaskName
from stackwright_numerics.categories import to_matrix

Floats = NDArray[np.float64]

_CONFIDENCE: Final = 0.95
_SHOWN: Final = 10
_UNSEEN: Final = "unseen"


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
    unseen = candidate.rival.unseen
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
    in which the champion errs no less, on so many rows that neither has seen, is told, and no reason to keep it.

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
    beside = _beside(candidate, losses.size)
    judged = sorted(
        ({**_judged(measure, item, units.target, losses, doubt), **_excused(item, beside, rows)} for item in found),
        key=_by_ratio,
    )
    over = [item for item in judged if item["surely"] > ratio]
    worse = [item for item in over if not item["excused"]]
    evidence = {"slices": len(judged), "overall": float(losses.mean()), "worst": judged[:_SHOWN], "n_red": len(worse)}
    told = ", ".join(f"{item['slice']} {item['ratio']:.2f} times (n {item['n']:,})" for item in (worse or judged)[:3])
    lead = f"{len(worse)} of {len(judged)} slices err too much" if worse else f"{len(judged)} slices; the worst"
    aside = f"; in {len(over) - len(worse)} the champion errs no less" if len(over) > len(worse) else ""
    return Verdict(not worse, f"{lead}: {told}{aside}", evidence)


def _by_ratio(item: dict[str, Any]) -> float:
    return -float(item["ratio"])


def _beside(candidate: Candidate, count: int) -> tuple[Floats, Floats]:
    """Return the losses of the model and of the champion, of each unit; NaN of those that the champion has seen."""
    mine, theirs = np.full(count, np.nan), np.full(count, np.nan)
    rival, measure, holdout = candidate.rival, candidate.measure, candidate.holdout
    if rival.answer is not None and rival.unseen.any():
        few = measure.units(replace(holdout, columns={_UNSEEN: rival.unseen}, keys={}))
        fresh, places = holdout.take(rival.unseen), few.columns[_UNSEEN]
        mine[places] = measure.losses(fresh, candidate.answer.value[rival.unseen])
        theirs[places] = measure.losses(fresh, rival.answer.value[rival.unseen])
    return mine, theirs


def _excused(item: Slice, beside: tuple[Floats, Floats], rows: int) -> dict[str, Any]:
    """Return the champion's loss in a slice, and whether the model's is no greater: of too few rows neither."""
    mine, theirs = (losses[item.rows][~np.isnan(losses[item.rows])] for losses in beside)
    if theirs.size < rows:
        return {"champion": None, "excused": False}
    return {"champion": float(theirs.mean()), "excused": bool(theirs.mean() >= mine.mean())}


def _judged(measure: Measure, item: Slice, truth: Floats, losses: Floats, doubt: float) -> dict[str, Any]:
    own = losses[item.rows]
    peers = sum(measure.inherent(truth[places]) * places.size for places in item.peers) / losses.size
    scale = peers / (float(losses.mean()) * measure.inherent(truth[item.rows]))
    ratio, spread = float(own.mean()) * scale, measure.spread(own) * scale
    return {
        "slice": item.name, "n": int(own.size), "ratio": ratio, "surely": ratio - doubt * spread,
        "loss": float(own.mean()),
    }  # fmt: skip


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
