"""Predictions without a server: one by keys, and every row of a file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import stackwright
from stackwright.workflows.datasets.ready_rows import ReadyRows
from stackwright.workflows.live.scoring import scorer
from stackwright_features.arrow import to_columns
from stackwright_interfaces.definitions import FeatureService, transform
from stackwright_interfaces.errors import (
    MissingColumn,
    ModelError,
    ModelNotFound,
    PredictionError,
    UsageError,
    WrongType,
)
from stackwright_interfaces.types import FLOAT64, INT64, STRING, TIMESTAMP, Field
from stackwright_numerics.columns import to_model_array

AT = datetime(2024, 10, 28, tzinfo=UTC)
"""After every row of the little market, so that online rows are those of then."""


@pytest.fixture(scope="module")
def stack(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with stackwright.load(shutil.copytree(served, tmp_path_factory.mktemp("predict") / "project")) as opened:
        yield opened


def some_keys(number: int = 30) -> dict[str, list[Any]]:
    return {
        "home_id": [f"{home:04}" for home in range(7, 300, 300 // number)][:number],
        "rooms": [1 + home % 5 for home in range(number)],
    }


def written(path: Path, columns: dict[str, Any]) -> Path:
    table = pa.table(columns)
    (pyarrow.csv.write_csv if path.suffix == ".csv" else pyarrow.parquet.write_table)(table, path)
    return path


def read(path: Path) -> dict[str, list[Any]]:
    table = pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pyarrow.parquet.read_table(path)
    found: dict[str, list[Any]] = table.to_pydict()
    return found


def joined(stack: Any, keys: dict[str, list[Any]]) -> dict[str, Any]:
    """The inputs of the model by the join that makes training sets."""
    service = stack.service("valuation@1")
    frame = pa.table({**keys, "asked": pa.array([AT] * len(keys["home_id"]), pa.timestamp("us", "UTC"))})
    columns = to_columns(pa.table(stack.features.join(service.ref, frame, time="asked")), service.output_fields)
    return {field.name: to_model_array(columns[field.name], field.type) for field in service.output_fields}


def test_the_live_path_batch_scoring_and_the_training_side_agree_to_the_last_bit(stack: Any, tmp_path: Path) -> None:
    keys = some_keys()
    inputs = joined(stack, keys)
    expected = scorer(stack).model.predict(inputs)
    assert len(set(expected.value.tolist())) > 10
    assert len(set(inputs["visits_30d"])) > 1
    stack.score(written(tmp_path / "in.parquet", keys), tmp_path / "out.parquet", at=AT)
    batch = read(tmp_path / "out.parquet")
    assert batch["prediction"] == expected.value.tolist()
    assert (batch["lower"], batch["upper"]) == (expected.lower.tolist(), expected.upper.tolist())
    for row in (0, 11, 29):
        live = stack.predict(home_id=keys["home_id"][row], rooms=keys["rooms"][row], at=AT).data
        assert (live["prediction"], live["lower"], live["upper"]) == (
            expected.value[row],
            expected.lower[row],
            expected.upper[row],
        )
        assert live["features"] == {name: column[row] for name, column in inputs.items()}


def test_a_prediction_names_its_model_interval_and_features(served: Path, run: Any) -> None:
    ran = run("predict", "home_id=0007", "rooms=3", "--at", AT.isoformat(), "--project", served)
    title, *rest = ran.out.splitlines()
    assert ran.code == 0
    assert title.startswith("valuation@1: ")
    assert " to " in title
    assert [line.split()[0] for line in rest] == ["feature", "area", "kind", "visits_30d", "rooms", "room_size"]


def test_windows_end_at_the_asked_instant(stack: Any, market: Any) -> None:
    visits = pyarrow.parquet.read_table(market.visits).to_pylist()
    newest = max(visits, key=lambda visit: visit["visited_at"])
    home = newest["home_id"]
    for days in (1, 10, 29, 45):
        at = newest["visited_at"].astimezone(UTC) + timedelta(days=days)
        seen = [visit["visited_at"].astimezone(UTC) for visit in visits if visit["home_id"] == home]
        expected = sum(at - timedelta(days=30) <= moment < at for moment in seen)
        assert stack.predict(home_id=home, rooms=2, at=at).data["features"]["visits_30d"] == expected


def test_an_entity_that_is_not_there_is_predicted_and_what_is_lacking_is_told(stack: Any) -> None:
    outcome = stack.predict(home_id="9999", rooms=2, at=AT)
    assert outcome.data["incomplete"] == ["area", "kind", "visits_30d"]
    assert outcome.data["features"]["area"] is None
    assert outcome.notes == ("Not found or expired: area, kind, visits_30d.",)


def test_a_model_may_refuse_entities_that_are_not_there(work: Path, tmp_path: Path, run: Any) -> None:
    text = (work / "blueprint.toml").read_text()
    (work / "blueprint.toml").write_text(text.replace('transform = "log"', 'transform = "log"\nmissing = "refuse"'))
    ran = run("predict", "home_id=9999", "rooms=2", "--project", work)
    assert ran.code == 1
    assert ran.err.startswith("row 0: no row of view homes@1 for its key.")
    keys = written(tmp_path / "in.csv", {"home_id": ["0001", "9999"], "rooms": [1, 2]})
    assert run("score", keys, tmp_path / "out.csv", "--project", work).code == 1
    assert not (tmp_path / "out.csv").exists()
    assert run("predict", "home_id=0001", "rooms=2", "--project", work).code == 0


def test_values_may_be_given_as_what_they_are(stack: Any) -> None:
    expected = stack.predict(home_id="0007", rooms="3", at=AT).data["prediction"]
    assert stack.predict(home_id="0007", rooms=3, at=AT).data["prediction"] == expected
    with pytest.raises(WrongType, match="'rooms'"):
        stack.predict(home_id="0007", rooms=3.5, at=AT)
    with pytest.raises(UsageError, match=r"argument 'room': is no key of the model. Did you mean 'rooms'"):
        stack.predict(home_id="0007", rooms=3, room=3)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_keeps_its_rows_order_and_other_columns(stack: Any, tmp_path: Path, suffix: str) -> None:
    keys = some_keys(6)
    doubled = {name: values + values[::-1] for name, values in keys.items()} | {
        "note": [f"n{row}" for row in range(12)]
    }
    outcome = stack.score(written(tmp_path / f"in.{suffix}", doubled), tmp_path / f"out.{suffix}", at=AT)
    found = read(tmp_path / f"out.{suffix}")
    assert list(found) == ["home_id", "rooms", "note", "prediction", "lower", "upper"]
    assert found["note"] == doubled["note"]
    assert found["prediction"][:6] == found["prediction"][6:][::-1]
    told = {"model": "valuation@1", "rows": 12, "answered": 12, "out": str(tmp_path / f"out.{suffix}"), "incomplete": 0}
    assert {name: outcome.data[name] for name in told} == told


def test_keys_keep_their_leading_zeros(stack: Any, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('home_id,rooms\n0007,3.0\n"0007",3\n7,3\n')
    outcome = stack.score(tmp_path / "in.csv", tmp_path / "out.csv", at=AT)
    found = read(tmp_path / "out.csv")
    assert found["prediction"][0] == found["prediction"][1]
    assert found["incomplete"][2] == "area, kind, visits_30d"
    assert outcome.data["incomplete"] == 1
    assert "1 rows lacked a feature" in outcome.notes[0]


def test_rows_are_scored_alike_in_chunks_of_any_size(
    stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = written(tmp_path / "in.parquet", some_keys())
    stack.score(source, tmp_path / "whole.parquet", at=AT)
    calls: list[Any] = []
    monkeypatch.setattr("stackwright.workflows.batch.parts.BATCH_ROWS", 7)
    monkeypatch.setattr(stack, "progress", lambda *call: calls.append(call))
    stack.score(source, tmp_path / "chunks.parquet", at=AT)
    assert read(tmp_path / "chunks.parquet") == read(tmp_path / "whole.parquet")
    assert calls == [("score", 0, 30), ("score", 30, 30), ("write", 0, 1), ("write", 1, 1)]


def test_a_file_without_rows_gives_one_without_predictions(stack: Any, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("home_id,rooms\n")
    assert stack.score(tmp_path / "in.csv", tmp_path / "out.csv").data["rows"] == 0
    assert list(read(tmp_path / "out.csv")) == ["home_id", "rooms", "prediction", "lower", "upper"]


def test_a_ready_feature_table_needs_no_keys_and_its_transforms_are_computed(stack: Any, tmp_path: Path) -> None:
    keys = some_keys()
    stack.score(written(tmp_path / "keys.parquet", keys), tmp_path / "by_keys.parquet", at=AT)
    inputs = joined(stack, keys)
    ready = {name: inputs[name] for name in ("area", "kind", "visits_30d", "rooms")}
    for suffix in ("parquet", "csv"):
        stack.score(written(tmp_path / f"ready.{suffix}", ready), tmp_path / "out.parquet", at=AT)
        assert read(tmp_path / "out.parquet")["prediction"] == read(tmp_path / "by_keys.parquet")["prediction"]


def test_a_transform_that_is_in_the_table_is_taken_from_there(stack: Any, tmp_path: Path) -> None:
    inputs = joined(stack, some_keys(5))
    stack.score(
        written(tmp_path / "ready.parquet", {**inputs, "room_size": [1000.0] * 5}), tmp_path / "out.parquet", at=AT
    )
    expected = scorer(stack).model.predict({**inputs, "room_size": np.full(5, 1000.0)})
    assert read(tmp_path / "out.parquet")["prediction"] == expected.value.tolist()


def test_columns_of_other_widths_and_encodings_are_taken(stack: Any, tmp_path: Path) -> None:
    table = {
        "area": pa.array([50.5, 80.0], pa.float32()),
        "kind": pa.array(["flat", None]).dictionary_encode(),
        "visits_30d": pa.array([1, None], pa.int8()),
        "rooms": pa.array([2, 3], pa.int32()),
    }
    stack.score(written(tmp_path / "ready.parquet", table), tmp_path / "out.parquet", at=AT)
    plain = {
        "area": np.array([50.5, 80.0]),
        "kind": np.array(["flat", None], dtype=object),
        "visits_30d": np.array([1.0, np.nan]),
        "rooms": np.array([2.0, 3.0]),
    }
    expected = scorer(stack).model.predict({**plain, "room_size": plain["area"] / plain["rooms"]})
    assert read(tmp_path / "out.parquet")["prediction"] == expected.value.tolist()


def test_a_stack_with_history_alone_scores_by_the_join(work: Path, stack: Any, tmp_path: Path) -> None:
    keys = written(tmp_path / "in.csv", {**some_keys(), "note": ["x"] * 30})
    stack.score(keys, tmp_path / "online.csv", at=AT)
    text = (work / "blueprint.toml").read_text()
    kept = [line for line in text.splitlines() if not line.startswith("online")]
    (work / "blueprint.toml").write_text("\n".join(kept).replace('[server]\nadapter = "uvicorn"', ""))
    with stackwright.load(work) as offline:
        offline.score(keys, tmp_path / "offline.csv", at=AT)
    assert (tmp_path / "offline.csv").read_text() == (tmp_path / "online.csv").read_text()


def test_a_version_or_alias_is_chosen_by_name_and_the_champion_without(stack: Any) -> None:
    expected = stack.predict(home_id="0007", rooms=3, at=AT).data
    for ref in ("valuation", "valuation@1", "valuation@champion"):
        assert stack.predict(model_ref=ref, home_id="0007", rooms=3, at=AT).data == expected
    assert expected["model"] == "valuation@1"
    with pytest.raises(ModelNotFound, match="no version 9; versions: 1"):
        stack.predict(model_ref="valuation@9", home_id="0007", rooms=3)


def test_without_a_champion_it_is_told_how_to_get_one(filled: Path, run: Any) -> None:
    ran = run("predict", "home_id=0007", "rooms=3", "--project", filled)
    assert ran.code == 1
    assert "Run: stackwright train, then: stackwright promote valuation" in ran.err


def test_a_model_is_refused_where_a_transform_is_other_code_than_it_learned_with(work: Path, run: Any) -> None:
    (work / ".stackwright" / "definitions.json").unlink()
    features = (work / "features.py").read_text()
    (work / "features.py").write_text(features.replace("area / np.maximum(rooms, 1)", "area / np.maximum(rooms, 2)"))
    assert run("apply", "--project", work).code == 0
    ran = run("predict", "home_id=0007", "rooms=3", "--project", work)
    assert ran.code == 1
    assert "transform 'room_size' of 'valuation@1' is other code now than when the model learned" in ran.err


@transform(inputs=("area", "rooms"), type=FLOAT64)
def size(area: Any, rooms: Any) -> Any:
    return area / rooms


@transform(inputs=("size", "at"), type=FLOAT64)
def aged(size: Any, at: Any) -> Any:
    return size * (at - np.datetime64("2024-01-01", "us")) / np.timedelta64(1, "D")


SERVICE = FeatureService(
    name="worth",
    request=(Field("area", FLOAT64), Field("rooms", INT64, default=2), Field("seen", TIMESTAMP)),
    transforms=(size, aged),
    outputs=("area", "aged"),
)


def ready(**columns: list[Any]) -> dict[str, list[Any]]:
    inputs = (Field("area", FLOAT64), Field("aged", FLOAT64))
    rows = ReadyRows(inputs, SERVICE, Path(), list(columns))
    found = rows.columns(pa.table(columns), datetime(2024, 1, 11, tzinfo=UTC))
    return {name: column.tolist() for name, column in found.items()}


def test_transforms_are_computed_in_order_at_the_asked_instant() -> None:
    assert ready(area=[60.0, 90.0], rooms=[3, 2]) == {"area": [60.0, 90.0], "aged": [200.0, 450.0]}


def test_a_default_stands_for_a_column_that_is_not_there() -> None:
    assert ready(area=[60.0]) == {"area": [60.0], "aged": [300.0]}


def test_a_later_transform_reads_an_earlier_one_from_the_table() -> None:
    assert ready(area=[60.0], size=[1.0]) == {"area": [60.0], "aged": [10.0]}


def test_what_is_neither_there_nor_computable_is_told() -> None:
    with pytest.raises(MissingColumn, match=r"input: column 'area' is missing. Present: rooms"):
        ready(rooms=[1])


def test_without_its_service_a_model_needs_every_input_in_the_table() -> None:
    inputs = (Field("area", FLOAT64), Field("kind", STRING))
    rows = ReadyRows(inputs, None, Path(), ["kind", "area"])
    assert list(rows.columns(pa.table({"kind": ["a"], "area": [1]}), AT)) == ["area", "kind"]
    with pytest.raises(MissingColumn, match="'kind' is missing"):
        ReadyRows(inputs, None, Path(), ["area"])


def test_a_naive_instant_is_one_of_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    rows = ReadyRows((Field("aged", FLOAT64),), SERVICE, Path(), ["area"])
    table = pa.table({"area": [60.0]})
    assert rows.columns(table, datetime(2024, 1, 11))["aged"].tolist() == [300.0]  # noqa: DTZ001


@pytest.mark.parametrize("kind", [PredictionError, ModelError])
def test_a_model_that_cannot_answer_leaves_the_old_file(
    stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[ModelError]
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise kind("model", "no answer")

    monkeypatch.setattr("stackwright_serving.model.LoadedModel.predict", failing)
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(kind):
        stack.score(written(tmp_path / "in.csv", some_keys(2)), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "old"


def test_an_explanation_adds_up_and_says_how_old_the_features_are(stack: Any) -> None:
    plain = stack.predict(home_id="0007", rooms=3, at=AT).data
    outcome = stack.predict(home_id="0007", rooms=3, at=AT, explain=True)
    assert outcome.data | {"explanation": 0} == plain | {"explanation": 0}
    found = outcome.data["explanation"]
    assert set(found["contributions"]) == {"area", "kind", "rooms", "room_size", "visits_30d"}
    assert found["base"] + sum(found["contributions"].values()) == pytest.approx(found["raw"], rel=1e-12)
    assert (found["link"], found["steps"][0]) == ("identity", {"op": "exp"})
    assert np.exp(found["raw"]) == pytest.approx(plain["prediction"], rel=1e-9)
    assert found["ages"]["homes@1"] > 0
    assert "with nothing known" in str(outcome)


def test_explain_is_an_option_of_the_command_line(served: Path, run: Any) -> None:
    ran = run("predict", "home_id=0007", "rooms=3", "--explain", "--project", served, "--json")
    assert ran.code == 0, ran.err
    assert "contributions" in ran.json["explanation"]
