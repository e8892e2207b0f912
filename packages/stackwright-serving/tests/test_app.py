from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout
from stackwright_serving.rules import Rules

Run = Callable[[Callable[[httpx.AsyncClient], Awaitable[None]]], None]


@asynccontextmanager
async def client(world: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = world.app()
    async with app.lifespan():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as made:
            yield made


@pytest.fixture
def ask(world: Any) -> Callable[..., httpx.Response]:
    """Send one request to a fresh application."""

    def ask(method: str, path: str, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            async with client(world) as made:
                return await made.request(method, path, **options)

        return asyncio.run(run())

    return ask


Ask = Callable[..., httpx.Response]


def test_keys_go_in_and_a_prediction_comes_out(ask: Ask, world: Any) -> None:
    answer = ask("POST", "/predict", json={"listing_id": "L1", "rooms": 4})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["model"], body["version"]) == ("valuation", 1)
    assert body["digest"].startswith("sha256:")
    (prediction,) = body["predictions"]
    assert prediction["value"] == 50_040.0
    assert prediction["lower"] < 50_040.0 < prediction["upper"]
    assert "incomplete" not in prediction
    assert answer.headers["x-request-id"] == body["request_id"]


def test_a_start_is_told_once_and_when_everything_is_loaded(ask: Ask, world: Any) -> None:
    loaded: list[Any] = []
    world.started = lambda: loaded.extend(world.host.serving)
    ask("GET", "/health/live")
    assert loaded == ["valuation"]


def test_many_rows_come_back_in_their_order(ask: Ask) -> None:
    rows = [{"listing_id": "L3"}, {"listing_id": "L1"}, {"listing_id": "L3"}]
    values = [item["value"] for item in ask("POST", "/predict/valuation", json={"rows": rows}).json()["predictions"]]
    assert values == [70_032.0, 50_030.0, 70_032.0]


def test_no_rows_give_no_predictions(ask: Ask) -> None:
    assert ask("POST", "/predict", json={"rows": []}).json()["predictions"] == []


def test_an_entity_that_is_not_there_is_predicted_and_flagged(ask: Ask) -> None:
    (prediction,) = ask("POST", "/predict", json={"listing_id": "L9"}).json()["predictions"]
    assert prediction["incomplete"] == ["area", "kind"]


def test_each_request_is_logged_with_what_its_answer_was_made_of(ask: Ask, world: Any) -> None:
    headers = {"X-Request-ID": "r-1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    answer = ask("POST", "/predict?at=2026-03-01T00:00:00Z", json={"listing_id": "L2"}, headers=headers)
    (answered,) = world.sink.records
    assert list(answered.ids) == [answer.json()["predictions"][0]["prediction_id"]]
    assert answered.request_ids == ["r-1"]
    assert answered.keys == {"listing_id": ["L2"]}
    assert answered.scored.features.columns["kind"].tolist() == ["house"]
    assert answered.asked.isoformat() == "2026-03-01T00:00:00+00:00"
    assert answered.model.digest == answer.json()["digest"]
    assert answered.blueprint == "sha256:plan"


def test_a_full_log_is_counted_and_stops_nothing(world: Any) -> None:
    world.sink.room = 0

    async def run() -> tuple[int, str]:
        async with client(world) as made:
            answer = await made.post("/predict", json={"listing_id": "L1"})
            return answer.status_code, (await made.get("/metrics")).text

    status, page = asyncio.run(run())
    assert status == 200
    assert metric(page, "stackwright_unlogged_predictions_total") == 1.0


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ("{", 400, "not JSON"),
        ('{"listing_id": "L1", "listing_id": "L2"}', 400, "twice"),
        ('{"listing_id": NaN}', 400, "NaN"),
        ("[1]", 400, "no object"),
        ("{}", 422, "row 0: field 'listing_id' is missing"),
        ('{"listing_id": null}', 422, "row 0: field 'listing_id' is null"),
        ('{"listing_id": 5}', 422, "row 0: field 'listing_id' is a whole number"),
        ('{"listing_id": "L1", "rooms": true}', 422, "row 0: field 'rooms' is a boolean. Send a value of type int64"),
        ('{"listing_id": "L1", "rooms": 9223372036854775808}', 422, "field 'rooms'"),
        ('{"listing_id": "L1", "rooms": 1.5}', 422, "field 'rooms' is a number"),
        ('{"rows": [{"listing_id": "L1"}, {"listing_id": "L1", "colour": 1}]}', 422, "row 1: unknown field 'colour'"),
        ('{"rows": [3]}', 422, "row 0: is a whole number"),
        (json.dumps({"rows": [{"listing_id": "L1"}] * 51}), 413, "51 rows"),
        (json.dumps({"listing_id": "x" * 10_001}), 413, "bytes"),
    ],
)
def test_a_bad_body_is_refused_with_its_place(ask: Ask, body: str, status: int, part: str) -> None:
    answer = ask("POST", "/predict", content=body.encode())
    assert answer.status_code == status
    assert part in answer.json()["error"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_body_that_streams_past_the_limit_is_cut_off(ask: Ask) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 1000

    assert ask("POST", "/predict", content=stream()).status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/csv"}, 415),
        ({"Content-Encoding": "gzip"}, 400),
        ({"Content-Encoding": "br"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_only_plain_json_is_taken(ask: Ask, headers: dict[str, str], status: int) -> None:
    assert ask("POST", "/predict", content=b'{"listing_id": "L1"}', headers=headers).status_code == status


@pytest.mark.parametrize(
    ("at", "status"), [("2026-03-01T12:00:00Z", 200), ("2026-03-01T13:00:00Z", 422), ("soon", 400)]
)
def test_the_asked_instant_is_never_in_the_future(ask: Ask, at: str, status: int) -> None:
    assert ask("POST", "/predict", params={"at": at}, json={"listing_id": "L1"}).status_code == status


def test_a_model_that_is_not_served_is_not_found(ask: Ask) -> None:
    answer = ask("POST", "/predict/other", json={"listing_id": "L1"})
    assert answer.status_code == 404
    assert "Served: valuation" in answer.json()["error"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [(StoreTimeout("store", "slow"), 504), (FeatureStoreError("store", "away"), 503), (RuntimeError("secret"), 500)],
)
def test_a_store_that_fails_is_told_without_a_traceback(ask: Ask, world: Any, failure: Exception, status: int) -> None:
    world.source.homes.failure = failure
    answer = ask("POST", "/predict", json={"listing_id": "L1"})
    assert answer.status_code == status
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_a_harmful_request_id_is_replaced(ask: Ask) -> None:
    answer = ask("GET", "/models", headers={"X-Request-ID": "a b\tc"})
    assert answer.headers["x-request-id"] != "a b\tc"


def test_unknown_paths_and_methods_are_answered_in_json(ask: Ask) -> None:
    assert "no such path" in ask("GET", "/nowhere").json()["error"]
    assert ask("GET", "/predict").status_code == 405


def test_ready_says_whether_a_model_is_served(ask: Ask, world: Any) -> None:
    assert ask("GET", "/health/ready").status_code == 200
    world.source.served.clear()
    assert ask("GET", "/health/ready").status_code == 503
    assert ask("GET", "/health/live").status_code == 200


def test_the_description_names_the_fields_of_a_request(ask: Ask) -> None:
    document = ask("GET", "/openapi.json").json()
    body = document["paths"]["/predict/valuation"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["anyOf"][0]["required"] == ["listing_id"]
    assert set(body["anyOf"][0]["properties"]) == {"listing_id", "rooms"}


def infer(**changes: Any) -> dict[str, Any]:
    tensors = [
        {"name": "kind", "shape": [2], "datatype": "BYTES", "data": ["flat", None]},
        {"name": "area", "shape": [2, 1], "datatype": "FP64", "data": [50.0, 60.0]},
        {"name": "rooms", "shape": [2], "datatype": "INT64", "data": [3, 1]},
    ]
    return {"id": "7", "inputs": tensors, **changes}


def test_open_inference_takes_the_models_inputs_by_name(ask: Ask) -> None:
    answer = ask("POST", "/v2/models/valuation/infer", json=infer()).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("valuation", "1", "7")
    assert [output["name"] for output in answer["outputs"]] == ["price", "price_lower", "price_upper"]
    assert answer["outputs"][0] == {"name": "price", "datatype": "FP64", "shape": [2], "data": [50_030.0, 60_010.0]}


def test_open_inference_gives_only_the_outputs_asked_for(ask: Ask) -> None:
    answer = ask("POST", "/v2/models/valuation/versions/1/infer", json=infer(outputs=[{"name": "price"}])).json()
    assert [output["name"] for output in answer["outputs"]] == ["price"]


def test_open_inference_describes_the_model(ask: Ask) -> None:
    document = ask("GET", "/v2/models/valuation").json()
    assert document["versions"] == ["1"]
    assert {item["name"]: item["datatype"] for item in document["inputs"]} == {
        "area": "FP64",
        "kind": "BYTES",
        "rooms": "INT64",
    }
    assert ask("GET", "/v2/models/valuation/ready").status_code == 200
    assert ask("GET", "/v2/models/valuation/versions/9").status_code == 404
    assert ask("GET", "/v2/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "part"),
    [
        ({"inputs": 3}, 400, "no list of tensors"),
        ({"inputs": infer()["inputs"][:2]}, 422, "missing inputs: rooms"),
        ({"inputs": [*infer()["inputs"], infer()["inputs"][0]]}, 422, "unknown or doubled: kind"),
        ({"inputs": [{**infer()["inputs"][0], "shape": [3]}, *infer()["inputs"][1:]]}, 400, "does not fit 2 values"),
        ({"inputs": [{**infer()["inputs"][0], "datatype": "FP64"}, *infer()["inputs"][1:]]}, 422, "datatype is 'FP64'"),
        ({"inputs": [{**infer()["inputs"][0], "data": [1, 2]}, *infer()["inputs"][1:]]}, 422, "input 'kind' row 0"),
        ({"outputs": [{"name": "profit"}]}, 400, "It gives: price"),
    ],
)
def test_open_inference_refuses_what_does_not_fit(ask: Ask, change: dict[str, Any], status: int, part: str) -> None:
    answer = ask("POST", "/v2/models/valuation/infer", json=infer(**change))
    assert answer.status_code == status
    assert part in answer.json()["error"]


def metric(page: str, name: str) -> float:
    families = text_string_to_metric_families(page)
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def test_metrics_count_requests_predictions_and_surprises(world: Any) -> None:
    async def run() -> str:
        async with client(world) as made:
            await made.post("/predict", json={"rows": [{"listing_id": "L3"}, {"listing_id": "L9"}]})
            return (await made.get("/metrics")).text

    page = asyncio.run(run())
    assert metric(page, "stackwright_predictions_total") == 2.0
    assert metric(page, "stackwright_unknown_categories_total") == 1.0
    assert metric(page, "stackwright_incomplete_rows_total") == 1.0
    assert metric(page, "stackwright_model_version") == 1.0


async def version_within(made: httpx.AsyncClient, wanted: int, seconds: float = 5.0) -> bool:
    for _ in range(int(seconds / 0.02)):
        if (await made.get("/models")).json()["models"][0]["version"] == wanted:
            return True
        await asyncio.sleep(0.02)
    return False


def test_a_promotion_is_swapped_in_while_requests_go_on(world: Any) -> None:
    async def run() -> None:
        async with client(world) as made:
            world.source.promote(2, 2000.0)
            assert await version_within(made, 2)
            body = (await made.post("/predict", json={"listing_id": "L1"})).json()
            assert (body["version"], body["predictions"][0]["value"]) == (2, 100_030.0)

    asyncio.run(run())


def test_a_damaged_promotion_leaves_the_old_version_serving(world: Any) -> None:
    async def run() -> None:
        async with client(world) as made:
            where = world.source.promote(2, 2000.0)
            (where / "factor.txt").write_text("9")
            await asyncio.sleep(0.2)
            body = (await made.post("/predict", json={"listing_id": "L1"})).json()
            assert (body["version"], body["predictions"][0]["value"]) == (1, 50_030.0)
            assert metric((await made.get("/metrics")).text, "stackwright_model_swaps_total") >= 2.0

    asyncio.run(run())


def test_rows_that_the_model_does_not_answer_for_are_named_by_both_protocols(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stackwright_serving.model.Rules", lambda _document: Rules({"select": {"kind": ["house"]}}))
    rows = [{"listing_id": "L1"}, {"listing_id": "L2"}]
    small, large = ask("POST", "/predict", json={"rows": rows}).json()["predictions"]
    assert (small["incomplete"], large.get("incomplete")) == (["kind (outside)"], None)
    document = ask("POST", "/v2/models/valuation/infer", json=infer()).json()
    assert document["parameters"]["incomplete"].startswith("0: kind (outside)")
