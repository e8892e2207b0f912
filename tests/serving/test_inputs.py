"""Rows that can be read, and do not fit the model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]

INFER = "/v2/models/valuation/infer"


def test_null_is_what_the_policy_for_missing_values_says(server: Any, champion: Any, kit: Any) -> None:
    document = kit.infer(area={"data": [None]})
    assert server.ask(INFER, document).json["outputs"][0]["data"] == [30.0]
    assert server.ask("/predict", {"home_id": None}).status == 422
    inputs = _signature(champion)

    def whole_rows_alone(folder: Path) -> None:
        golden = folder / "golden.jsonl"
        golden.write_text(golden.read_text().splitlines()[0] + "\n")

    refusing = champion.publish(1500.0, spoil=whole_rows_alone, signature=inputs)
    champion.promote(refusing)
    server.until_served(refusing)
    reply = server.ask(INFER, document)
    assert (reply.status, "row 0: area is missing" in reply.error) == (422, True)


def _signature(project: Any) -> Any:
    from stackwright_interfaces.model import Signature
    from stackwright_interfaces.types import FLOAT64, Field

    with project.stack() as stack:
        return Signature(
            inputs=stack.service("valuation@1").output_fields,
            outputs=(Field("price", FLOAT64),),
            categories={"kind": ("flat", "house")},
            missing={"area": "refuse"},
        )


@pytest.mark.parametrize("value", ["3", True, 1.5, 2**63, [3, 4], {"a": 3}])
def test_a_wrong_type_is_422_with_row_and_field(server: Any, value: Any, kit: Any) -> None:
    rows = [{"home_id": "H1"}, {"home_id": "H2", "rooms": value}]
    reply = server.ask("/predict", {"rows": rows})
    assert (reply.status, "row 1: field 'rooms'" in reply.error) == (422, True), reply
    reply = server.ask(INFER, kit.infer(rooms={"data": [value]}))
    assert (reply.status, "input 'rooms' row 0" in reply.error) in ((422, True), (400, False)), reply


def test_missing_and_extra_columns_are_422_and_reordered_ones_are_matched_by_name(server: Any, kit: Any) -> None:
    assert "field 'home_id' is missing" in server.ask("/predict", {"rooms": 3}).error
    assert "unknown field 'colour'" in server.ask("/predict", {"home_id": "H1", "colour": 1}).error
    document = kit.infer()
    missing = server.ask(INFER, {"inputs": document["inputs"][1:]})
    extra = server.ask(INFER, {"inputs": [*document["inputs"], {**document["inputs"][0], "name": "colour"}]})
    assert [missing.status, extra.status] == [422, 422]
    turned = server.ask(INFER, {"inputs": document["inputs"][::-1]})
    assert turned.json["outputs"][0]["data"] == [kit.value_of(0)]
    split = {"columns": ["rooms", "home_id"], "data": [[4, "H9"]]}
    assert server.ask("/invocations", {"dataframe_split": split}).json["predictions"] == [kit.value_of(9, rooms=4)]


@pytest.mark.parametrize(
    "change", [{"shape": [2]}, {"shape": [1, 2]}, {"shape": ["1"]}, {"data": [[1.0], [2.0, 3.0]]}, {"shape": None}]
)
def test_a_shape_that_is_not_that_of_the_data_is_400(server: Any, change: dict[str, Any], kit: Any) -> None:
    assert server.ask(INFER, kit.infer(area=change)).status == 400
    assert server.ask("/invocations", {"inputs": {"area": [1.0, 2.0], "kind": ["flat"]}}).status == 400


def test_an_empty_batch_gives_no_predictions_everywhere(server: Any, kit: Any) -> None:
    assert server.ask("/predict", {"rows": []}).json["predictions"] == []
    assert server.ask(INFER, kit.infer(0)).json["outputs"][0]["data"] == []
    for body in ({"instances": []}, {"dataframe_records": []}, {"dataframe_split": {"columns": ["area"], "data": []}}):
        assert server.ask("/invocations", body).json["predictions"] == [], body
    assert server.ask("/invocations", b"", Content_Type="text/csv", Accept="text/csv").body == b""


def test_a_huge_batch_is_413_and_single_rows_are_not_starved(server: Any, start: Start, kit: Any) -> None:
    assert server.ask("/predict", {"rows": [{"home_id": "H1"}] * 101}).status == 413
    large = start(serving="at_once = 1000")
    body = json.dumps({"rows": [{"home_id": f"H{row % 200}"} for row in range(10_000)]}).encode()
    large.predict()
    done = threading.Event()

    def ask_on() -> list[int]:
        statuses = []
        while not done.is_set():
            statuses.append(large.ask("/predict", body).status)
        return statuses

    with ThreadPoolExecutor(3) as clients:
        busy = [clients.submit(ask_on) for _ in range(3)]
        took = []
        for home in range(40):
            began = time.monotonic()
            assert large.predict(home).json["predictions"][0]["value"] == kit.value_of(home)
            took.append(time.monotonic() - began)
        done.set()
        assert {status for one in busy for status in one.result()} == {200}
    assert sorted(took)[len(took) // 2] < 1.0
    assert large.metric("store_failures_total") == 0


def test_an_unknown_category_gets_the_missing_code_and_is_counted(server: Any, kit: Any) -> None:
    before = server.metric("unknown_categories_total", input="kind")
    assert server.ask(INFER, kit.infer(kind={"data": ["castle"]})).json["outputs"][0]["data"] == [kit.value_of(0)]
    assert server.metric("unknown_categories_total", input="kind") == before + 1
