"""Requests that are none, or more than a server should read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest


def resident(server: Any) -> int:
    """Return the bytes of memory that the workers hold."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in server.workers)


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b'{"home_id": "H1"', "not JSON"),
        (b'{"home_id": "H1", "home_id": "H2"}', "'home_id' stands twice"),
        (b'{"home_id": "H\xff"}', "not UTF-8 at byte 14"),
        (b'{"home_id": "\\ud800"}', "surrogate"),
    ],
)
def test_invalid_json_double_keys_and_bad_utf8_are_400(server: Any, body: bytes, part: str) -> None:
    reply = server.ask("/predict", body)
    assert (reply.status, part in reply.error) == (400, True), reply


def test_a_depth_bomb_and_an_endless_number_are_400_in_bounded_memory(server: Any) -> None:
    server.predict()
    before = resident(server)
    for body in (b"[" * 10_000 + b"]" * 9_000, b'{"rooms": ' + b"9" * 19_000 + b"}", b'{"a":' * 3_000):
        assert server.ask("/predict", body).status == 400
    assert resident(server) - before < 30_000_000
    assert server.predict().status == 200


def test_an_oversized_body_is_413_while_it_streams(server: Any, kit: Any) -> None:
    assert server.ask("/predict", b" " * 20_001).status == 413
    with server.open() as sock:
        sock.sendall(
            f"POST /predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {kit.token}\r\n"
            "transfer-encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(5):
            sock.sendall(b"1388\r\n" + b" " * 5_000 + b"\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_gzip_bomb_is_413_before_it_is_unpacked(server: Any, kit: Any) -> None:
    before = resident(server)
    bomb = gzip.compress(b" " * 15_000_000)
    assert len(bomb) < 20_000
    assert server.ask("/predict", bomb, Content_Encoding="gzip").status == 413
    assert resident(server) - before < 10_000_000
    packed = gzip.compress(json.dumps({"home_id": "H1"}).encode())
    reply = server.ask("/predict", packed, Content_Encoding="gzip")
    assert reply.json["predictions"][0]["value"] == kit.value_of(1)
    assert server.ask("/predict", packed[:-4], Content_Encoding="gzip").status == 400


def test_a_body_without_content_type_is_json_and_an_unknown_type_415(server: Any) -> None:
    for path in ("/predict", "/invocations"):
        assert server.ask(path, {"home_id": "H1"}).status == 200
        assert server.ask(path, b"<home/>", Content_Type="application/xml").status == 415
        assert server.ask(path, b"{}", Content_Encoding="br").status == 415


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_400(server: Any, literal: str) -> None:
    assert server.ask("/predict", b'{"home_id": "H1", "rooms": %s}' % literal.encode()).status == 400
    assert server.ask("/invocations", b'{"inputs": {"area": [%s]}}' % literal.encode()).status == 400


def test_header_injection_and_paths_for_names_are_400(server: Any, kit: Any) -> None:
    head = f"GET /models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {kit.token}\r\n"
    reply = server.raw((head + "x-request-id: a\r\n b: c\r\n\r\n").encode())
    assert b"\r\nb: c" not in reply
    reply = server.raw((head + "x-request-id: <script>\r\n\r\n").encode())
    assert b"<script>" not in reply
    assert server.raw((head + "x\x00y: z\r\n\r\n").encode()).startswith(b"HTTP/1.1 400 ")
    for path in ("/predict/../secret", "/predict/..%2F..%2Fetc%2Fpasswd", "/v2/models/%2e%2e/infer", "/predict/a%00b"):
        assert server.ask(path, {"home_id": "H1"}).status == 400, path
    assert server.ask("/predict/-x", {"home_id": "H1"}).status == 400
