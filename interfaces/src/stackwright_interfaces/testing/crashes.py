"""Death in mid-work: a child process is killed at a chosen step, as ``kill -9`` or a power cut would.

A step is whatever the process asks of the operating system that Python audits: opening, linking, renaming, removing,
locking, connecting.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any, Final

_STEPS: Final = ("open", "os.", "fcntl.", "shutil.", "socket.", "sqlite3.")
_PATIENCE: Final = 60.0

_processes = get_context("fork")


def crashes(
    work: Callable[[str], object],
    *,
    prepare: Callable[[str], object] = lambda name: None,
    at_most: int = 40,
) -> Iterator[str]:
    """Do a piece of work again and again in children, and kill each at another step.

    Args:
        work: what is done; it is given a name of its own each time, such as a folder's.
        prepare: done before, in this process, with the same name.
        at_most: number of children; with more steps, those between are left out.

    Yields:
        The name that was given to a child that was killed.
    """
    prepare("whole")
    total = _run(work, "whole", 0) or 0
    assert total, "the work takes no step that could be its last"
    stride = max(1, -(-total // at_most))
    for step in range(1, total + 1, stride):
        name = f"killed-at-{step}"
        prepare(name)
        if _run(work, name, step) is None:
            yield name


def _run(work: Callable[[str], object], name: str, step: int) -> int | None:
    """Return the steps that were taken, or ``None`` if the child was killed."""
    answer = _processes.SimpleQueue()
    child = _processes.Process(target=_work_until, args=(work, name, step, answer))
    child.start()
    child.join(_PATIENCE)
    if child.exitcode == -signal.SIGKILL and step:
        return None
    assert child.exitcode == 0, f"the child {name!r} failed with exit code {child.exitcode}"
    steps: int = answer.get()
    return steps


def _work_until(work: Callable[[str], object], name: str, step: int, answer: Any) -> None:
    taken = 0

    def watch(event: str, _arguments: tuple[object, ...]) -> None:
        nonlocal taken
        if event.startswith(_STEPS):
            taken += 1
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    work(name)
    answer.put(taken)
