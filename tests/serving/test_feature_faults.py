"""Features that are not there, late, or wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from servers import RedisServer

import stackwright
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.types import STRING
from stackwright_numerics.columns import Column
from stackwright_numerics.keys import encode_keys

Start = Callable[..., Any]

INFER = "/v2/models/valuation/infer"


BREAKING = 'admin_tokens = [{ env = "ADMIN_TOKEN" }]\ndeadline = 1.5\nfailures = 3\nrest = 0.5'


@pytest.fixture(scope="module")
def redis(start_redis: Callable[..., RedisServer]) -> Iterator[RedisServer]:
    """A Redis that keeps what it holds when it is killed."""
    server = start_redis("--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def on_redis(copied: Any, redis: RedisServer, kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server over that Redis: it leaves a failing store alone, and answers 503 or 504."""
    project = copied(tmp_path_factory.mktemp("redis") / "project", online=kit.on_redis(redis.url), serving=BREAKING)
    with stackwright.load(project.folder, progress=lambda *_: None) as stack:
        stack.materialize()
    running = kit.server(project)
    assert running.predict(5).json["predictions"][0]["value"] == kit.value_of(5)
    yield running
    running.clear()


def test_a_missing_entity_gets_defaults_and_a_flag_or_404(server: Any, start: Start) -> None:
    (prediction,) = server.ask("/predict", {"home_id": "nowhere"}).json["predictions"]
    assert prediction["incomplete"] == ["area", "kind", "asking"]
    strict = start(model='missing = "refuse"')
    reply = strict.ask("/predict", {"home_id": "nowhere"})
    assert (reply.status, "no row of view" in reply.error) == (404, True)
    assert strict.predict().status == 200


def test_stale_features_are_flagged(server: Any, kit: Any) -> None:
    fresh, stale = server.ask("/predict", {"rows": [{"home_id": "H6"}, {"home_id": "H7"}]}).json["predictions"]
    assert ("incomplete" in fresh, stale["incomplete"]) == (False, ["asking"])
    assert stale["value"] == kit.value_of(7)


def test_a_store_that_gives_something_else_than_it_should_is_caught_and_counted(server: Any) -> None:
    (key,) = encode_keys([Column(*_strings("H199"))], [STRING])
    assert key is not None
    with server.project.stack() as stack:
        stack.features._online.write("homes@1", [OnlineRow(key, b"\xff" * 24, b"\x01 no row at all")])
    before = server.metric("store_failures_total")
    reply = server.predict(199)
    assert reply.status == 503, reply
    assert server.metric("store_failures_total") == before + 1
    assert server.predict(198).status == 200


def _strings(*values: str) -> tuple[Any, Any]:
    import numpy as np

    return np.array(values, dtype=object), np.ones(len(values), dtype=bool)


def test_a_store_that_is_down_is_left_alone_and_liveness_stays_200(on_redis: Any, redis: RedisServer, kit: Any) -> None:
    redis.kill()
    try:
        statuses = [on_redis.predict().status for _ in range(6)]
        assert set(statuses) <= {503, 504}
        state = on_redis.ask("/admin/status", Authorization=f"Bearer {kit.admin_token}").json
        assert state["feature_store"] == "left alone"
        began = time.monotonic()
        left = on_redis.predict()
        assert (left.status, left.headers["retry-after"]) == (503, "1")
        assert time.monotonic() - began < 1.0
        assert on_redis.ask("/health/live").status == 200
        assert on_redis.ask(INFER, kit.infer()).status == 200
    finally:
        redis.start()
    kit.until(lambda: on_redis.predict(5).status == 200)
    assert on_redis.predict(5).json["predictions"][0]["value"] == kit.value_of(5)


def test_a_store_that_is_slow_gets_a_deadline_and_others_are_answered_meanwhile(
    on_redis: Any, redis: RedisServer, kit: Any
) -> None:
    on_redis.predict()
    redis.stall()
    try:
        began = time.monotonic()
        assert on_redis.predict().status == 504
        assert time.monotonic() - began < 5.0
        with ThreadPoolExecutor(2) as clients:
            slow = [clients.submit(on_redis.predict) for _ in range(2)]
            time.sleep(0.05)
            began = time.monotonic()
            assert on_redis.ask("/health/live").status == 200
            assert time.monotonic() - began < 1.0
            assert {one.result().status for one in slow} <= {503, 504}
    finally:
        redis.go_on()
    kit.until(lambda: on_redis.predict(5).status == 200)


def test_defaults_stand_in_for_a_store_that_is_down_and_say_so(
    copied: Any, redis: RedisServer, kit: Any, tmp_path: Path
) -> None:
    project = copied(tmp_path / "project", online=kit.on_redis(redis.url), serving=f"{BREAKING}\nfallback = true")
    running = kit.server(project)
    try:
        assert "degraded" not in running.predict(5).json
        redis.stall()
        reply = running.predict(5, rooms=4)
        redis.go_on()
        assert reply.status == 200
        assert reply.json["degraded"] == "feature store"
        (prediction,) = reply.json["predictions"]
        assert (prediction["value"], prediction["incomplete"]) == (40.0, ["area", "kind", "asking"])
        assert running.metric("degraded_predictions_total") == 1.0
        kit.until(lambda: "degraded" not in running.predict(5).json)
    finally:
        redis.go_on()
        running.clear()
