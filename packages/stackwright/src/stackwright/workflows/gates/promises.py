"""The gate on what a model promises of its answers: chances that come true, intervals and quantiles that hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.gates.base import SUPERVISED, Candidate, gate
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.model import Manifest
from stackwright_numerics import metrics
from stackwright_serving.model import QUANTILES, Prediction

Floats = NDArray[np.float64]

_CONFIDENCE: Final = 0.95
_DRAWS: Final = 200
_ROUNDING: Final = 1e-9
INTERVALS: Final = "intervals"


class Promise(NamedTuple):
    """What should hold of a share of the truths.

    Args:
        level: the share that is meant.
        gap: by how much the share that was found exceeds it.
        rows: how many truths were looked at.
    """

    level: float
    gap: float
    rows: int

    @property
    def noise(self) -> float:
        """How far chance alone brings the share off, in nineteen of twenty samples."""
        return NormalDist().inv_cdf(0.5 + _CONFIDENCE / 2) * float(np.sqrt(self.level * (1 - self.level) / self.rows))


@gate(tasks=SUPERVISED, why="scores and expected times promise no probability, and have no intervals")
def calibration(candidate: Candidate, ece: float, coverage: float, rows: int) -> Verdict:
    """On newer rows probabilities come true as often as they say, and intervals hold as many truths.

    Two quantiles that leave as much below as above are the ends of an interval; of another quantile the share of truths
    below it is taken. What chance alone brings about in so many rows is allowed on top; and what is off by no more than
    in the champion, on so many rows that neither has seen, holds nothing back. An interval without ends holds nothing.
    """
    if len(candidate.holdout) < rows:
        return Verdict.inapplicable(f"{len(candidate.holdout)} newer rows; {rows} are needed")
    if candidate.task == "classification":
        return _of_chances(candidate, ece, rows)
    return _of_values(candidate, coverage, rows)


def _of_chances(candidate: Candidate, ece: float, rows: int) -> Verdict:
    holdout, answer, rival = candidate.holdout, candidate.answer, candidate.rival
    gap, noise = metrics.ece(holdout.target, answer.value), _ece_noise(answer.value)
    mine = theirs = None
    if rival.answer is not None and rival.unseen.sum() >= rows:
        mine, theirs = (
            metrics.ece(holdout.target[rival.unseen], found.value[rival.unseen]) for found in (answer, rival.answer)
        )
    excused = gap > max(ece, noise) and mine is not None and theirs is not None and theirs >= mine
    detail = f"expected calibration error {gap:.3f} on {len(holdout):,} rows; chance alone gives up to {noise:.3f}"
    aside = f"; the champion is off by {theirs:.3f}" if excused else ""
    evidence = {"ece": gap, "noise": noise, "rows": len(holdout), "champion_gap": theirs}
    return Verdict(gap <= max(ece, noise) or excused, detail + aside, evidence)


def _of_values(candidate: Candidate, coverage: float, rows: int) -> Verdict:
    manifest, answer, holdout = candidate.model.manifest, candidate.answer, candidate.holdout
    found = promises(manifest, answer, holdout)
    if not found:
        aside = " of these rows" if answer.further else ""
        return Verdict.inapplicable(f"the model gives no intervals{aside}")
    rival, mine, theirs = candidate.rival, dict[str, Promise](), dict[str, Promise]()
    held = None if rival.champion is None else rival.champion.model
    if held is not None and rival.answer is not None and rival.unseen.sum() >= rows:
        mine = promises(manifest, answer, holdout, rival.unseen)
        theirs = promises(held.manifest, rival.answer, holdout, rival.unseen)
    judged = {name: _judged(promise, mine.get(name), theirs.get(name), coverage) for name, promise in found.items()}
    told = "; ".join(_told(name, item, len(candidate.holdout)) for name, item in judged.items())
    quantiles = [{"name": name, **item} for name, item in judged.items() if name != INTERVALS]
    evidence = {**judged.get(INTERVALS, {}), **({QUANTILES: quantiles} if quantiles else {})}
    return Verdict(all(item["holds"] for item in judged.values()), told, evidence)


def _judged(promise: Promise, mine: Promise | None, theirs: Promise | None, coverage: float) -> dict[str, Any]:
    within = abs(promise.gap) <= coverage + promise.noise
    excused = not within and mine is not None and theirs is not None and abs(theirs.gap) >= abs(mine.gap)
    return {
        "gap": promise.gap, "level": promise.level, "noise": promise.noise, "rows": promise.rows,
        "champion_gap": None if theirs is None else theirs.gap, "excused": excused, "holds": within or excused,
    }  # fmt: skip


def _told(name: str, item: Mapping[str, Any], rows: int) -> str:
    holds = f"{name} hold" if name == INTERVALS or " to " in name else f"{name} leaves below it"
    aside = f" (the champion is off by {abs(item['champion_gap']):.3f})" if item["excused"] else ""
    count = f"{rows:,}" if item["rows"] == rows else f"{item['rows']:,} of {rows:,}"
    found, meant = f"{item['level'] + item['gap']:.1%}", f"{100 * item['level']:.4g}%"
    return f"{holds} {found} of {count} newer truths, meant are {meant}{aside}"


def promises(
    manifest: Manifest, answer: Prediction, rows: Dataset, counted: NDArray[np.bool_] | None = None
) -> dict[str, Promise]:
    """Return what a model of numbers promises of the rows it answered: of its intervals, and of its quantiles.

    A pair of quantiles goes by both their names. Rows outside of the selection have intervals, but no quantiles.

    Args:
        counted: which rows count; all where it is left out.
    """
    counted = np.ones(len(rows), dtype=np.bool_) if counted is None else counted
    found: dict[str, Promise | None] = {}
    if answer.lower is not None and answer.upper is not None and manifest.intervals is not None:
        level = float(manifest.intervals["level"])
        found[INTERVALS] = _promise(level, rows.target, answer.lower, answer.upper, counted)
    inside = counted.copy()
    inside[list(answer.outside)] = False
    shares: Sequence[float] = manifest.parameters.get(QUANTILES, ()) if answer.further else ()
    names = [output.name for output in manifest.signature.outputs[1:]]
    ends = dict(zip(shares, names, strict=True)) if len(shares) == len(names) else {}
    for share, name in ends.items():
        other = next((one for one in ends if abs(one + share - 1) < _ROUNDING), None)
        if other is None or other == share:
            below = np.full(len(rows), -np.inf)
            found[name] = _promise(share, rows.target, below, answer.further[name], inside)
        elif share < other:
            ends_of = answer.further[name], answer.further[ends[other]]
            found[f"{name} to {ends[other]}"] = _promise(other - share, rows.target, *ends_of, inside)
    return {name: promise for name, promise in found.items() if promise is not None}


def _promise(level: float, truth: Floats, low: Floats, high: Floats, counted: NDArray[np.bool_]) -> Promise | None:
    """Return a promise of the rows that count, a missing end being a miss; ``None`` where no row does."""
    if not counted.any():
        return None
    held = metrics.interval_coverage(truth[counted], low[counted], high[counted])
    return Promise(level, held - level, int(counted.sum()))


def _ece_noise(share: Floats) -> float:
    """Return the calibration error that truths drawn from the shares themselves exceed in one of twenty draws."""
    random = np.random.default_rng(7)
    drawn = [metrics.ece(random.random(share.size) < share, share) for _ in range(_DRAWS)]
    return float(np.quantile(drawn, _CONFIDENCE))
