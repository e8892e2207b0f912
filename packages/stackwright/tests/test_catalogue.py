"""Features: definitions put in force, rows added, brought online."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import stackwright
from stackwright_interfaces.errors import BlueprintError, DefinitionError, UsageError, VersionRequired, WrongType

STORE = """
name = "a"
[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "sqlite", path = "data/online.db" }
"""


@pytest.fixture(scope="module")
def applied(project_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose definitions are in force, without rows. To be copied."""
    folder = project_in(tmp_path_factory.mktemp("applied") / "project", blueprint=STORE)
    with stackwright.load(folder) as stack:
        stack.apply()
    return Path(folder)


@pytest.fixture
def opened(applied: Path, tmp_path: Path) -> Iterator[Any]:
    """The stack of a copy of the project."""
    with stackwright.load(shutil.copytree(applied, tmp_path / "project")) as stack:
        yield stack


def change(stack: Any, old: str, new: str) -> None:
    path = stack.project.features
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def lines(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["home_id,changed_at,area,kind", *rows]) + "\n")
    return path


HOMES = {"home_id": ["a", "b"], "changed_at": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"], "area": [70.0, 90.0]}


@pytest.mark.parametrize("frame", [pd.DataFrame, pa.table, pl.DataFrame], ids=["pandas", "Arrow", "Polars"])
def test_rows_of_a_frame_are_added(opened: Any, frame: Any) -> None:
    times = [datetime.fromisoformat(text) for text in HOMES["changed_at"]]
    rows = frame({**HOMES, "changed_at": times, "kind": ["flat", None]})
    outcome = opened.ingest("homes", rows)
    assert (outcome.data["added"], outcome.data["rows"]) == (2, 2)
    assert opened.ingest("homes", rows).data["duplicates"] == 2


def test_rows_that_arrow_cannot_read_are_refused(opened: Any) -> None:
    with pytest.raises(UsageError, match="rows came as dict, which Arrow cannot read"):
        opened.ingest("homes", HOMES)


def test_definitions_are_in_force_and_applied_again_they_are_the_same(opened: Any) -> None:
    stack = opened
    assert [view.ref for view in stack.project.definitions().views] == ["homes@1", "visits@1"]
    again = stack.apply()
    assert (again.title, again.data["changed"]) == ("Nothing changed since the last time", False)
    assert again.data["services"] == ["valuation@1"]
    assert again.data["targets"] == ["sale_price"]


def test_a_description_may_change_and_a_meaning_needs_a_version(opened: Any) -> None:
    stack = opened
    change(stack, "living area", "the living area")
    assert stack.apply().data["changed"] is True
    change(stack, "timedelta(days=30)", "timedelta(days=31)")
    with pytest.raises(VersionRequired, match=r"view 'visits@1': .*its windows changed. Raise its version"):
        stack.apply()
    assert stack.project.definitions() == stack.definitions


def test_what_a_refused_apply_leaves_is_what_was(opened: Any) -> None:
    stack = opened
    before = stack.project.catalogue.read_text()
    change(stack, "area / np", "2 * area / np")
    with pytest.raises(VersionRequired, match="the code of transform 'room_size' changed"):
        stack.apply()
    assert stack.project.catalogue.read_text() == before


def test_a_new_model_may_come_with_the_definitions_it_reads(opened: Any) -> None:
    stack = opened
    change(stack, 'name="valuation",', 'name="valuation", version=2,')
    model = 'registry = "files"\n[models.m]\nservice = "valuation@2"\ntarget = "sale_price"\ntrainer = "lightgbm"\n'
    stack.project.blueprint.write_text(STORE.replace("[feature_store]", f"{model}[feature_store]"))
    with pytest.raises(BlueprintError, match=r"no service 'valuation@2'. Did you mean 'valuation@1'"):
        _ = stackwright.load(stack.project.folder).plan
    with stackwright.load(stack.project.folder) as other:
        assert other.apply().data["services"] == ["valuation@2"]


def test_what_a_model_of_the_blueprint_reads_may_not_go(opened: Any) -> None:
    stack = opened
    model = 'registry = "files"\n[models.m]\nservice = "valuation@1"\ntarget = "sale_price"\ntrainer = "lightgbm"\n'
    stack.project.blueprint.write_text(STORE.replace("[feature_store]", f"{model}[feature_store]"))
    change(stack, 'name="valuation",', 'name="valuation", version=2,')
    with stackwright.load(stack.project.folder) as other:
        with pytest.raises(BlueprintError, match="no service 'valuation@1'"):
            other.apply()
        assert [service.ref for service in other.project.definitions().services] == ["valuation@1"]


def test_a_service_that_an_alias_reads_stays(copies: Any) -> None:
    from stackwright.assembly.gate_options import GATE_OPTIONS

    gates = dict.fromkeys(GATE_OPTIONS, False)
    with copies.open(gates=gates) as stack:
        stack.train()
        stack.promote("valuation", alias="shadow", force=True, reason="no gates here")
        change(stack, 'name="valuation",', 'name="valuation", version=2,')
        stack.project.blueprint.write_text('registry = "files"\n' + STORE)
    gone = r"service 'valuation@1' is gone, and valuation@1 \(shadow\) reads it"
    with copies.load(stack.project.folder) as stack, pytest.raises(DefinitionError, match=gone):
        stack.apply()


def test_rows_are_counted_as_new_known_refused_and_to_come(opened: Any, tmp_path: Path) -> None:
    stack = opened
    first = stack.ingest("homes", lines(tmp_path, "1,2024-01-01T00:00:00Z,50,flat", "2,2024-01-01T00:00:00Z,60,"))
    assert (first.data["added"], first.data["duplicates"], first.notes) == (2, 0, ())
    rows = (
        "1,2024-01-01T00:00:00Z,50,flat",
        ",2024-01-01T00:00:00Z,50,flat",
        "3,2124-01-01T00:00:00Z,70,flat",
        "4,2024-01-02,80,flat",
    )
    again = stack.ingest("homes@1", lines(tmp_path, *rows))
    assert (again.data["rows"], again.data["added"], again.data["duplicates"]) == (4, 2, 1)
    assert again.notes == (
        "25% of 'home_id' is missing, 0% was.",
        "1 rows were set aside: 1 home_id is missing. See: stackwright quarantine homes@1",
        "1 times without a zone were taken as UTC; declare Source(time_zone=...).",
        "1 rows lie in the future and are held back until they are due.",
    )
    assert again.title == "Ingested 2 new rows into homes@1 (4 read, 1 known already)"


def test_columns_of_a_file_are_read_by_the_names_it_gives_them(opened: Any, tmp_path: Path) -> None:
    source = 'Source(event_time="changed_at", rename={"Fläche": "area", "id": "home_id"}, nulls=("?",))'
    stack = opened
    change(stack, 'Source(event_time="changed_at")', source)
    stack.apply()
    path = tmp_path / "rows.csv"
    path.write_text("id,changed_at,Fläche,kind\n007,2024-01-01T00:00:00Z,5e1,flat\n008,2024-01-01T00:00:00Z,?,?\n")
    stack.ingest("homes", path)
    stack.materialize()
    read = stack.features.read("valuation@1", {"home_id": ["007", "008"]}, {"rooms": [1, 1]})
    assert read.columns["area"].tolist()[0] == 50.0
    assert read.columns["kind"].tolist() == ["flat", None]


@pytest.mark.parametrize(("source", "bad"), [("", "1st May"), (', time_format="%d.%m.%Y"', "2024-05-01")])
def test_a_time_that_cannot_be_read_is_told_by_the_line_of_its_file(
    opened: Any, tmp_path: Path, source: str, bad: str
) -> None:
    change(opened, 'Source(event_time="changed_at")', f'Source(event_time="changed_at"{source})')
    opened.apply()
    good = "01.05.2024" if source else "2024-05-01"
    path = lines(tmp_path, f"1,{good},50,flat", f'2,{good},50,"a\nb"', "", f"3,{bad},60,flat", f"4,{bad},60,flat")
    with pytest.raises(WrongType) as told:
        opened.ingest("homes", path)
    assert told.value.where == f"{path} line 6"
    assert told.value.found.startswith(f"column 'changed_at' holds '{bad}', ")


def test_rows_come_online_once_and_when_they_are_due(opened: Any, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    stack = opened
    stack.ingest("homes", lines(tmp_path, "1,2024-01-01T00:00:00Z,50,flat", "2,2024-03-01T00:00:00Z,60,flat"))

    def brought(month: int) -> int:
        outcome = stack.materialize("homes", at=datetime(2024, month, 2, tzinfo=UTC))
        return int(outcome.data["views"]["homes@1"]["written"])

    assert [brought(month) for month in (2, 2, 3, 4)] == [1, 0, 1, 0]


def test_the_newest_version_of_a_view_is_meant_by_its_name(opened: Any, tmp_path: Path) -> None:
    stack = opened
    change(stack, 'name="homes",\n    entity', 'name="homes",\n    version=2,\n    entity')
    change(stack, 'name="valuation",', 'name="valuation", version=2,')
    stack.apply()
    outcome = stack.ingest("homes", lines(tmp_path, "1,2024-01-01T00:00:00Z,50,flat"))
    assert outcome.data["view"] == "homes@2"
