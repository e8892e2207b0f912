"""Fits on the workers of a Dask cluster by ``lightgbm.dask``: all grow the same trees, each on its share of the rows.

LightGBM's workers speak to each other over sockets of their own. Where one dies, the others may wait for it for ever:
the fit is watched from here, the workers that are left are started anew, and the fit begins again. Two fits at
once would hold up each other's workers, and wait for ever as well: each waits for the cluster's lock.
"""

from __future__ import annotations

import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import copy_context
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stackwright_interfaces.compute import SupportsCluster
from stackwright_interfaces.errors import PluginError, StackwrightError, TrainingError
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData, TrainingParts
from stackwright_lightgbm.placing import by_reference, scattered
from stackwright_lightgbm.settings import Settings

if TYPE_CHECKING:
    from distributed import Client, Future

TRIES: Final = 3
"""How often a fit is begun, where workers die during it."""

_CLUSTER: Final = "the Dask cluster"
_LOCK: Final = "stackwright-lightgbm"
_LOOK: Final = 0.5
_TOLD: Final = 5.0
"""Seconds within which a cluster knows of a worker whose death LightGBM's others have noticed."""

_WAIT: Final = 60.0
_OWN: Final = {"machines": "", "local_listen_port": "12400", "num_machines": "1", "time_out": "120"}
"""Lines of the text that tell of the cluster and not of the trees, and what a fit of one process writes there."""


class Grown(NamedTuple):
    """What a fit came to.

    Args:
        text: LightGBM's text of the trees.
        workers: how many workers grew them, each on its share of the rows.
    """

    text: str
    workers: int


class _WorkerLostError(Exception):
    """A worker that held rows is gone."""


@contextmanager
def _reaching() -> Iterator[None]:
    """Tell a scheduler that is gone. Of the fit itself, an ``OSError`` may be anything."""
    try:
        yield
    except OSError as error:
        found = f"its scheduler cannot be reached any more ({_first_line(error)})"
        raise TrainingError(_CLUSTER, found, "Start it again, and train again.") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def cluster_of(executor: Executor) -> SupportsCluster:
    """Return the cluster behind the compute slot.

    Raises:
        TrainingError: the slot holds none of Dask.
    """
    if isinstance(executor, SupportsCluster) and executor.library == "distributed":
        return executor
    todo = 'Add [compute] adapter = "dask" (pip install stackwright-dask), or leave distributed out.'
    raise TrainingError("option 'distributed'", "the compute slot holds no Dask cluster", todo)


def check_spreads(task: Task, settings: Settings) -> None:
    """Check that a fit can be spread over workers.

    Raises:
        TrainingError: it is a ranking, it stops early, or ``lightgbm.dask`` lacks what it needs.
    """
    where = "option 'distributed'"
    if task.kind is TaskKind.RANKING:
        raise TrainingError(where, "lists are not spread over workers", "Leave distributed out for a ranking.")
    if settings.patience:
        found = "early_stopping_round is set, and each worker would stop by its own rows"
        raise TrainingError(where, found, "Set num_iterations, or tune it.")
    for name in ("dask", "distributed", "pandas", "sklearn"):
        if find_spec(name) is None:
            raise PluginError(where, f"{name} is not installed", "Run: pip install 'stackwright-lightgbm[dask]'")


def grow(
    cluster: SupportsCluster,
    task: Task,
    data: TrainingData | TrainingParts,
    settings: Settings,
    *,
    seed: int,
    workers: int | None = None,
) -> Grown:
    """Grow the trees.

    Args:
        data: the rows, which are sent to the workers; or a reference, by which each worker reads its own.
        workers: on how many workers, where so many come; ``None`` takes all. Their number decides the bytes.

    Raises:
        PluginError: there is no such cluster, or a worker lacks this version of LightGBM.
        TrainingError: workers died each time, the scheduler went away, or the fit failed there.
        DataError: rows cannot be read any more.
        lightgbm.basic.LightGBMError: LightGBM refuses a parameter or the rows.
    """
    # LightGBM tells of its ports, by print. Both change the whole process: a thread that is left behind cannot be
    # trusted to change them back.
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Parameter n_jobs will be ignored")  # nobody gave it
        found = _grown(cluster, lambda client, there: _Fit(client, there, task, data, settings, seed), workers)
    return found._replace(text=_own_text(found.text))


def _grown(cluster: SupportsCluster, try_: Callable[[Client, Mapping[str, str]], _Fit], most: int | None) -> Grown:
    wanted, lost = most or 1, ""
    for _ in range(TRIES):
        with _reaching():
            client = cluster.client()
        try:
            with _alone(client):
                workers = dict(list(_workers(client, wanted).items())[:most])
                wanted = len(workers)
                _check_versions(client, list(workers))
                try:
                    return try_(client, workers).result()
                except _WorkerLostError as error:
                    lost = str(error)
                    _free_the_others(client, workers)
        finally:
            client.close()
    found = f"in each of {TRIES} tries a worker died, at last {lost}; often its memory ran out"
    raise TrainingError(_CLUSTER, found, "Give more workers, or workers with more memory.")


@contextmanager
def _alone(client: Client) -> Iterator[None]:
    """Hold the cluster's lock, which ends by itself where this process dies."""
    from distributed import Lock

    with _reaching(), client.as_current():
        lock = Lock(_LOCK)
        lock.acquire()
    try:
        yield
    finally:
        if client.status == "running":
            lock.release()


@_reaching()
def _workers(client: Client, wanted: int) -> dict[str, str]:
    """Return workers in the order of their addresses: as many as are wanted or more, or those that came in a while."""
    with suppress(TimeoutError):
        client.wait_for_workers(wanted, timeout=_WAIT)
    found = _lives(client)
    if not found:
        raise TrainingError(_CLUSTER, f"no worker came within {_WAIT:g} s", "Start workers: dask worker ADDRESS.")
    return dict(sorted(found.items()))


def _lives(client: Client) -> dict[str, str]:
    """Return each worker's address, and what no other life of it shares: the folder that it made as it started.

    Its id is its name, which a nanny gives again.
    """
    workers = client.sync(client.scheduler.identity)["workers"]
    return {address: worker["local_directory"] for address, worker in workers.items()}


@_reaching()
def _check_versions(client: Client, workers: Sequence[str]) -> None:
    """Hold the workers to the LightGBM of this process: models cross by pickle, and versions grow other trees."""
    ours = version("lightgbm")
    for worker, theirs in client.run(version, "lightgbm", workers=workers, on_error="return").items():
        if isinstance(theirs, PackageNotFoundError):
            found = "lightgbm is not installed there"
        elif isinstance(theirs, str) and theirs != ours:
            found = f"it runs lightgbm {theirs} (here {ours})"
        else:
            continue  # where the worker died meanwhile, the fit will tell
        raise PluginError(f"the worker {worker}", found, "Install the same environment on the workers as here.")


@_reaching()
def _free_the_others(client: Client, workers: Mapping[str, str]) -> None:
    """Start the workers anew that are left: LightGBM in them may wait for the dead one, and nothing else ends that."""
    there = _lives(client)
    left = [worker for worker, life in workers.items() if there.get(worker) == life]
    if not left:
        return
    try:
        client.restart_workers(left, timeout=_WAIT)
    except (ValueError, RuntimeError, TimeoutError) as error:
        found = f"a worker died during the fit, and the others cannot be started anew ({error})"
        raise TrainingError(_CLUSTER, found, "Start its workers anew, with nannies.") from error


class _Fit:
    """One try: rows go to the workers, and the fit runs beside a watch over them."""

    def __init__(
        self,
        client: Client,
        workers: Mapping[str, str],
        task: Task,
        data: TrainingData | TrainingParts,
        settings: Settings,
        seed: int,
    ) -> None:
        self._client, self._settings, self._seed, self._task, self._data = client, settings, seed, task, data
        rows = len(data) if isinstance(data, TrainingParts) else len(data.target)
        self._workers = dict(list(workers.items())[:rows])
        self._text = ""
        self._error: BaseException | None = None

    def result(self) -> Grown:
        """Return LightGBM's text, and how many workers had rows.

        Raises:
            _WorkerLostError: a worker that held rows is gone.
            TrainingError: the fit failed by something that LightGBM does not say.
            lightgbm.basic.LightGBMError: LightGBM refuses a parameter or the rows; so do ValueError and TypeError.
        """
        with self._client.as_current():  # changes Dask's settings of the whole process: not in a thread that may stay
            context = copy_context()
        work = threading.Thread(target=context.run, args=(self._run,), name="lightgbm.dask", daemon=True)
        work.start()
        while work.is_alive():
            work.join(_LOOK)
            if work.is_alive():  # a worker that dies after the fit is not missed
                with _reaching():
                    self._check_workers()
        if self._error is not None:
            self._check_again(self._error)
            raise _told(self._error)
        return Grown(self._text, len(self._workers))

    def _run(self) -> None:
        try:
            self._text = self._fitted()
        except BaseException as error:  # noqa: BLE001 -- raised where the fit is waited for; asyncio's end of a task too
            self._error = error

    def _check_workers(self) -> None:
        there = _lives(self._client)
        gone = next((worker for worker, life in self._workers.items() if there.get(worker) != life), None)
        if gone is not None:
            raise _WorkerLostError(gone)

    def _check_again(self, error: BaseException) -> None:
        """Look a while longer whether a worker is gone, where the error may come of that."""
        from lightgbm.basic import LightGBMError

        if isinstance(error, StackwrightError):
            return
        if isinstance(error, LightGBMError) and not re.search("socket|connect|network", str(error), re.IGNORECASE):
            return
        ends = time.monotonic() + _TOLD
        while time.monotonic() < ends:
            with _reaching():
                self._check_workers()
            time.sleep(_LOOK)

    def _fitted(self) -> str:
        from lightgbm.dask import DaskLGBMRegressor

        names = [field.name for field in self._task.signature.inputs]
        categories = [place for place, name in enumerate(names) if name in self._task.signature.categories]
        native = self._settings.native(names, seed=self._seed, threads=1)
        del native["num_threads"]  # those of each worker
        # An estimator of regressions takes any objective; that of classes would number the labels worker by worker.
        client = _Ordered(self._client)
        model = DaskLGBMRegressor(client=client, **native, n_estimators=self._settings.trees)
        layout: dict[str, Any] = {"feature_name": names, "categorical_feature": categories}
        rows = self._on_workers()
        model.fit(rows["inputs"], rows["target"], sample_weight=rows.get("weight"), **layout)
        text: str = model.booster_.model_to_string()
        return text

    def _on_workers(self) -> dict[str, Any]:
        """Return Dask's arrays over the rows, each worker with consecutive ones."""
        workers = list(self._workers)
        if isinstance(self._data, TrainingParts):
            return by_reference(self._client, self._task, self._data, workers)
        return scattered(self._client, self._data, workers)


def _told(error: BaseException) -> BaseException:
    """Return what is raised for an error of the fit: LightGBM's own as it is, for it may speak of a parameter."""
    from lightgbm.basic import LightGBMError

    if isinstance(error, LightGBMError | StackwrightError | ValueError | TypeError):
        return error
    found = f"the fit failed there ({type(error).__name__}: {_first_line(error)})"
    told = TrainingError(_CLUSTER, found, "Look into the logs of its workers, and train again.")
    told.__cause__ = error
    return told


class _Ordered:
    """A client that tells where parts are in the order in which it was asked: theirs is that of a set.

    ``lightgbm.dask`` numbers the workers, and joins a worker's parts, in the order of that answer; bins and sums depend
    on it, so that another order gives other trees.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def who_has(self, futures: Sequence[Future]) -> dict[str, Any]:
        """Return for each part the workers that have it."""
        found = self._client.who_has(futures)
        return {future.key: found[future.key] for future in futures}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def _own_text(text: str, own: Mapping[str, str] = _OWN) -> str:
    """Return a text that tells nothing of the cluster's addresses and ports."""
    for name, value in own.items():
        text = re.sub(rf"(?m)^\[{name}: .*\]$", f"[{name}: {value}]", text)
    return text
