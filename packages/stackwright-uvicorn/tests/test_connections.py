"""Clients that are slow, silent or endless."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from stackwright_interfaces.server import Server
from stackwright_interfaces.testing import server_app
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.server_child import Running, ask, until
from stackwright_uvicorn import plugin

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
    """Return everything until the server closes the connection."""
    parts = []
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
