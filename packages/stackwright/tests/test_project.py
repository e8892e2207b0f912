"""A project folder, what is written into it, and what was done before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.project import Project, write_atomically, write_json
from stackwright.workflows.ledger import Ledger, file_digest
from stackwright_interfaces.definitions import Definitions, Entity
from stackwright_interfaces.errors import DefinitionError, ProjectError
from stackwright_interfaces.types import STRING, Field

DEFINITIONS = Definitions(entities=(Entity(name="home", keys=(Field("home_id", STRING),)),))


@pytest.fixture
def here(tmp_path: Path) -> Project:
    (tmp_path / "blueprint.toml").write_text('name = "a"\n')
    return Project.find(tmp_path)


def test_a_project_lies_where_its_blueprint_lies(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here.folder)
    assert Project.find(Path()) == here
    assert here.folder.is_absolute()


def test_a_folder_without_a_blueprint_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no blueprint.toml here. Run: stackwright new DIR"):
        Project.find(tmp_path)
    with pytest.raises(ProjectError, match="no such folder"):
        Project.find(tmp_path / "nowhere")


def test_definitions_are_kept_and_none_are_there_before(here: Project) -> None:
    assert here.definitions() == Definitions()
    here.save_definitions(DEFINITIONS)
    assert here.definitions() == DEFINITIONS


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "3", "null", '{"format": 1}', '{"format": 2}', '{"format": 1, "entities": [{}]}']
)
def test_damaged_definitions_are_told_with_what_to_do(here: Project, text: str) -> None:
    here.save_definitions(DEFINITIONS)
    here.catalogue.write_text(text)
    with pytest.raises(DefinitionError, match=r"definitions\.json.* stackwright apply"):
        here.definitions()


def test_a_file_is_replaced_in_one_step_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "state" / "x.json"
    write_json(path, {"b": 1, "a": [None, True]})
    write_json(path, {"c": tmp_path})
    assert json.loads(path.read_text()) == {"c": str(tmp_path)}
    assert [found.name for found in path.parent.iterdir()] == ["x.json"]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "x.json", b"")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(ProjectError, match="cannot be written"):
        write_atomically(tmp_path / "folder", b"")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["file", "folder"]


def test_a_step_is_recognised_by_the_content_of_its_inputs(here: Project) -> None:
    inputs: dict[str, Any] = {"rows": [1, 2], "file": "abc"}
    ledger = Ledger(here)
    assert not ledger.unchanged("ingest", inputs)
    ledger.finish("ingest", inputs, note={"added": 3})
    again = Ledger(here)
    assert again.unchanged("ingest", {"file": "abc", "rows": [1, 2]})
    assert again.note("ingest") == {"added": 3}
    assert not again.unchanged("ingest", {**inputs, "rows": [1, 3]})
    assert not again.unchanged("train", inputs)
    assert again.note("train") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_ledger_forgets(here: Project, text: str) -> None:
    Ledger(here).finish("ingest", 1)
    (here.state / "steps.json").write_text(text)
    assert not Ledger(here).unchanged("ingest", 1)


def test_files_are_told_apart_by_their_content(tmp_path: Path) -> None:
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).write_text(text)
    digests = [file_digest(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
