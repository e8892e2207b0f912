"""An executor over a Dask cluster.

Dask runs a piece of work again, on another worker, where the one that had it died. Only when that went wrong too often
does its future fail.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import BrokenExecutor, Executor, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from stackwright_dask.cluster import Cluster
from stackwright_dask.plugin import DaskConfig
from stackwright_interfaces.plugin import Context

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as Submitted

P = ParamSpec("P")
T = TypeVar("T")


class DaskExecutor(Executor):
    """Runs functions of importable modules on the workers of a cluster; connects with the first piece of work.

    Where work reads files, as the trials of a search do, the workers need them under the same paths.

    Attributes:
        library: what :meth:`client` gives a client of.
        share: where rows lie that workers read by reference; empty is the project's folder.
    """

    library = "distributed"

    def __init__(self, config: DaskConfig, context: Context) -> None:
        del context
        self._config = config
        self.share = config.share
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None
        self._under_way: set[Future[Any]] = set()
        self._ended = False

    @property
    def workers(self) -> int:
        """Pieces of work that the cluster runs at the same time, as it is now."""
        return self._connected().slots()

    @property
    def threads(self) -> int:
        """Threads that each of them may use."""
        return self._connected().threads

    def client(self) -> Client:
        """Return a new client of the cluster, for a library that spreads work itself; whoever asks closes it.

        Raises:
            RuntimeError: the executor was shut down.
            PluginError: there is no such cluster, or its workers run other versions.
        """
        return self._connected().another_client()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function of an importable module on one of the workers.

        Raises:
            RuntimeError: the executor was shut down.
            PluginError: there is no such cluster, or its workers run other versions.
        """
        cluster = self._connected()
        future: Future[T] = Future()
        submitted = cluster.submit(partial(fn, *args, **kwargs))
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        future.add_done_callback(partial(_let_go, submitted))
        submitted.add_done_callback(partial(_settle, future))
        return future

    def _connected(self) -> Cluster:
        with self._lock:
            if self._ended:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._cluster is None or not self._cluster.lives():
                if self._cluster is not None:
                    self._cluster.close()
                self._cluster = Cluster.connect(self._config)
            return self._cluster

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; one that was started here ends. Calling it twice is allowed."""
        with self._lock:
            cluster, self._cluster, self._ended = self._cluster, None, True
        if cluster is not None:
            if wait and not cancel_futures:
                futures.wait(self._under_way.copy())
            cluster.close()


def _let_go(submitted: Submitted, future: Future[Any]) -> None:
    """Tell the cluster that nobody waits for a piece of work any more."""
    if future.cancelled():
        submitted.cancel()


def _settle(future: Future[Any], submitted: Submitted) -> None:
    """Hand over what became of a piece of work."""
    from distributed.scheduler import KilledWorker

    with suppress(InvalidStateError):  # it was let go meanwhile
        if submitted.status == "finished":
            future.set_result(submitted.result())
        elif submitted.status == "error":
            error = submitted.exception()
            future.set_exception(_broken(str(error)) if isinstance(error, KilledWorker) else error)
        else:
            future.set_exception(_broken("the connection to the cluster was lost"))


def _broken(what: str) -> BrokenExecutor:
    return BrokenExecutor(f"a worker of the Dask cluster died ({what})")
