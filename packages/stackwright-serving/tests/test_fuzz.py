"""Whatever bytes a client sends, it gets an answer that is its own fault, and the server goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KINDS = (
    None, "application/json", "application/octet-stream", "text/csv", "application/jsonlines",
    "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream",
)  # fmt: skip
PATHS = ("/predict", "/predict/valuation", "/invocations", "/v2/models/valuation/infer")

VALID: tuple[Any, ...] = (
    {"listing_id": "L1", "rooms": 4},
    {"rows": [{"listing_id": "L1"}, {"listing_id": "L2", "rooms": 1}]},
    {"dataframe_split": {"columns": ["listing_id", "rooms"], "data": [["L1", 3]]}},
    {"inputs": {"area": [50.0], "kind": ["flat"], "rooms": [3]}},
    {
        "id": "7",
        "inputs": [
            {"name": "area", "shape": [1], "datatype": "FP64", "data": [50.0]},
            {"name": "kind", "shape": [1], "datatype": "BYTES", "data": ["flat"]},
            {"name": "rooms", "shape": [1], "datatype": "INT64", "data": [3]},
        ],
        "outputs": [{"name": "price", "parameters": {"binary_data": True}}],
    },
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A valid document in which one place holds something else."""
    document = json.loads(json.dumps(draw(st.sampled_from(VALID))))
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
            break
        place = inner
    if draw(st.booleans()):
        place[key] = draw(JSON)
    elif isinstance(place, dict):
        place[draw(st.text(max_size=8))] = place.pop(key)
    else:
        place.append(draw(JSON))
    return document


@st.composite
def flipped(draw: st.DrawFn) -> bytes:
    """The bytes of a valid document, some of them others."""
    body = bytearray(json.dumps(draw(st.sampled_from(VALID))).encode())
    for _ in range(draw(st.integers(1, 4))):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(0, len(body)))]) if draw(st.booleans()) else bytes(body)


@pytest.fixture(scope="module")
def send(worlds: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Sends a body to one application, which lives as long as the module."""
    world = worlds(tmp_path_factory.mktemp("fuzz"))
    runner = asyncio.Runner()
    app = world.app()
    life = app.lifespan()
    runner.run(life.__aenter__())
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    made = httpx.AsyncClient(transport=transport, base_url="http://model")

    def send(path: str, body: bytes, **headers: str) -> httpx.Response:
        return runner.run(made.post(path, content=body, headers=headers))

    yield send
    runner.run(made.aclose())
    runner.run(life.__aexit__(None, None, None))
    runner.close()


LOAD = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def check(response: httpx.Response) -> None:
    assert response.status_code < 500, (response.status_code, response.text)
    if response.headers["content-type"] == "application/json":
        json.loads(response.content, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    if response.status_code >= 400:
        assert response.json()["error"]


@LOAD
@given(st.sampled_from(PATHS), st.binary(max_size=300), st.sampled_from(KINDS))
def test_arbitrary_bytes_are_never_our_fault(send: Any, path: str, body: bytes, kind: str | None) -> None:
    check(send(path, body, **({"content-type": kind} if kind else {})))


@LOAD
@given(st.sampled_from(PATHS), flipped())
def test_damaged_documents_are_never_our_fault(send: Any, path: str, body: bytes) -> None:
    check(send(path, body))


@LOAD
@given(st.sampled_from(PATHS), mutated())
def test_documents_that_are_nearly_right_are_never_our_fault(send: Any, path: str, document: Any) -> None:
    check(send(path, json.dumps(document).encode("utf-8", "surrogatepass")))


@LOAD
@given(
    st.binary(max_size=200),
    st.text(alphabet="0123456789-+. x", max_size=6),
    st.sampled_from(["gzip", "deflate", "identity", "x"]),
)
def test_tensors_as_bytes_are_never_our_fault(send: Any, tail: bytes, length: str, encoding: str) -> None:
    tensors = [
        {"name": name, "shape": [1], "datatype": kind, "parameters": {"binary_data_size": 8}}
        for name, kind in (("area", "FP64"), ("kind", "BYTES"), ("rooms", "INT64"))
    ]
    head = json.dumps({"inputs": tensors}).encode()
    path = "/v2/models/valuation/infer"
    check(send(path, head + tail, **{"inference-header-content-length": str(len(head))}))
    check(send(path, head + tail, **{"inference-header-content-length": length, "content-encoding": encoding}))


@LOAD
@given(st.text(max_size=30), st.text(max_size=30))
def test_queries_are_never_our_fault(send: Any, at: str, explain: str) -> None:
    query = httpx.QueryParams({"at": at, "explain": explain})
    check(send(f"/predict?{query}", b'{"listing_id": "L1"}'))
