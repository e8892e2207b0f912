"""A connection to a Dask cluster, or a cluster of processes of this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Self

from stackwright_dask.plugin import DaskConfig
from stackwright_interfaces.compute import cores
from stackwright_interfaces.errors import PluginError

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_NO_DASHBOARD: Final = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""The scheduler's HTTP server cannot be left out: without pages, on a free port."""


class Cluster:
    """A client of a scheduler, and the processes behind it if they were started here.

    Attributes:
        threads: threads that a piece of work may use.
    """

    def __init__(self, client: Client, started: LocalCluster | None, threads: int) -> None:
        self._client, self._started, self.threads = client, started, threads

    @classmethod
    def connect(cls, config: DaskConfig) -> Self:
        """Connect to the scheduler that is configured, or start a cluster here.

        Raises:
            PluginError: nobody answers, no worker comes, the workers run other versions, the connection is lost
                meanwhile, or none can be started here.
        """
        if config.address is None:
            return cls._here(config)
        client = _client(config, config.address)
        try:
            _check_workers(client, config.address, config.timeout)
        except BaseException:
            client.close()
            raise
        return cls(client, None, 1)

    @classmethod
    def _here(cls, config: DaskConfig) -> Self:
        from distributed import LocalCluster

        from stackwright_dask.client import TidyClient
        from stackwright_dask.printing import PrintsAside

        workers = config.workers or cores()
        threads = max(1, cores() // workers)
        try:
            started = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                silence_logs=logging.CRITICAL,
                env=dict.fromkeys(_THREADS, str(threads)),
                scheduler_kwargs={"allowed_failures": config.deaths, **_NO_DASHBOARD},
            )
        except (
            AssertionError,
            OSError,
            RuntimeError,
        ) as error:  # an assertion of Dask's: its loop did not start in 10 s
            found = f"no cluster of {workers} processes could be started here ({_first_line(error)})"
            todo = "Run again when this machine is less busy, or give the address of a scheduler: [compute] address."
            raise PluginError("the Dask cluster", found, todo) from error
        with ExitStack() as opened:  # what follows may fail: no process outlives it
            opened.callback(started.close)
            client = TidyClient(started, set_as_default=False)
            opened.callback(client.close)
            client.register_plugin(PrintsAside())
            opened.pop_all()
        return cls(client, started, threads)

    def slots(self) -> int:
        """Return how many pieces of work run at once."""
        threads: Mapping[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def lives(self) -> bool:
        """Tell whether the scheduler is still there."""
        return bool(self._client.status == "running")

    def another_client(self) -> Client:
        """Return a client of the same scheduler, apart from ours."""
        from stackwright_dask.client import TidyClient

        ours = self._client
        return TidyClient(ours.scheduler.address, security=ours.security, set_as_default=False)

    def submit(self, work: Callable[[], Any]) -> Future:
        """Give a piece of work to the cluster."""
        return self._client.submit(work, pure=False)

    def close(self) -> None:
        """Leave; end the processes that were started here."""
        self._client.close()
        if self._started is not None:
            self._started.close()


def _client(config: DaskConfig, address: str) -> Client:
    from distributed import Security

    from stackwright_dask.client import TidyClient

    security = None
    if config.tls_ca is not None:
        security = Security(
            tls_ca_file=str(config.tls_ca),
            tls_client_cert=str(config.tls_cert),
            tls_client_key=str(config.tls_key),
            require_encryption=True,
        )
    try:
        return TidyClient(address, timeout=config.timeout, security=security, set_as_default=False)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        found = f"no Dask scheduler answers ({_first_line(error)})"
        raise PluginError(address, found, "Start one: dask scheduler; or mend [compute] address.") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _check_workers(client: Client, address: str, timeout: float) -> None:
    """Wait for a worker, and hold all that came to what runs here."""
    try:
        client.wait_for_workers(1, timeout=timeout)
        _check_versions(client, address)
    except TimeoutError as error:
        todo = "Start workers: dask worker ADDRESS; or give a longer timeout."
        raise PluginError(address, f"no worker came within {timeout:g} s", todo) from error
    except OSError as error:
        found = f"the connection was lost ({_first_line(error)})"
        raise PluginError(address, found, "Look into the scheduler's logs, and run again.") from error


def _check_versions(client: Client, address: str) -> None:
    """Compare what the workers run with what runs here: they read what we write, pickles among it."""
    ours = _versions()
    for worker, theirs in client.run(_versions).items():
        other = [f"{name} {theirs[name]} (here {ours[name]})" for name in ours if theirs[name] != ours[name]]
        if other:
            found = f"the worker {worker} runs {', '.join(other)}"
            raise PluginError(address, found, "Install the same environment on the workers as here.")


def _versions() -> dict[str, str]:
    import platform

    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "stackwright-interfaces": version("stackwright-interfaces")}
