"""The 28 checks of the ML Test Score, and what counts as proof of each.

A check without a measure can only be claimed. What is measured must have been run by a machine and be run again with
each version or report: a gate, an expectation, a report, a line of a journal.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from stackwright.workflows.inspection import drifted
from stackwright.workflows.scorecard.evidence import Evidence
from stackwright_interfaces.errors import StackwrightError
from stackwright_journal.deciding import headed
from stackwright_numerics.metrics import HIGHER_IS_BETTER

SECTIONS: Final = ("data", "model", "infrastructure", "monitoring")


@dataclass(frozen=True)
class Measured:
    """Whether a check is automated, and what shows it."""

    done: bool
    found: str


Measure = Callable[[Evidence], Measured]


@dataclass(frozen=True)
class Check:
    """One check.

    Args:
        id: what claims call it.
        title: what it asks.
        measure: what proves it; ``None`` where nothing here does.
    """

    section: str
    id: str
    title: str
    measure: Measure | None = None


def _gates(*names: str) -> Measure:
    """Return the measure that these gates were run and are green."""

    def measure(evidence: Evidence) -> Measured:
        if evidence.version is None:
            return Measured(done=False, found="no version is published")
        states = {name: evidence.gates.get(name, {}).get("state", "not run") for name in names}
        if len(names) == 1 and names[0] in evidence.gates:
            told = f"gate {names[0]} is {states[names[0]]}: {evidence.gates[names[0]]['detail']}"
        else:
            told = ", ".join(f"gate {name} is {state}" for name, state in states.items())
        return Measured(all(state == "green" for state in states.values()), told)

    return measure


def _expectations(evidence: Evidence) -> Measured:
    expecting = [view.ref for view in evidence.views if view.expect]
    number = sum(len(view.expect) for view in evidence.views)
    found = f"{len(expecting)} of {len(evidence.views)} views declare expectations, {number} in all"
    return Measured(bool(evidence.views) and len(expecting) == len(evidence.views), found)


def _meta_requirements(evidence: Evidence) -> Measured:
    if evidence.service is None:
        return Measured(done=False, found=f"{evidence.part.service} is not applied")
    owners = [evidence.service.owner, *(view.owner for view in evidence.views)]
    owned = f"{sum(map(bool, owners))} of {len(owners)} definitions name an owner"
    leakage = _gates("leakage")(evidence)
    return Measured(all(owners) and leakage.done, f"{owned}; {leakage.found}")


def _tuned(evidence: Evidence) -> Measured:
    record = {} if evidence.version is None else evidence.version.record
    trials = record.get("trials") or []
    number = len(trials) if isinstance(trials, list) else int(trials)
    return Measured(number > 1, f"{number} parameter sets were tried")


def _metrics_agree(evidence: Evidence) -> Measured:
    """Hold what was measured at training against what matured live: versions must be ordered alike by both."""
    pairs: dict[int, tuple[float, float]] = {}
    for group in evidence.report.get("performance", {}).get("groups", []):
        name, judged = headed(group["judged"])
        if judged.get("value") is not None and judged.get("expected") is not None:
            sign = -1.0 if name in HIGHER_IS_BETTER else 1.0
            pairs[int(group["version"])] = (sign * float(judged["expected"]), sign * float(judged["value"]))
    if len(pairs) < 2:
        return Measured(done=False, found=f"{len(pairs)} versions have matured predictions; it takes two to compare")
    offline = sorted(pairs, key=lambda version: pairs[version][0])
    online = sorted(pairs, key=lambda version: pairs[version][1])
    told = ", ".join(
        f"@{version} {abs(before):.3f} then {abs(after):.3f}" for version, (before, after) in sorted(pairs.items())
    )
    return Measured(offline == online, f"error at training and live: {told}")


def _validated(evidence: Evidence) -> Measured:
    moves = [event for event in evidence.events if event.kind == "alias" and event.alias == evidence.stack.champion]
    if not moves:
        return Measured(done=False, found="no version was promoted")
    last = moves[-1]
    when, proof = last.at.date().isoformat(), last.evidence
    if proof.get("forced"):
        return Measured(done=False, found=f"@{last.after} was forced on {when}: {last.why}")
    gates = proof.get("gates", [])
    return Measured(bool(gates), f"@{last.after} was promoted on {when} with {len(gates)} gates as evidence")


def _debuggable(evidence: Evidence) -> Measured:
    logged = evidence.logged
    found = f"{logged.traceable:,} of {logged.predictions:,} predictions of the last 90 days are logged with features"
    return Measured(0 < logged.predictions == logged.traceable, found)


def _canaried(evidence: Evidence) -> Measured:
    others = {arm: count for arm, count in evidence.logged.arms.items() if arm != "live"}
    told = ", ".join(f"{count:,} by {arm}" for arm, count in sorted(others.items())) or "none by a shadow or canary"
    return Measured(bool(others), f"of {evidence.logged.predictions:,} predictions of the last 90 days: {told}")


def _rolled_back(evidence: Evidence) -> Measured:
    seen: set[int] = set()
    for event in evidence.events:
        if event.kind == "alias" and event.alias == evidence.stack.champion and event.after is not None:
            if event.after in seen:
                found = f"{event.alias} went back to @{event.after} on {event.at.date().isoformat()}: {event.why}"
                return Measured(done=True, found=found)
            seen.add(event.after)
    return Measured(done=False, found=f"{evidence.stack.champion} never went back to an earlier version")


def _dependencies(evidence: Evidence) -> Measured:
    from stackwright.assembly import lock

    stack = evidence.stack
    if not stack.project.lock.exists() or lock.locked(stack.project) is None:
        return Measured(done=False, found="the stack is not locked: stackwright lock")
    with suppress(StackwrightError):
        return Measured(done=True, found=f"locked; every verb tells of differences, {len(drifted(stack))} now")
    return Measured(done=False, found="the lock cannot be compared")


def _input_invariants(evidence: Evidence) -> Measured:
    data: dict[str, Any] = evidence.report.get("data", {})
    if not data.get("n"):
        return Measured(done=False, found="no report on what was asked")
    states = [column["state"] for column in data["columns"].values()]
    judged = sum(state != "insufficient" for state in states)
    alarms = sum(state == "alarm" for state in states)
    found = f"{judged} of {len(states)} inputs of {data['n']:,} predictions were judged, {alarms} in alarm"
    return Measured(judged > 0 and not alarms, f"report of {str(evidence.report.get('at', ''))[:10]}: {found}")


def _age(evidence: Evidence) -> Measured:
    if evidence.version is None:
        return Measured(done=False, found="no version is published")
    days = (evidence.stack.clock() - evidence.version.created).days
    return Measured(done=False, found=f"{evidence.ref} is {days} days old; nothing says how old it may become")


def _performance(evidence: Evidence) -> Measured:
    latency = _gates("latency")(evidence)
    compared = evidence.gates.get("latency", {}).get("evidence", {}).get("champion")
    if latency.done and not compared:
        return Measured(done=False, found=f"{latency.found}; there was no champion to compare with")
    return latency


def _quality(evidence: Evidence) -> Measured:
    version = None if evidence.version is None else evidence.version.version
    groups = evidence.report.get("performance", {}).get("groups", [])
    mine = [group for group in groups if group["version"] == version and group["judged"]]
    states = [verdict["state"] for group in mine for verdict in group["judged"].values()]
    proven = [state for state in states if state != "insufficient"]
    if not proven:
        return Measured(done=False, found="no report with enough matured predictions of this version")
    matured = sum(group["n"] for group in mine)
    found = (
        f"{matured:,} matured predictions: {', '.join(f'{proven.count(state)} {state}' for state in sorted({*proven}))}"
    )
    return Measured("alarm" not in proven, found)


CHECKS: Final = (
    Check("data", "feature-expectations", "feature expectations are captured in a schema", _expectations),
    Check("data", "features-beneficial", "all features are beneficial"),
    Check("data", "feature-cost", "no feature's cost is too much"),
    Check("data", "meta-requirements", "features adhere to meta-level requirements", _meta_requirements),
    Check("data", "privacy", "the data pipeline has appropriate privacy controls"),
    Check("data", "new-features", "new features can be added quickly"),
    Check("data", "feature-code-tested", "all input feature code is tested"),
    Check("model", "spec-reviewed", "every model specification undergoes a code review and is checked in"),
    Check("model", "metrics-correlate", "offline proxy metrics correlate with actual online impact", _metrics_agree),
    Check("model", "hyperparameters-tuned", "all hyperparameters have been tuned", _tuned),
    Check("model", "staleness-known", "the impact of model staleness is known"),
    Check("model", "simpler-model", "a simpler model is not better", _gates("baseline")),
    Check("model", "slices", "model quality is sufficient on all important data slices", _gates("slices")),
    Check("model", "inclusion", "the model has been tested for considerations of inclusion"),
    Check("infrastructure", "reproducible", "training is reproducible", _gates("reproducible")),
    Check(
        "infrastructure", "spec-tested", "model specification code is unit tested",
        _gates("smoke", "contract", "invariance"),
    ),
    Check(
        "infrastructure", "pipeline-tested", "the full ML pipeline is integration tested",
        _gates("artifact", "servable", "parity"),
    ),
    Check("infrastructure", "validated", "model quality is validated before attempting to serve it", _validated),
    Check("infrastructure", "debuggable", "a single example can be debugged step by step", _debuggable),
    Check("infrastructure", "canaried", "models are tested by a canary process before they serve", _canaried),
    Check("infrastructure", "rollback", "models can be quickly and safely rolled back", _rolled_back),
    Check("monitoring", "dependencies", "dependency changes result in notification", _dependencies),
    Check("monitoring", "data-invariants", "data invariants hold in training and serving inputs", _input_invariants),
    Check("monitoring", "skew", "training and serving features compute the same values", _gates("parity")),
    Check("monitoring", "model-age", "models are not too stale", _age),
    Check(
        "monitoring", "numerically-stable", "the model is numerically stable", _gates("contract", "invariance")
    ),
    Check("monitoring", "computing-performance", "computing performance has not regressed", _performance),
    Check("monitoring", "prediction-quality", "prediction quality has not regressed on served data", _quality),
)  # fmt: skip
"""Titles are those of the paper, shortened."""
