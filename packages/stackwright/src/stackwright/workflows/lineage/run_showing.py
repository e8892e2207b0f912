"""A run in full: how it went, what it cost, what came of it, where it failed, and its log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.workflows.lineage.comparing import run_named, run_of
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions.resolving import find
from stackwright_interfaces.errors import ModelNotFound
from stackwright_interfaces.registry import Run

_MEGABYTE: Final = 1e6
_COSTS: Final = ("wall_seconds", "cpu_seconds", "peak_memory_bytes", "read_bytes", "written_bytes")


def show_run(stack: Stack, name: str) -> Outcome:
    """Show a run.

    Args:
        name: the beginning of its id, or a version that it published.

    Raises:
        RegistryError: several runs begin so.
        ModelNotFound: there is no such run or version, or no run of it was kept.
    """
    run = run_named(stack, name) or run_of(stack, find(stack, name))
    if run is None:
        raise ModelNotFound(f"run of {name!r}", "none was kept", "See: stackwright runs")
    data = _data(run)
    tables = (
        Table(("run", ""), list(_about(data))),
        Table(("step", "seconds"), list(data["steps"].items())),
        Table(("failed", ""), list(_leaves(data["failure"]))),
        Table(("metric on newer rows", "value"), sorted(data["metrics"].items())),
        Table(("parameter", "value"), sorted(data["parameters"].items())),
        _trials(data["trials"]),
        Table(("log",), [(line,) for line in data["log"].get("tail", ())]),
    )
    notes = (f"The whole log: {data['log']['file']}, where it ran",) if data["log"].get("file") else ()
    return Outcome(f"Run {run.id[:8]} of {run.model or run.name}: {run.status}", data, tables, notes)


def _data(run: Run) -> dict[str, Any]:
    about = {name: run.record.get(name, "") for name in ("owner", "python", "platform", "step", "error")}
    parts = {name: dict(run.record.get(name) or {}) for name in ("code", "usage", "steps", "failure", "log")}
    return {
        "run": run.id,
        "model": run.model or run.name,
        "status": run.status,
        "started": run.started.isoformat(timespec="seconds"),
        "ended": run.ended.isoformat(timespec="seconds") if run.ended else None,
        **about,
        **parts,
        "metrics": dict(run.metrics),
        "parameters": dict(run.parameters),
        "trials": list(run.record.get("trials") or ()),
    }


def _trials(trials: Sequence[Mapping[str, Any]]) -> Table:
    """Return what a search tried: by what it is compared, how long it took, and the parameters."""
    names = sorted({name for trial in trials for name in trial["parameters"]})
    metric = trials[0]["metric"] if trials else ""
    rows = [
        (
            f"{trial['number']}{', the best' if trial['best'] else ''}",
            trial["state"],
            trial["value"],
            trial["seconds"],
            *(trial["parameters"].get(name) for name in names),
        )
        for trial in trials
    ]
    return Table(("trial", "state", metric, "seconds", *names), rows)


def _about(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give what is said of the run in a line each; what is not known is left out."""
    lines = {name: data[name] for name in ("run", "started", "ended", "owner", "python", "platform")}
    lines["commit"] = data["code"].get("commit")
    if data["code"].get("dirty"):
        lines["commit"] = f"{lines['commit'] or 'none yet'}, and files that differ from it"
    if data["status"] == "running":
        lines["step"] = data["step"]
    lines |= {_unit(name): _amount(name, data["usage"].get(name)) for name in _COSTS}
    lines["trials"] = len(data["trials"]) or None
    yield from ((name, value) for name, value in lines.items() if value not in (None, ""))


def _unit(name: str) -> str:
    return name.replace("_bytes", " MB").replace("_", " ")


def _amount(name: str, value: Any) -> Any:
    return value / _MEGABYTE if name.endswith("_bytes") and value is not None else value


def _leaves(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
