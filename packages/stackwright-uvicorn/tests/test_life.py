"""From start to end: addresses, workers that fail, requests under way."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stackwright_interfaces.errors import BlueprintError, ServerError
from stackwright_interfaces.server import App
from stackwright_interfaces.testing import server_app
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.server_child import Running, until
from stackwright_uvicorn import server
from stackwright_uvicorn.listener import listening
from stackwright_uvicorn.plugin import UvicornConfig
from stackwright_uvicorn.server import UvicornServer

Start = Callable[..., Running]


def app(folder: Path) -> App:
    return App(
        factory=f"{server_app.__name__}:application",
        plan=folder / "plan.json",
        environment={server_app.FOLDER: str(folder)},
    )


@pytest.mark.parametrize(
    ("host", "base"), [("0.0.0.0", "http://127.0.0.1:"), ("localhost", "http://127.0.0.1:"), ("::1", "http://[::1]:")]
)
def test_the_url_is_one_that_this_machine_can_open(start: Start, host: str, base: str) -> None:
    running = start(host=host)
    assert running.url().startswith(base)
    assert running.ask().status == 200


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70_000)])
def test_an_address_that_cannot_be_is_named(tmp_path: Path, host: str, port: int) -> None:
    nowhere = UvicornServer(UvicornConfig(host=host, port=port), make_context(tmp_path))
    with pytest.raises(ServerError, match=f"{host}:{port}"):
        nowhere.serve(app(tmp_path), lambda _url: None)


def test_a_server_without_workers_is_refused() -> None:
    with pytest.raises(BlueprintError, match="workers"):
        UvicornConfig(workers=0)


def test_an_application_that_takes_too_long_to_start_is_an_error(start: Start) -> None:
    running = start("slow_starting", start=1.0)
    assert running.end() == 1
    (said,) = running.said
    assert "not ready within 1 s" in said["error"]
    assert running.workers == set()


def test_a_worker_that_keeps_failing_ends_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FAILURES", 2)
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.02):
            for pid in server_app.living(tmp_path):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    killer = threading.Thread(target=kill)
    found = "a worker failed 3 times in a row: its process ended by SIGKILL"
    with pytest.raises(ServerError, match=found):
        UvicornServer(UvicornConfig(port=0), make_context(tmp_path)).serve(app(tmp_path), lambda _url: killer.start())
    ended.set()
    killer.join()
    assert len(set(killed)) == 3


def test_under_load_no_connection_that_was_opened_is_lost(start: Start) -> None:
    running = start(workers=2)
    url = running.url()
    outcomes: Counter[str] = Counter()

    def ask_until_refused(_client: int) -> None:
        while True:
            connection = running.connect()
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            try:
                connection.request("GET", "/busy")
                outcomes[str(connection.getresponse().status)] += 1
            except (OSError, http.client.HTTPException) as error:
                outcomes[type(error).__name__] += 1
            finally:
                connection.close()

    with ThreadPoolExecutor(8) as clients:
        done = clients.map(ask_until_refused, range(8))
        until(lambda: outcomes["200"] > 8)
        running.tell()
        list(done)
    assert running.end() == 0
    assert set(outcomes) == {"200"}, url


def test_a_request_that_outlasts_the_drain_is_cut_off(start: Start) -> None:
    running = start(drain=0.3)
    with ThreadPoolExecutor(1) as client:
        slow = client.submit(running.ask, "/slow")
        until((running.folder / server_app.ACCEPTED).exists)
        running.tell()
        assert running.end() == 0
        assert slow.result().status == 500
    assert running.workers == set()


def test_a_connection_opened_before_the_end_may_still_ask(start: Start) -> None:
    running = start()
    address = running.connect()
    address.connect()
    slow = running.connect()
    slow.request("GET", "/slow")
    until((running.folder / server_app.ACCEPTED).exists)
    running.tell()
    address.request("GET", "/")
    answer = address.getresponse()
    assert answer.status == 200
    answer.read()
    running.let_go()
    assert slow.getresponse().status == 200
    assert running.end() == 0


def test_a_worker_that_is_told_to_stop_ends_in_order_and_is_replaced(start: Start) -> None:
    running = start()
    pid = running.ask().pid
    os.kill(pid, signal.SIGTERM)
    until(lambda: pid not in running.workers)
    assert server_app.closed(running.folder) == {pid}
    assert running.ask().pid != pid
    assert f"worker {pid}: its process ended with code 0" in running.log


def test_close_ends_what_another_thread_serves(tmp_path: Path) -> None:
    served = UvicornServer(UvicornConfig(port=0), make_context(tmp_path))
    urls: list[str] = []
    thread = threading.Thread(target=served.serve, args=(app(tmp_path), urls.append))
    thread.start()
    until(lambda: urls)
    served.close()
    thread.join(20)
    assert not thread.is_alive()
    assert server_app.living(tmp_path) == set()


def test_the_workers_end_where_nobody_can_be_told_that_they_are_ready(tmp_path: Path) -> None:
    def full(_url: str) -> None:
        raise OSError("no space left on device")

    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(OSError, match="no space left"):
        UvicornServer(UvicornConfig(port=0), make_context(tmp_path)).serve(app(tmp_path), full)
    assert server_app.living(tmp_path) == set()
    assert len(server_app.closed(tmp_path)) == 1
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_a_port_is_free_again_at_once_though_connections_to_it_linger() -> None:
    with listening("127.0.0.1", 0, 8) as before:
        port = before.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        before.accept()[0].close()
    with listening("127.0.0.1", port, 8) as after:
        assert after.getsockname()[1] == port
    client.close()
