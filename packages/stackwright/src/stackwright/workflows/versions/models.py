"""Published models: list, promote past the gates, roll back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from stackwright.assembly.gate_options import WARN
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.pins import SupportsServed
from stackwright.workflows.gates.delivery import check_definitions
from stackwright.workflows.identity import who
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions.evidence import evidence_of, gate_configuration, gates_of
from stackwright.workflows.versions.resolving import challenger_alias, find, pointed, retirement_of
from stackwright.workflows.versions.run_states import runs_of
from stackwright_interfaces.errors import (
    ModelNotFound,
    PromotionRefused,
    StackwrightError,
    UsageError,
    did_you_mean,
)
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.recommender import TASK
from stackwright_interfaces.registry import Event, ModelVersion, SupportsRuns

_GATE: Final = "champion"
"""The gate that holds a candidate against the champion, and the key of its evidence that names it."""

RETIRED: Final = "retired"
"""What the journal says of a version that was retired without a reason."""


def models(stack: Stack, name: str | None = None) -> Outcome:
    """List versions with aliases, gates and metrics, newest first.

    Raises:
        ModelNotFound: no such model is defined or published.
    """
    _check_name(stack, name)
    versions, events = stack.registry.history(name)
    found = [
        {**_describe(version, evidence_of(events, version)), "retired": retirement_of(events, version) is not None}
        for version in reversed(versions)
    ]
    rows = [(item["model"], _state(item), item["gates"], _shown(item["metrics"]), item["created"]) for item in found]
    headings = ("model", "aliases", "gates", "metrics on newer rows", "published")
    return Outcome(
        "1 version" if len(found) == 1 else f"{len(found)} versions", {"models": found}, (Table(headings, rows),)
    )


def _state(item: Mapping[str, Any]) -> list[str]:
    return ["retired"] if item["retired"] else list(item["aliases"])


def _check_name(stack: Stack, name: str | None) -> None:
    if name is None or name in stack.blueprint.trained:
        return
    versions, _ = stack.registry.history()
    known = sorted({*stack.blueprint.trained, *(version.name for version in versions)})
    if name not in known:
        found = f"neither defined nor published. Known: {', '.join(known) or 'none'}"
        raise ModelNotFound(f"model {name!r}", found, did_you_mean(name, known) or "Run: stackwright models")


def _describe(version: ModelVersion, evidence: Mapping[str, Any]) -> dict[str, Any]:
    gates = evidence.get("gates", [])
    red = [gate["name"] for gate in gates if not gate["passed"]]
    return {
        "model": version.ref,
        "digest": version.digest,
        "aliases": list(version.aliases),
        "gates": ("red: " + ", ".join(red)) if red else ("green" if gates else "none"),
        "metrics": dict(version.record.get("metrics", {})),
        "created": version.created.isoformat(timespec="seconds"),
    }


def _shown(measured: dict[str, float]) -> str:
    names = [name for name in ("mdape", "mape", "auc", "ndcg", "c_index", "interval_coverage") if name in measured]
    return ", ".join(f"{name} {measured[name]:.3f}" for name in names)


def runs(stack: Stack, name: str | None = None) -> Outcome:
    """List training runs, newest first.

    Raises:
        ModelNotFound: no such model is defined or published.
    """
    _check_name(stack, name)
    if not isinstance(stack.registry, SupportsRuns):
        return Outcome("This registry keeps no runs", {"runs": []})
    found = [
        {
            "run": run.id[:8],
            "model": run.model or run.name,
            "status": run.status,
            "started": run.started.isoformat(timespec="seconds"),
            "seconds": (run.ended - run.started).total_seconds() if run.ended else None,
            "owner": run.record.get("owner", ""),
            "metrics": dict(run.metrics),
            "parameters": dict(run.parameters),
            "steps": dict(run.record.get("steps", {})),
            "usage": dict(run.record.get("usage") or {}),
            "failure": dict(run.record.get("failure") or {}),
            "log": dict(run.record.get("log") or {}).get("file", ""),
            "error": run.record.get("error", ""),
        }
        for run in runs_of(stack, name)
    ]
    headings = ("run", "model", "status", "started", "seconds", "owner")
    rows = [[item[heading] for heading in headings] + [_shown(item["metrics"]) or item["error"]] for item in found]
    notes = ("More of one: stackwright runs show RUN",) if found else ()
    title = "1 run" if len(found) == 1 else f"{len(found)} runs"
    return Outcome(title, {"runs": found}, (Table((*headings, "result"), rows),), notes)


def promote(
    stack: Stack, ref: str, *, alias: str = "", force: bool = False, reason: str = "", compared: bool = True
) -> Outcome:
    """Point an alias to a version whose gates are green.

    Args:
        ref: ``NAME@VERSION``; a bare name is its newest version.
        alias: empty for the one that says what the environment runs.
        force: promote past red or missing gates; needs a reason, and is written into the journal.
        compared: refuse a version that its gates held against another champion than that of now.

    Raises:
        PromotionRefused: the evidence does not allow it, or the version is retired, which no force overrides.
        ModelNotFound: there is no such version.
    """
    if force and not reason:
        raise UsageError("--force", "no reason is given", 'Add: --reason "..."')
    alias = alias or stack.champion
    version = find(stack, ref)
    refuse_retired(stack, version)
    evidence = gates_of(stack, version)
    refusals = refusals_of(stack, version, evidence)
    before = pointed(stack, version.name, alias)
    if compared and alias == stack.champion and before != version.version:
        refusals += _held_against_another(version, evidence, before)
    if refusals and not force:
        raise PromotionRefused(
            version.ref, "; ".join(refusals), "Mend it and train again, or use --force with --reason."
        )
    if before == version.version:
        return Outcome(
            f"{version.ref} is the {alias} already", {"model": version.ref, "alias": alias, "changed": False}
        )
    event = Event(
        at=stack.clock(),
        kind="alias",
        name=version.name,
        version=version.version,
        alias=alias,
        who=who(),
        why=reason or "promoted",
        after=version.version,
        evidence={**evidence, "forced": refusals} if refusals else evidence,
    )
    move(stack, version, event, before)
    if alias == stack.champion:
        _end_trial(stack, version)
    data = {"model": version.ref, "alias": alias, "changed": True, "before": before, "forced": refusals}
    return Outcome(f"{version.ref} is now the {alias}" + (f" (was @{before})" if before else ""), data)


def _end_trial(stack: Stack, version: ModelVersion) -> None:
    """Remove the alias of the version on trial where that is the one that was promoted."""
    alias = challenger_alias(stack)
    if pointed(stack, version.name, alias) == version.version:
        remove(stack, version, alias, "promoted")


def remove(stack: Stack, version: ModelVersion, alias: str, why: str) -> None:
    """Remove an alias that points to a version.

    Raises:
        AliasConflict: it points elsewhere.
    """
    event = Event(
        at=stack.clock(),
        kind="alias",
        name=version.name,
        version=version.version,
        alias=alias,
        who=who(),
        why=why,
        after=None,
    )
    stack.registry.record(event, expected=version.version)


def move(stack: Stack, version: ModelVersion, event: Event, before: int | None) -> None:
    """Move the alias; back again where the version was retired meanwhile, which looked for aliases before this one."""
    stack.registry.record(event, expected=before)
    try:
        refuse_retired(stack, version)
    except PromotionRefused as error:
        back = replace(event, at=stack.clock(), version=before, after=before, why=str(error), evidence={})
        stack.registry.record(back, expected=version.version)
        raise


def refuse_retired(stack: Stack, version: ModelVersion) -> None:
    """Refuse a version that is retired.

    Raises:
        PromotionRefused: it is.
    """
    line = retirement_of(stack.registry.history(version.name)[1], version)
    if line is not None:
        why = "" if line.why == RETIRED else f": {line.why}"
        found = f"{line.who} retired it at {line.at.isoformat(timespec='seconds')}{why}"
        raise PromotionRefused(version.ref, found, f"Choose another, or run: stackwright retire {version.ref} --undo")


def refusals_of(stack: Stack, version: ModelVersion, evidence: Any) -> list[str]:
    """Return why the evidence does not allow that a version is promoted; nothing where it does."""
    if not evidence:
        return ["its gates were never run"]
    refusals = [f"gate {gate['name']} is red: {gate['detail']}" for gate in evidence["gates"] if not gate["passed"]]
    part = stack.blueprint.trained.get(version.name)
    if part is not None and evidence.get("configuration") != gate_configuration(stack, part):
        refusals.append("the gates of the blueprint are not those it passed")
    try:
        manifest = Manifest.read(stack.registry.fetch(version))
        if manifest.task == TASK:
            return refusals  # it reads no features
        check_definitions(stack, manifest)
        refusals += _not_online(stack, manifest.service)
    except StackwrightError as error:
        refusals.append(str(error))
    return refusals


def _held_against_another(version: ModelVersion, evidence: Mapping[str, Any], champion: int | None) -> list[str]:
    """Return why what the gates say of the champion does not count: it was another one when they ran."""
    found: Mapping[str, Any] = next((gate for gate in evidence.get("gates", []) if gate["name"] == _GATE), {})
    compared = found.get("evidence", {})
    if champion is None or _GATE not in compared or found.get("level") == WARN:
        return []
    then, now = compared[_GATE], f"{version.name}@{champion}"
    if then == now:
        return []
    held = f"it was held against {then}" if then else "there was no champion to hold it against"
    anew = "publish it again with force=True" if "origin" in version.record else "stackwright train --force"
    return [f"{held} when its gates ran, and the champion is {now} now; to judge it anew: {anew}"]


def _not_online(stack: Stack, service: str) -> list[str]:
    """Return why the features of a service are not being served, where there is an online store to serve them."""
    applied = any(item.ref == service for item in stack.definitions.services)
    if not applied or "online" not in stack.plan.choices or not isinstance(stack.features, SupportsServed):
        return []
    absent = [view for view, mark in stack.features.served(service).items() if mark is None]
    return [f"its features are not online: {', '.join(absent)}; run: stackwright materialize"] if absent else []


def rollback(stack: Stack, name: str | None = None, *, alias: str = "", reason: str = "") -> Outcome:
    """Point an alias back to the version it pointed to before.

    Raises:
        PromotionRefused: it never pointed elsewhere, or the version it pointed to is retired.
        ModelNotFound: no such model is defined or published.
    """
    _check_name(stack, name)
    name = name or stack.trained().name
    alias = alias or stack.champion
    _, events = stack.registry.history(name)
    moves = [event for event in events if event.kind == "alias" and event.alias == alias]
    current = pointed(stack, name, alias)
    before = _previous(moves, current)
    if before is None:
        raise PromotionRefused(
            f"{name}@{alias}", "there is no earlier version to go back to", "Promote another version."
        )
    version = find(stack, f"{name}@{before}")
    refuse_retired(stack, version)
    event = Event(
        at=stack.clock(),
        kind="alias",
        name=name,
        version=before,
        alias=alias,
        who=who(),
        why=reason or "rolled back",
        after=before,
    )
    move(stack, version, event, current)
    return Outcome(
        f"{name}@{before} is the {alias} again (was @{current})", {"model": f"{name}@{before}", "before": current}
    )


def _previous(moves: Sequence[Event], current: int | None) -> int | None:
    """Return the version that an alias pointed to before it came to point to the current one, roll-backs undone."""
    trail: list[int] = []
    for move in moves:
        if move.after is None or trail[-1:] == [move.after]:  # removed, and put back where it was
            continue
        if len(trail) > 1 and trail[-2] == move.after:
            trail.pop()
        else:
            trail.append(move.after)
    return trail[-2] if len(trail) > 1 and trail[-1] == current else None
