"""The same verbs in a notebook: results that show themselves, progress while one waits."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import stackwright
from stackwright.cli.verbs import VERBS
from stackwright.notebook import NotebookStack
from stackwright.progress import Bar
from stackwright.workflows.outcome import Outcome
from stackwright_interfaces.errors import ProjectError

ELSEWHERE = {"new", "plugins", "up", "doctor", "version", "completion", "conform", "new-adapter"}
"""Verbs that are not about an opened project."""


@pytest.fixture
def stack(filled: Path) -> Iterator[NotebookStack]:
    with stackwright.load(filled) as opened:
        yield opened


def test_a_project_is_opened_by_its_folder(filled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(filled)
    assert stackwright.load().project == stackwright.load(str(filled)).project
    with pytest.raises(ProjectError, match=r"no blueprint.toml here"):
        stackwright.load(tmp_path)


NAMES = {
    "features": "search", "import": "import_view", "training-set": "join", "delete-entity": "delete_entity"
}  # fmt: skip


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.name not in ELSEWHERE], ids=lambda verb: verb.name)
def test_every_verb_is_a_method_with_its_documentation(verb: Any) -> None:
    method = getattr(NotebookStack, NAMES.get(verb.name, verb.name.replace(" ", "_")))
    assert inspect.getdoc(method)
    assert inspect.signature(method).return_annotation in ("Outcome", "None")


def test_an_outcome_shows_itself_as_text_and_html(stack: NotebookStack) -> None:
    outcome = stack.search("area")
    assert isinstance(outcome, Outcome)
    assert "homes@1:area" in str(outcome)
    assert "<td>homes@1:area</td>" in outcome._repr_html_()


def test_a_stack_says_which_project_it_is(stack: NotebookStack) -> None:
    assert repr(stack) == f"<stack 'homes' of {stack.project.folder}>"


def test_a_stack_shows_its_parts(stack: NotebookStack) -> None:
    shown = stack._repr_html_()
    for part in (
        "homes",
        "offline",
        "duckdb",
        "online",
        "sqlite",
        "trainer:valuation",
        "lightgbm",
        "registry",
        "files",
    ):
        assert f"{part}" in shown


def test_what_is_wrong_is_an_outcome_of_check_and_an_error_of_the_others(project: Any) -> None:
    opened = stackwright.load(project(blueprint='name = "a"\nregistry = "fils"\n'))
    outcome = opened.check()
    assert not outcome.ok
    assert outcome.data["problems"][0]["todo"] == "Did you mean 'files'?"


def test_a_training_set_is_a_table(stack: NotebookStack) -> None:
    table = stack.training_set()
    assert isinstance(table, pa.Table)
    assert table.column_names == ["area", "kind", "visits_30d", "rooms", "room_size", "sale_price", "asked_at"]
    assert len(table) == 300
    assert np.isfinite(table["sale_price"].to_numpy()).all()


def test_views_are_materialized_by_name(filled: Path, tmp_path: Path, copies: Any) -> None:
    with copies.open() as stack:
        assert list(stack.materialize("homes").data["views"]) == ["homes@1"]


class Watched(Bar):
    """A bar that notes what it shows, instead of drawing it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int, int]] = []
        self.closed = 0

    def __call__(self, what: str, done: int, total: int, /) -> None:
        self.calls.append((what, done, total))

    def close(self) -> None:
        self.closed += 1


def test_long_work_shows_progress_that_goes_away_also_when_it_is_cut_off(
    copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stackwright.progress.Bar", Watched)
    folder = copies.copy(trainer={"adapter": "odd", "vice": "failing"})
    opened = stackwright.load(folder, plugins=copies.plugins)
    bar: Any = opened.progress
    with pytest.raises(stackwright_error()):
        opened.train()
    assert bar.calls[:2] == [("training set", 0, 1), ("training set", 1, 1)]
    assert bar.closed == 1


def stackwright_error() -> type[Exception]:
    from stackwright_interfaces.errors import StackwrightError

    return StackwrightError
