"""Jobs that a server was asked for: written down once a key, done one after the other by a process of their own.

::

    .stackwright/jobs/ID.json           what was asked; ID is made of the key
    .stackwright/jobs/ID.tries.json     how often it was begun
    .stackwright/jobs/ID.result.json    how it ended

Whoever takes a request, looks for one or starts a server starts that process, if it does not run and something waits:
so nothing is lost with a server, and a job that was cut off is taken up where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, time
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from stackwright.assembly.blueprint import JobPart
from stackwright.assembly.locking import held
from stackwright.assembly.project import Project, write_json
from stackwright.assembly.stack import Stack
from stackwright_interfaces.errors import ProjectError, UsageError, did_you_mean
from stackwright_serving.refused import Refused

RUNNER: Final = "stackwright.workflows.batch.runner"
"""The module that does the jobs."""


def find(stack: Stack, name: str) -> JobPart:
    """Return a job of the blueprint.

    Raises:
        UsageError: there is none of this name.
    """
    jobs = stack.blueprint.jobs
    if name not in jobs:
        todo = did_you_mean(name, jobs) or (f"Defined: {', '.join(jobs)}." if jobs else f"Add [jobs.{name}].")
        raise UsageError(f"job {name!r}", "the blueprint has no such job", todo)
    return jobs[name]


def midnight(stack: Stack, part: JobPart) -> datetime:
    """Return the beginning of the present day in the job's zone."""
    zone = ZoneInfo(part.zone)
    return datetime.combine(stack.clock().astimezone(zone).date(), time(), zone)


class Requests:
    """The requests of a project.

    Args:
        stack: its blueprint says which jobs there are.
        most: requests that may wait.
    """

    def __init__(self, stack: Stack, most: int) -> None:
        self._stack, self._most = stack, most
        self._log = JobLog(stack.project)
        self._runner: subprocess.Popen[bytes] | None = None

    def start(self, key: str, job: str, at: datetime | None) -> tuple[Mapping[str, Any], bool]:
        """Take a request, unless it was taken before.

        Raises:
            Refused: too many wait (503), or the key stands for something else (422).
            UsageError: there is no such job.
            ProjectError: it cannot be written down.
        """
        part = find(self._stack, job)
        request, asked = hashlib.sha256(key.encode()).hexdigest()[:32], {"job": job, "at": at and at.isoformat()}
        known: Mapping[str, Any] | None = self._log.asked(request)
        taken: Mapping[str, Any] | None = None
        if known is None:
            if len(self._log.waiting()) >= self._most:
                raise Refused(503, f"{self._most} jobs wait", "Ask again later, with the same key.", where="jobs")
            moment = at or midnight(self._stack, part)
            taken = {"asked": asked, "at": moment.isoformat(), "taken": self._stack.clock().isoformat()}
            known = self._log.take(request, taken)
        if known["asked"] != asked:
            raise Refused(422, "the Idempotency-Key stands for another request", "Send a new key.", where="jobs")
        self.resume()
        return self._log.told(request), known is taken

    def status(self, request: str) -> Mapping[str, Any] | None:
        """Return what became of a request; ``None`` where it is none."""
        if self._log.asked(request) is None:
            return None
        self.resume()
        return self._log.told(request)

    def resume(self) -> None:
        """Start the process that does the jobs, where something waits and it does not run."""
        starting = self._runner is not None and self._runner.poll() is None  # it takes its lock only after a while
        if starting or not self._log.waiting() or self._log.runs():
            return
        project = self._stack.project
        command = [sys.executable, "-m", RUNNER, str(project.folder), project.env]
        path = self._log.folder / "runner.log"
        try:
            with path.open("ab") as log:
                self._runner = subprocess.Popen(
                    command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
                )
        except OSError as error:
            todo = "What was taken stays so, and is done once that is mended."
            raise ProjectError(str(path), f"jobs cannot be started ({error.strerror})", todo) from error


class JobLog:
    """What is written down of requests."""

    def __init__(self, project: Project) -> None:
        self.folder = project.state / "jobs"
        self.lock = self.folder / "runner.lock"

    def take(self, request: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write a request down; return it, or what was written under its id before."""
        path = self.folder / f"{request}.json"
        whole = self.folder / f".{request}.{os.getpid()}-{threading.get_ident()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            whole.write_text(json.dumps(document), encoding="utf-8")
            os.link(whole, path)
        except FileExistsError:
            return self.asked(request) or document
        except OSError as error:
            raise ProjectError(str(path), f"cannot be written ({error.strerror})", "Free space there.") from error
        finally:
            whole.unlink(missing_ok=True)
        return document

    def asked(self, request: str) -> dict[str, Any] | None:
        """Return a request as it was written down."""
        return _read(self.folder / f"{request}.json")

    def result(self, request: str) -> dict[str, Any] | None:
        """Return how a request ended."""
        return _read(self.folder / f"{request}.result.json")

    def tries(self, request: str) -> int:
        """Return how often a request was begun."""
        return int((_read(self.folder / f"{request}.tries.json") or {"tries": 0})["tries"])

    def begin(self, request: str) -> int:
        """Note that a request is begun; return how often it was."""
        tries = self.tries(request) + 1
        write_json(self.folder / f"{request}.tries.json", {"tries": tries})
        return tries

    def end(self, request: str, state: str, result: Mapping[str, Any], at: datetime) -> None:
        """Write down how a request ended."""
        document = {"state": state, "ended": at.isoformat(), **result}
        write_json(self.folder / f"{request}.result.json", document)

    def waiting(self) -> list[str]:
        """Return the requests that have not ended, the oldest first."""
        names = [path.name.removesuffix(".json") for path in self.folder.glob("*.json")]
        found = [(known["taken"], name) for name in names if "." not in name and (known := self.asked(name))]
        return [name for _, name in sorted(found) if self.result(name) is None]

    def runs(self) -> bool:
        """Return whether the process runs that does the jobs."""
        with held(self.lock) as mine:
            return not mine

    def told(self, request: str) -> dict[str, Any]:
        """Return what became of a request, as whoever asks is told."""
        known, ended = self.asked(request) or {}, self.result(request)
        state = "running" if self.tries(request) and self.runs() else "waiting"
        about = {"id": request, "job": known["asked"]["job"], "at": known["at"], "taken": known["taken"]}
        return {**about, "state": state} if ended is None else {**about, **ended}


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None
