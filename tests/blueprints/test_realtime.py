"""The real-time blueprint on the sample market, the whole way, by one command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.stack import Stack
from stackwright_journal.reading import PredictionReader
from stackwright_numerics.metrics import mdape

Run = Callable[..., dict[str, Any]]

SMALL = ("--set", "listings=5000", "--set", "events=60000")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("realtime") / "market"


@pytest.fixture(scope="module")
def first(project: Path, run: Run) -> dict[str, Any]:
    return run("up", "--project", project, "--sample", *SMALL)


def test_every_step_is_done_in_order(first: dict[str, Any]) -> None:
    steps = [step["step"] for step in first["steps"]]
    assert steps == [
        "project", "features", "history", "online", "labels",
        "training", "promotion", "serving", "late labels", "report",
    ]  # fmt: skip
    assert all(step["changed"] for step in first["steps"])


def test_the_model_beats_a_constant_and_its_intervals_hold(first: dict[str, Any]) -> None:
    assert first["metrics"]["mdape"] < 0.15
    assert 0.8 < first["metrics"]["interval_coverage"] < 0.98


def test_predictions_are_logged_with_features_and_watermarks(project: Path, first: dict[str, Any]) -> None:
    with Stack(project) as stack:
        records = list(PredictionReader(stack.context.storage(stack.blueprint.journal)).records())
    assert len(records) == first["latency"]["requests"]
    for record in records[:20]:
        assert record["digest"] == first["digest"]
        assert len(record["features"]) == 26
        assert set(record["watermarks"]) == {"interest@1", "listing@1", "neighbourhood@1", "sales@1"}
        assert record["lower"] < record["prediction"] < record["upper"]


def test_live_features_are_those_of_the_training_path(project: Path, first: dict[str, Any]) -> None:
    import pyarrow as pa

    with Stack(project) as stack:
        reader = PredictionReader(stack.context.storage(stack.blueprint.journal))
        records = list(reader.records())[::10]
        frame = pa.table(
            {
                "listing_id": [record["keys"]["listing_id"] for record in records],
                "condition": [record["request"]["condition"] for record in records],
                "asked_at": pa.array([datetime.fromisoformat(record["asked_at"]) for record in records]),
            }
        )
        joined = pa.table(stack.features.join("valuation@1", frame, time="asked_at"))
    for name in records[0]["features"]:
        learned = [None if value is None or value != value else value for value in joined[name].to_pylist()]
        assert [record["features"][name] for record in records] == learned, name


def test_late_labels_mature_the_predictions_and_the_report_tells_of_them(first: dict[str, Any]) -> None:
    report = first["report"]
    numbers = json.loads(Path(report["numbers"]).read_text())
    matured = sum(cohort["matured"] for cohort in numbers["cohorts"])
    assert 0 < matured < first["latency"]["requests"]
    (group,) = numbers["performance"]["groups"]
    assert group["n"] == matured
    assert group["judged"]["mdape"]["value"] > 0


def test_pages_open_offline(first: dict[str, Any]) -> None:
    found = json.loads(Path(first["report"]["numbers"]).read_text())["reports"]["evidently"]
    assert "prediction" in found["findings"]
    assert found["skipped"] == first["report"]["skipped"].get("evidently", {})
    pages = [Path(path) for path in first["report"]["files"] if path.endswith(".html")]
    assert {page.name for page in pages} == {"report.html", "evidently.html"}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']https?:", text)


def test_a_second_run_finds_nothing_to_do(project: Path, first: dict[str, Any], run: Run) -> None:
    again = run("up", "--project", project, "--sample", *SMALL)
    assert [step["step"] for step in again["steps"] if step["changed"]] == []
    assert (again["model"], again["digest"]) == (first["model"], first["digest"])


@pytest.mark.nightly
def test_the_same_seed_makes_the_same_model_anywhere(
    tmp_path: Path, project: Path, first: dict[str, Any], run: Run
) -> None:
    elsewhere = tmp_path / "elsewhere"
    run("new", elsewhere, "--blueprint", "realtime", "--sample", *SMALL)
    run("apply", "--project", elsewhere)
    sample = json.loads((elsewhere / "sample" / "sample.json").read_text())
    for view, path in sample["views"].items():
        run("ingest", view, elsewhere / path, "--project", elsewhere)
    for path in sample["labels"].values():
        run("label", elsewhere / path, "--project", elsewhere)
    run("materialize", "--project", elsewhere, "--at", sample["split"])
    assert run("train", "--project", elsewhere)["digest"] == first["digest"]


def test_the_planted_shift_shows_in_the_error_where_it_struck(project: Path, first: dict[str, Any]) -> None:
    with Stack(project) as stack:
        target = stack.target("sale_price")
        from stackwright.workflows import journal

        labels = {
            row["listing_id"]: row for row in journal.labels(stack, target).read().to_pylist() if not row["censored"]
        }
        reader = PredictionReader(stack.context.storage(stack.blueprint.journal))
        records = [record for record in reader.records() if record["keys"]["listing_id"] in labels]
    struck = [str(record["features"]["neighbourhood_id"]).startswith("harbour") for record in records]
    answers = [(labels[record["keys"]["listing_id"]]["sale_price"], record["prediction"]) for record in records]
    inside = [pair for pair, hit in zip(answers, struck, strict=True) if hit]
    outside = [pair for pair, hit in zip(answers, struck, strict=True) if not hit]
    assert mdape(*zip(*inside, strict=True)) > mdape(*zip(*outside, strict=True))
