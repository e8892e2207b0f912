"""How an answer leaves: its head with the first of its body, as ASGI asks, and whatever goes before it at once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stackwright_interfaces.server import App
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.server_child import until
from stackwright_uvicorn.plugin import UvicornConfig
from stackwright_uvicorn.server import UvicornServer

IN_PARTS = """
def make():
    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        if scope["path"] == "/breaks-off":
            raise ValueError("no body")
        while (await receive())["more_body"]:
            continue
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": b"cd"})
    return application
"""


@pytest.fixture
def sock(tmp_path: Path, written: Callable[[str], App]) -> Iterator[socket.socket]:
    """A connection to an application that sends the head, waits for the request's body, and sends its own in parts."""
    served = UvicornServer(UvicornConfig(port=0), make_context(tmp_path))
    urls: list[str] = []
    thread = threading.Thread(target=served.serve, args=(written(IN_PARTS), urls.append), daemon=True)
    thread.start()
    until(lambda: urls or not thread.is_alive())
    address = urlsplit(urls[0])
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        yield connection
    served.close()
    thread.join(20)


def until_end(sock: socket.socket, end: bytes) -> bytes:
    answer = b""
    while not answer.endswith(end) and (part := sock.recv(65_536)):
        answer += part
    return answer


def test_the_head_waits_for_the_first_of_the_body(sock: socket.socket) -> None:
    sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n")
    sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(20)
    sock.sendall(b"x")
    head, _, body = until_end(sock, b"abcd").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b"abcd"


def test_one_answer_after_another_is_whole(sock: socket.socket) -> None:
    sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
    answers = b""
    while answers.count(b"\r\n\r\nabcd") < 3:
        answers += sock.recv(65_536)
    assert answers.count(b"HTTP/1.1 200 ") == 3


def test_an_answer_that_breaks_off_is_a_head_alone(sock: socket.socket) -> None:
    sock.sendall(b"GET /breaks-off HTTP/1.1\r\nhost: x\r\n\r\n")
    answer = until_end(sock, b"-")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


def test_the_answer_to_a_request_for_a_head_is_one(sock: socket.socket) -> None:
    sock.sendall(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
    answer = until_end(sock, b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 4" in answer
    sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert until_end(sock, b"abcd").startswith(b"HTTP/1.1 200 ")
