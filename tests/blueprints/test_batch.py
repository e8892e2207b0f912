"""The batch blueprint on the sample market, the whole way, by one command."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal

Run = Callable[..., dict[str, Any]]

SMALL = ("--set", "listings=5000", "--set", "events=60000", "--set", "live_months=4")
BATCH = ("--blueprint", "batch")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batch") / "market"


@pytest.fixture(scope="module")
def first(project: Path, run: Run) -> dict[str, Any]:
    run("new", project, *BATCH, "--sample", *SMALL)
    text = (project / "blueprint.toml").read_text()
    (project / "blueprint.toml").write_text(text.replace('reports = ["evidently"]', ""))  # the real-time one makes it
    return run("up", "--project", project)


def partition(project: Path, night: str) -> list[dict[str, Any]]:
    folder = project / "valuations" / f"date={night}"
    files = json.loads((folder / "_SUCCESS").read_text())["files"]
    return [row for file in files for row in pyarrow.parquet.read_table(folder / file, partitioning=None).to_pylist()]


def in_database(project: Path, night: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(project / "valuations.db") as found:
        asked = "SELECT prediction_id, prediction, model FROM valuations WHERE asked_at LIKE ? ORDER BY prediction_id"
        return found.execute(asked, (f"{night}%",)).fetchall()


def in_journal(project: Path) -> list[dict[str, Any]]:
    with Stack(project) as stack:
        reader = journal.predictions(stack)
        records = list(reader.records())
        reader.close()
    return records


def test_the_steps_are_those_of_the_slots_that_it_has(first: dict[str, Any]) -> None:
    steps = [step["step"] for step in first["steps"]]
    assert steps == [
        "project", "features", "history", "labels", "training", "promotion", "nightly", "late labels", "report",
    ]  # fmt: skip
    assert all(step["changed"] for step in first["steps"][1:])
    assert "latency" not in first


def test_each_night_is_a_partition_and_the_same_rows_in_the_database(project: Path, first: dict[str, Any]) -> None:
    assert len(first["nights"]) >= 4
    for night in first["nights"]:
        date = night["at"][:10]
        rows = partition(project, date)
        assert len(rows) == night["answered"] == night["rows"] > 100
        told = sorted((row["prediction_id"], row["prediction"], row["model"]) for row in rows)
        assert in_database(project, date) == told
        asked = pyarrow.parquet.read_table(project / "properties" / f"{date}.parquet")
        assert sorted(row["listing_id"] for row in rows) == sorted(asked["listing_id"].to_pylist())
        assert all(row["lower"] < row["prediction"] < row["upper"] for row in rows)


def test_the_output_was_checked(first: dict[str, Any]) -> None:
    for night in first["nights"]:
        checks = {check["name"]: check["ok"] for check in night["checks"]}
        assert checks == dict.fromkeys(("complete", "rows", "rejected", "range", "drift"), True)


def test_every_valuation_is_in_the_journal_with_the_features_of_its_night(
    project: Path, first: dict[str, Any], run: Run
) -> None:
    records = in_journal(project)
    assert len(records) == sum(night["answered"] for night in first["nights"])
    assert {record["asked_at"][:19] for record in records} == {night["at"][:19] for night in first["nights"]}
    assert len(records[0]["features"]) == 26
    traced = run("trace", records[0]["prediction_id"], "--project", project)
    assert traced["model"]["digest"] == first["digest"]


def test_late_labels_mature_the_valuations_and_the_report_tells_of_them(first: dict[str, Any]) -> None:
    numbers = json.loads(Path(first["report"]["numbers"]).read_text())
    (group,) = numbers["performance"]["groups"]
    assert group["arm"] == "batch"
    assert 100 < group["n"] < sum(night["answered"] for night in first["nights"])
    assert 0 < group["judged"]["mdape"]["value"] < 0.2


def test_a_second_run_finds_nothing_to_do(project: Path, first: dict[str, Any], run: Run) -> None:
    again = run("up", "--project", project)
    assert [step["step"] for step in again["steps"] if step["changed"]] == []
    assert again["nights"] == first["nights"]


def test_a_night_that_is_run_again_leaves_each_row_once(project: Path, first: dict[str, Any], run: Run) -> None:
    at = first["nights"][-1]["at"]
    before, rows = len(in_journal(project)), in_database(project, at[:10])
    again = run("job", "nightly", "--at", at, "--project", project)
    assert again["answered"] == len(rows)
    assert in_database(project, at[:10]) == rows
    assert len(in_journal(project)) == before


def test_a_night_that_is_not_as_it_must_be_leaves_what_was_there(
    project: Path, first: dict[str, Any], run: Run
) -> None:
    at = first["nights"][0]["at"]
    source = project / "properties" / f"{at[:10]}.parquet"
    before, whole = partition(project, at[:10]), source.read_bytes()
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(source).slice(0, 10), source)
    try:
        refused = run("job", "nightly", "--at", at, "--project", project, code=1)
    finally:
        source.write_bytes(whole)
    assert [check["name"] for check in refused["checks"] if not check["ok"]] == ["rows"]
    assert partition(project, at[:10]) == before


RECIPE = Path(__file__).parents[2] / "docs" / "schedulers" / "airflow_dag.py"


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("first")
def test_airflow_runs_the_night_of_the_recipe(project: Path, program: Callable[..., str], tmp_path: Path) -> None:
    airflow = program("airflow", "apache-airflow-core", by="uv tool install")
    last = max(project.glob("properties/*.parquet"))
    night = str(date.fromisoformat(last.stem) + timedelta(days=1))
    shutil.copy(last, project / "properties" / f"{night}.parquet")
    (tmp_path / "dags").mkdir()
    recipe = RECIPE.read_text().replace("/srv/valuations", str(project)).replace("datetime(2026,", "datetime(2025,")
    (tmp_path / "dags" / "valuations.py").write_text(recipe)
    variables = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "LISTINGS": str(project / "sample" / "listings.parquet"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for command in (["db", "migrate"], ["dags", "test", "valuations_nightly", f"{night}T02:00:00+00:00"]):
        done = subprocess.run(
            [airflow, *command], env=variables, check=False, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert f"Scored {len(pyarrow.parquet.read_table(last))} rows" in done.stdout + done.stderr
    asked = pyarrow.parquet.read_table(last).column("listing_id").to_pylist()
    assert sorted(row["listing_id"] for row in partition(project, night)) == sorted(asked)
