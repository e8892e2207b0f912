"""Training runs: each is a run of MLflow's, with the whole of it as one tag beside what MLflow shows."""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from stackwright_interfaces.errors import RegistryError
from stackwright_interfaces.registry import Run
from stackwright_mlflow.documents import bring_back, damaged, encode, put_aside, run_from_document, run_to_text
from stackwright_mlflow.names import KIND, check_run
from stackwright_mlflow.server import Refused, Server
from stackwright_mlflow.tracking import TrackedRun, Tracking, millis

ID: Final = "stackwright.run"
"""Tag of a run: its id."""

DOCUMENT: Final = "stackwright.document"
"""Tag of a run: the whole of it, or where that is kept."""

_STATUS: Final = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED"}
_NO_KEY: Final = re.compile(r"[^A-Za-z0-9_. /-]")
_LONGEST_KEY: Final = 250
_LONGEST_VALUE: Final = 5000


class Runs:
    """Training runs on an MLflow server."""

    def __init__(self, server: Server, tracking: Tracking, home: Callable[[], str]) -> None:
        self._server = server
        self._tracking = tracking
        self._home = home

    def save(self, run: Run) -> None:
        """Store or replace a run by its id.

        Raises:
            UsageError: an id that is not usable, or values without a JSON form.
            RegistryError: MLflow does not take it.
        """
        check_run(run.id)
        text = run_to_text(run)
        home = self._home()
        found = sorted(self._tracking.runs(home, f"tags.`{ID}` = '{run.id}'"), key=lambda one: one.id)
        tags = {KIND: "run", ID: run.id}
        tracked = found[0] if found else self._tracking.create_run(home, f"{run.name} {run.id}", run.started, tags)
        for other in found[1:]:  # two processes made it at once
            self._tracking.delete_run(other.id)
        name = hashlib.sha256(text.encode()).hexdigest()
        path = f"{tracked.artifacts(self._server.where)}/stackwright/{name}.json"
        document = encode("run", put_aside(self._server, text, path))
        shown = [{"key": DOCUMENT, "value": document}]
        shown.append({"key": "stackwright.model", "value": run.model})
        self._tracking.log(tracked.id, tags=shown)
        with suppress(Refused):  # another process shows the same run; the whole of it is in the tag
            self._show(run, tracked)

    def all(self, name: str | None, experiment: str | None) -> Sequence[Run]:
        """Return runs, newest first.

        Raises:
            RegistryError: MLflow cannot be asked, or a run is damaged.
        """
        if experiment is None:
            return []
        found: dict[str, Run] = {}
        for tracked in self._tracking.runs(experiment, f"tags.`{KIND}` = 'run'"):
            run = self._read(tracked)
            if run is not None and name in {None, run.name}:
                found[run.id] = run
        return sorted(found.values(), key=lambda run: (run.started, run.id), reverse=True)

    def _read(self, tracked: TrackedRun) -> Run | None:
        """Return a run; ``None`` for one whose process died before it was stored."""
        text = tracked.tags.get(DOCUMENT)
        if text is None:
            return None
        where = f"run {tracked.id}"
        try:
            document = bring_back(self._server, json.loads(text))
        except (ValueError, AttributeError) as error:
            raise damaged(where, error) from error
        run = run_from_document(where, document)
        if run.id != tracked.tags.get(ID):
            raise RegistryError(where, f"the record is of {run.id!r}", "Restore it from a backup.")
        return run

    def _show(self, run: Run, tracked: TrackedRun) -> None:
        """Tell MLflow's own pages; a parameter that MLflow shows already stays there as it is."""
        parameters = [pair for pair in flat(run.parameters) if pair["key"] not in tracked.parameters]
        news = {name: value for name, value in run.metrics.items() if tracked.metrics.get(name) != value}
        metrics = measures(news, run.ended or run.started)
        self._tracking.show(tracked.id, parameters, metrics)
        ended = {} if run.ended is None else {"end_time": millis(run.ended)}
        self._tracking.update_run(tracked.id, status=_STATUS.get(run.status, "RUNNING"), **ended)


def flat(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return parameters as MLflow shows them: text, cut where MLflow would refuse it."""
    shown = {_key(name): encode("parameter", {"": value}) for name, value in parameters.items()}
    return [{"key": key, "value": _bare(text)[:_LONGEST_VALUE]} for key, text in shown.items()]


def measures(metrics: Mapping[str, Any], at: datetime) -> list[dict[str, Any]]:
    """Return the numbers among metrics as MLflow takes them."""
    return [
        {"key": _key(name), "value": _number(value), "timestamp": millis(at), "step": 0}
        for name, value in metrics.items()
        if isinstance(value, int | float)
    ]


def _key(name: str) -> str:
    clean = posixpath.normpath(_NO_KEY.sub("_", name)[:_LONGEST_KEY]).strip(" ./")
    return clean or "_"


def _bare(text: str) -> str:
    """Return a value without the braces that made it a document, and a text without its quotes."""
    value = json.loads(text)[""]
    return value if isinstance(value, str) else json.dumps(value)


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
