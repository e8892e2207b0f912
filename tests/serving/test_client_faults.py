"""Clients that are slow, too many, gone, or nobody we know."""

from __future__ import annotations

import socket
import time
from typing import Any


def test_slow_headers_and_slow_bodies_are_408(server: Any, kit: Any) -> None:
    assert server.raw(b"POST /predict HTTP/1.1\r\nhost: x\r\n").startswith(b"HTTP/1.1 408 ")
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {kit.token}\r\ncontent-length: 100\r\n\r\n"
    assert server.raw(head.encode() + b'{"home_id"').startswith(b"HTTP/1.1 408 ")


def held(server: Any, kit: Any, number: int) -> list[socket.socket]:
    """Open connections whose requests have begun and do not end."""
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {kit.token}\r\ncontent-length: 100\r\n\r\n{{"
    opened = [server.open() for _ in range(number)]
    for sock in opened:
        sock.sendall(head.encode())
    return opened


def under_way(server: Any, kit: Any) -> int:
    return int(server.ask("/admin/status", Authorization=f"Bearer {kit.admin_token}").json["under_way"])


def test_overload_is_503_at_once_while_health_answers(server: Any, kit: Any) -> None:
    opened = held(server, kit, kit.slots)
    kit.until(lambda: under_way(server, kit) == kit.slots)
    began = time.monotonic()
    reply = server.predict()
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert server.ask("/health/live").status == 200
    assert time.monotonic() - began < 1.0
    for sock in opened:
        sock.close()
    kit.until(lambda: server.predict().status == 200)


def test_a_client_that_leaves_frees_its_place(server: Any, kit: Any) -> None:
    opened = held(server, kit, 3)
    kit.until(lambda: under_way(server, kit) == 3)
    for sock in opened:
        sock.close()
    kit.until(lambda: under_way(server, kit) == 0, 1.0)


def test_a_bad_token_is_401_and_no_token_is_logged(server: Any, kit: Any) -> None:
    for path, body in (("/predict", {"home_id": "H1"}), ("/models", None), ("/metrics", None)):
        for token in ("wrong-token-0123456789", kit.token[:-1], kit.token + "x", "", kit.admin_token):
            known = token == kit.admin_token and body is None
            reply = server.ask(path, body, Authorization=f"Bearer {token}")
            assert reply.status == (200 if known else 401), (path, token)
        for token in (kit.token, kit.old_token):
            assert server.ask(path, body, Authorization=f"bearer {token}").status == 200
        assert server.ask(path, body, Authorization=f"Basic {kit.token}").status == 401
    assert server.ask("/admin/status").status == 401
    assert "www-authenticate" in server.ask("/admin/status").headers
    assert server.ask("/health/live", Authorization="none").status == 200
    server.ask(f"/predict?token={kit.token}", {"home_id": kit.token})
    kit.until(lambda: server.lines)
    time.sleep(0.2)
    for secret in (kit.token, kit.old_token, kit.admin_token):
        assert secret not in server.log
