"""``/invocations`` as SageMaker and MLflow ask."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_serving.exchange import Refused
from stackwright_serving.protocols import mlflow
from stackwright_serving.settings import Settings
from stackwright_serving.tables import Table

Ask = Callable[..., httpx.Response]

FEATURES = {"area": [50.0, 60.0], "kind": ["flat", None], "rooms": [3, 1]}
ROWS = [{"area": 50.0, "kind": "flat", "rooms": 3}, {"area": 60.0, "kind": None, "rooms": 1}]
VALUES = [50_030.0, 60_010.0]
NAMES = ["area", "kind", "rooms"]
LISTS = [[50.0, "flat", 3], [60.0, None, 1]]


@pytest.fixture
def ask(world: Any) -> Ask:
    """Send one request to a fresh application."""

    def ask(method: str, path: str, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            app = world.app()
            async with app.lifespan():
                transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
                    return await client.request(method, path, **options)

        return asyncio.run(run())

    return ask


@pytest.fixture
def send(ask: Ask) -> Ask:
    """Post a body to /invocations."""

    def send(body: str | bytes, kind: str = "", **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body.encode() if isinstance(body, str) else body
        return ask(
            "POST", "/invocations", content=content, headers={**({"Content-Type": kind} if kind else {}), **given}
        )

    return send


# --- MLflow's forms ---


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_split": {"columns": NAMES, "data": LISTS}},
        {"dataframe_split": {"columns": NAMES, "index": [7, 8], "data": LISTS}},
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {"instances": LISTS},
        {"inputs": FEATURES},
        {"inputs": {name: [[value] for value in column] for name, column in FEATURES.items()}},
        {"inputs": ROWS, "params": {}},
        {"rows": ROWS},
    ],
)
def test_each_form_of_json_gives_the_same_predictions(ask: Ask, document: Any) -> None:
    answer = ask("POST", "/invocations", json=document)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["predictions"] == VALUES
    assert (body["model"], body["version"]) == ("valuation", 1)
    assert len(set(body["prediction_ids"])) == 2
    assert all(low < value < high for low, value, high in zip(body["lower"], VALUES, body["upper"], strict=True))


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_records": [{"listing_id": "L1", "rooms": 4}]},
        {"inputs": {"listing_id": "L1", "rooms": 4}},
        {"instances": [["L1", 4]]},
        {"listing_id": "L1", "rooms": 4},
        {"dataframe_split": {"columns": ["rooms", "listing_id"], "data": [[4, "L1"]]}},
    ],
)
def test_keys_have_their_features_looked_up(ask: Ask, world: Any, document: Any) -> None:
    assert ask("POST", "/invocations/valuation", json=document).json()["predictions"] == [50_040.0]
    (answered,) = world.sink.records
    assert answered.keys == {"listing_id": ["L1"]}
    assert answered.request == {"rooms": [4]}
    assert answered.scored.features is not None


def test_a_request_field_with_a_default_may_be_left_out(ask: Ask) -> None:
    answer = ask("POST", "/invocations", json={"dataframe_records": [{"listing_id": "L1"}, {"listing_id": "L9"}]})
    assert answer.json()["predictions"] == [50_030.0, 30.0]
    assert answer.json()["incomplete"] == {"1": ["area", "kind"]}


def test_features_that_a_caller_brings_are_logged(ask: Ask, world: Any) -> None:
    ask("POST", "/invocations", json={"inputs": FEATURES})
    (answered,) = world.sink.records
    assert answered.columns["kind"].tolist() == ["flat", None]
    assert answered.keys == {}


@pytest.mark.parametrize("document", [{"dataframe_records": []}, {"inputs": []}, {"rows": []}])
def test_no_rows_give_no_predictions(ask: Ask, document: Any) -> None:
    assert ask("POST", "/invocations", json=document).json()["predictions"] == []


@pytest.mark.parametrize(
    ("document", "status", "part"),
    [
        ([1], 400, "no object"),
        ({"instances": [], "inputs": []}, 400, "the keys: instances, inputs. Send exactly one of"),
        ({"instances": [], "rows": []}, 400, "the keys: instances, rows"),
        ({"dataframe_records": ROWS, "params": {"k": 1}}, 400, "the model takes no parameters"),
        ({"dataframe_records": ROWS[0]}, 400, "dataframe_records is no list"),
        ({"dataframe_records": LISTS}, 400, "dataframe_records is no list of objects"),
        ({"instances": [LISTS[0], ROWS[0]]}, 400, "instances is no list of objects, or of lists"),
        ({"dataframe_split": {"columns": ["area", 3], "data": []}}, 400, "columns is no list of names"),
        ({"dataframe_split": {"columns": ["area", "area"], "data": []}}, 400, "named twice"),
        ({"dataframe_split": {"columns": NAMES, "data": [3]}}, 400, "data is no list of lists"),
        ({"dataframe_split": {"columns": NAMES, "data": [], "more": 1}}, 400, "is no table"),
        ({"dataframe_split": {"columns": NAMES, "data": [[1.0]]}}, 422, "row 0: has 1 values where 3 are needed"),
        ({"inputs": {"area": [1.0], "kind": []}}, 400, "different numbers of values"),
        ({"inputs": {**FEATURES, "colour": ["red", "blue"]}}, 422, "row 0: unknown field 'colour'"),
        ({"inputs": {"area": [1.0], "rooms": [3]}}, 422, "row 0: field 'kind' is missing"),
        ({"dataframe_records": [ROWS[0], {**ROWS[1], "rooms": "2"}]}, 422, "row 1: field 'rooms' is a text"),
        ({"dataframe_records": [{**ROWS[0], "rooms": True}]}, 422, "row 0: field 'rooms' is a boolean"),
        ({"instances": [[1.0, "flat", 3, 4]]}, 422, "row 0: has 4 values where 2 are needed"),
        ({"instances": [{"listing_id": None}]}, 422, "row 0: field 'listing_id' is null"),
        ({"instances": ROWS * 26}, 413, "52 rows. Send at most 50"),
    ],
)
def test_json_that_does_not_fit_is_refused_with_its_place(ask: Ask, document: Any, status: int, part: str) -> None:
    answer = ask("POST", "/invocations", json=document)
    assert part in answer.json()["error"]
    assert answer.status_code == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "part"), [('{"instances": [[NaN]]}', "NaN"), ('{"inputs": 1, "inputs": 2}', "twice"), ("{", "not JSON")]
)
def test_json_is_strict(send: Ask, body: str, part: str) -> None:
    answer = send(body)
    assert answer.status_code == 400
    assert part in answer.json()["error"]


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    return sink.getvalue()


def file(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


WRITERS = [
    (parquet, "application/vnd.apache.parquet"),
    (parquet, "application/x-parquet"),
    (stream, "application/vnd.apache.arrow.stream"),
    (file, "application/vnd.apache.arrow.file"),
]


@pytest.mark.parametrize(("write", "kind"), WRITERS)
def test_tables_as_bytes_give_the_same_predictions(send: Ask, write: Callable[[pa.Table], bytes], kind: str) -> None:
    assert send(write(pa.table(FEATURES)), kind).json()["predictions"] == VALUES
    keys = pa.table({"listing_id": ["L1"], "rooms": [4.0]})  # whole numbers as pandas writes a column with nulls
    assert send(write(keys), kind).json()["predictions"] == [50_040.0]


@pytest.mark.parametrize(("write", "kind"), WRITERS)
def test_tables_as_bytes_are_limited_and_checked(send: Ask, write: Callable[[pa.Table], bytes], kind: str) -> None:
    many = send(write(pa.table({"area": pa.array([1.0] * 51)})), kind)
    assert (many.status_code, "51 rows" in many.json()["error"]) == (413, True)
    torn = send(write(pa.table(FEATURES))[:-20] + b"x", kind)
    assert torn.status_code == 400
    assert kind in torn.json()["error"]
    assert send(b"", kind).status_code == 400
    wrong = send(write(pa.table({**FEATURES, "kind": [1, 2]})), kind)
    assert (wrong.status_code, "field 'kind' is a whole number" in wrong.json()["error"]) == (422, True)


def test_missing_numbers_of_a_table_are_null(send: Ask, world: Any) -> None:
    table = pa.table({"area": [float("nan")], "kind": pa.array([None], pa.string()), "rooms": [1]})
    assert send(parquet(table), "application/x-parquet").json()["predictions"] == [10.0]


def test_a_table_that_unpacks_to_more_than_bearable_is_refused_before_it_is_unpacked() -> None:
    bomb = parquet(pa.table({"kind": ["x" * 1_000_000] * 40}))
    assert len(bomb) < 100_000
    with pytest.raises(Refused, match="unpacks to"):
        mlflow.read_bytes(bomb, mlflow.PARQUET[0], Settings(max_body=1000))


# --- SageMaker's ---


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("area,kind,rooms\n50,flat,3\n60.0,,1\n", "text/csv"),
        ("50,flat,3\r\n60.0,,1", "text/csv"),
        ('rooms,"kind",area\r\n3,"flat",50\r\n1,,6e1\r\n', "text/csv; charset=utf-8"),
        ("rooms,kind,area\n3,flat,50\n1,,60\n", "text/csv; header=present"),
        ("\ufeffarea,kind,rooms\n50,flat,3\n\n60,,1\n", "text/csv"),
        ("50,flat,3\n60,,1\n", "text/csv; header=absent"),
        ('{"area": 50, "kind": "flat", "rooms": 3}\n[60, null, 1]\n', "application/jsonlines"),
        ('{"features": [50, "flat", 3]}\r\n\n{"features": [60, null, 1]}', "application/x-ndjson"),
    ],
)
def test_lines_give_a_prediction_each(send: Ask, body: str, kind: str) -> None:
    answer = send(body, kind)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == VALUES


def test_csv_of_keys_has_the_features_looked_up(send: Ask) -> None:
    assert send("L1,4\nL3,\n", "text/csv").json()["predictions"] == [50_040.0, 70_002.0]
    assert send("listing_id\nL1\n", "text/csv").json()["predictions"] == [50_030.0]


def test_an_empty_body_of_lines_gives_no_predictions(send: Ask) -> None:
    assert send("", "text/csv").json()["predictions"] == []
    assert send("\n", "application/jsonlines").json()["predictions"] == []


@pytest.mark.parametrize(
    ("body", "kind", "status", "part"),
    [
        ("50,flat\n", "text/csv; header=absent", 422, "row 0: field 'rooms' is 'flat'. Send a value of type int64"),
        ("50,flat,3\n60\n", "text/csv", 422, "row 1: has 1 values where 3 are needed"),
        ("much,flat,3\n", "text/csv", 422, "row 0: field 'area' is 'much'"),
        ("nan,flat,3\n", "text/csv", 422, "row 0: field 'area' is 'nan'"),
        ("1e999,flat,3\n", "text/csv", 422, "row 0: field 'area' is '1e999'"),
        ("50,flat,3_0\n", "text/csv", 422, "row 0: field 'rooms' is '3_0'"),
        ("50,flat," + "9" * 5000, "text/csv", 422, "row 0: field 'rooms' is '999"),
        ("50,flat,99999999999999999999\n", "text/csv", 422, "field 'rooms'"),
        ("area,colour\n1,red\n", "text/csv; header=present", 422, "unknown column 'colour'"),
        ("area,area\n1,2\n", "text/csv", 422, "named twice"),
        ('"50,flat,3\n', "text/csv", 400, "not CSV"),
        (b"\xff,flat,3\n", "text/csv", 400, "not UTF-8 at byte 0"),
        ("1,2", "text/csv; header=maybe", 415, "header is 'maybe'"),
        ("1,2", "text/csv; charset=latin-1", 415, "charset is 'latin-1'"),
        ("x", "image/png", 415, "the content type is 'image/png'"),
        ('{"a": 1}\n{', "application/jsonlines", 400, "line 2: not JSON"),
        ("1\n", "application/jsonlines", 400, "line 1: is neither an object nor a list"),
        ("1\n" * 60, "text/csv", 413, "60 rows"),
        ("x" * 10_001, "text/csv", 413, "bytes"),
    ],
)
def test_lines_that_do_not_fit_are_refused_with_their_place(
    send: Ask, body: str | bytes, kind: str, status: int, part: str
) -> None:
    answer = send(body, kind)
    assert part in answer.json()["error"]
    assert answer.status_code == status


def test_an_encoded_body_is_refused(send: Ask) -> None:
    assert send("1", "text/csv", Content_Encoding="br").status_code == 415


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/*;q=0.5, application/pdf", "text/csv; charset=utf-8"),
        ("text/csv;q=0.2, application/jsonlines;q=0.9", "application/jsonlines"),
        ("application/*", "application/json"),
        ("text/csv;q=0, */*;q=0.1", "application/json"),
    ],
)
def test_the_answer_has_the_form_that_is_accepted(send: Ask, accept: str, kind: str) -> None:
    answer = send("50,flat,3\n", "text/csv", **({"Accept": accept} if accept else {"Accept": ""}))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind


def test_an_answer_that_cannot_be_given_is_refused(send: Ask) -> None:
    answer = send("50,flat,3\n", "text/csv", Accept="image/png, text/csv;q=none")
    assert answer.status_code == 406
    assert "Accept one of: application/json" in answer.json()["error"]


def test_a_line_a_row_comes_back_in_their_order(send: Ask) -> None:
    assert send("60,,1\n50,flat,3\n", "text/csv", Accept="text/csv").text == "60010.0\n50030.0\n"
    lines = send("60,,1\n50,flat,3\n", "text/csv", Accept="application/jsonlines").text.splitlines()
    assert [json.loads(line)["value"] for line in lines] == [60_010.0, 50_030.0]
    assert set(json.loads(lines[0])) == {"prediction_id", "value", "lower", "upper"}


def test_a_batch_transform_gets_a_line_a_record_however_many(
    send: Ask, monkeypatch: pytest.MonkeyPatch, world: Any
) -> None:
    monkeypatch.setenv("SAGEMAKER_BATCH", "true")
    answer = send("50,flat,3\n" * 120, "text/csv", Accept="")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text == "50030.0\n" * 120
    assert [len(answered.ids) for answered in world.sink.records] == [50, 50, 20]
    assert json.loads(send('{"listing_id": "L1"}\n', "application/jsonlines", Accept="").text)["value"] == 50_030.0
    assert send("50,flat,3\n", "text/csv", Accept="application/json").json()["predictions"] == [50_030.0]


def test_a_batch_transform_is_told_how_to_ask(ask: Ask, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_WORKERS", "3")
    world.settings = replace(world.settings, max_body=10_000_000)
    told = ask("GET", "/execution-parameters").json()
    assert told == {"MaxConcurrentTransforms": 3, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 9}
    assert told["MaxPayloadInMB"] * 2**20 <= world.settings.max_body


def test_ping_says_whether_a_model_is_served(ask: Ask, world: Any) -> None:
    assert ask("GET", "/ping").status_code == 200
    assert ask("GET", "/health").status_code == 200
    assert ask("GET", "/version").text.count(".") >= 1
    world.source.served.clear()
    assert ask("GET", "/ping").status_code == 503


def test_of_several_models_one_is_named_by_path_or_attribute(ask: Ask, world: Any) -> None:
    world.source.promote(1, 2000.0, name="other")
    body = {"instances": LISTS[:1]}
    assert ask("POST", "/invocations", json=body).status_code == 404
    assert ask("POST", "/invocations/other", json=body).json()["predictions"] == [100_030.0]
    header = {"X-Amzn-SageMaker-Custom-Attributes": "trace=7, model=other"}
    assert ask("POST", "/invocations", json=body, headers=header).json()["model"] == "other"


def test_the_description_has_the_four_forms_and_every_content_type(ask: Ask) -> None:
    operation = ask("GET", "/openapi.json").json()["paths"]["/invocations/valuation"]["post"]
    content = operation["requestBody"]["content"]
    forms = content["application/json"]["schema"]["anyOf"][0]["oneOf"]
    assert [form["required"] for form in forms] == [[name] for name in mlflow.FORMS]
    assert {"text/csv", "application/jsonlines", mlflow.PARQUET[0], mlflow.ARROW[0]} < set(content)
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/csv", "application/jsonlines"}
    assert "406" in operation["responses"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "data", "columns"]), inner),
    max_leaves=8,
)


@given(form=st.sampled_from(mlflow.FORMS), value=JSON_VALUES)
def test_whatever_a_form_holds_it_is_a_table_or_refused(form: str, value: Any) -> None:
    refused: list[Refused] = []
    try:
        table = mlflow.read_json({form: value})
    except Refused as error:
        refused.append(error)
        table = Table([])
    assert [error.status for error in refused] in ([], [400])
    assert all(isinstance(row, dict | list) for row in table.rows)
