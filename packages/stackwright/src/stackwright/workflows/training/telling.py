"""What a training tells of a version: its gates and metrics, by how many rows it was judged, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions.evidence import gates_of
from stackwright.workflows.versions.resolving import retirement_of
from stackwright_interfaces.registry import ModelVersion


def nothing_to_do(stack: Stack, known: ModelVersion, why: str) -> Outcome:
    """Return the version that is there already; where it is retired, also how it comes back into use."""
    retired = retirement_of(stack.registry.history(known.name)[1], known)
    title = f"{known.ref} {why}{' and is retired' if retired is not None else ''}: nothing to do"
    outcome = outcome_of(stack, known, title, changed=False)
    if retired is None:
        return outcome
    note = f"Retired by {retired.who or 'somebody'} ({retired.why}). To use it: stackwright retire {known.ref} --undo"
    return replace(outcome, data={**outcome.data, "retired": True}, notes=(note,))


def outcome_of(stack: Stack, version: ModelVersion, title: str, *, changed: bool) -> Outcome:
    """Return a version with its gates and metrics."""
    evidence = gates_of(stack, version)
    gates = evidence.get("gates", [])
    red = [gate["name"] for gate in gates if not gate["passed"]]
    measured = version.record.get("metrics", {})
    tables = (
        Table(("gate", "state", "what was found"), [(gate["name"], _state(gate), gate["detail"]) for gate in gates]),
        Table(("metric on newer rows", "value"), sorted(measured.items())),
    )
    data = {
        "model": version.ref,
        "digest": version.digest,
        "changed": changed,
        "metrics": dict(measured),
        "gates": {gate["name"]: bool(gate["passed"]) for gate in gates},
    }
    looked_at = version.record.get("data", {}).get("looked_at", {})
    if looked_at:
        data["looked_at"] = dict(looked_at)
    follows = (
        f"Red: {', '.join(red)}. It cannot be promoted. Mend that, then: stackwright train {version.name}"
        if red
        else f"Next: stackwright promote {version.ref}"
    )
    return Outcome(title, data, tables, (*_some_of_many(version), follows), ok=not red)


def _some_of_many(version: ModelVersion) -> Iterator[str]:
    """Say by how many rows a version was judged, where these were not all."""
    about = version.record.get("data", {})
    named = {"holdout": "newer rows", "train": "rows that it learned from"}
    some = [
        f"{rows:,} of {about[name]['rows']:,} {named[name]}"
        for name, rows in sorted(about.get("looked_at", {}).items())
    ]
    if some:
        yield f"Judged by {' and '.join(some)}, spread evenly over time: a fit on many machines is judged by so many."


def _state(gate: Mapping[str, Any]) -> str:
    state = str(gate.get("state") or ("green" if gate["passed"] else "red"))
    return state.upper() if state == "red" else state
