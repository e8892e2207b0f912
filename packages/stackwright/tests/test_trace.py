"""From a prediction to the files its model learned from."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.live.scoring import scorer
from stackwright_interfaces.model import Manifest
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.rows import PredictionRows


def predicted(stack: Any, at: Any, **changes: Any) -> str:
    """Write down a prediction, as the server does."""
    used = scorer(stack)
    keys, request = {"home_id": ["0042"]}, {"rooms": [3]}
    scored = used.by_keys(keys, request, at=at)
    about = {"model": "valuation", "version": 1, "digest": used.model.digest, **changes}
    with PredictionLog(journal.segments(stack)) as log:
        log.append(
            PredictionRows(
                prediction_ids=["p-1"],
                prediction=scored.prediction.value,
                predicted_at=at,
                features=scored.features,
                keys=keys,
                request=request,
                **about,
            )
        )
    return "p-1"


@pytest.fixture(scope="module")
def after(market: Any) -> Any:
    from datetime import UTC, datetime

    return datetime(2024, 12, 1, tzinfo=UTC)


def test_a_prediction_leads_to_its_model_its_features_and_their_files(work: Path, market: Any, after: Any) -> None:
    with stackwright.load(work) as stack:
        found = stack.trace(predicted(stack, after))
        digest = stack.registry.history()[0][0].digest
    assert found.ok
    assert found.data["model"] == {"ref": "valuation@1", "digest": digest, "aliases": ["champion"]}
    assert found.data["prediction"]["keys"] == {"home_id": "0042"}
    features = {item["feature"]: item for item in found.data["features"]}
    assert {name: item["from"] for name, item in features.items()} == {
        "area": "homes@1:area",
        "kind": "homes@1:kind",
        "visits_30d": "visits@1:visits_30d",
        "rooms": "request",
        "room_size": "transform of area, rooms",
    }
    assert features["rooms"]["value"] == 3
    assert features["area"]["age seconds"] > timedelta(days=200).total_seconds()
    assert {(item["view"], item["source"], item["in training"]) for item in found.data["sources"]} == {
        ("homes@1", str(market.homes), True),
        ("visits@1", str(market.visits), True),
    }
    training = found.data["training"]
    assert (training["rows"], training["service"], training["pin"]["views"]["homes@1"]["position"]) == (
        221, "valuation@1", 1,
    )  # fmt: skip


def test_a_file_that_came_after_the_training_is_told_apart_from_one_that_came_after_the_answer(
    work: Path, after: Any
) -> None:
    with stackwright.load(work) as stack:
        for name in ("between", "later"):
            (work / f"{name}.csv").write_text(f"home_id,changed_at,area,kind\n{name},2024-03-01T00:00:00Z,70,flat\n")
        stack.ingest("homes", work / "between.csv")
        stack.materialize()
        id_ = predicted(stack, after)
        stack.ingest("homes", work / "later.csv")
        sources = stack.trace(id_).data["sources"]
    assert [(Path(item["source"]).name, item["in training"]) for item in sources if item["view"] == "homes@1"] == [
        ("homes.csv", True), ("between.csv", False),
    ]  # fmt: skip


def test_the_rows_that_a_model_learned_from_are_written(work: Path, after: Any, tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    with stackwright.load(work) as stack:
        (work / "later.csv").write_text("home_id,changed_at,area,kind\n0001,2023-12-31T12:00:00Z,1,flat\n")
        stack.ingest("homes", work / "later.csv")
        found = stack.trace(predicted(stack, after), rows=out)
        manifest = Manifest.read(stack.registry.fetch(stack.registry.history()[0][0]))
    assert found.ok
    table = pyarrow.parquet.read_table(out)
    assert table.num_rows == manifest.data["rows"] == 221
    assert table.column_names == [
        "home_id", "rooms", "asked_at", "observed_at", "area", "kind", "visits_30d", "room_size", "sale_price",
    ]  # fmt: skip
    assert min(table["area"].to_pylist()) > 20, "what came later is not in it"


def test_rows_that_are_not_those_any_more_are_told(work: Path, after: Any, tmp_path: Path) -> None:
    with stackwright.load(work) as stack:
        id_ = predicted(stack, after)
        stack.delete_entity("home", home_id="0010", yes=True)
        found = stack.trace(id_, rows=tmp_path / "rows.parquet")
    assert not found.ok
    assert "rows of it were deleted since" in " ".join(found.data["problems"])


def test_a_prediction_of_another_digest_is_told(work: Path, after: Any) -> None:
    with stackwright.load(work) as stack:
        found = stack.trace(predicted(stack, after, digest="sha256:other"))
    assert (found.ok, "sha256:other" in found.data["problems"][0]) == (False, True)


def test_what_was_not_predicted_is_told(served: Path, run: Any) -> None:
    ran = run("trace", "p-9", "--project", served)
    assert (ran.code, "prediction 'p-9': the journal holds no such prediction" in ran.err) == (1, True)
    ran = run("trace", "p-9", "--rows", "rows.csv", "--project", served)
    assert (ran.code, "is no Parquet file" in ran.err) == (2, True)
