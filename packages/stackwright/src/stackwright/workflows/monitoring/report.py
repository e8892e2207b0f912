"""Monitoring a window: the numbers that decide, as JSON and a page, and the chosen reporters' pages beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright.assembly.project import write_atomically, write_json
from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.datasets import building
from stackwright.workflows.live.scoring import load, resolve
from stackwright.workflows.monitoring import report_page
from stackwright.workflows.outcome import Outcome, Table
from stackwright_interfaces.definitions import FeatureService, Target
from stackwright_interfaces.errors import MonitorError, StackwrightError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.monitor import MonitorResult
from stackwright_interfaces.registry import ModelVersion
from stackwright_journal.deciding import Policy, decide
from stackwright_journal.join import Joined, join
from stackwright_journal.reading import FEATURE, Predictions
from stackwright_numerics.drift import Limits
from stackwright_serving.model import LoadedModel

REFERENCE_ROWS: Final = 20_000


@dataclass(frozen=True)
class Watched:
    """What a report is about."""

    version: ModelVersion
    model: LoadedModel
    service: FeatureService
    target: Target

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        return self.model.manifest.signature

    @property
    def keys(self) -> dict[str, str]:
        """Key of the target's entity → its name in requests."""
        for selection in self.service.selections:
            if selection.view.entity.name == self.target.entity.name:
                return dict(zip(selection.view.entity.key_names, selection.key_sources, strict=True))
        return {}


def report(
    stack: Stack,
    name: str | None = None,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    known_at: datetime | None = None,
) -> Outcome:
    """Report on the predictions asked for in a window, with the labels known by an instant.

    Args:
        name: the model; its champion is held against what it learned from.
        start: first instant of the window; without it, the first prediction.
        end: end of the window, exclusive; without it, now.
        known_at: labels observed later are passed over; without it, none is.

    Raises:
        ModelNotFound: the model has no champion.
        MonitorError: nothing was predicted yet.
    """
    at = known_at or stack.clock()
    watched = _watched(stack, name)
    predictions = _predictions(stack, watched)
    if not predictions.table.num_rows:
        raise MonitorError(
            f"model {watched.version.name!r}", "no prediction is logged", "Run: stackwright serve, and ask it."
        )
    joined = _joined(stack, watched, predictions, at)
    numbers = _numbers(stack, watched, predictions, joined, start, end)
    folder = stack.project.reports / watched.version.name / f"{_day(start, 'first')}_{_day(end or at, 'now')}"
    compared, problems = _reporters(stack, watched, _window(joined, start, end), folder)
    files = [folder / "report.json", folder / "report.html", *(result.page for result in compared.values())]
    found = {
        reporter: {"findings": dict(result.findings), "skipped": dict(result.skipped)}
        for reporter, result in compared.items()
    }
    write_json(files[0], {**numbers, "reports": found})
    links = {reporter: result.page.name for reporter, result in compared.items()}
    write_atomically(files[1], report_page.render(numbers, links).encode())
    watched.model.close()
    skipped = {reporter: result.skipped for reporter, result in compared.items() if result.skipped}
    return _outcome(numbers, files, problems, skipped)


def _watched(stack: Stack, name: str | None) -> Watched:
    part = stack.model(name)
    if part.data is not None:
        found = "it learns from rows of its own, for which nothing says when their truth comes"
        raise MonitorError(part.place, found, "Give the model a service and a target of features.py.")
    version = resolve(stack, part.name)
    model = load(stack, version)
    manifest = model.manifest
    return Watched(version, model, stack.service(manifest.service), stack.target(manifest.target))


def _predictions(stack: Stack, watched: Watched) -> Predictions:
    reader = journal.predictions(stack)
    return reader.read(model=watched.version.name, keys=watched.service.request_keys, features=watched.signature.inputs)


def _joined(stack: Stack, watched: Watched, predictions: Predictions, at: datetime) -> Joined:
    labels = journal.labels(stack, watched.target).read(known_at=at)
    return join(predictions.table, labels, watched.target, at=at, time="asked_at", keys=watched.keys)


def _numbers(
    stack: Stack,
    watched: Watched,
    predictions: Predictions,
    joined: Joined,
    start: datetime | None,
    end: datetime | None,
) -> dict[str, Any]:
    manifest, monitor = watched.model.manifest, stack.blueprint.monitor
    versions, _ = stack.registry.history(watched.version.name)
    limits = Limits(psi=monitor.psi, ks=monitor.psi, missing=monitor.missing, minimum=monitor.min_rows)
    return decide(
        joined,
        model=watched.version.name,
        version=watched.version.version,
        task=manifest.task,
        histograms=manifest.histograms,
        expected={version.version: version.record.get("metrics", {}) for version in versions},
        start=start,
        end=end,
        level=None if manifest.intervals is None else float(manifest.intervals["level"]),
        slices=tuple(manifest.signature.categories),
        statuses=predictions.statuses,
        counts=predictions.counts,
        policy=Policy(limits=limits),
    )


def _window(joined: Joined, start: datetime | None, end: datetime | None) -> pa.Table:
    table = joined.table
    for limit, keep in ((start, pc.greater_equal), (end, pc.less)):
        if limit is not None:
            table = table.filter(keep(table["asked_at"], pa.scalar(limit, table["asked_at"].type)))
    return table


def _reporters(
    stack: Stack, watched: Watched, window: pa.Table, folder: Path
) -> tuple[dict[str, MonitorResult], dict[str, str]]:
    """Let each reporter write its page; one that fails is noted, and keeps back nothing else."""
    pages: dict[str, MonitorResult] = {}
    problems: dict[str, str] = {}
    if not stack.blueprint.monitor.reports:
        return pages, problems
    reference = _reference(stack, watched)
    current = _as_learned(window, watched.signature)
    for done, (reporter, monitor) in enumerate(stack.reporters().items()):
        stack.progress(f"report {reporter}", done, len(stack.blueprint.monitor.reports))
        try:
            pages[reporter] = monitor.compare(reference, current, watched.signature, folder)
        except StackwrightError as error:
            problems[reporter] = str(error)
    stack.progress("report", 1, 1)
    return pages, problems


def _reference(stack: Stack, watched: Watched) -> pa.Table:
    """Return rows as the model learned them, with its answers and the truth."""
    rows = building.build(stack, stack.model(watched.version.name), known_at=watched.version.created)
    rows = rows.take(np.unique(np.linspace(0, len(rows) - 1, REFERENCE_ROWS).astype(np.int64)))
    columns = {field.name: pa.array(rows.columns[field.name], from_pandas=True) for field in watched.signature.inputs}
    answer = watched.model.predict(rows.columns).value
    return pa.table({**columns, "prediction": answer, "target": rows.target})


def _as_learned(window: pa.Table, signature: Signature) -> pa.Table:
    names = {FEATURE + field.name: field.name for field in signature.inputs}
    kept = [name for name in (*names, "prediction", "target") if name in window.column_names]
    return window.select(kept).rename_columns([names.get(name, name) for name in kept])


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
        error = group["judged"].get("mdape") or group["judged"].get("log_loss")
        if error and error["value"] is not None and group["version"] == numbers["version"]:
            was = f", was {error['expected']:.3f} at training" if error["expected"] is not None else ""
            parts.append(f"{group['n']:,} matured with error {error['value']:.3f}{was}")
    parts.append(f"{drifted} of {len(columns)} columns drifted")
    return f"{numbers['state']}: " + "; ".join(parts)
