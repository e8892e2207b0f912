"""Parts of jobs that are scored in other processes: each keeps the project of its last job open until another comes."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stackwright.assembly.stack import Stack
from stackwright.workflows.batch.parts import Part
from stackwright.workflows.batch.work import Done, Job, Worker


def run_elsewhere(job: Job, part: Part) -> Done:
    """Score a part in a process that has the project under the same path; the model is loaded once a thread."""
    with _projects.opened(job) as project:
        return project.worker(job).run(part)


class _Project:
    """The project of a job, open, with a worker for each thread."""

    def __init__(self, job: Job) -> None:
        self.stack = Stack(job.project, env=job.env)
        self.users = 0
        self._own = threading.local()

    def worker(self, job: Job) -> Worker:
        """Return the worker of this thread."""
        if not hasattr(self._own, "worker"):
            self._own.worker = Worker(self.stack, job)
        worker: Worker = self._own.worker
        return worker


class _Projects:
    """The projects that this process scores parts of. One that is idle is closed when another job comes, or at exit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[Path, str], _Project] = {}

    @contextmanager
    def opened(self, job: Job) -> Iterator[_Project]:
        """Hold the project of a job open."""
        key = (job.folder, job.run)
        with self._lock:
            if key not in self._open:
                self._close_idle()
                self._open[key] = _Project(job)
            project = self._open[key]
            project.users += 1
        try:
            yield project
        finally:
            with self._lock:
                project.users -= 1

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            self._close_idle()

    def _close_idle(self) -> None:
        for key in [key for key, project in self._open.items() if not project.users]:
            self._open.pop(key).stack.close()


_projects: Final = _Projects()
atexit.register(_projects.close)
