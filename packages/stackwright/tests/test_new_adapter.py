"""``stackwright new-adapter``: a package whose kit runs at once, and fails where code is to be written."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.plan import SLOTS
from stackwright.workflows.adapters.conformance import conform, find
from stackwright.workflows.adapters.new import new_adapter
from stackwright_interfaces.errors import ProjectError, UsageError

BY_DAY = ("registry", "stream")
EVERY_SLOT = [pytest.param(slot, marks=[] if slot in BY_DAY else pytest.mark.nightly) for slot in SLOTS]
GIVEN = {"tables": {"url": "none://"}, "table_targets": {"url": "none://"}}


def every_package(folder: Path) -> Path:
    for slot in SLOTS:
        new_adapter(slot, f"new-{slot.replace('_', '-')}", folder / slot)
    return folder


@pytest.mark.parametrize("slot", EVERY_SLOT)
def test_the_kit_fails_where_code_is_to_be_written_and_nowhere_else(
    slot: str, tmp_path: Path, install: Callable[[Path], None]
) -> None:
    outcome = new_adapter(slot, "shelf", tmp_path / "shelf")
    install(tmp_path / "shelf")
    found = conform(find("shelf", slot), GIVEN.get(slot))
    results = {case.result for case in found.cases}
    assert results <= {"passed", "failed", "not applicable"}
    assert "passed" in results
    left = [case for case in found.cases if case.result == "failed"]
    assert [case.name for case in left if "is to be written" not in case.detail] == []
    called = {method for method in outcome.data["to_write"] for case in left if f"{method} is to be" in case.detail}
    assert called or slot in ("model_format", "recommender_format", "tables", "table_targets")


@pytest.mark.parametrize("slot", SLOTS)
def test_every_abstract_method_of_the_contract_is_there_with_its_signature(
    slot: str, tmp_path: Path, install: Callable[[Path], None]
) -> None:
    new_adapter(slot, "shelf", tmp_path / "shelf")
    install(tmp_path / "shelf")
    contract = SLOTS[slot]
    from stackwright_shelf import adapter  # type: ignore[import-not-found]  # written a moment ago

    written = getattr(adapter, f"Shelf{contract.__name__}")
    assert issubclass(written, contract)
    assert not inspect.isabstract(written)
    for name in getattr(contract, "__abstractmethods__", ()):
        assert inspect.signature(getattr(written, name)) == inspect.signature(getattr(contract, name))


def test_what_is_written_is_formatted_and_passes_the_linter(tmp_path: Path) -> None:
    folder = every_package(tmp_path / "packages")
    for command in (["ruff", "format", "--check"], ["ruff", "check", "--select", "E,F,W,I,N,UP,B,SIM,RET,ARG004"]):
        done = subprocess.run([*command, "."], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.nightly
def test_what_is_written_is_strictly_typed(tmp_path: Path) -> None:
    folder = every_package(tmp_path / "packages")
    sources = [str(path) for path in sorted(folder.glob("*/src"))]
    paths = os.pathsep.join([*sources, os.environ.get("MYPYPATH", "")])
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path / 'cache'}", *sources]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "MYPYPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.nightly
def test_the_test_file_of_the_package_runs_the_same_cases(tmp_path: Path, install: Callable[[Path], None]) -> None:
    new_adapter("online", "shelf", tmp_path / "shelf")
    install(tmp_path / "shelf")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "reader or hook or new_key",
        "tests",
    ]
    done = subprocess.run(command, cwd=tmp_path / "shelf", capture_output=True, text=True, check=False)
    assert "ShelfOnlineStore.write is to be written" in done.stdout
    assert "1 failed, 2 passed" in done.stdout, done.stdout


def test_the_readme_names_what_is_to_be_written(tmp_path: Path) -> None:
    outcome = new_adapter("trainer", "shelf", tmp_path / "shelf")
    readme = (tmp_path / "shelf/README.md").read_text()
    assert outcome.data["to_write"][:2] == ["ShelfTrainer.space", "ShelfTrainer.fit"]
    assert [method for method in outcome.data["to_write"] if f"`{method}`" not in readme] == []


def test_a_slot_that_does_not_exist_and_a_name_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"slot 'onlin': there is no such slot\. Did you mean 'online'"):
        new_adapter("onlin", "shelf", tmp_path / "shelf")
    with pytest.raises(UsageError, match="name 'My Shelf': is not usable"):
        new_adapter("online", "My Shelf", tmp_path / "shelf")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    with pytest.raises(ProjectError, match="the folder is not empty"):
        new_adapter("online", "shelf", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_the_command_line_names_the_folder_after_the_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("new-adapter", "online", "my_shelf")
    assert done.code == 0
    assert "to be written: MyShelfOnlineStore.write, MyShelfOnlineStore.read" in done.out
    assert "pip install -e stackwright-my-shelf" in done.out
    assert (tmp_path / "stackwright-my-shelf/src/stackwright_my_shelf/adapter.py").exists()
