"""Canary and shadow: who answers, what is logged, and that neither gets in the way of the champion."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import ModelError
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field
from stackwright_serving.arms import Split, asked_of, lacking
from stackwright_serving.host import ModelHost
from stackwright_serving.metrics import Metrics


@asynccontextmanager
async def client(world: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = world.app()
    async with app.lifespan():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as made:
            yield made


def serving(world: Any, work: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        async with client(world) as made:
            await work(made)

    asyncio.run(run())


async def predict(made: httpx.AsyncClient, *ids: str) -> dict[str, Any]:
    answer = await made.post("/predict", json={"rows": [{"listing_id": name} for name in ids]})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def metric(made: httpx.AsyncClient, name: str) -> float:
    families = text_string_to_metric_families((await made.get("/metrics")).text)
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


async def until(met: Callable[[], Any], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


NAMES = [f"L{number}" for number in range(200)]


def sides(split: Split) -> list[bool]:
    return [split.takes({"listing_id": [name]}) for name in NAMES]


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_greater_share_takes_in_the_entities_of_a_smaller_one(salt: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    few, many = (sides(Split(salt, share, ["listing_id"])) for share in (low, high))
    assert all(large for small, large in zip(few, many, strict=True) if small)


def test_the_share_is_about_what_was_asked_for_and_its_ends_are_none_and_all() -> None:
    many = [str(number) for number in range(5000)]
    taken = sum(Split("valuation@2", 0.05, ["user"]).takes({"user": [name]}) for name in many)
    assert 190 < taken < 310
    assert not any(sides(Split("s", 0.0, ["listing_id"])))
    assert all(sides(Split("s", 1.0, ["listing_id"])))


def test_the_side_of_an_entity_never_changes() -> None:
    """Another formula would move entities from one arm to the other in the middle of a trial."""
    split = Split("valuation@2", 0.3, ["user", "day"])
    for user in range(50):
        digest = hashlib.sha256(b'valuation@2\n["mon",%d]' % user).digest()
        assert split.takes({"user": [user], "day": ["mon"]}) == (int.from_bytes(digest[:8]) / 2**64 < 0.3)


def test_other_salts_divide_otherwise_and_types_are_told_apart() -> None:
    assert sides(Split("valuation@2", 0.5, ["listing_id"])) != sides(Split("valuation@3", 0.5, ["listing_id"]))
    split = Split("valuation@2", 0.5, ["id"])
    numbers = [split.takes({"id": [number]}) for number in range(50)]
    assert numbers != [split.takes({"id": [str(number)]}) for number in range(50)]


def test_a_request_is_in_the_share_where_all_its_entities_are() -> None:
    split = Split("s", 0.5, ["listing_id"])
    inside = [name for name in NAMES if split.takes({"listing_id": [name]})]
    outside = [name for name in NAMES if name not in inside]
    assert split.takes({"listing_id": inside})
    assert not split.takes({"listing_id": [*inside, outside[0]]})
    assert not split.takes({"listing_id": []})
    assert not split.takes({"other": ["L1"]})


def test_one_key_may_decide_for_all_candidates_of_a_request() -> None:
    split = Split("s", 0.5, ["user"])
    user = next(name for name in NAMES if split.takes({"user": [name]}))
    assert split.takes({"user": [user] * 200, "listing_id": NAMES})


def test_the_challenger_answers_for_its_share_and_the_champion_for_the_others(world: Any) -> None:
    world.source.challenge(2, 2000.0, share=0.5)

    async def work(made: httpx.AsyncClient) -> None:
        answers = {name: await predict(made, name) for name in ["L1", "L2", "L3", *NAMES[4:40]]}
        arms = {body["arm"]: body for body in answers.values()}
        assert {arm: body["version"] for arm, body in arms.items()} == {"live": 1, "canary": 2}
        again = {name: (await predict(made, name))["arm"] for name in answers}
        assert again == {name: body["arm"] for name, body in answers.items()}
        logged = {record.keys["listing_id"][0]: record for record in world.sink.records}
        assert {name: record.arm for name, record in logged.items()} == again
        assert {name: record.model.version for name, record in logged.items()} == {
            name: body["version"] for name, body in answers.items()
        }

    serving(world, work)


def test_a_canary_is_told_begun_changed_and_ended_without_a_restart(world: Any) -> None:
    async def arm(made: httpx.AsyncClient, wanted: str) -> None:
        for _ in range(200):
            if (await predict(made, "L1"))["arm"] == wanted:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(wanted)

    async def work(made: httpx.AsyncClient) -> None:
        await arm(made, "live")
        world.source.challenge(2, 2000.0, share=1.0)
        await arm(made, "canary")
        (model,) = (await made.get("/models")).json()["models"]
        assert (model["version"], model["challenger"]["version"], model["challenger"]["share"]) == (1, 2, 1.0)
        world.source.challenge(2, 2000.0, share=0.0, shadow=True)
        await arm(made, "live")
        world.source.challenge(2, 2000.0, share=1.0)
        await arm(made, "canary")
        world.source.end()
        await arm(made, "live")
        assert "challenger" not in (await made.get("/models")).json()["models"][0]

    serving(world, work)


def test_promoting_the_challenger_ends_the_trial_and_loads_nothing_again(world: Any) -> None:
    world.source.challenge(2, 2000.0, share=1.0)

    async def work(made: httpx.AsyncClient) -> None:
        assert (await predict(made, "L1"))["arm"] == "canary"
        world.source.promote(2, 2000.0)
        await until(lambda: world.host.serving["valuation"].version == 2)
        body = await predict(made, "L1")
        assert (body["arm"], body["version"]) == ("live", 2)
        assert world.source.opened == ["valuation@1", "valuation@2"]

    serving(world, work)


def test_a_model_that_is_kept_for_a_roll_back_is_closed_with_the_host(world: Any) -> None:
    host = ModelHost(world.source, Metrics(), settings=world.settings)
    host.refresh()
    first = host.served("valuation").champion.scorer.model
    world.source.promote(2, 2000.0)
    host.refresh()
    row = {"area": np.array([50.0]), "kind": np.array(["flat"], dtype=object), "rooms": np.array([3.0])}
    assert len(first.predict(row).value) == 1
    asyncio.run(host.stop())
    with pytest.raises(ModelError, match="it is closed"):
        first.predict(row)


def test_a_roll_back_loads_nothing(world: Any) -> None:
    async def version(made: httpx.AsyncClient, wanted: int) -> None:
        for _ in range(200):
            if (await predict(made, "L1"))["version"] == wanted:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(wanted)

    async def work(made: httpx.AsyncClient) -> None:
        world.source.promote(2, 2000.0)
        await version(made, 2)
        opened = list(world.source.opened)
        world.source.promote(1, 1000.0)
        await version(made, 1)
        assert world.source.opened == opened

    serving(world, work)


def test_a_challenger_that_fails_lets_the_champion_answer(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.source.challenge(2, 2000.0, share=1.0)

    async def work(made: httpx.AsyncClient) -> None:
        def fail(_columns: Any) -> Any:
            raise ModelError("model valuation@2", "row 0 got nan")

        served = world.host.served("valuation")
        monkeypatch.setattr(served.challenger.scorer.model, "predict", fail)
        body = await predict(made, "L1")
        assert (body["arm"], body["version"], body["predictions"][0]["value"]) == ("live", 1, 50_030.0)
        assert await metric(made, "stackwright_canary_failed_total") == 1.0

    serving(world, work)


def test_a_damaged_challenger_is_not_tried_and_the_champion_goes_on(world: Any) -> None:
    world.source.challenge(2, 2000.0, share=1.0)
    (world.source.folders["valuation@2"] / "factor.txt").write_text("9")

    async def work(made: httpx.AsyncClient) -> None:
        assert (await predict(made, "L1"))["version"] == 1
        assert await metric(made, "stackwright_model_swaps_total") == 2.0
        await asyncio.sleep(0.2)
        assert world.source.opened.count("valuation@2") == 1, "it is tried again later, not at every look"

    serving(world, work)


def test_open_inference_answers_by_the_version_that_the_path_names(world: Any) -> None:
    world.source.challenge(2, 2000.0, share=1.0)
    tensors = [
        {"name": "kind", "shape": [1], "datatype": "BYTES", "data": ["flat"]},
        {"name": "area", "shape": [1], "datatype": "FP64", "data": [50.0]},
        {"name": "rooms", "shape": [1], "datatype": "INT64", "data": [3]},
    ]

    async def work(made: httpx.AsyncClient) -> None:
        found = {}
        for path in ("", "/versions/1", "/versions/2"):
            answer = (await made.post(f"/v2/models/valuation{path}/infer", json={"inputs": tensors})).json()
            found[path] = answer["model_version"], answer["outputs"][0]["data"]
        assert found == {"": ("1", [50_030.0]), "/versions/1": ("1", [50_030.0]), "/versions/2": ("2", [100_030.0])}
        assert (await made.get("/v2/models/valuation")).json()["versions"] == ["1", "2"]

    serving(world, work)


def test_a_batch_in_several_parts_is_answered_by_one_version(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_BATCH", "true")
    world.source.challenge(2, 2000.0, share=0.5)
    rows = "\n".join(["listing_id", *NAMES[:120]])

    async def work(made: httpx.AsyncClient) -> None:
        answer = await made.post("/invocations", content=rows, headers={"Content-Type": "text/csv"})
        assert answer.status_code == 200, answer.text
        assert {record.model.version for record in world.sink.records} == {1}

    serving(world, work)


def test_a_shadow_scores_copies_that_only_the_log_sees(world: Any) -> None:
    world.source.challenge(2, 2000.0, shadow=True)

    async def work(made: httpx.AsyncClient) -> None:
        body = await predict(made, "L1", "L3")
        assert (body["arm"], body["version"]) == ("live", 1)
        await until(lambda: len(world.sink.records) == 2)
        live, shadow = world.sink.records
        assert (live.arm, shadow.arm) == ("live", "shadow")
        assert shadow.model.version == 2
        assert shadow.scored.prediction.value.tolist() == [100_030.0, 140_032.0]
        assert (shadow.request_ids, shadow.keys, shadow.asked) == (live.request_ids, live.keys, live.asked)
        assert not set(live.ids) & set(shadow.ids)
        assert shadow.scored.features is live.scored.features, "features are read once"
        assert await metric(made, "stackwright_shadow_predictions_total") == 2.0
        assert await metric(made, "stackwright_predictions_total") == 2.0

    serving(world, work)


def test_a_shadow_of_another_service_reads_its_own_features(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.source.challenge(2, 2000.0, shadow=True)

    async def work(made: httpx.AsyncClient) -> None:
        shadow = world.host.served("valuation").shadow
        monkeypatch.setattr(shadow.model, "manifest", replace(shadow.model.manifest, service="valuation@2"))
        await predict(made, "L1")
        await until(lambda: len(world.sink.records) == 2)
        live, other = world.sink.records
        assert other.scored.features is not live.scored.features
        assert other.scored.prediction.value.tolist() == [100_030.0]

    serving(world, work)


def test_a_hanging_shadow_neither_delays_nor_stops_what_is_live(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.source.challenge(2, 2000.0, shadow=True)
    world.settings = replace(world.settings, shadow_rows=5)
    let_go = threading.Event()
    hanging: list[threading.Thread] = []

    def hang(_columns: object) -> None:
        hanging.append(threading.current_thread())
        let_go.wait()

    async def work(made: httpx.AsyncClient) -> None:
        shadow = world.host.served("valuation").shadow
        monkeypatch.setattr(shadow.model, "predict", hang)
        started = time.monotonic()
        for _ in range(50):
            assert (await predict(made, "L1"))["arm"] == "live"
        assert time.monotonic() - started < 5.0
        assert await metric(made, "stackwright_shadow_dropped_total") == 45.0
        world.source.end()
        await until(lambda: world.host.served("valuation").shadow is None)
        assert (await predict(made, "L1"))["version"] == 1

    try:
        serving(world, work)
    finally:
        let_go.set()
        for thread in hanging:
            thread.join()  # what it says now is not of the next test


def test_a_failing_shadow_is_counted_and_told_once(
    world: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.source.challenge(2, 2000.0, shadow=True)
    monkeypatch.setattr(logging.getLogger("stackwright"), "propagate", True)

    async def work(made: httpx.AsyncClient) -> None:
        shadow = world.host.served("valuation").shadow
        monkeypatch.setattr(shadow.model, "predictor", SimpleNamespace(input="matrix", close=lambda: None))
        for _ in range(3):
            await predict(made, "L1")
        for _ in range(200):
            if await metric(made, "stackwright_shadow_failed_total") == 3.0:
                break
            await asyncio.sleep(0.01)
        assert await metric(made, "stackwright_shadow_failed_total") == 3.0
        assert len([line for line in caplog.messages if "shadow" in line and "failed" in line]) == 1

    serving(world, work)


def service(version: int, *request: Field) -> FeatureService:
    return FeatureService(name="valuation", version=version, request=request)


ROOMS = Field("rooms", INT64, default=3)


def test_a_challenger_may_ask_for_more_only_with_a_default() -> None:
    before = service(1, ROOMS)
    assert lacking(before, service(2, ROOMS, Field("floor", INT64, default=0))) == []
    assert lacking(before, service(2, ROOMS, Field("floor", INT64))) == ["floor"]
    assert lacking(before, service(2, Field("rooms", FLOAT64))) == ["rooms"]
    assert lacking(before, service(2)) == []
    assert lacking(None, before) == lacking(before, None) == []


def test_a_question_is_passed_on_as_the_other_service_takes_it() -> None:
    other = service(2, ROOMS, Field("note", STRING, default="-"))
    assert asked_of(other, {}, {"rooms": [1, 2], "colour": ["red", "blue"]}) == (
        {},
        {"rooms": [1, 2], "note": ["-", "-"]},
    )


def test_a_challenger_that_needs_more_than_requests_hold_is_refused(world: Any, tmp_path: Path) -> None:
    """Its service needs a field that requests to the champion leave out."""
    needy = service(2, ROOMS, Field("floor", INT64))
    world.source.services["valuation@2"] = needy
    world.source.challenge(2, 2000.0, share=1.0)

    async def work(made: httpx.AsyncClient) -> None:
        assert (await predict(made, "L1"))["version"] == 1
        assert await metric(made, "stackwright_model_swaps_total") == 2.0

    serving(world, work)
