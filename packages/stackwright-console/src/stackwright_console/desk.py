"""The stack that the pages show: opened once, used by one thread, opened anew when its files change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from stackwright.assembly.project import Project
from stackwright.assembly.stack import Stack

T = TypeVar("T")

_FRESH: Final = 10.0
"""Seconds for which a long list is shown again as it was read."""


class Desk:
    """A project's stack, for one caller at a time.

    Args:
        folder: the project folder.
        env: the environment; ``None`` takes that of ``STACKWRIGHT_ENV``, or none.

    Raises:
        ProjectError: the folder holds no project.
    """

    def __init__(self, folder: Path, env: str | None = None) -> None:
        self.project = Project.find(folder, env)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stack")
        self._stack: Stack | None = None
        self._stamp: tuple[int, ...] = ()
        self._kept: dict[str, tuple[float, Any]] = {}

    async def ask(self, work: Callable[[Stack], T]) -> T:
        """Return what some work finds in the stack, done on the stack's own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._with_stack, work)

    def recent(self, name: str, read: Callable[[], T]) -> T:
        """Return what was read under a name a short time ago, or read it now; on the stack's thread alone."""
        at, kept = self._kept.get(name, (float("-inf"), None))
        if time.monotonic() - at > _FRESH:
            kept = read()
            self._kept[name] = (time.monotonic(), kept)
        found: T = kept
        return found

    def close(self) -> None:
        """Release the stack. Closing twice is allowed."""
        self._thread.submit(self._shut).result()
        self._thread.shutdown()

    def forget(self) -> None:
        """Read everything anew at the next question: something was changed; on the stack's thread alone."""
        self._kept.clear()

    def _with_stack(self, work: Callable[[Stack], T]) -> T:
        stamp = self._written()
        if self._stack is None or stamp != self._stamp:
            self._shut()
            self._stack, self._stamp = Stack(self.project.folder, env=self.project.env, read_only=True), stamp
        return work(self._stack)

    def _written(self) -> tuple[int, ...]:
        return tuple(_written(path) for path in (self.project.blueprint, self.project.catalogue))

    def _shut(self) -> None:
        self.forget()
        if self._stack is not None:
            self._stack.close()
            self._stack = None


def _written(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0
