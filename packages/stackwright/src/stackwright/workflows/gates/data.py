"""Gates on the rows that a model learned from: what they should not know, and whether the world is still theirs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.gates.base import Candidate, gate, spread
from stackwright.workflows.gates.joining import differing, joined
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.trainer import TaskKind
from stackwright_numerics import metrics
from stackwright_numerics.drift import Histogram, Limits, compare

_CLOCK: Final = 0.9
_ASKED_ANEW: Final = 1_000
_FEWEST: Final = 5
_SHOWN: Final = 5


@gate()
def leakage(candidate: Candidate, auc: float, late: float, rows: int) -> Verdict:
    """No input alone gives the target away, no truth is older than its question, no value was written down later.

    A number is judged by the area under its ROC curve for the class, for what is relevant, or for a target above its
    median, and by whether it is there at all; a text by the mean target of its value among the older half of the rows,
    judged on the newer half. Fewer than five rows of either side tell nothing. Times are above their median where the
    event came later, or a row waited longer; rows that have not waited as long are passed over.
    """
    few = spread(candidate.train, rows)
    judged_rows, positive = _sides(candidate.task, few)
    areas = {
        field.name: _area(few.columns[field.name][judged_rows], positive)
        for field in candidate.model.manifest.signature.inputs
    }
    judged = {name: area for name, area in areas.items() if area is not None}
    early = float(np.mean(few.observed < few.asked))
    written = _written_late(candidate)
    evidence = {"auc": dict(sorted(judged.items(), key=lambda item: -item[1])[:_SHOWN]), "known_before": early,
                "written_late": written}  # fmt: skip
    telling = max(judged, key=lambda name: judged[name], default="")
    problems = [
        *(
            [f"{telling} alone gives the target away, as from an AUC of {auc:g} on (of an honest input, raise auc)"]
            if telling and judged[telling] >= auc
            else []
        ),
        *([f"{early:.1%} of the truths were known before they were asked for"] if early else []),
        *([f"{written:.1%} of the rows hold values written down later"] if written > late else []),
    ]
    shown = f"{telling} has an AUC of {judged[telling]:.3f}, the most of one input" if telling else "no input to judge"
    return Verdict(not problems, "; ".join([*problems, shown, f"{written:.1%} written down later"]), evidence)


def _sides(task: str, rows: Dataset) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which rows are of a side, and 1 for those of the one that inputs should not give away."""
    every = np.ones(len(rows), dtype=np.bool_)
    if task in (TaskKind.CLASSIFICATION, TaskKind.RANKING):
        return every, (rows.target > 0).astype(np.float64)
    middle = np.median(rows.target if rows.event is None or not rows.event.any() else rows.target[rows.event])
    known = every if rows.event is None else rows.event | (rows.target > middle)
    return known, (rows.target[known] > middle).astype(np.float64)


def _area(column: NDArray[Any], positive: NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve of one input, whichever way it points; ``None`` of too few rows."""
    if column.dtype == object:
        half = len(column) // 2
        means = _means(column[:half], positive[:half])
        known = np.array([value in means for value in column[half:].tolist()], dtype=bool)
        score = np.array([means.get(value, 0.0) for value in column[half:].tolist()])[known]
        return _either_way(positive[half:][known], score)
    known = np.isfinite(column)
    areas = (_either_way(positive[known], column[known]), _either_way(positive, known.astype(np.float64)))
    return max((area for area in areas if area is not None), default=None)


def _either_way(truth: NDArray[np.float64], score: NDArray[np.float64]) -> float | None:
    ones = float(truth.sum())
    if min(ones, truth.size - ones) < _FEWEST:
        return None
    found = metrics.auc(truth, score)
    return max(found, 1 - found)


def _means(column: NDArray[Any], positive: NDArray[np.float64]) -> dict[Any, float]:
    values, places = np.unique([repr(value) for value in column.tolist()], return_inverse=True)
    means = np.bincount(places, positive, minlength=values.size) / np.maximum(np.bincount(places), 1)
    return {value: float(means[place]) for value, place in zip(column.tolist(), places.tolist(), strict=True)}


def _written_late(candidate: Candidate) -> float:
    """Return the share of rows whose features differ where only what was written down by then counts."""
    few = spread(candidate.train, _ASKED_ANEW)
    service = candidate.stack.service(candidate.part.service)
    if not service.selections:
        return 0.0
    found, known = (
        joined(candidate.stack, service, few.keys, few.asked, known_by=known_by) for known_by in (False, True)
    )
    unlike = differing(found, known)
    return float(np.any(list(unlike.values()), axis=0).mean()) if unlike else 0.0


@gate()
def drift(candidate: Candidate, psi: float, rows: int, ignore: list[str]) -> Verdict:
    """The newer rows look like those it learned from: population stability index of each input, less that of chance.

    Inputs that run with the clock (rank correlation with the time asked of 0.9 and more) cannot, and are named. An
    input that lies at least as far from what the champion learned, in enough rows that it has not seen, is told, and no
    reason to keep the champion. An input of which a list has one value counts once a list.
    """
    if min(len(candidate.train), len(candidate.holdout)) < rows:
        return Verdict.inapplicable(f"{len(candidate.holdout):,} newer rows; {rows:,} are needed")
    limits, found, clocks = Limits(psi=psi, minimum=rows), {}, []
    for field in candidate.model.manifest.signature.inputs:
        before, now = candidate.train.columns[field.name], candidate.holdout.columns[field.name]
        if field.name not in ignore and _runs_with_time(candidate.train, before):
            clocks.append(field.name)
        elif field.name not in ignore:
            if candidate.train.is_of_lists(before) and candidate.holdout.is_of_lists(now):
                before, now = before[candidate.train.starts], now[candidate.holdout.starts]
            reference = Histogram.of(before)
            found[field.name] = compare(reference, reference.count(now), limits)
    measured = {name: item.psi for name, item in found.items() if item.psi is not None}
    over = [name for name, value in measured.items() if value - (found[name].psi_noise or 0.0) >= psi]
    drifted = [name for name in over if not _further(candidate, name, limits)]
    ordered = sorted(measured.items(), key=lambda item: -item[1])
    evidence = {"psi": dict(ordered[:_SHOWN]), "drifted": drifted, "clocks": clocks, "ignored": ignore}
    told = ", ".join(f"{name} {value:.2f}" for name, value in ordered[:3])
    lead = f"{len(drifted)} of {len(measured)} inputs drifted" if drifted else f"{len(measured)} inputs"
    aside = f"; passed over, as they run with the clock: {', '.join(clocks)}" if clocks else ""
    aside += f"; further from what the champion learned: {len(over) - len(drifted)}" if len(over) > len(drifted) else ""
    return Verdict(not drifted, f"{lead}: PSI {told or 'of none'}{aside}", evidence)


def _further(candidate: Candidate, name: str, limits: Limits) -> bool:
    """Return whether the rows new to both are at least as far from those that the champion learned from."""
    held = candidate.rival.champion
    if held is None or held.model is None or candidate.rival.answer is None:
        return False
    document = held.model.manifest.histograms.get(name)
    fresh = candidate.holdout.columns[name][candidate.rival.unseen]
    if document is None or len(fresh) < limits.minimum:
        return False
    references = Histogram.of(candidate.train.columns[name]), Histogram.from_json(document)
    mine, theirs = (compare(reference, reference.count(fresh), limits).psi for reference in references)
    return mine is not None and theirs is not None and theirs >= mine


def _runs_with_time(rows: Dataset, column: NDArray[Any]) -> bool:
    if column.dtype == object:
        return False
    known = np.isfinite(column)
    if known.sum() < 3 or np.ptp(column[known]) == 0:
        return False
    ranks = np.stack([_ranks(values[known]) for values in (rows.asked.astype(np.int64), column)])
    return bool(abs(np.asarray(np.corrcoef(ranks))[0, 1]) >= _CLOCK)


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return ranks, equal values sharing the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[places], dtype=np.float64)
