"""Two runs of one verb on one project at once: both end well, and nothing is lost or done twice."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import stackwright
from stackwright_interfaces.model import ModelRef


@pytest.fixture
def project_(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "project"))


@pytest.fixture
def at_once(project_: Path) -> Callable[..., list[dict[str, Any]]]:
    """Run a command line in two processes that start together; give what both print.

    One of them may lose, where ``loser`` is what it then says.
    """

    def at_once(*line: object, loser: str = "") -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "stackwright.cli.main", *map(str, line), "--project", str(project_), "--json"]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate(timeout=200) for process in both]
        lost = [out for process, (out, _) in zip(both, said, strict=True) if process.returncode]
        assert len(lost) < 2, said
        assert all(loser and loser in out for out in lost), said
        assert "Traceback" not in said[0][1] + said[1][1]
        return [json.loads(out) for out, _ in said]

    return at_once


def test_rows_that_both_bring_are_there_once(project_: Path, at_once: Any, market: Any) -> None:
    shutil.rmtree(project_ / "data")
    with stackwright.load(project_) as stack:
        stack.apply()
    done = at_once("ingest", "homes", market.homes)
    assert sorted(item["added"] + item["duplicates"] for item in done) == [300, 300]
    with stackwright.load(project_) as stack:
        assert stack.ingest("homes", market.homes).data["duplicates"] == 300
    tables = [pyarrow.parquet.read_table(path) for path in (project_ / "data" / "homes@1").glob("*.parquet")]
    assert len({key for table in tables for key in table["home_id"].to_pylist()}) == 300


def test_labels_that_both_bring_are_there_once(project_: Path, at_once: Any, market: Any) -> None:
    shutil.rmtree(project_ / "journal")
    done = at_once("label", market.sales)
    assert sum(item["added"] for item in done) == 300


def test_definitions_that_both_apply_are_whole(project_: Path, at_once: Any) -> None:
    features = project_ / "features.py"
    features.write_text(features.read_text().replace('owner="ada"', 'owner="bob"'))
    at_once("apply")
    with stackwright.load(project_) as stack:
        assert {view.owner for view in stack.definitions.views} == {"bob", ""}


def test_a_model_that_both_train_is_published_once_and_promoted_once(project_: Path, at_once: Any) -> None:
    first, second = at_once("train")
    assert first["digest"] == second["digest"]
    assert {first["model"], second["model"]} == {"valuation@1"}
    at_once("promote", "valuation@1", loser="the alias points to version")
    with stackwright.load(project_) as stack:
        versions, events = stack.registry.history("valuation")
        assert [version.version for version in versions] == [1]
        assert stack.registry.resolve(ModelRef("valuation", alias="champion")).version == 1
        assert [event.after for event in events if event.kind == "alias"] == [1]


def test_rows_are_brought_online_by_both(project_: Path, at_once: Any) -> None:
    for path in (project_ / "data").glob("online.db*"):
        path.unlink()
    done = at_once("materialize")
    written = [sum(view["written"] for view in item["views"].values()) for item in done]
    assert max(written) > 0
    with stackwright.load(project_) as stack:
        rows = stack.features.read("valuation@1", {"home_id": ["0001"]}, {"rooms": [1]})
    assert rows.columns["area"][0] > 0
