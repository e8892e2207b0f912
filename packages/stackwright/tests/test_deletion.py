"""A deleted entity is gone from every version of every view, and does not come back."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

import stackwright


@pytest.fixture
def project_(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "project"))


def stored(folder: Path, key: str) -> int:
    """Count an entity's rows in the Parquet files of the views themselves."""
    files = (folder / "data").glob("*@*/*.parquet")
    return sum(pyarrow.parquet.read_table(path)["home_id"].to_pylist().count(key) for path in files)


def test_a_deleted_entity_is_in_no_file_and_in_no_answer(project_: Path, run: Any) -> None:
    held = stored(project_, "0001")
    assert held > 1
    ran = run("delete-entity", "home", "home_id=0001", "--yes", "--project", project_, "--json")
    assert ran.json["rows"] >= held
    assert stored(project_, "0001") == 0
    assert stored(project_, "0002") > 1
    with stackwright.load(project_) as stack:
        rows = stack.features.read("valuation@1", {"home_id": ["0001", "0002"]}, {"rooms": [1, 1]})
        labels = pa.table({"home_id": ["0001"], "rooms": [1], "event_time": [datetime(2024, 6, 1, tzinfo=UTC)]})
        assert pa.table(stack.features.join("valuation@1", labels))["area"].to_pylist() == [None]
    assert rows.columns["kind"].tolist()[0] is None
    assert rows.columns["kind"].tolist()[1] is not None


def test_an_old_replay_does_not_bring_it_back(project_: Path, market: Any, run: Any) -> None:
    run("delete-entity", "home", "home_id=0001", "--yes", "--project", project_)
    ran = run("ingest", "homes", market.homes, "--project", project_, "--json")
    assert ran.json["refused"] == 1
    assert stored(project_, "0001") == 0


def test_versions_that_are_no_longer_in_force_lose_it_too(project_: Path, market: Any, run: Any) -> None:
    features = project_ / "features.py"
    text = features.read_text().replace('    name="homes",', '    name="homes", version=2,')
    features.write_text(text.replace('name="valuation",', 'name="valuation", version=2,'))
    blueprint = project_ / "blueprint.toml"
    blueprint.write_text(blueprint.read_text().replace("valuation@1", "valuation@2"))
    assert run("apply", "--project", project_).code == 0
    assert run("ingest", "homes", market.homes, "--project", project_).code == 0
    run("delete-entity", "home", "home_id=0001", "--yes", "--project", project_)
    assert (project_ / "data" / "homes@1").is_dir()
    assert stored(project_, "0001") == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("home home_id=0001", "cannot be brought back. Add --yes if it is meant."),
        ("hom home_id=0001 --yes", "Did you mean 'home'"),
        ("home id=0001 --yes", "argument 'id': is no key of 'home'. Keys: home_id."),
        ("home home_id --yes", "is not KEY=VALUE"),
    ],
)
def test_a_mistake_deletes_nothing(project_: Path, run: Any, line: str, message: str) -> None:
    before = stored(project_, "0001")
    ran = run("delete-entity", *line.split(), "--project", project_)
    assert ran.code in (1, 2)
    assert message in ran.err
    assert stored(project_, "0001") == before
