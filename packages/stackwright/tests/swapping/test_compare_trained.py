"""Trainers and reporters held against each other, on the rows that a model learns from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import stackwright
from stackwright.workflows.swapping.trainer_trial import ERROR

Tree = Callable[[Path], dict[str, bytes]]


@pytest.mark.nightly
def test_a_trainer_is_judged_by_its_error_on_newer_rows(filled: Path, tree: Tree) -> None:
    before = tree(filled)
    with stackwright.load(filled, progress=lambda *_: None) as stack:
        same = stack.compare("trainer", "lightgbm")
        worse = stack.compare("trainer", "lightgbm", options={"num_iterations": "1"})
    assert same.ok, str(same)
    told = same.data["measures"]
    assert told["a"] == told["b"]
    assert not worse.ok
    assert worse.data["differing"] == 0
    assert ERROR in str(worse)
    assert worse.data["measures"]["b"][ERROR] > 1.05 * told["a"][ERROR]
    assert tree(filled) == before


@pytest.mark.nightly
def test_reporters_that_are_right_differ_in_nothing(filled: Path, tree: Tree, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "reporting"))
    with (folder / "blueprint.toml").open("a") as file:
        file.write('\n[monitor]\nreports = ["evidently"]\n')
    before = tree(folder)
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        compared = stack.compare("monitor", "evidently")
    assert compared.ok, str(compared)
    assert compared.data["values"] == 3
    assert all(compared.data["measures"][side]["bytes of the page, newer rows"] > 0 for side in "ab")
    assert tree(folder) == before
