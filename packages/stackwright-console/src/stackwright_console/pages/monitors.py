"""Monitors: windows over time, what they found, and what was decided because of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.workflows.monitoring.decisions import decisions
from stackwright.workflows.outcome import Table
from stackwright.workflows.versions.champions import trained_names
from stackwright_console.desk import Desk
from stackwright_console.page import Asked, Link, Page, Section, State, to, with_cells
from stackwright_console.pages import lists
from stackwright_console.reports import LISTS, PREDICTIONS, reports
from stackwright_interfaces.errors import UnknownName, UsageError
from stackwright_models import charts


def monitors(stack: Stack, _desk: Desk, _asked: Asked) -> Page:
    """Return the models that are watched, with the state of their last report."""
    rows = []
    for name in trained_names(stack):
        of_lists = name in stack.blueprint.recommenders
        found = reports(stack, name, LISTS if of_lists else PREDICTIONS).found
        last = found[-1][1] if found else {}
        state = lists.state_of(stack, name) if of_lists else last.get("state", "")
        rows.append((Link(name, to("monitors", name)), len(found), last.get("at", "")[:19], State(state)))
    table = Table(("model", "reports", "last", "state"), rows)
    lead = "What became of the predictions, and of lists."
    return Page(title="Monitors", here="Monitors", lead=lead, sections=(Section("Models", tables=(table,)),))


def monitor(stack: Stack, _desk: Desk, asked: Asked) -> Page:
    """Return a model's reports over time, or what is known of a recommender's lists, and its decisions."""
    name = asked["name"]
    if name not in trained_names(stack):
        raise UnknownName.of("model", name, trained_names(stack))
    of_lists = name in stack.blueprint.recommenders
    return Page(
        title=name,
        here="Monitors",
        lead="Reports, alerts and decisions.",
        sections=(*(lists.sections(stack, name) if of_lists else _predicted(stack, name)), _decided(stack, name)),
    )


def _predicted(stack: Stack, name: str) -> tuple[Section, ...]:
    read = reports(stack, name, PREDICTIONS)
    found = read.found
    rows = [
        (Link(window, to("monitors", name, window, "report.html")), report["at"][:19], State(report["state"]),
         report["data"]["n"], _groups(report))
        for window, report in reversed(found)
    ]  # fmt: skip
    return (
        Section("Over time", pictures=tuple(_drawn(found))),
        Section(
            f"{len(rows)} reports",
            lines=read.told,
            tables=(Table(("window", "at", "state", "predictions", "found"), rows),),
        ),
    )


def _decided(stack: Stack, name: str) -> Section:
    decided = decisions(stack, name)
    (table,) = decided.tables
    shown = with_cells(
        Table(table.headings, list(table.rows)[::-1]),
        number=lambda number: Link(str(number), to("decisions", name, str(number))),
    )
    return Section(decided.title, tables=(shown,))


def decision(stack: Stack, _desk: Desk, asked: Asked) -> Page:
    """Return a decision with its evidence."""
    if not asked["number"].isdecimal():
        raise UsageError("decision", f"{asked['number']!r} is no number", "Choose one of the list.")
    outcome = decisions(stack, asked["name"], number=int(asked["number"]))
    tables = tuple(with_cells(table, state=State) for table in outcome.tables)
    evidence = json.dumps(outcome.data["data"], indent=1, default=str)
    return Page(
        title=f"Decision {asked['number']} about {asked['name']}",
        here="Monitors",
        lead=outcome.title,
        sections=(
            Section("Why", tables=tables),
            Section("Evidence", tables=(Table(("as it was kept",), [(line,) for line in evidence.splitlines()]),)),
        ),
    )


def report_file(stack: Stack, _desk: Desk, asked: Asked) -> Path:
    """Return the page of a report.

    Raises:
        UnknownName: there is none.
    """
    folder = (stack.project.reports / asked["name"]).resolve()
    path = (folder / asked["window"] / asked["file"]).resolve()
    if folder.parent != stack.project.reports.resolve() or not path.is_relative_to(folder) or path.suffix != ".html":
        raise UnknownName.of("report", asked["window"], [])
    if not path.is_file():
        raise UnknownName.of("report", f"{asked['window']}/{asked['file']}", [])
    return path


def _groups(found: Mapping[str, Any]) -> list[str]:
    return [f"version {group['version']} {group['arm']}: {group['state']}" for group in found["performance"]["groups"]]


def _drawn(reports: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Give the judged metrics over the reports, and how much of the last one's cohorts is known."""
    names = {metric for _, found in reports for group in found["performance"]["groups"] for metric in group["judged"]}
    at = [found["at"][:10] for _, found in reports]
    for metric in sorted(names) if len(reports) > 1 else ():
        series = {"measured": [], "expected": []}  # type: dict[str, list[float | None]]
        for _, found in reports:
            verdict = _judged(found, metric)
            series["measured"].append(verdict.get("value"))
            series["expected"].append(verdict.get("expected"))
        yield charts.lines(f"{metric} of what is live", at, series, metric)
    if reports and reports[-1][1]["cohorts"]:
        cohorts = reports[-1][1]["cohorts"]
        known = {"truth known": [cohort["coverage"] for cohort in cohorts]}
        starts = [cohort["start"][:10] for cohort in cohorts]
        yield charts.lines("Cohorts of the last report: share whose truth is known", starts, known, "share")


def _judged(found: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    groups = [group for group in found["performance"]["groups"] if group["arm"] == "live"]
    verdict: Mapping[str, Any] = groups[-1]["judged"].get(metric, {}) if groups else {}
    return verdict
