"""``scorecard``: Google's ML Test Score of a project, counted from what was measured and what people claim.

E. Breck, S. Cai, E. Nielsen, M. Salib, D. Sculley (2017): The ML Test Score, a rubric for ML production readiness and
technical debt reduction. 28 checks in four sections; a check that is automated counts 1, one that was done by hand and
written down 0.5. The score of a section is the sum, the final score the least of the four.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.scorecard.checks import CHECKS, SECTIONS, Check, Measured
from stackwright.workflows.scorecard.claims import FILE, Claim, read_claims
from stackwright.workflows.scorecard.evidence import Evidence

AUTOMATED: Final = 1.0
MANUAL: Final = 0.5

_MEANINGS: Final = (
    (0.0, "more of a research project than a productionised system"),
    (1.0, "not totally untested, but it may have serious holes in reliability"),
    (2.0, "a first pass at basic productionisation; more investment may be needed"),
    (3.0, "reasonably tested; more of the tests and procedures may be automated"),
    (5.0, "strong levels of automated testing and monitoring, fit for mission-critical systems"),
)
_BEST: Final = "exceptional levels of automated testing and monitoring"


@dataclass(frozen=True)
class Scored:
    """A check with its points.

    Args:
        points: 1 where it is automated, 0.5 where it is claimed, else 0.
        found: what was measured, or what is claimed.
    """

    check: Check
    points: float
    found: str


def scorecard(stack: Stack, name: str | None = None) -> Outcome:
    """Score a project.

    Args:
        name: only this model; without it, a check counts for a project where it does for each of its models.

    Raises:
        ProjectError: the file of claims cannot be read, or claims something that is no check.
        BlueprintError: there is no such model, or there are recommenders alone, which it has no checks for.
        DataError: a report that counts is damaged.
    """
    alone = name or (stack.blueprint.recommenders and not stack.blueprint.models)
    parts = [stack.model(name)] if alone else list(stack.blueprint.models.values())
    evidence = [Evidence(stack, part) for part in parts]
    claims = read_claims(stack.project.folder, [check.id for check in CHECKS], stack.clock())
    scored = [_score(check, evidence, claims.get(check.id)) for check in CHECKS]
    sections = {section: sum(item.points for item in scored if item.check.section == section) for section in SECTIONS}
    score = min(sections.values())
    about = ", ".join(item.ref for item in evidence) or "no model"
    rows = [(item.check.section, item.check.id, item.points, item.check.title, item.found) for item in scored]
    data = {
        "score": score,
        "meaning": meaning_of(score),
        "models": [item.ref for item in evidence],
        "sections": sections,
        "checks": [_to_json(item) for item in scored],
    }
    tables = (
        Table(("section", "points of 7"), [(section, f"{points:g}") for section, points in sections.items()]),
        Table(("section", "check", "points", "what it asks", "what was found"), rows),
    )
    notes = (
        f"The score is the least of the four sections: {score:g} means {meaning_of(score)}.",
        f"1 is automated, 0.5 done by hand and written down in {FILE}.",
    )
    return Outcome(f"ML Test Score {score:g} of 7, for {about}", data, tables, notes)


def meaning_of(score: float) -> str:
    """Return what the paper says of a score."""
    return next((meaning for limit, meaning in _MEANINGS if score <= limit), _BEST)


def _score(check: Check, evidence: Sequence[Evidence], claim: Claim | None) -> Scored:
    measured = _measured(check, evidence)
    if measured.done:
        return Scored(check, AUTOMATED, measured.found)
    if claim is not None:
        by = f", {claim.by}" if claim.by else ""
        return Scored(check, MANUAL, f"by hand ({claim.date.isoformat()}{by}): {claim.reason}")
    return Scored(check, 0.0, measured.found)


def _measured(check: Check, evidence: Sequence[Evidence]) -> Measured:
    """Return what holds of every model: the first of which it does not hold decides."""
    if check.measure is None:
        return Measured(done=False, found="nothing measures it here; it can be claimed")
    if not evidence:
        return Measured(done=False, found="the blueprint has no model")
    each = [(item, check.measure(item)) for item in evidence]
    item, found = next(((item, found) for item, found in each if not found.done), each[0])
    return found if len(each) == 1 else Measured(found.done, f"{item.ref}: {found.found}")


def _to_json(item: Scored) -> Mapping[str, Any]:
    how = {AUTOMATED: "automated", MANUAL: "manual"}.get(item.points, "none")
    check = item.check
    return {"id": check.id, "section": check.section, "title": check.title, "points": item.points, "how": how,
            "found": item.found}  # fmt: skip
