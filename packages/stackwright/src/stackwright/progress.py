"""Progress: a bar where a person looks on, nothing where a program does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackwright_interfaces.plugin import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


def _silent(_what: str, _done: int, _total: int) -> None:
    return None


class Bar:
    """One bar on standard error or in a notebook cell; it appears with the first unfinished piece of work."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Show that ``done`` of ``total`` are done; the bar goes away at the end."""
        if done >= total:
            self.close()
            return
        if self._bars is None or self._task is None:
            self._start()
        assert self._bars is not None
        assert self._task is not None
        self._bars.update(self._task, description=what, completed=done, total=total)
        speed = self._bars.tasks[0].speed
        self._bars.update(self._task, rate=f"{speed:,.0f}/s" if speed else "")

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        bar = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn())
        columns = (*bar, TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bars.add_task("", rate="")
        self._bars.start()

    def close(self) -> None:
        """Take the bar away. Closing twice is allowed."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None


@contextmanager
def shown(*, quiet: bool = False) -> Iterator[Progress]:
    """Give a function that shows progress on standard error while the block runs."""
    if quiet or not sys.stderr.isatty():
        yield _silent
        return
    bar = Bar()
    try:
        yield bar
    finally:
        bar.close()
