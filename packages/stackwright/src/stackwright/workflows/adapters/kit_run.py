"""A conformance kit at work in a process of its own, watched from this one."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Final

from stackwright_interfaces import errors
from stackwright_interfaces.errors import PluginError, StackwrightError
from stackwright_interfaces.plugin import Progress

PASSED: Final = "passed"
FAILED: Final = "failed"
NOT_RUN: Final = "not run"
RESULTS: Final = (FAILED, NOT_RUN, PASSED, "expected failure", "not applicable")
"""What may become of a test."""

PATIENCE: Final = 300.0
"""Seconds that one case may take."""

_START: Final = 120.0
"""Seconds that a kit is given to be imported."""

_CHILD: Final = "from stackwright_interfaces.testing.run import main; main()"
_LOG: Final = "log.txt"
_CUT_OFF: Final = (
    "The kit did not come to its end: what its last test wrote on a server may be there yet, under names with kit_."
)


@dataclass(frozen=True)
class Case:
    """What became of one test of the kit.

    Args:
        name: of the test, with its parameters in brackets.
        result: ``"passed"``, ``"failed"``, ``"expected failure"``, ``"not applicable"`` or ``"not run"``.
        reason: why it is not ``"passed"``, in one line.
        detail: of one that failed, the traceback.
        seconds: how long it took.
        numbers: of a whole store, the cases of its specification that the test states.
    """

    name: str
    result: str
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0
    numbers: tuple[int, ...] = ()

    @classmethod
    def of(cls, case: str, *told: Any, **more: Any) -> Case:
        """Return the case of a test, ``"Class::name"``."""
        return cls(case.partition("::")[2], *told, **more)

    @property
    def title(self) -> str:
        """What the test states, without its parameters."""
        return self.name.partition("[")[0].removeprefix("test_").replace("_", " ")


@dataclass(frozen=True)
class Ran:
    """What a kit told.

    Args:
        cases: what became of each test.
        matrix: of the feature store's specification, a case each: its number, what it says, and whether it is met.
        notes: why cases of it are not met, and what the kit could not clear away, a line each.
    """

    cases: tuple[Case, ...]
    matrix: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]


def run_kit(request: Mapping[str, Any], patience: float, progress: Progress) -> Ran:
    """Run what a request of :mod:`stackwright_interfaces.testing.run` asks for.

    Args:
        patience: seconds that one case may take; one that takes longer has failed, and ends the run.

    Raises:
        PluginError: nothing could be run.
        UsageError: an option is missing, or would let tests share what must be kept apart.
    """
    temporary = TemporaryDirectory(prefix="stackwright-conform-", ignore_cleanup_errors=True)
    with temporary as folder, _start(request, Path(folder)) as child:
        watch = _Watch(child, Path(folder) / _LOG, patience)
        try:
            cases = tuple(watch.cases(progress))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # whatever the tests left running ends with them
            watch.reader.join()
    notes = [*watch.matrix["notes"], *([_CUT_OFF] if watch.is_cut_off else [])]
    return Ran(cases, tuple(map(tuple, watch.matrix["rows"])), tuple(notes))


def _start(request: Mapping[str, Any], folder: Path) -> subprocess.Popen[bytes]:
    paths = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    own = {"PYTHONPATH": os.pathsep.join(paths), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    with (folder / _LOG).open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            cwd=folder,
            env={**os.environ, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # it died; what it said is in the log
        pickle.dump(dict(request), child.stdin)
        child.stdin.close()
    return child


class _Watch:
    """Reads what a child tells, and notices when it tells nothing any more."""

    def __init__(self, child: subprocess.Popen[bytes], log: Path, patience: float) -> None:
        self._child = child
        self._log = log
        self._patience = patience
        self._end = ""
        self.is_cut_off = False
        self.matrix: dict[str, list[Any]] = {"rows": [], "notes": []}
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self.reader = Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def cases(self, progress: Progress) -> Iterator[Case]:
        """Give what became of each test; those that a death or a standstill left over have not been run."""
        told = self._next(max(self._patience, _START))
        if told is None:
            found = f"cannot be started, {self._end}: {self._tail or 'it said nothing'}"
            raise PluginError("the conformance kit", found)
        left, begun = list(told["cases"]), ""
        total = len(left)
        while told := self._next(self._patience):
            begun = told.get("begun", begun)
            self.matrix = told.get("matrix", self.matrix)
            if "case" in told:
                left = [test for test in left if test != told["case"]]
                progress("conformance cases", total - len(left), total)
                yield Case.of(**told)
        self.is_cut_off = bool(left)
        for test in left:
            yield Case.of(test, FAILED, self._end, self._tail) if test == begun else Case.of(test, NOT_RUN, self._end)

    def _next(self, patience: float) -> dict[str, Any] | None:
        """Return what the child tells; ``None`` where it has ended, or tells nothing for so many seconds."""
        try:
            line = self._lines.get(timeout=patience)
        except Empty:
            self._end = f"it did not end within {patience:g} seconds"
            return None
        if not line:
            self._end = f"the process ended with code {self._child.wait()}"
            return None
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise _error(*told["error"])
        return told

    @property
    def _tail(self) -> str:
        """The last lines of what the child printed."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


def _error(kind: str, where: str, found: str, todo: str) -> StackwrightError:
    """Return the error that ended the child, as it was raised there."""
    error = getattr(errors, kind, PluginError)
    assert issubclass(error, StackwrightError)
    return error(where, found, todo)
