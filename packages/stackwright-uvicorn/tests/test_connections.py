"""Clients that are slow, silent or endless."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stackwright_interfaces.server import App, Server
from stackwright_interfaces.testing import server_app
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.server_child import Running, ask, until
from stackwright_uvicorn import plugin
from stackwright_uvicorn.server import UvicornServer

RECEIVE = 0.5


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = plugin.UvicornConfig(port=0, receive=RECEIVE, keep_alive=30.0)
    running = Running(spec_of(plugin, Server), config, tmp_path_factory.mktemp("server"))
    yield running
    running.clear()


@pytest.fixture
def connect(running: Running) -> Iterator[Callable[[], socket.socket]]:
    """Opens a connection."""
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        address = urlsplit(running.url())
        opened.append(socket.create_connection((address.hostname, address.port), timeout=20))
        return opened[-1]

    yield connect
    for sock in opened:
        sock.close()


Connect = Callable[[], socket.socket]


def rest(sock: socket.socket) -> bytes:
    """Return everything until the server closes the connection, which resets it where it has not read all."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def test_a_head_that_does_not_end_is_answered_with_408(connect: Connect) -> None:
    sock = connect()
    sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
    assert rest(sock).startswith(b"HTTP/1.1 408 ")


def test_a_head_that_drips_has_no_more_time_than_one_that_stops(connect: Connect) -> None:
    sock = connect()
    sock.settimeout(RECEIVE / 8)
    sock.sendall(b"GET / HTTP/1.1\r\n")
    started, answer = time.monotonic(), b""
    while not answer and time.monotonic() < started + 20:
        sock.sendall(b"a: b\r\n")
        try:
            answer = sock.recv(65_536)
        except TimeoutError:
            continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_does_not_end_is_answered_with_408(connect: Connect) -> None:
    sock = connect()
    sock.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345")
    assert rest(sock).startswith(b"HTTP/1.1 408 ")


def test_a_second_request_that_does_not_end_is_answered_with_408(connect: Connect) -> None:
    sock = connect()
    sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT")
    answers = rest(sock)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 408 ") == 1


def test_a_connection_that_says_nothing_is_closed_without_a_word(connect: Connect) -> None:
    assert rest(connect()) == b""


def test_a_head_without_end_is_answered_with_431(connect: Connect) -> None:
    sock = connect()
    sock.sendall(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000)
    assert rest(sock).startswith(b"HTTP/1.1 431 ")


def test_a_whole_head_that_is_too_long_is_answered_with_431(connect: Connect) -> None:
    sock = connect()
    sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 70_000 + b"\r\n\r\n")
    assert rest(sock).startswith(b"HTTP/1.1 431 ")


def test_a_large_body_does_not_count_for_the_head_that_follows_it(connect: Connect) -> None:
    sock = connect()
    body = b"x" * 100_000
    sock.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + body + b"GET / HT")
    answers = rest(sock)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert body in answers
    assert answers.count(b"HTTP/1.1 408 ") == 1


def test_an_idle_connection_that_sends_empty_lines_is_closed(connect: Connect) -> None:
    sock = connect()
    sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        answer += sock.recv(65_536)
    sock.sendall(b"\r\n")
    assert rest(sock) == b""


UPGRADE = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}


def test_requests_that_ask_for_another_protocol_are_answered_in_this_one(running: Running) -> None:
    connection = running.connect()
    opened = None
    for body in (b"body", b"x" * 300_000, None, b""):
        connection.request("GET" if body is None else "POST", "/echo", body, UPGRADE)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, body or b"")
        opened = opened or connection.sock
        assert connection.sock is opened
    connection.close()
    assert "upgrade" not in running.log


def test_requests_in_one_packet_may_ask_for_another_protocol(connect: Connect) -> None:
    sock = connect()
    asking = b"connection: Upgrade\r\nupgrade: h2c\r\n"
    chunked = b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n"
    sock.sendall(
        b"POST /echo HTTP/1.1\r\nhost: x\r\n" + asking + chunked
        + b"POST /echo HTTP/1.1\r\nhost: x\r\n" + asking + b"content-length: 3\r\n\r\ntwo"
        + b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )  # fmt: skip
    answers = rest(sock)
    assert answers.count(b"HTTP/1.1 200 ") == 3
    assert answers.index(b"one") < answers.index(b"two") < answers.index(b'"pid"')


def test_a_tunnel_is_refused(connect: Connect) -> None:
    sock = connect()
    sock.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n")
    assert rest(sock).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_does_not_end_is_answered_with_408_whatever_protocol_was_asked_for(connect: Connect) -> None:
    sock = connect()
    sock.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\n")
    assert rest(sock).startswith(b"HTTP/1.1 408 ")


SLOW_READER = """
import asyncio

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await asyncio.sleep(1.5)
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    answer = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})

def make():
    return application
"""


def test_a_client_does_not_pay_for_an_application_that_is_slow_to_read(
    tmp_path: Path, written: Callable[[str], App]
) -> None:
    served = UvicornServer(plugin.UvicornConfig(port=0, receive=RECEIVE), make_context(tmp_path))
    urls: list[str] = []
    thread = threading.Thread(target=served.serve, args=(written(SLOW_READER), urls.append))
    thread.start()
    try:
        until(lambda: urls or not thread.is_alive())
        connection = http.client.HTTPConnection(urlsplit(urls[0]).netloc, timeout=20)
        answer = ask(connection, "/", b"x" * 3_000_000)
        connection.close()
    finally:
        served.close()
        thread.join()
    assert (answer.status, answer.body) == (200, b"3000000")


def test_a_request_that_came_in_time_may_be_answered_later(running: Running, connect: Connect) -> None:
    sock = connect()
    sock.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\nGET / HT")
    until((running.folder / server_app.ACCEPTED).exists)
    time.sleep(2.0 * RECEIVE)
    running.let_go()
    answers = rest(sock)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 408 ") == 1


def test_an_idle_connection_is_kept_longer_than_a_request_may_take(running: Running) -> None:
    connection = running.connect()
    assert ask(connection).status == 200
    opened = connection.sock
    time.sleep(1.5 * RECEIVE)
    assert ask(connection).status == 200
    assert connection.sock is opened
    connection.close()


def test_more_connections_than_a_worker_takes_are_answered_with_503_at_once(tmp_path: Path) -> None:
    config = plugin.UvicornConfig(port=0, connections=3)
    few = Running(spec_of(plugin, Server), config, tmp_path / "few")
    try:
        taken = [few.connect() for _ in range(3)]
        assert [ask(connection).status for connection in taken] == [200, 200, 200]
        address = urlsplit(few.url())
        with socket.create_connection((address.hostname, address.port), timeout=20) as late:
            answer = rest(late)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        taken[0].close()
        until(lambda: few.answers() and few.ask().status == 200)
        assert ask(taken[1]).status == 200
    finally:
        few.clear()


def test_the_length_of_a_head_is_an_option(tmp_path: Path) -> None:
    short = Running(spec_of(plugin, Server), plugin.UvicornConfig(port=0, head=300), tmp_path / "short")
    try:
        address = urlsplit(short.url())
        for length, status in ((100, b"200"), (400, b"431")):
            with socket.create_connection((address.hostname, address.port), timeout=20) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\na: " + b"b" * length + b"\r\n\r\n")
                assert rest(sock).startswith(b"HTTP/1.1 " + status)
    finally:
        short.clear()
