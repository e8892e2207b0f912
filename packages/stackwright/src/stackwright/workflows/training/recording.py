"""A run while it goes on: its steps, what it costs, and its log."""

from __future__ import annotations

import platform
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows.identity import who
from stackwright.workflows.training.code_version import commit_of
from stackwright.workflows.training.run_log import RunLog
from stackwright.workflows.training.usage import Meter
from stackwright.workflows.versions.run_states import log_path, tail
from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.registry import ModelVersion, Run, SupportsRuns


class Steps(dict[str, float]):
    """Step → seconds, told of each step that begins.

    Args:
        begun: called with the name of a step.
    """

    def __init__(self, begun: Callable[[str], None]) -> None:
        super().__init__()
        self.running = ""
        self._begun = begun

    def begin(self, step: str) -> None:
        """Take note that a step begins."""
        self.running = step
        self._begun(step)


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Note how long a step took."""
    if isinstance(seconds, Steps):
        seconds.begin(step)
    started = time.perf_counter()
    yield
    seconds[step] = round(time.perf_counter() - started, 4)


class Recording:
    """A run that goes on.

    Attributes:
        seconds: step → how long it took.
        inputs: what the step under way works on: fingerprint, parameters, paths.
        cpu_elsewhere: CPU seconds of other processes that still run.
    """

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack = stack
        self._meter = Meter()
        id_ = uuid.uuid4().hex
        self._log = RunLog(log_path(stack, id_))
        self._kept = False
        self.inputs: dict[str, Any] = {}
        self.cpu_elsewhere = 0.0
        self.seconds = Steps(self._begun)
        record = {
            "owner": who(),
            "code": commit_of(stack.project.folder),
            "python": platform.python_version(),
            "platform": platform.platform(),
        }
        self.run = Run(id=id_, name=name, status="running", started=stack.clock(), record=record)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Take down what happens; what is raised makes the run a failed one."""
        try:
            with self._log.capturing():
                yield
        except BaseException as error:
            with suppress(StackwrightError):  # of a log that cannot be written, the first error is told
                self._log.note(f"failed: {_told(error)}")
            self._fail(error)
            raise
        finally:
            self._log.close()

    def step(self, name: str) -> Any:
        """Return the context of a step."""
        return timed(self.seconds, name)

    def _begun(self, step: str) -> None:
        self._log.note(f"step: {step}")
        if self._kept:
            self._save(self.run)

    def keep(self) -> None:
        """Take the run into the registry: there is something to do."""
        self._kept = True
        self._save(self.run)

    def drop(self) -> None:
        """Forget the run: there was nothing to do."""
        self._log.drop()

    def finish(self, version: ModelVersion) -> None:
        """Say what was published."""
        self._log.note(f"finished: {version.ref}")
        self.run = replace(
            self.run,
            status="finished",
            ended=self._stack.clock(),
            model=version.ref,
            parameters=version.record.get("parameters", {}),
            metrics=version.record.get("metrics", {}),
        )
        self.seconds.running = ""
        self._save(self.run, trials=version.record.get("trials", []), **self._costs())

    def _fail(self, error: BaseException) -> None:
        told = _told(error)
        failure = {
            "step": self.seconds.running,
            "type": type(error).__name__,
            "error": told,
            "inputs": self.inputs,
        }
        self.run = replace(self.run, status="failed", ended=self._stack.clock())
        with suppress(StackwrightError):  # of a registry that fails as well, the first error is told
            self._save(self.run, error=told, failure=failure, **self._costs())

    def _costs(self) -> dict[str, Any]:
        return {"usage": self._meter.read(self.cpu_elsewhere)}

    def _save(self, run: Run, **more: Any) -> None:
        record = {
            **run.record,
            **more,
            "step": self.seconds.running,
            "steps": dict(self.seconds),
            "log": {"file": _shown(self._stack, self._log.path), "tail": tail(self._log.path)},
        }
        self.run = replace(run, record=record)
        if isinstance(self._stack.registry, SupportsRuns):
            self._stack.registry.save_run(self.run)

    def to_json(self) -> dict[str, Any]:
        """Return what is worth telling of the run."""
        names = ("owner", "code", "python", "platform", "usage", "log")
        about = {name: self.run.record[name] for name in names if name in self.run.record}
        return {"id": self.run.id, "status": self.run.status, **about}


def _told(error: BaseException) -> str:
    """Return what an error says, or its type where it says nothing."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return redact(str(error)) or type(error).__name__


def _shown(stack: Stack, path: Path) -> str:
    return path.relative_to(stack.project.folder).as_posix()
