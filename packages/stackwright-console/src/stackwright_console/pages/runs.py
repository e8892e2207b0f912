"""Training runs: listed, one in full, and several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stackwright.assembly.model_part import METRICS
from stackwright.assembly.stack import Stack
from stackwright.workflows.lineage.comparing import compare
from stackwright.workflows.lineage.run_showing import show_run
from stackwright.workflows.outcome import Table
from stackwright.workflows.versions.models import runs as listed
from stackwright_console.desk import Desk
from stackwright_console.page import (
    Asked,
    Field,
    Form,
    Link,
    Page,
    Section,
    State,
    paged,
    to,
    turning,
    with_cells,
)
from stackwright_models import charts

_ROWS = 50
_DRAWN = 200


def runs(stack: Stack, desk: Desk, asked: Asked) -> Page:
    """Return the runs of a model or of all, newest first, with a metric over time."""
    every: list[dict[str, Any]] = desk.recent("runs", lambda: list(listed(stack).data["runs"]))
    models, states = (sorted({run[key] for run in every}) for key in ("model", "status"))
    model, state = asked.get("model", ""), asked.get("status", "")
    found = [run for run in every if model in ("", run["model"]) and state in ("", run["status"])]
    metrics = sorted({name for run in found for name in run["metrics"]})
    metric = asked.get("metric", "") or _telling(metrics)
    rows, number, pages = paged(found, asked, _ROWS)
    choose = Form(
        to("runs"),
        "Show",
        (
            Field("model", "Model", model, ("", *models)),
            Field("status", "Status", state, ("", *states)),
            Field("metric", "Metric", metric, metrics),
        ),
    )
    pair = Form(
        to("runs", "compare"),
        "Compare",
        (Field("first", "First run"), Field("second", "Second run")),
    )
    heading = f"{len(found):,} run{'s' * (len(found) != 1)}" + (f", page {number} of {pages}" if pages > 1 else "")
    return Page(
        title="Runs",
        here="Runs",
        lead="Every training: what it was given, what it cost, what came of it.",
        sections=(
            Section("Choose", forms=(choose,)),
            Section(f"{metric} over time", pictures=_over_time(found, metric)),
            Section(heading, tables=(_table(rows, metric),), links=turning(asked, "runs", number, pages)),
            Section("Two side by side", forms=(pair,) if len(found) > 1 else ()),
        ),
    )


def _telling(metrics: Sequence[str]) -> str:
    """Return the metric that tells most: of those that a search goes by, the first that there is."""
    return next((name for names in METRICS.values() for name in names if name in metrics), next(iter(metrics), ""))


def _table(rows: Sequence[Mapping[str, Any]], metric: str) -> Table:
    cells = [
        (
            Link(run["run"], to("runs", run["run"])), run["model"], State(run["status"]), run["started"],
            run["seconds"], run["owner"], run["metrics"].get(metric), run["error"],
        )
        for run in rows
    ]  # fmt: skip
    return Table(("run", "model", "status", "started", "seconds", "owner", metric or "metric", "error"), cells)


def _over_time(found: Sequence[Mapping[str, Any]], metric: str) -> tuple[str, ...]:
    measured = [run for run in found if metric in run["metrics"]][:_DRAWN][::-1]
    if len(measured) < 2:
        return ()
    names = sorted({run["model"] for run in measured})
    series = {name: [run["metrics"][metric] if run["model"] == name else None for run in measured] for name in names}
    title = f"{metric} of the last {len(measured)} runs"
    return (charts.lines(title, [run["started"][:10] for run in measured], series, metric),)


def run(stack: Stack, _desk: Desk, asked: Asked) -> Page:
    """Return a run in full."""
    outcome = show_run(stack, asked["name"])
    data = outcome.data
    return Page(
        title=outcome.title,
        here="Runs",
        sections=(
            Section("How it went", lines=outcome.notes, tables=outcome.tables[:4]),
            Section("Metrics", pictures=_bars("Metrics on newer rows", data["metrics"])),
            Section("Parameters and trials", tables=outcome.tables[4:6]),
            Section("Log", tables=outcome.tables[6:]),
        ),
    )


def _bars(title: str, metrics: Mapping[str, float]) -> tuple[str, ...]:
    """Return small numbers as bars: errors of thousands beside shares would hide them."""
    small = [(name, value, "") for name, value in sorted(metrics.items()) if abs(value) <= 1]
    return (charts.bars(title, "Shares and relative errors; the rest stands in the table.", small),) if small else ()


def compared(stack: Stack, _desk: Desk, asked: Asked) -> Page:
    """Return two runs or versions side by side, what differs first."""
    first, second = asked.get("first", "").strip(), asked.get("second", "").strip()
    outcome = compare(stack, first, second)
    (table,) = outcome.tables
    shown = with_cells(table, **{first: str, second: str})
    return Page(
        title=f"{first} and {second}",
        here="Runs",
        lead=outcome.title,
        sections=(
            Section("Metrics", pictures=_side_by_side(first, second, outcome.data["different"])),
            Section("What differs, then what is the same", lines=outcome.notes, tables=(shown,)),
        ),
    )


def _side_by_side(first: str, second: str, different: Mapping[str, Any]) -> tuple[str, ...]:
    entries = []
    for name, (left, right) in different.items():
        numbers = [value for value in (left, right) if isinstance(value, int | float)]
        if name.startswith("metrics") and len(numbers) == 2 and max(map(abs, numbers)) <= 1:
            short = name.rpartition(".")[2].strip()
            entries += [(f"{short}: {first}", float(left), ""), (f"{short}: {second}", float(right), "")]
    return (charts.bars("Metrics that differ", "A pair of bars for each.", entries),) if entries else ()
