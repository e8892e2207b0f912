"""Compute: where fits run. The contract is the standard library's :class:`concurrent.futures.Executor`.

Beyond what the standard library says, an adapter's executor

- takes functions of importable modules, whose arguments and results cross by pickle;
- runs them where the project's folder and the installed distributions are the same;
- fails a future with :class:`~concurrent.futures.BrokenExecutor` where the process that ran it died, and takes further
  work after that; one of several machines may run it again elsewhere first, so work is written to bear that;
- may say how much it does at once (:class:`SupportsWorkers`);
- may let libraries that spread work themselves speak to its cluster (:class:`SupportsCluster`);
- may name a storage for the rows that its workers read by reference (:class:`SupportsShare`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final, ParamSpec, Protocol, TypeVar, runtime_checkable

CONTRACT: Final = 1

P = ParamSpec("P")
T = TypeVar("T")


@runtime_checkable
class SupportsWorkers(Protocol):
    """An executor that says how much it does at once.

    Attributes:
        workers: pieces of work that run at the same time.
        threads: threads that each of them may use.
    """

    workers: int
    threads: int


@runtime_checkable
class SupportsCluster(Protocol):
    """An executor over a cluster whose own client other libraries take, to spread one piece of work over its workers.

    Attributes:
        library: the distribution that the client is of: ``distributed``.
    """

    library: str

    def client(self) -> Any:
        """Return a new client of the cluster; whoever asks closes it.

        Raises:
            PluginError: there is no such cluster.
        """
        ...


@runtime_checkable
class SupportsShare(Protocol):
    """An executor whose workers read rows by reference from a storage, and not from the project's folder.

    Attributes:
        share: URL of the storage, ``s3://bucket/prefix``; empty where they see the project's folder.
    """

    share: str


def cores() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Inline(Executor):
    """Runs work at once, in the calling thread: what a stack without a compute slot has."""

    def __init__(self) -> None:
        self.workers = 1
        self.threads = cores()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function; the future is done when this returns."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 -- whatever it raises belongs to whoever asks for the result
            future.set_exception(error)
        return future
