"""What features are read for, hold, take and are worth: measured, or told as unknown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.lineage.ablation import dependents
from stackwright_journal.predictions import PredictionLog

NOW = datetime(2027, 1, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def ablated(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, of whose model each feature was left out once. To be read."""
    folder = Path(shutil.copytree(served, tmp_path_factory.mktemp("ablated") / "project"))
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.ablate("valuation")
    return folder


@pytest.fixture
def stack(ablated: Path) -> Iterator[Any]:
    with stackwright.load(ablated, progress=lambda *_: None, clock=lambda: NOW) as opened:
        yield opened


def named(outcome: Any) -> dict[str, Any]:
    return {item["feature"]: item for item in outcome.data["features"]}


def test_features_are_worth_the_more_the_more_prices_hang_on_them(stack: Any) -> None:
    found = {name: item["ablation"]["valuation"] for name, item in named(stack.worth()).items() if item["ablation"]}
    area, kind, visits = (found[name] for name in ("homes@1:area", "homes@1:kind", "visits@1:visits_30d"))
    assert area["inputs"] == ["area", "room_size"], "what is computed from it is left out as well"
    assert found["valuation@1:room_size"]["inputs"] == ["room_size"]
    assert kind["value"] > area["value"] > visits["value"]
    assert all(value["low"] < value["value"] < value["high"] for value in found.values())


def test_consumers_and_online_bytes_are_told_and_what_nobody_measured_is_unknown(stack: Any) -> None:
    found = named(stack.worth())
    assert found["homes@1:area"]["consumers"] == ["valuation@1", "model valuation"]
    assert found["homes@1:area"]["online_bytes"] == sum(
        len(row.key) + len(row.order) + len(row.payload) for row in stack.online.scan("homes@1")
    )
    assert found["homes@1:area"]["online_bytes"] > 300 * 8
    assert found["homes@1:area"]["compute_seconds"] is None
    assert found["valuation@1:room_size"]["online_bytes"] == 0


def test_reads_are_the_logged_answers_of_the_days_asked_for(work: Path) -> None:
    shutil.rmtree(work / "journal" / "predictions", ignore_errors=True)
    with stackwright.load(work, progress=lambda *_: None, clock=lambda: NOW) as stack:
        with PredictionLog(journal.segments(stack)) as log:
            for place in range(30):
                asked = NOW - timedelta(days=2 * place + 1)
                about = {"model": "valuation", "version": 1 if place % 5 else 9, "prediction": 1.0}
                log.append({"prediction_id": str(place), "asked_at": asked, "predicted_at": asked, **about})
        month, all_ = stack.worth("area"), stack.worth("area", days=100)
    assert named(month)["homes@1:area"]["reads"] == 12, "every other day, less each fifth: its version is gone"
    assert named(all_)["homes@1:area"]["reads"] == 24
    assert "3 answers are of versions whose service is gone" in str(month)
    assert "no feature was left out yet: stackwright ablate valuation" in str(month)


def test_what_is_computed_from_a_feature_depends_on_it_however_far(stack: Any) -> None:
    service = stack.service("valuation@1")
    assert dependents(service, "area") == {"area", "room_size"}
    assert dependents(service, "visits_30d") == {"visits_30d"}
