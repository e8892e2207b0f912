"""Where the trials of a search run: in this thread, or on the compute slot, with the rows laid out for its workers."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from stackwright.assembly import options
from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.training.fitting import Fitter
from stackwright.workflows.training.trials import Elsewhere, Here, Workshop
from stackwright_interfaces.compute import Inline, SupportsWorkers
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.storage import Storage

_PREFIX: Final = "tune-"


@dataclass(frozen=True)
class Workbench:
    """A workshop, what runs in it, and how many trials at once."""

    workshop: Workshop
    executor: Executor
    workers: int


@contextmanager
def workbench_of(stack: Stack, part: ModelPart, fitter: Fitter, rows: Dataset) -> Iterator[Workbench]:
    """Give the workbench of a model."""
    if "compute" not in stack.plan.choices or fitter.shaper.trainer.spreads:
        yield Workbench(Here(fitter, rows), Inline(), 1)
        return
    executor = stack.executor
    workers, threads = (executor.workers, executor.threads) if isinstance(executor, SupportsWorkers) else (1, 1)
    choice = stack.plan.choices[f"trainer:{part.name}"]
    project, cache = stack.project.folder, stack.project.cache
    with _folder_in(cache) as folder:
        workshop = Elsewhere.furnished(
            folder,
            replace(fitter, threads=min(fitter.threads, threads)),
            rows,
            factory=choice.spec.factory,
            config=options.configure(choice.part, choice.spec, project),
            context=Context(project=project, cache=cache, storage=partial(_storage, project)),
        )
        yield Workbench(workshop, executor, workers)


@contextmanager
def _folder_in(cache: Path) -> Iterator[Path]:
    """Give a folder that lasts as long; those that searches left behind when they were killed go first."""
    cache.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        with _held(cache):  # nobody takes a folder that is made but not held yet
            for left in cache.glob(f"{_PREFIX}*"):
                with suppress(BlockingIOError), _held(left, wait=False):
                    shutil.rmtree(left, ignore_errors=True)
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX, dir=cache)))
            opened.enter_context(_held(folder))
        yield folder


@contextmanager
def _held(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder's lock, which ends with this process at the latest.

    Raises:
        BlockingIOError: another holds it, and it is not waited for.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _storage(project: Path, url: str) -> Storage:
    from stackwright_storage import open_storage

    return open_storage(url if "://" in url or url.startswith("file:") else str(project / url))
