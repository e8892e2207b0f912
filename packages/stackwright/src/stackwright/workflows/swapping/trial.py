"""A recorded workload, run on one adapter in a process of its own.

Memory is then the adapter's alone, and one that hangs, crashes or leaks takes nothing with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any, Final, Self, TypeVar

from stackwright.assembly.plan import Choice
from stackwright.workflows.swapping.answers import Answers
from stackwright.workflows.swapping.scratch import Scratch
from stackwright.workflows.training.usage import peak_memory
from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.plugin import Progress

T = TypeVar("T")

_PATIENCE: Final = 20.0
"""Seconds that a process is given to tidy up after an interruption."""


class Workload(ABC):
    """What is asked of an adapter, recorded before.

    Attributes:
        origin: where it comes from, for people.
    """

    origin: str

    @abstractmethod
    def run(self, scratch: Scratch, choice: Choice, answers: Answers, progress: Progress) -> None:
        """Build the adapter in a place for trials, ask everything, note the answers, and leave nothing behind."""


class TrialFailed(StackwrightError):
    """An adapter that failed in a trial, with whatever error.

    Attributes:
        answers: what it had answered by then.
    """

    answers = Answers()

    @classmethod
    def of(cls, adapter: str, found: str, answers: Answers | None = None) -> Self:
        """Return the error of an adapter."""
        error = cls(f"adapter {adapter!r}", f"it failed in the trial: {found}")
        error.answers = answers or Answers()
        return error


def run_apart(workload: Workload, scratch: Scratch, choice: Choice, progress: Progress) -> Answers:
    """Run a workload on an adapter in a child process.

    Raises:
        TrialFailed: the adapter raised an error, or its process died.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    packed = pickle.dumps((workload, scratch, choice))
    child = spawn.Process(target=_child, args=(there, packed), daemon=False)
    child.start()
    there.close()
    try:
        found = _listen(here, choice, progress)
    finally:
        if child.is_alive():
            child.join(_PATIENCE)
        if child.is_alive():
            child.kill()
        child.join()
        here.close()
    return found


def _listen(connection: Connection, choice: Choice, progress: Progress) -> Answers:
    while True:
        try:
            kind, content = connection.recv()
        except EOFError as error:
            raise TrialFailed.of(choice.spec.name, "its process died") from error
        if kind == "progress":
            progress(*content)
        elif kind == "answers":
            answers: Answers = content
            return answers
        else:
            raise TrialFailed.of(choice.spec.name, *content)


def _child(connection: Connection, packed: bytes) -> None:
    workload, scratch, choice = pickle.loads(packed)  # noqa: S301 -- from the parent process
    answers = Answers()
    before = peak_memory() or 0

    def progress(what: str, done: int, total: int) -> None:
        connection.send(("progress", (what, done, total)))

    try:
        workload.run(scratch, choice, answers, progress)
        answers.memory += (peak_memory() or 0) - before
        connection.send(("answers", answers))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except Exception as error:  # noqa: BLE001 -- an adapter may raise anything
        text = str(error) if isinstance(error, StackwrightError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            connection.send(("failed", (text, answers)))
    finally:
        connection.close()


def now() -> datetime:
    """Return the present."""
    return datetime.now(UTC)


def timed(answers: Answers, operation: str, ask: Callable[..., T], *given: Any, **named: Any) -> T:
    """Ask, and note how long it took."""
    started = perf_counter()
    found = ask(*given, **named)
    answers.took(operation, perf_counter() - started)
    return found
