"""Where the trials of a search run: in this thread, or on the compute slot, with the rows laid out for its workers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stackwright.assembly import options
from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.training.fitting import Fitter
from stackwright.workflows.training.trials import Elsewhere, Here, Workshop
from stackwright_interfaces.compute import Inline, SupportsWorkers
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.storage import Storage


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
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tune-", dir=cache) as folder:
        workshop = Elsewhere.furnished(
            Path(folder),
            replace(fitter, threads=min(fitter.threads, threads)),
            rows,
            factory=choice.spec.factory,
            config=options.configure(choice.part, choice.spec, project),
            context=Context(project=project, cache=cache, storage=partial(_storage, project)),
        )
        yield Workbench(workshop, executor, workers)


def _storage(project: Path, url: str) -> Storage:
    from stackwright_storage import open_storage

    return open_storage(url if "://" in url or url.startswith("file:") else str(project / url))
