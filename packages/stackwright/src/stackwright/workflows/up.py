"""``up``: the whole way, from nothing to a live, monitored model. Every step can be cut off and taken up again."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute
import pyarrow.parquet

from stackwright.assembly import blueprint as blueprints
from stackwright.assembly.project import Project
from stackwright.assembly.replacing import replacing
from stackwright.assembly.stack import Stack
from stackwright.workflows.batch import jobs
from stackwright.workflows.ledger import Ledger, file_digest
from stackwright.workflows.live.job_requests import find
from stackwright.workflows.live.process import send, serving
from stackwright.workflows.live.serve import serve
from stackwright.workflows.monitoring.labels import label
from stackwright.workflows.monitoring.report import report
from stackwright.workflows.new import add_sample, load_sample, new
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.training.train import newest
from stackwright.workflows.up_lists import ListWay
from stackwright.workflows.up_steps import Steps, Way
from stackwright_interfaces.catalogue import meaning
from stackwright_interfaces.errors import DataError, ProjectError, UsageError
from stackwright_interfaces.plugin import Progress, Sample

DAYS: Final = 40

Request = tuple[dict[str, Any], str]
"""Keys and request fields, and the asked instant in ISO 8601."""


def up(
    folder: Path,
    *,
    blueprint: str,
    sample: bool,
    options: Mapping[str, str],
    progress: Progress,
    say: Callable[[str], None],
    env: str | None = None,
    keep_serving: bool = False,
) -> Outcome:
    """Take a project the whole way.

    Args:
        folder: the project; made from ``blueprint`` where it is none yet.
        say: told a line for each step.
        env: the environment to lay over the blueprint.
        keep_serving: serve at the end until interrupted.

    Raises:
        ProjectError: the project has no sample to run on.
        UsageError: there is no project, and none with a sample is to be made.
        PromotionRefused: a gate is red.
    """
    if not sample and not (folder / blueprints.FILE).exists():
        lacking = "is no project, and no sample is asked for to go the whole way on"
        raise UsageError(str(folder), lacking, "Add: --sample. A project of your own: stackwright new")
    started = time.monotonic()
    steps = Steps(say)

    def make() -> tuple[str, bool]:
        if (folder / blueprints.FILE).exists():
            if not sample or load_sample(Project.find(folder, env)) is not None:
                return f"project {folder} is there", False
            add_sample(Project.find(folder, env), blueprint, options, progress)
            return f"made the sample of {folder}", True
        return new(folder, blueprint, sample=sample, options=options, progress=progress).title, True

    steps.run("project", make)
    project = Project.find(folder, env)
    found = load_sample(project)
    if found is None:
        todo = "Bring your own: apply, ingest, label, train, promote, serve. Or make one in a new folder: --sample"
        raise ProjectError(str(folder), "the project has no sample data to go the whole way on", todo)
    with Stack(project.folder, env=env, progress=progress) as stack:
        way = ListWay if stack.blueprint.recommenders and not stack.blueprint.models else _Way
        outcome = way(stack, found, Ledger(project), steps).go(started)
        if keep_serving:
            say(str(outcome))
            serve(stack)
            return Outcome("Stopped", outcome.data)
    return outcome


class _Way(Way):
    """The steps over one project with a sample, of a model."""

    def __init__(self, stack: Stack, sample: Sample, ledger: Ledger, steps: Steps) -> None:
        super().__init__(stack, sample, ledger, steps)
        self.latency: dict[str, float] = {}
        self.nights: list[dict[str, Any]] = []
        self.reported: Outcome | None = None

    def go(self, started: float) -> Outcome:
        run = self.steps.run
        blueprint = self.stack.blueprint
        run("features", self.apply)
        run("history", self.ingest)
        if self.is_online:
            run("online", self.materialize)
        run("labels", lambda: self.label("labels", self.sample.labels))
        run("training", self.train)
        run("promotion", self.promote)
        if blueprint.server is not None:
            run("serving", self.serve)
        for name in blueprint.jobs:
            run(name, partial(self.job, name))
        run("late labels", lambda: self.label("late_labels", self.sample.late_labels))
        run("report", self.report)
        return self.summary(time.monotonic() - started)

    def materialize(self) -> tuple[str, bool]:
        """Bring online what was known at the split; later rows follow while requests are sent."""
        written = self.bring_online(self.sample.split)
        return (f"{written:,} rows brought online" if written else "online rows are current"), bool(written)

    def label(self, kind: str, files: Mapping[str, Path]) -> tuple[str, bool]:
        added, changed = 0, False
        targets = {target.name for target in self.stack.definitions.targets}
        for target, path in files.items():
            if target not in targets:
                continue
            inputs = [file_digest(path), meaning(self.stack.target(target))]
            if self.ledger.unchanged(f"{kind} {target}", inputs):
                continue
            outcome = label(self.stack, path, target=target)
            added, changed = added + int(outcome.data["added"]), True
            self.ledger.finish(f"{kind} {target}", inputs)
        return (f"{added:,} labels" if changed else "labels are there"), changed

    def serve(self) -> tuple[str, bool]:
        """Live through days after the split: bring a day's rows online, and ask as of each request's own instant."""
        version = newest(self.stack, self.stack.model().name)
        assert version is not None
        inputs = [version.digest, file_digest(self.sample.requests)]
        days = self.days()
        to_do = {day: asked for day, asked in days.items() if not self.ledger.unchanged(f"requests {day}", inputs)}
        if to_do:
            with serving(self.stack.project) as url:
                for done, (day, requests) in enumerate(to_do.items()):
                    self.stack.progress("days", done, len(to_do))
                    self.bring_online(datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1))
                    self.ledger.finish(f"requests {day}", inputs, send(url, version.name, requests))
                self.stack.progress("days", len(to_do), len(to_do))
        took = [seconds for day in days for seconds in self.ledger.note(f"requests {day}")]
        p50, p99 = np.percentile(np.array(took) * 1e3, [50, 99]).tolist()
        self.latency = {"requests": len(took), "p50_ms": p50, "p99_ms": p99}
        what = f"{version.ref} answered {len(took):,} requests over HTTP, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        return what, bool(to_do)

    def job(self, name: str) -> tuple[str, bool]:
        """Run a job as of each night of the sample, on what is asked for then."""
        version = newest(self.stack, self.stack.model().name)
        assert version is not None
        part, changed = find(self.stack, name), False
        table = pyarrow.parquet.read_table(self.sample.requests)
        inputs = [version.digest, file_digest(self.sample.requests), file_digest(self.stack.project.blueprint)]
        moments = sorted({_utc(moment) for moment in table["asked_at"].to_pylist()})
        for done, at in enumerate(moments):
            step = f"{name} {at.isoformat()}"
            if not self.ledger.unchanged(step, inputs):
                self.stack.progress("nights", done, len(moments))
                asked = table.filter(pyarrow.compute.equal(table["asked_at"], at)).drop_columns(["asked_at"])
                with replacing(Path(jobs.request(self.stack, part, at).source)) as temporary:
                    pyarrow.parquet.write_table(asked, temporary)
                outcome = jobs.job(self.stack, name, at)
                if not outcome.ok:
                    raise DataError(f"job {name!r}", outcome.title, str(outcome))
                self.ledger.finish(step, inputs, dict(outcome.data))
                changed = True
            self.nights.append(self.ledger.note(step))
        self.stack.progress("nights", len(moments), len(moments))
        return f"{version.ref} valued {self.answered:,} homes in {len(moments)} nights", changed

    @property
    def answered(self) -> int:
        return sum(night["answered"] for night in self.nights)

    def days(self) -> dict[str, list[Request]]:
        """Return day → its requests, for some days spread evenly over those of the sample."""
        service = self.stack.service(self.stack.model().service)
        names = [item.name for item in (*service.request_keys, *service.request)]
        table = pyarrow.parquet.read_table(self.sample.requests)
        asked = [_utc(moment).isoformat() for moment in table["asked_at"].to_pylist()]
        requests = sorted(zip(table.select(names).to_pylist(), asked, strict=True), key=lambda request: request[1])
        days = {day: list(group) for day, group in groupby(requests, key=lambda request: request[1][:10])}
        chosen = np.unique(np.linspace(0, len(days) - 1, DAYS).astype(np.int64)).tolist()
        return {day: days[day] for day in (sorted(days)[place] for place in chosen)}

    def report(self) -> tuple[str, bool]:
        late = [file_digest(path) for path in self.sample.late_labels.values()]
        version = newest(self.stack, self.stack.model().name)
        assert version is not None
        inputs = [version.digest, file_digest(self.sample.requests), late, file_digest(self.stack.project.blueprint)]
        if self.ledger.unchanged("report", inputs) and all(
            Path(path).exists() for path in self.ledger.note("report")["files"]
        ):
            self.reported = Outcome("", self.ledger.note("report"))
            return f"report is there: {self.reported.data['page']}", False
        self.reported = report(self.stack, start=self.sample.split)
        self.ledger.finish("report", inputs, dict(self.reported.data))
        return self.reported.title, True

    def summary(self, seconds: float) -> Outcome:
        name = self.stack.model().name
        version = newest(self.stack, name)
        assert version is not None
        assert self.reported is not None
        measured = version.record["metrics"]
        rows = [
            ("model", f"{version.ref}  {version.digest[:19]}"),
            *self.baseline(version),
            *[(title, _share(measured[key])) for title, key in _SHOWN if key in measured],
            *self.answers(),
            ("live", self.reported.data.get("headline", "")),
            ("report", self.reported.data["page"]),
            ("project", str(self.stack.project.folder)),
        ]
        data = {
            "model": version.ref,
            "digest": version.digest,
            "metrics": dict(measured),
            **({"latency": self.latency} if self.latency else {}),
            **({"nights": self.nights} if self.nights else {}),
            "report": dict(self.reported.data),
            "steps": self.steps.done,
            "seconds": round(seconds, 2),
        }
        notes = ("", "Try it by hand:", *(f"  {line}" for line in self.commands(name)))
        return Outcome(f"Up in {seconds:.1f} s", data, (Table(("what", "value"), rows),), notes)

    def answers(self) -> list[tuple[str, str]]:
        """Return what was answered, and how fast."""
        rows = []
        if self.latency:
            p50, p99 = self.latency["p50_ms"], self.latency["p99_ms"]
            rows.append(("latency", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms over HTTP"))
        if self.nights:
            rows.append(("nights", f"{len(self.nights)}, {self.answered:,} rows; the last in {self.nights[-1]['out']}"))
        return rows

    def commands(self, name: str) -> list[str]:
        """Return what to try by hand."""
        command = f"{shlex.quote(str(Path(sys.executable).parent / 'stackwright'))}"
        project = shlex.quote(str(self.stack.project.folder))
        found = [
            f"{command} job {job} --at {self.nights[-1]['at'].replace('+00:00', 'Z')} --project {project}"
            for job in self.stack.blueprint.jobs
        ]
        if self.stack.blueprint.server is None:
            return found
        body, asked = list(self.days().values())[-1][-1]
        asked = asked.replace("+00:00", "Z")
        pairs = " ".join(f"{key}={value}" for key, value in body.items())
        return [
            *found,
            f"{command} serve --project {project}",
            f"curl 'http://127.0.0.1:8080/predict/{name}?at={asked}' \\",
            f"  -H 'Content-Type: application/json' -d '{_json(body)}'",
            f"{command} predict {pairs} --at {asked} --project {project}",
        ]

    def baseline(self, version: Any) -> list[tuple[str, str]]:
        from stackwright.workflows.versions.evidence import gates_of

        for gate in gates_of(self.stack, version).get("gates", []):
            if gate["name"] == "baseline" and gate["evidence"]:
                found = gate["evidence"]
                model, constant, linear = (_share(found[kind]) for kind in ("model", "constant", "linear"))
                return [(f"error ({found['metric']})", f"{model}; a constant has {constant}, a linear model {linear}")]
        return []


_SHOWN: Final = (
    ("median error", "mdape"),
    ("within 10 %", "ppe10"),
    ("interval coverage", "interval_coverage"),
    ("interval width", "median_relative_width"),
)


def _share(value: float) -> str:
    return f"{value:.1%}"


def _json(body: Any) -> str:
    import json

    return json.dumps(body)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
