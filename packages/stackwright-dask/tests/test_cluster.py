"""Clusters that are not there, have no workers, run other versions, or go away."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from stackwright_dask import cluster as clusters
from stackwright_dask.executor import DaskExecutor
from stackwright_dask.plugin import DaskConfig
from stackwright_interfaces.compute import SupportsCluster
from stackwright_interfaces.errors import PluginError

Connect = Callable[..., DaskExecutor]


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[DaskExecutor] = []

    def connected(**options: Any) -> DaskExecutor:
        context: Any = None
        made.append(DaskExecutor(DaskConfig(**options), context))
        return made[-1]

    yield connected
    for executor in made:
        executor.shutdown()


def cluster_of(workers: int) -> LocalCluster:
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    try:
        return LocalCluster(n_workers=workers, threads_per_worker=1, **options)
    except AssertionError:  # its loop had 10 s to start, and this machine stood still
        return LocalCluster(n_workers=workers, threads_per_worker=1, **options)


def loops() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "IO loop"}


def test_a_scheduler_that_does_not_answer_is_named(connect: Connect) -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(PluginError, match=f"{address}: no Dask scheduler answers") as caught:
        connect(address=address, timeout=0.5).submit(os.getpid)
    assert "Start one: dask scheduler" in str(caught.value)


def test_an_address_that_is_none_is_named(connect: Connect) -> None:
    with pytest.raises(PluginError, match="nowhere: no Dask scheduler answers"):
        connect(address="nowhere", timeout=0.5).submit(os.getpid)


@pytest.mark.parametrize("address", ["nowhere", "tcp://127.0.0.1:1"])
def test_a_client_that_cannot_connect_leaves_no_loop(connect: Connect, address: str) -> None:
    before = loops()
    with pytest.raises(PluginError) as caught:
        connect(address=address, timeout=0.5).submit(os.getpid)
    assert isinstance(caught.value.__cause__, Exception)  # whose frames hold the client: nothing of it was collected
    assert loops() == before


def test_a_connection_that_is_lost_while_workers_are_awaited_leaves_no_loop(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise OSError("the scheduler went away")

    monkeypatch.setattr(Client, "wait_for_workers", lost)
    with cluster_of(0) as cluster:
        before = loops()
        with pytest.raises(PluginError, match=r"the connection was lost \(the scheduler went away\)"):
            connect(address=cluster.scheduler_address).submit(os.getpid)
        assert loops() == before


def test_a_cluster_without_workers_is_named(connect: Connect) -> None:
    with cluster_of(0) as cluster, pytest.raises(PluginError, match=r"no worker came within 0\.3 s"):
        connect(address=cluster.scheduler_address, timeout=0.3).submit(os.getpid)


def test_workers_of_another_environment_are_refused(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    found = clusters._versions()
    monkeypatch.setattr(clusters, "version", lambda name: "9.9")
    with cluster_of(1) as cluster, pytest.raises(PluginError, match="Install the same environment") as caught:
        connect(address=cluster.scheduler_address).submit(os.getpid)
    assert f"runs stackwright-interfaces {found['stackwright-interfaces']} (here 9.9)" in str(caught.value)


def test_a_cluster_whose_client_fails_leaves_no_process(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError("no plugin for you")

    before = {process.pid for process in multiprocessing.active_children()}
    monkeypatch.setattr(Client, "register_plugin", failing)
    with pytest.raises(OSError, match="no plugin for you"):
        connect(workers=1).submit(os.getpid)
    assert {process.pid for process in multiprocessing.active_children()} <= before


def test_work_of_a_cluster_that_goes_away_fails_and_a_new_one_is_asked_for(connect: Connect) -> None:
    with cluster_of(1) as cluster:
        executor = connect(address=cluster.scheduler_address, timeout=1.0)
        assert executor.submit(abs, -1).result(30) == 1
        waiting = executor.submit(time.sleep, 60)
    with pytest.raises(BrokenExecutor, match="a worker of the Dask cluster died"):
        waiting.result(30)
    with pytest.raises(PluginError, match="no Dask scheduler answers"):
        executor.submit(abs, -1)


def test_processes_that_do_not_start_here_are_told(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PluginError, match="no cluster of 1 processes could be started here"):
        connect(workers=1).submit(abs, -1)


def test_leaving_waits_for_what_is_under_way(connect: Connect) -> None:
    with cluster_of(1) as cluster:
        executor = connect(address=cluster.scheduler_address)
        with executor:
            future = executor.submit(time.sleep, 0.3)
        assert future.done()
        assert future.exception() is None


def test_what_work_prints_does_not_come_between_what_a_verb_says(
    connect: Connect, capfd: pytest.CaptureFixture[str]
) -> None:
    executor = connect(workers=1)
    executor.submit(os.write, 1, b"past Python\n").result(30)
    executor.submit(print, "by Python", flush=True).result(30)
    out, err = capfd.readouterr()
    assert out == ""
    assert "past Python\n" in err
    assert "by Python\n" in err


def test_a_library_gets_a_client_of_its_own_and_closes_it(connect: Connect) -> None:
    with cluster_of(1) as cluster:
        executor = connect(address=cluster.scheduler_address)
        assert isinstance(executor, SupportsCluster)
        with executor.client() as client:
            assert client.submit(abs, -1).result(30) == 1
        assert executor.submit(abs, -2).result(30) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"workers": -1}, "workers is -1; give 0 or more"),
        ({"deaths": -1}, "deaths is -1; give 0 or more"),
        ({"timeout": 0}, "timeout is 0; give more than 0 seconds"),
        ({"share": "/mnt/rows"}, "share is '/mnt/rows'; give s3://bucket/prefix"),
        ({"address": "tcp://a:1", "workers": 2}, "address and workers are both given"),
        ({"tls_ca": "ca.pem"}, "tls_ca, tls_cert and tls_key belong together"),
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        DaskConfig(**options)
