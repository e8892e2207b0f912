"""Processes of this machine, started when there is work, and replaced when one of them dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from stackwright.compute.plugin import LocalConfig
from stackwright_interfaces.compute import cores
from stackwright_interfaces.plugin import Context

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class LocalExecutor(Executor):
    """A pool of spawned processes that share the processors out.

    A process that dies fails what was under way with :class:`~concurrent.futures.process.BrokenProcessPool`; later work
    gets a new pool. Processes end with the one that started them, however that ends.
    """

    def __init__(self, config: LocalConfig, context: Context) -> None:
        del context
        self.workers = config.workers or cores()
        self.threads = max(1, cores() // self.workers)
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._ended = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function of an importable module in one of the processes.

        Raises:
            RuntimeError: the executor was shut down.
        """
        with self._lock:
            if self._ended:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._pool is None:
                self._pool = self._started()
            with _environment(self.threads):
                try:
                    return self._pool.submit(fn, *args, **kwargs)
                except BrokenProcessPool:
                    self._pool.shutdown(wait=False)
                    self._pool = self._started()
                    return self._pool.submit(fn, *args, **kwargs)

    def _started(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=spawn, initializer=_begin)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """End the processes; what waits for one is let go. Calling it twice is allowed."""
        with self._lock:
            pool, self._pool, self._ended = self._pool, None, True
        if pool is not None:
            pool.shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Let processes that are started begin with their share of threads.

    A process imports the main module before anything else is asked of it, and numerical libraries read these variables
    when they are imported.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin() -> None:
    """Prepare a process: no Ctrl-C of its own, and no life without its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
