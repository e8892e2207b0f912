"""From start to end: addresses, workers that fail, requests under way."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stackwright_interfaces.errors import ServerError
from stackwright_interfaces.listening import listening
from stackwright_interfaces.server import App
from stackwright_interfaces.testing import server_app
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.server_child import Running, until
from stackwright_uvicorn import server
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


@pytest.mark.parametrize("host", ["no.such.host.invalid", "x\0y", "192.0.2.1"])
def test_a_host_that_is_not_here_is_named(tmp_path: Path, host: str) -> None:
    nowhere = UvicornServer(UvicornConfig(host=host, port=0), make_context(tmp_path))
    with pytest.raises(ServerError) as raised:
        nowhere.serve(app(tmp_path), lambda _url: None)
    assert raised.value.where == f"address {host}:0"
    assert raised.value.todo == "Set [server] host to an address of this machine."


def test_a_port_that_is_taken_is_named_after_its_address() -> None:
    with listening("::1", 0, 8) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServerError, match=rf"\[::1\]:{port}: .* Stop what listens there"),
            listening("::1", port, 8),
        ):
            pass


def test_a_port_for_which_rights_are_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: socket.socket, _address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ServerError, match="port of 1024 or above"), listening("127.0.0.1", 80, 8):
        pass


def test_a_port_that_does_not_exist_is_told() -> None:
    with pytest.raises(ServerError, match="a port from 0 to 65535"), listening("127.0.0.1", 65_536, 8):
        pass


def test_a_machine_without_that_kind_of_address_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_family: int) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(ServerError, match="Address family not supported"), listening("::1", 0, 8):
        pass


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("host", ""),
        ("port", -1),
        ("port", 70_000),
        ("workers", 0),
        ("drain", -1.0),
        ("keep_alive", -1.0),
        ("receive", 0.0),
        ("head", 10),
        ("connections", 0),
        ("delay", -1.0),
        ("backlog", 0),
        ("backlog", 2**31),
        ("start", 0.0),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{option} is {value!r}, must be "):
        UvicornConfig(**{option: value})


REFUSING_IN_LINES = '''
MESSAGE = """Traceback (most recent call last):
  File "app.py", line 1, in lifespan
    check()
ValueError: the registry is away:
no route to host
"""

async def application(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": MESSAGE})

def make():
    return application
'''


def test_of_a_traceback_the_whole_message_is_told(tmp_path: Path, written: Callable[[str], App]) -> None:
    refused = UvicornServer(UvicornConfig(port=0), make_context(tmp_path))
    words = "did not start: ValueError: the registry is away: no route to host"
    with pytest.raises(ServerError, match=words):
        refused.serve(written(REFUSING_IN_LINES), lambda _url: None)


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
    failing = UvicornServer(UvicornConfig(port=0), make_context(tmp_path))
    found = "a worker failed 3 times in a row: its process ended by SIGKILL"
    try:
        with pytest.raises(ServerError, match=found):
            failing.serve(app(tmp_path), lambda _url: killer.start())
    finally:
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


def asked_again(connection: http.client.HTTPConnection) -> bool:
    """Return whether the answer to another request is the connection's last."""
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return answer.will_close


def test_an_answer_given_while_the_server_ends_is_the_last_of_its_connection(start: Start) -> None:
    running = start()
    idle, asking, slow = (running.connect() for _ in range(3))
    idle.connect()
    slow.request("GET", "/slow")
    until((running.folder / server_app.ACCEPTED).exists)
    running.tell()
    last = False
    with contextlib.suppress(OSError, http.client.HTTPException):  # on a busy machine its time may be up
        while not last:
            last = asked_again(asking)
            time.sleep(0.01)
    running.let_go()
    answer = slow.getresponse()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert running.end() == 0
    idle.close()


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


def test_a_server_that_is_closed_before_it_serves_does_not_start_to(tmp_path: Path) -> None:
    closed = UvicornServer(UvicornConfig(port=0), make_context(tmp_path))
    closed.close()
    urls: list[str] = []
    thread = threading.Thread(target=closed.serve, args=(app(tmp_path), urls.append), daemon=True)
    thread.start()
    until(lambda: urls or not thread.is_alive())
    closed.close()
    thread.join(20)
    assert urls == []


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


TELLING = """
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    status = 503 if scope["state"]["draining"].is_set() else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})

def make():
    return application
"""


def test_an_application_can_say_that_the_server_will_stop_while_requests_are_still_taken(
    tmp_path: Path, written: Callable[[str], App]
) -> None:
    served = UvicornServer(UvicornConfig(port=0, delay=1.0), make_context(tmp_path))
    urls: list[str] = []
    thread = threading.Thread(target=served.serve, args=(written(TELLING), urls.append), daemon=True)
    thread.start()
    until(lambda: urls or not thread.is_alive())

    def status() -> int:
        connection = http.client.HTTPConnection(urlsplit(urls[0]).netloc, timeout=20)
        connection.request("GET", "/")
        found = connection.getresponse().status
        connection.close()
        return found

    assert status() == 200
    told = time.monotonic()
    served.close()
    until(lambda: status() == 503, 0.9)
    thread.join(20)
    assert time.monotonic() - told >= 1.0
