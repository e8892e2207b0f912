"""Experiments: arms of a model compared on what the blueprint declares, with what may be concluded, and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from stackwright.assembly.model_part import ModelPart
from stackwright.assembly.monitor_part import ExperimentPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.monitoring.arms import MEAN, Arms
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions.challengers import TRIAL
from stackwright.workflows.versions.resolving import challenger_alias
from stackwright_interfaces.errors import MonitorError, UsageError, did_you_mean
from stackwright_journal.experiments import Looks, Plan, compare
from stackwright_journal.measures import Better
from stackwright_journal.records import UNSEEN, rfc3339
from stackwright_serving.arms import CANARY, LIVE, SHADOW

_BAD = ("worse", "invalid")
_SAID: Mapping[Looks, str] = {
    "planned": "The end was fixed beforehand and what came after it is left out: intervals are those of one look.",
    "running": "It runs: until its end only harm is concluded. Intervals are widened by what looking early costs.",
    "any": "No end was fixed: intervals are widened so that they hold however often you look. Fix one with days = N.",
}


@dataclass(frozen=True)
class _Trial:
    """When a version went on trial, and what was given to it.

    Args:
        start: when it began; ``None`` where nothing was on trial.
        shares: of the entities, that it was given one after the other.
        by: what decided who was given to it; empty is all keys.
    """

    start: datetime | None = None
    shares: Sequence[float] = ()
    by: Sequence[str] = ()


def experiment(
    stack: Stack, name: str | None = None, *, start: datetime | None = None, end: datetime | None = None
) -> Outcome:
    """Compare the arms of an experiment of the blueprint, or of all.

    Args:
        name: of the experiment.
        start: when it began; without it, when the version on trial, or the last one, was put there.
        end: as of when it is looked at: what was asked or told later does not count; without it, now. Where the
            experiment has a length, nothing after its end counts either, so that later looks find the same.

    Returns:
        An outcome that is not ok where an arm is proven worse, or the comparison is invalid.

    Raises:
        UsageError: the blueprint has no such experiment.
        BlueprintError: what is measured does not fit the model's task.
        MonitorError: nothing says when it began, or the model has no target.
    """
    parts = stack.blueprint.monitor.experiments
    if name is not None and name not in parts:
        known = f"Declared: {', '.join(parts)}." if parts else f"Add [monitor.experiments.{name}]"
        raise UsageError(f"experiment {name!r}", "the blueprint declares no such", did_you_mean(name, parts) or known)
    if not parts:
        raise UsageError("experiment", "the blueprint declares none", "Add [monitor.experiments.NAME]")
    chosen = [name] if name is not None else list(parts)
    found = {each: _compared(stack, parts[each], start, end) for each in chosen}
    return _outcome(found)


def _compared(stack: Stack, part: ExperimentPart, start: datetime | None, end: datetime | None) -> dict[str, Any]:
    model = stack.model(part.model or None)
    if model.data is not None:
        found = f"model {model.name!r} learns from rows of its own, for which nothing says when their truth comes"
        raise MonitorError(part.where, found, "Compare a model with a service and a target of features.py.")
    trial = _trial(stack, model, end or stack.clock())
    begun = start or trial.start
    if begun is None:
        found = f"no version of {model.name} was ever on trial, so that nothing says when it began"
        raise MonitorError(part.where, found, "Say so: --since TIME")
    at, looks = _looked(part, begun, end or stack.clock())
    unit, notes = _unit(stack, model, trial)
    arms = Arms.read(stack, model, part.arms, unit, begun, at)
    shares, more = _shares(part, trial)
    plan = Plan(
        arms=part.arms,
        least=part.least,
        guardrails={name: abs(limit) for name, limit in part.guardrails.items()},
        minimum=part.min_rows,
        level=part.level,
        shares=shares,
        paired=[arm for arm in part.arms if arm in UNSEEN],
        looks=looks,
    )
    better: Better | None = "higher" if part.better == "higher" else "lower" if part.better == "lower" else None
    guards = [arms.measure(name, part, _side(name, limit)) for name, limit in part.guardrails.items()]
    result = compare(arms.measure(part.goal, part, better), guards, plan)
    told = arms.told()
    return {
        "model": model.name,
        "start": rfc3339(begun),
        "at": rfc3339(at),
        "unit": list(unit),
        **result,
        "arms": [{**about, **arm} for about, arm in zip(told, result["arms"], strict=True)],
        "notes": [_SAID[looks], *notes, *more, *_cautions(told)],
    }


def _looked(part: ExperimentPart, begun: datetime, now: datetime) -> tuple[datetime, Looks]:
    """Return the instant that the data end at, and what kind of look it is."""
    if not part.days:
        return now, "any"
    planned = begun + timedelta(days=part.days)
    return (planned, "planned") if planned <= now else (now, "running")


def _side(name: str, limit: float) -> Better | None:
    """Return which way a guardrail of a mean is better: a mean that may fall by so much is given a negative limit."""
    if not name.startswith(MEAN):
        return None
    return "higher" if limit < 0 else "lower"


def _trial(stack: Stack, model: ModelPart, now: datetime) -> _Trial:
    """Return the trial that goes on, or the last one."""
    _, events = stack.registry.history(model.name)
    alias = challenger_alias(stack)
    start, shares, by, running = None, list[float](), tuple[str, ...](), None
    for event in events:
        if event.kind != "alias" or event.alias != alias or event.at > now:
            continue
        if event.after is not None:
            trial = event.evidence.get(TRIAL, {})
            if event.after != running:
                start, shares = event.at, []
            shares, by = [*shares, float(trial.get("share", 0.0))], tuple(trial.get("by", ()))
        running = event.after
    return _Trial(start, shares, by)


def _unit(stack: Stack, model: ModelPart, trial: _Trial) -> tuple[Sequence[str], list[str]]:
    """Return the request keys whose values are one entity: those that decided the arm, as far as they are logged."""
    keys = [item.name for item in stack.service(model.service).request_keys]
    if not trial.by or set(trial.by) <= set(keys):
        return trial.by or keys, []
    note = (
        f"Arms were given by {', '.join(trial.by)}, which are no keys: intervals take {', '.join(keys)} for an entity"
    )
    return keys, [f"{note}, and are too narrow where several of those share an arm."]


def _shares(part: ExperimentPart, trial: _Trial) -> tuple[Mapping[str, float], list[str]]:
    """Return the shares to check: those declared, else those of the trial, unless they were changed meanwhile."""
    if part.shares or not {LIVE, CANARY} <= set(part.arms) or not trial.shares:
        return part.shares, []
    if len(set(trial.shares)) > 1:
        changed = ", ".join(f"{share:.4g}" for share in trial.shares)
        note = f"The canary's share was changed ({changed}): arms differ in time, and shares are not checked."
        return {}, [note]
    share = trial.shares[-1]
    return ({LIVE: 1 - share, CANARY: share} if 0 < share < 1 else {}), []


def _cautions(told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for arm in told:
        if len(arm["versions"]) > 1:
            yield f"{arm['arm']} was answered by versions {', '.join(arm['versions'])}, which are taken together."
    answers, pending = (sum(arm[key] for arm in told) for key in ("answers", "pending"))
    if pending:
        yield f"The truth of {pending / answers:.0%} of the answers is still to come: only what is known is compared."
    if any(arm["arm"] == SHADOW for arm in told):
        yield "Nobody saw what a shadow answered: it is compared on truths, not on what people do."


def _outcome(found: Mapping[str, Mapping[str, Any]]) -> Outcome:
    rows, rails, notes = [], [], []
    for name, item in found.items():
        first, *others = item["arms"]
        base = (name, first["arm"], first["entities"], first["values"][item["goal"]], None, None, None, "")
        rows.append(base)
        for arm in others:
            gain = arm["gain"]
            ends = (gain["value"], gain["low"], gain["high"])
            rows.append((name, arm["arm"], arm["entities"], arm["values"][item["goal"]], *ends, arm["verdict"]))
            rails += [
                (name, arm["arm"], measure, rail["worse"], rail["low"], rail["high"], rail["limit"], rail["state"])
                for measure, rail in arm["guardrails"].items()
            ]
        for arm, share in item["mismatch"].items():
            said = f"{arm} was given {share['found']:.1%} of the entities, meant were {share['meant']:.1%}"
            notes.append(f"{name}: {said}: something lost or moved them, and nothing can be concluded.")
        notes += [f"{name}: {note}" for note in item["notes"]]
    tables = (
        Table(("experiment", "arm", "entities", "goal", "gain", "from", "to", "verdict"), rows),
        Table(("experiment", "arm", "guardrail", "worse by", "from", "to", "may be", "state"), rails),
    )
    bad = any(arm.get("verdict") in _BAD for item in found.values() for arm in item["arms"])
    return Outcome(_title(found), {"experiments": dict(found)}, tables, tuple(notes), ok=not bad)


def _title(found: Mapping[str, Mapping[str, Any]]) -> str:
    said = []
    for name, item in found.items():
        verdicts = ", ".join(f"{arm['arm']} is {_WORDS[arm['verdict']]}" for arm in item["arms"][1:])
        said.append(f"{name}: by {item['goal']}, {verdicts}")
    return "; ".join(said)


_WORDS: Mapping[str, str] = {
    "better": "better",
    "worse": "worse",
    "undecided": "not told apart",
    "insufficient": "asked too little to say",
    "running": "still being tried",
    "invalid": "not comparable",
}
