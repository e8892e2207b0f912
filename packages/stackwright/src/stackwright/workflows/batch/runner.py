"""Does the jobs that a server was asked for: ``python -m stackwright.workflows.batch.runner PROJECT ENV``."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from stackwright.assembly.locking import held
from stackwright.assembly.project import Project
from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows.batch import jobs
from stackwright.workflows.live.job_requests import JobLog
from stackwright_interfaces.errors import StackwrightError

TRIES: Final = 3
"""How often a job is begun whose process dies of it."""


def work(project: Path, env: str) -> None:
    """Do what waits, one after the other; leave where another does."""
    log, patience = JobLog(Project.find(project, env)), 20
    while log.waiting() and patience:
        with held(log.lock) as mine:
            for request in log.waiting() if mine else ():
                _do(log, project, env, request)
        if not mine:  # by who does them, or for an instant by who looks whether somebody does
            patience -= 1
            time.sleep(0.1)


def _do(log: JobLog, project: Path, env: str, request: str) -> None:
    asked = log.asked(request) or {}
    with Stack(project, env=env) as stack:
        if log.begin(request) > TRIES:
            found = f"the process that did it died {TRIES} times; see {log.folder / 'runner.log'}"
            log.end(request, "failed", {"error": found}, stack.clock())
            return
        try:
            outcome = jobs.job(stack, asked["asked"]["job"], datetime.fromisoformat(asked["at"]))
        except StackwrightError as error:
            log.end(request, "failed", {"error": redact(str(error))}, stack.clock())
            return
        state = "done" if outcome.ok else "refused"
        log.end(request, state, {"title": outcome.title, "result": dict(outcome.data)}, stack.clock())


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2])
