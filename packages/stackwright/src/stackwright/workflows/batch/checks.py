"""Checks of a whole output before anyone sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stackwright.assembly.output_part import OutputPart
from stackwright.workflows.batch.work import Done
from stackwright_numerics.drift import Counts, Histogram, Limits, compare


@dataclass(frozen=True)
class Check:
    """What was looked at.

    Args:
        name: of the check.
        ok: whether it is as it should be.
        found: what was found.
        allowed: what would be.
    """

    name: str
    ok: bool
    found: Any
    allowed: Any


def checks_of(part: OutputPart, done: Done, expected: int, reference: Histogram | None) -> list[Check]:
    """Return the checks of an output.

    Args:
        expected: rows of the source.
        reference: the model's predictions when it was trained.
    """
    return list(_checks(part, done, expected, reference))


def _checks(part: OutputPart, done: Done, expected: int, reference: Histogram | None) -> Iterator[Check]:
    yield Check("complete", done.answered + done.rejected == expected, done.answered + done.rejected, expected)
    yield Check("rows", done.answered >= part.min_rows, done.answered, f"at least {part.min_rows:,}")
    share = done.rejected / max(done.rows, 1)
    yield Check("rejected", share <= part.max_rejected, round(share, 6), part.max_rejected)
    if part.max_incomplete < 1:
        share = done.incomplete / max(done.answered, 1)
        yield Check("incomplete", share <= part.max_incomplete, round(share, 6), part.max_incomplete)
    if part.range is not None and done.low is not None and done.high is not None:
        low, high = part.range
        yield Check("range", low <= done.low and done.high <= high, [done.low, done.high], [low, high])
    if part.max_drift and reference is not None and done.counts is not None:
        drift = compare(reference, Counts.from_json(done.counts), Limits(psi=part.max_drift))
        yield Check("drift", drift.states.get("psi") != "alarm", drift.psi, part.max_drift)
