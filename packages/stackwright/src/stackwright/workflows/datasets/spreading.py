"""The rows of a fit that spreads itself over machines: they lie in files, and some of them are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Final

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets import building
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.parted_rows import Rows
from stackwright.workflows.datasets.pins import Pin
from stackwright.workflows.datasets.shared_parts import share
from stackwright.workflows.rows.spool import spool
from stackwright_interfaces.compute import SupportsShare
from stackwright_interfaces.trainer import SupportsParts, TaskKind, Trainer

LOOKED_AT: Final = 200_000
"""Most rows by which a fit that spreads itself is judged, and as many of those it learned from."""

_TASKS: Final = (TaskKind.REGRESSION, TaskKind.CLASSIFICATION)


def spreads(trainer: Trainer, task: str) -> bool:
    """Return whether a fit spreads itself over machines, with rows that need not be in one process."""
    return trainer.spreads and task in _TASKS


def held_whole(trainer: Trainer, part: ModelPart) -> str:
    """Say why the process that trains holds all rows of a fit that spreads itself; nothing where it does not."""
    if not trainer.spreads or (in_parts(part) and isinstance(trainer, SupportsParts)):
        return ""
    if part.data is not None:
        why = "rows of data of its own are put in order by what all of them hold"
        todo = "ingest them into a view, bring labels, and train over a service"
    elif not in_parts(part):
        why, todo = f"those of a {part.task} are not read in parts", "give it more or bring fewer labels"
    else:
        why, todo = "its trainer takes none by reference", "choose one with the capability parts"
    return f"The process that trains holds all rows of {part.name!r}: {why}. Where it lacks the memory: {todo}."


def in_parts(part: ModelPart) -> bool:
    """Return whether the rows of a model can be built part by part into files."""
    return part.data is None and part.task in _TASKS


def looked_at(rows: Rows, trainer: Trainer, task: str, share: float = 1.0) -> Dataset:
    """Return the rows by which a fit is judged: all, or of a fit that spreads itself some, spread evenly.

    A fit is spread where there may be more rows than one process holds; which ones are taken does not depend on where
    they lie.

    Args:
        share: of ``LOOKED_AT``.
    """
    return rows.thinned(int(LOOKED_AT * share) if spreads(trainer, task) else len(rows))


@contextmanager
def rows_in(
    stack: Stack,
    part: ModelPart,
    *,
    known_at: datetime | None = None,
    pin: Pin | None = None,
    files: bool | None = None,
) -> Iterator[Callable[[], Rows]]:
    """Give what builds the rows of a model: in memory, or in files, which last as long.

    Args:
        known_at: as :func:`~stackwright.workflows.datasets.building.build` has it.
        pin: as there.
        files: whether they lie in files where they can; ``None`` is where a fit spreads itself and reads them there.
    """
    url = ""
    if files is None:
        trainer = stack.trainer(part)
        files = trainer.spreads and isinstance(trainer, SupportsParts)
        url = stack.executor.share if isinstance(stack.executor, SupportsShare) else ""
    if not (files and in_parts(part)):
        yield partial(building.build, stack, part, known_at=known_at, pin=pin)
        return
    with ExitStack() as opened:
        folder = opened.enter_context(spool(stack.project.cache, "rows"))
        build = partial(building.build_in_parts, stack, part, folder, known_at=known_at, pin=pin)
        if url:
            place = opened.enter_context(share(url, folder.name))
            yield lambda: build().in_share(place)
        else:
            yield build
