"""Monitoring a window: the numbers that decide, as JSON and a page, and the chosen reporters' pages beside them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackwright.assembly.project import write_atomically, write_json
from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.monitoring import report_page, reporters
from stackwright.workflows.monitoring.lists import name_of_lists, report_lists
from stackwright.workflows.monitoring.subject import Watched, expected_of
from stackwright.workflows.monitoring.window import Seen, as_learned, see
from stackwright.workflows.outcome import Outcome, Table
from stackwright_interfaces.errors import MonitorError, StorageError, UsageError
from stackwright_interfaces.trainer import TaskKind
from stackwright_journal.deciding import Policy, decide, headed
from stackwright_journal.records import utc_day
from stackwright_journal.sealing import seal_all


def report(
    stack: Stack,
    name: str | None = None,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    known_at: datetime | None = None,
    position: int | None = None,
    challenger: int | None = None,
) -> Outcome:
    """Report on the predictions asked for in a window, with the labels known by an instant.

    Args:
        name: the model; its champion is held against what it learned from. Of a recommender, its lists are told of.
        start: first instant of the window; without it, the first prediction.
        end: end of the window, exclusive; without it, now.
        known_at: what was asked or observed later is passed over; without it, nothing is.
        position: labels that came to the log after it are passed over; with ``known_at``, an old report comes out
            again to the letter, whatever was told since of those times.
        challenger: of a recommender, a version whose earnings are estimated from the logged lists.

    Raises:
        UsageError: a challenger of a model that is no recommender, or a position of one that is.
        ModelNotFound: the model has no champion.
        MonitorError: nothing was predicted yet.
    """
    lists = name_of_lists(stack, name)
    if lists is not None and position is not None:
        todo = "Give --known-at, which passes over clicks of later."
        raise UsageError("--labels", f"{lists} is a recommender: it has clicks, no labels", todo)
    if lists is not None:
        return report_lists(stack, lists, start=start, end=end, known_at=known_at, challenger=challenger)
    if challenger is not None:
        raise UsageError("--replay", f"{name or 'the model'} is no recommender", "Run: stackwright experiment")
    watched = Watched.of(stack, name)
    with closing(watched.model):
        return _report(stack, watched, start, end, known_at, position)


def _report(
    stack: Stack,
    watched: Watched,
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None,
    position: int | None,
) -> Outcome:
    at = known_at or stack.clock()
    with suppress(StorageError):  # a journal that cannot be written to can still be read
        seal_all(journal.storage(stack), today=utc_day(stack.clock()))
    rows = reporters.ROWS if stack.blueprint.monitor.reports else 0
    seen = see(stack, watched, start=start, end=end, at=at, position=position, sample=rows)
    if not len(seen.joined.table):
        where, todo = f"model {watched.name!r}", "Run: stackwright serve, and ask it."
        raise MonitorError(where, "no prediction is logged", todo)
    numbers = numbers_of(stack, watched, seen, start, end)
    folder = stack.project.reports / watched.name / f"{_day(start, 'first')}_{_day(end or at, 'now')}"
    compared, problems = reporters.run(stack, watched, as_learned(seen, watched), folder)
    files = [folder / "report.json", folder / "report.html", *(result.page for result in compared.values())]
    found = {
        reporter: {"findings": dict(result.findings), "skipped": dict(result.skipped)}
        for reporter, result in compared.items()
    }
    write_json(files[0], {**numbers, "reports": found})
    links = {reporter: result.page.name for reporter, result in compared.items()}
    write_atomically(files[1], report_page.render(numbers, links).encode())
    skipped = {reporter: result.skipped for reporter, result in compared.items() if result.skipped}
    return _outcome(numbers, files, problems, skipped)


def numbers_of(
    stack: Stack, watched: Watched, seen: Seen, start: datetime | None, end: datetime | None
) -> dict[str, Any]:
    """Return the numbers that decide for a window; ``known`` says how to get them again."""
    manifest = watched.model.manifest
    numbers = decide(
        seen.joined,
        model=watched.name,
        version=watched.version.version,
        task=manifest.task,
        histograms=manifest.histograms,
        expected=expected_of(stack, watched.name),
        start=start,
        end=end,
        level=watched.coverage,
        slices=() if manifest.task == TaskKind.RANKING else tuple(manifest.signature.categories),
        statuses=seen.statuses,
        counts=seen.counts,
        policy=Policy(limits=journal.limits(stack)),
        k=watched.k,
        counted=seen.counted,
    )
    return {**numbers, "known": {"at": numbers["at"], "labels": seen.position}}


def _day(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else moment.astimezone(UTC).strftime("%Y%m%d")


def _outcome(
    numbers: Mapping[str, Any],
    files: list[Path],
    problems: Mapping[str, str],
    skipped: Mapping[str, Mapping[str, str]],
) -> Outcome:
    rows = [
        (f"version {group['version']} {group['arm']}", name, verdict["value"], verdict["expected"], verdict["state"])
        for group in numbers["performance"]["groups"]
        for name, verdict in group["judged"].items()
    ]
    columns = numbers["data"]["columns"]
    odd = [
        (name, item["psi"], item["missing"], item["state"])
        for name, item in columns.items()
        if item["state"] in ("warn", "alarm")
    ]
    data = {
        "state": numbers["state"],
        "headline": headline(numbers),
        "page": str(files[1]),
        "files": [str(path) for path in files],
        "numbers": str(files[0]),
        "problems": dict(problems),
        "skipped": {reporter: dict(columns) for reporter, columns in skipped.items()},
    }
    tables = (
        Table(("predictions of", "metric", "value", "at training", "state"), rows),
        Table(("column that changed", "psi", "missing", "state"), odd),
    )
    notes = [f"{reporter} made no page: {why}" for reporter, why in problems.items()]
    for reporter, columns in skipped.items():
        left_out = ", ".join(f"{column} ({why})" for column, why in columns.items())
        notes.append(f"{reporter} could not compare {left_out}")
    return Outcome(data["headline"], data, tables, (*notes, f"Page: {files[1]}"))


def headline(numbers: Mapping[str, Any]) -> str:
    """Return a report in one line."""
    columns = numbers["data"]["columns"]
    drifted = sum(item["state"] == "alarm" for item in columns.values())
    parts = [f"{numbers['data']['n']:,} predictions"]
    for group in numbers["performance"]["groups"]:
        name, error = headed(group["judged"])
        if error.get("value") is not None and group["version"] == numbers["version"]:
            was = f", was {error['expected']:.3f} at training" if error["expected"] is not None else ""
            parts.append(f"{group['n']:,} matured with {name} {error['value']:.3f}{was}")
    parts.append(f"{drifted} of {len(columns)} columns drifted")
    return f"{numbers['state']}: " + "; ".join(parts)
