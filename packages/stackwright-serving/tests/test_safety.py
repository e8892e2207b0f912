"""Tokens, traces, packed bodies, the breaker, guarded reads, and requests under way."""

from __future__ import annotations

import asyncio
import gzip
import multiprocessing
import threading
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout
from stackwright_serving.breaker import Breaker
from stackwright_serving.ids import time_ordered_id, time_ordered_ids
from stackwright_serving.metrics import Metrics
from stackwright_serving.reads import GuardedReader, Reads, Substitutes
from stackwright_serving.refused import Refused
from stackwright_serving.routing import Access, Route, Router
from stackwright_serving.settings import Settings
from stackwright_serving.tokens import Tokens
from stackwright_serving.trace_context import Trace
from stackwright_serving.unpacking import Unpacking

TRACE, SPAN = "a" * 32, "b" * 16
TOKEN, OTHER, ADMIN = "first-token-0123456789", "second-token-0123456789", "admin-token-0123456789"


@asynccontextmanager
async def client(world: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = world.app()
    async with app.lifespan():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as made:
            yield made


def run(world: Any, work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        async with client(world) as made:
            return await work(made)

    return asyncio.run(inside())


@pytest.mark.parametrize("token", [TOKEN, OTHER])
def test_each_of_several_tokens_opens(token: str) -> None:
    tokens = Tokens((TOKEN, OTHER), open_without=True)
    assert tokens.open(f"Bearer {token}".encode())
    assert tokens.open(f"bearer  {token} ".encode())


@given(st.binary(max_size=60))
def test_nothing_else_opens(header: bytes) -> None:
    tokens = Tokens((TOKEN,), open_without=True)
    assert not tokens.open(header)
    assert not tokens.open(b"Bearer " + header)


def test_without_tokens_predictions_are_open_and_what_operators_ask_is_closed() -> None:
    assert Tokens((), open_without=True).open(b"")
    assert not Tokens((), open_without=False).open(b"Bearer ")


def test_routes_ask_for_the_token_of_their_kind(world: Any) -> None:
    world.settings = Settings(tokens=(TOKEN, OTHER), admin_tokens=(ADMIN,))

    async def work(made: httpx.AsyncClient) -> dict[str, list[int]]:
        found = {}
        for path in ("/health/live", "/ping", "/models", "/metrics", "/v2/models/valuation", "/admin/status"):
            statuses = []
            for token in ("", TOKEN, OTHER, ADMIN):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                statuses.append((await made.get(path, headers=headers)).status_code)
            found[path] = statuses
        return found

    assert run(world, work) == {
        "/health/live": [200, 200, 200, 200],
        "/ping": [200, 200, 200, 200],
        "/models": [401, 200, 200, 200],
        "/metrics": [401, 200, 200, 200],
        "/v2/models/valuation": [401, 200, 200, 401],
        "/admin/status": [401, 401, 401, 200],
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("tokens", ("short",)), ("admin_tokens", ("x" * 15,)), ("max_body", 0), ("concurrency", 0), ("timeout", 0.0),
        ("patience", -1.0), ("trace_share", 1.1), ("log_level", "loud"), ("traces", "localhost:4318"),
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{option} "):
        Settings(**{option: value})


def test_settings_show_no_token() -> None:
    shown = repr(Settings(tokens=(TOKEN,), admin_tokens=(ADMIN,), trace_headers={"x": OTHER}))
    assert not any(secret in shown for secret in (TOKEN, ADMIN, OTHER))


@pytest.mark.parametrize(
    ("parent", "taken"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        ("", False),
    ],
)
def test_a_traceparent_is_taken_as_the_standard_says(parent: str, taken: bool) -> None:
    trace = Trace.read({b"traceparent": parent.encode(), b"tracestate": b"vendor=1"})
    assert (trace is not None) is taken
    if trace is not None:
        assert (trace.id, trace.parent, trace.state) == (TRACE, SPAN, "vendor=1")
        assert trace.span not in ("", SPAN)


def test_a_trace_is_answered_with_our_span_and_its_own_state(world: Any) -> None:
    async def work(made: httpx.AsyncClient) -> list[httpx.Headers]:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
        return [(await made.get("/models", headers=given)).headers for given in (headers, {})]

    traced, untraced = run(world, work)
    version, trace, span, flags = traced["traceparent"].split("-")
    assert (version, trace, flags, traced["tracestate"]) == ("00", TRACE, "01", "vendor=1")
    assert span != SPAN
    assert "traceparent" not in untraced


def test_ids_made_later_sort_after_those_made_before() -> None:
    ids = []
    for _ in range(20):
        ids.append(time_ordered_id())
        time.sleep(0.002)
    assert ids == sorted(ids)


def test_ids_are_uuids_of_version_seven_and_each_is_another() -> None:
    ids = time_ordered_ids(500)
    assert len(set(ids)) == 500
    made = [uuid.UUID(one) for one in ids]
    assert [str(one) for one in made] == ids
    assert {(one.version, one.variant) for one in made} == {(7, uuid.RFC_4122)}


def test_ids_that_threads_and_processes_draw_at_once_are_each_another() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(time_ordered_ids(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        made += [one for ids in pool.map(time_ordered_ids, [50] * 4, chunksize=2) for one in ids]
    drawn = {one[14:] for one in (*made, *time_ordered_ids(50))}
    assert len(drawn) == 4 * 2000 + 4 * 50 + 50


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_packed_parts_unpack_to_what_was_packed(body: bytes, size: int) -> None:
    for name, packed in ((b"gzip", gzip.compress(body)), (b"deflate", zlib.compress(body))):
        unpacking = Unpacking.of(name, 2000)
        assert unpacking is not None
        parts = [unpacking.part(packed[start : start + size]) for start in range(0, len(packed), size)]
        unpacking.end()
        assert b"".join(parts) == body


@given(st.binary(max_size=200))
def test_whatever_is_no_packed_body_is_refused(body: bytes) -> None:
    unpacking = Unpacking.of(b"gzip", 1000)
    assert unpacking is not None

    def unpack() -> None:
        unpacking.part(body)
        unpacking.end()

    with pytest.raises(Refused) as refused:
        unpack()
    assert refused.value.status in (400, 413)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_try_after_its_rest() -> None:
    clock = Clock()
    breaker = Breaker(3, 5.0, clock)
    for _ in range(2):
        breaker.failed()
    breaker.passed()
    for _ in range(3):
        assert breaker.lets_pass()
        breaker.failed()
    assert breaker.open
    assert not breaker.lets_pass()
    clock.now += 5.0
    assert [breaker.lets_pass() for _ in range(3)] == [True, False, False]
    breaker.passed()
    assert (breaker.open, breaker.lets_pass()) == (False, True)


class Moody:
    """Reads what it is told to."""

    def __init__(self, homes: Any) -> None:
        self.homes = homes
        self.failure: Exception | None = None
        self.columns: dict[str, Any] = {}
        self.asked = 0

    def read(self, service: str, keys: Any, request: Any = None, *, at: Any = None, timeout: Any = None) -> Any:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        rows = self.homes.read(service, keys, request, at=at, timeout=timeout)
        return type(rows)(**{**vars(rows), "columns": {**rows.columns, **self.columns}})


KEYS: tuple[Any, ...] = ("valuation@1", {"listing_id": ["L1"]}, {"rooms": [3]})


@pytest.fixture
def moody(world: Any) -> Moody:
    return Moody(world.source.homes)


Guarded = Callable[..., GuardedReader]


@pytest.fixture
def guarded(moody: Moody, world: Any) -> Guarded:
    """Guards the moody store; defaults stand in for it where they are given."""

    def guard(empty: Any = None) -> GuardedReader:
        reads = Reads(Settings(failures=2, rest=60.0), Metrics())
        return GuardedReader(moody, {world.service.ref: world.service}, reads, empty)

    return guard


def test_a_failing_store_is_asked_no_more_than_it_must(moody: Moody, guarded: Guarded) -> None:
    moody.failure = StoreTimeout("store", "slow")
    reader = guarded()
    for _ in range(5):
        with pytest.raises(FeatureStoreError):
            reader.read(*KEYS)
    assert moody.asked == 2


@pytest.mark.parametrize(
    "column", [np.array(["50"]), np.array([50]), np.array([1.0, 2.0]), np.array([None], dtype=object)]
)
def test_a_column_of_another_type_or_length_is_a_failure_of_the_store(
    moody: Moody, guarded: Guarded, column: Any
) -> None:
    moody.columns = {"area": column}
    with pytest.raises(FeatureStoreError, match="feature 'area' came as"):
        guarded().read(*KEYS)


def test_whatever_a_store_raises_is_told_as_its_failure(moody: Moody, guarded: Guarded) -> None:
    moody.failure = ZeroDivisionError("inside")
    with pytest.raises(FeatureStoreError, match="ZeroDivisionError"):
        guarded().read(*KEYS)


def test_defaults_stand_in_and_say_why(moody: Moody, world: Any, guarded: Guarded) -> None:
    moody.failure = FeatureStoreError("store", "away")
    rows = guarded(world.source.homes).read(*KEYS)
    assert isinstance(rows, Substitutes)
    assert "away" in rows.reason
    assert not rows.late


async def _endpoint(_exchange: Any) -> Any:
    raise AssertionError


ROUTER = Router(
    [
        Route("GET", "/models", _endpoint, Access.TOLD),
        Route("POST", "/predict", _endpoint),
        Route("POST", "/predict/{model}", _endpoint),
        Route("GET", "/v2/models/{model}/versions/{version}", _endpoint),
        Route("GET", "/v2/models/{model}", _endpoint),
    ]
)


def test_paths_name_models_with_and_without_namespaces() -> None:
    assert ROUTER.find("POST", "/predict/valuation")[1] == {"model": "valuation"}
    assert ROUTER.find("POST", "/predict/pricing/valuation")[1] == {"model": "pricing/valuation"}
    _, names = ROUTER.find("GET", "/v2/models/pricing/valuation/versions/3")
    assert names == {"model": "pricing/valuation", "version": "3"}
    assert ROUTER.find("HEAD", "/models")[0].path == "/models"


@given(st.text(max_size=40), st.sampled_from(["GET", "POST", "PUT"]))
def test_any_path_is_found_or_refused(text: str, method: str) -> None:
    for path in (f"/{text}", f"/predict/{text}", f"/v2/models/{text}"):
        try:
            ROUTER.find(method, path)
        except Refused as refused:
            assert refused.status in (400, 404, 405)  # noqa: PT017 - which of them is what the other tests say


def test_more_requests_than_may_be_under_way_are_503_at_once(world: Any) -> None:
    world.settings = Settings(concurrency=1)

    async def work(made: httpx.AsyncClient) -> tuple[int, int, int]:
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b'{"listing_id": '
            begun.set()
            await go.wait()
            yield b'"L1"}'

        first = asyncio.create_task(made.post("/predict", content=slow()))
        await begun.wait()
        second = await made.post("/predict", json={"listing_id": "L1"})
        health = await made.get("/health/live")
        go.set()
        return (await first).status_code, second.status_code, health.status_code

    assert run(world, work) == (200, 503, 200)


@pytest.mark.parametrize(("whole", "status"), [(False, 408), (True, 504)])
def test_a_request_that_is_late_is_given_up(world: Any, whole: bool, status: int) -> None:
    world.settings = Settings(timeout=0.2, at_once=0)
    release = threading.Event()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(homes, name)

        def read(self, *arguments: Any, **options: Any) -> Any:
            release.wait(5)
            return homes.read(*arguments, **options)

    homes, world.source.homes = world.source.homes, Slow()

    async def work(made: httpx.AsyncClient) -> int:
        async def never() -> AsyncIterator[bytes]:
            yield b'{"listing_id": '
            await asyncio.sleep(5)
            yield b'"L1"}'

        body = b'{"listing_id": "L1"}' if whole else never()
        try:
            return (await made.post("/predict", content=body)).status_code
        finally:
            release.set()

    assert run(world, work) == status


def test_headers_of_more_than_their_limit_are_431(world: Any) -> None:
    world.settings = Settings(max_head=500)

    async def work(made: httpx.AsyncClient) -> list[int]:
        return [(await made.get("/models", headers={"x": "y" * size})).status_code for size in (100, 600)]

    assert run(world, work) == [200, 431]
