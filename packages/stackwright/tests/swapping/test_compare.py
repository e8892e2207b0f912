"""Two adapters of a slot held against each other: those that are right differ in nothing, and a wrong one is named."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.assembly.discovery import Plugins
from stackwright.notebook import NotebookStack
from stackwright.workflows.swapping import offline_trial, online_trial, registry_trial
from stackwright.workflows.swapping.answers import Answers, Difference, differences, same
from stackwright.workflows.swapping.candidates import candidate, find_place, present
from stackwright.workflows.swapping.scratch import Scratch
from stackwright_interfaces.errors import BlueprintError, ModelNotFound, StackwrightError, UsageError

START = datetime(2024, 1, 1, tzinfo=UTC)
HOMES = 12

Tree = Callable[[Path], dict[str, bytes]]


RECORD: dict[str, Callable[[Any, Path], Any]] = {
    "online": online_trial.record,
    "offline": offline_trial.record,
    "registry": registry_trial.record,
}


@dataclass(frozen=True)
class Asked:
    """A workload recorded of the small project, and what the blueprint's own adapter answered."""

    folder: Path
    plugins: Plugins
    workload: Any
    answers: Answers
    slot: str

    def against(self, adapter: str, options: dict[str, str], space: Path) -> list[Difference]:
        """Run it on another adapter, here instead of in a process of its own; return the differences."""
        found, whole = Answers(), True
        with stackwright.load(self.folder, plugins=self.plugins, progress=lambda *_: None) as stack:
            other = candidate(stack, find_place(stack, self.slot), adapter, options)
            try:
                self.workload.run(Scratch(space, self.folder, "test"), other.choice, found, lambda *_: None)
            except StackwrightError:
                whole = False
        return list(differences(self.answers, found, whole=whole))


@pytest.fixture(scope="session")
def asked(tied: Path, crooked: Plugins, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Asked]:
    """Records a slot's workload, once."""

    @cache
    def asked(slot: str) -> Asked:
        root = tmp_path_factory.mktemp(slot)
        answers = Answers()
        with stackwright.load(tied, plugins=crooked, progress=lambda *_: None) as stack:
            workload = RECORD[slot](stack, root / "recorded")
            own = present(stack, find_place(stack, slot))
            workload.run(Scratch(root / "own", tied, "own"), own.choice, answers, lambda *_: None)
        assert answers.values
        return Asked(tied, crooked, workload, answers, slot)

    return asked


@pytest.mark.parametrize(
    ("slot", "adapter", "options"),
    [
        ("online", "lmdb", {"path": "online.lmdb"}),
        ("online", "crooked", {}),
        ("offline", "memory", {}),
        ("registry", "crooked", {}),
    ],
)
def test_adapters_that_are_right_differ_in_nothing(
    asked: Callable[[str], Asked], tree: Tree, tmp_path: Path, slot: str, adapter: str, options: dict[str, str]
) -> None:
    before = tree(asked(slot).folder)
    assert asked(slot).against(adapter, options, tmp_path) == []
    assert tree(asked(slot).folder) == before


@pytest.mark.parametrize(
    ("slot", "vice", "case", "column"),
    [
        ("online", "forgetful", "read whole_homes@1", "area"),
        ("online", "stale", "write with an older token, homes@1", "stored"),
        ("online", "altering", "scan, visits@1", "payload"),
        ("offline", "rounding", "join valuation@1", "area"),
        ("offline", "losing", "ingest, homes@1", "added"),
        ("offline", "tie", "join valuation@1", "area"),
        ("registry", "forgetful", "resolve first@1", "its record"),
        ("registry", "silent", "journal", "its kind"),
    ],
)
def test_a_wrong_adapter_is_found_and_the_value_named(
    asked: Callable[[str], Asked], tmp_path: Path, slot: str, vice: str, case: str, column: str
) -> None:
    found = asked(slot).against("crooked", {"vice": vice}, tmp_path)
    named = [item for item in found if item.case == case and item.column == column]
    assert named, [str(item) for item in found[:5]]
    assert not same(named[0].a, named[0].b)


def test_rounding_is_told_with_key_and_both_values(asked: Callable[[str], Asked], tmp_path: Path) -> None:
    found = asked("offline").against("crooked", {"vice": "rounding"}, tmp_path)
    first = next(item for item in found if item.case == "join valuation@1" and item.column == "area")
    assert "home_id=00" in first.key
    assert (first.a % 1, first.b % 1) == (0.25, 0.0)


@pytest.mark.parametrize(
    ("slot", "adapter", "options"),
    [
        ("online", "lmdb", {"path": "../../../../../outside.lmdb"}),
        ("offline", "duckdb", {"path": "../../../../../outside"}),
        ("registry", "files", {"url": "../../../../../outside"}),
        ("registry", "files", {"url": "{root}/project/outside"}),
    ],
)
def test_a_trial_stays_in_its_place_wherever_paths_lead(
    asked: Callable[[str], Asked], tmp_path: Path, slot: str, adapter: str, options: dict[str, str]
) -> None:
    space = tmp_path / "project" / "a" / "b" / "c" / "d"
    given = {key: value.replace("{root}", str(tmp_path)) for key, value in options.items()}
    assert asked(slot).against(adapter, given, space) == []
    found = {path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(space)}
    assert found == set()
    assert any(space.rglob("outside*"))


@pytest.mark.nightly
def test_the_verb_tells_differences_times_memory_and_cost(
    stack: NotebookStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stack.project.folder)
    right = stack.compare("online", "lmdb", options={"path": "online.lmdb"})
    assert right.ok
    told = json.loads(json.dumps(right.to_json()))
    assert told["differing"] == 0
    assert told["values"] > 300
    assert {"p50_ms", "p99_ms"} < told["latency"]["read"]["b"].keys()
    assert all(told["memory"][side] > 0 for side in "ab")
    assert told["cost"]["moved"]["things"]["rows"] == 2 * HOMES + 2
    assert told["cost"]["moved"]["bytes"] > 0
    assert {"stackwright-lmdb", "lmdb"} <= told["cost"]["installed"].keys()
    wrong = stack.compare("online", "crooked", options={"vice": "forgetful"})
    assert not wrong.ok
    assert wrong.data["differing"] >= 1
    assert "read whole_homes@1" in str(wrong)
    assert not (stack.project.state / "trials").exists()


@pytest.mark.nightly
def test_an_adapter_that_fails_or_dies_in_its_trial_is_a_finding(stack: NotebookStack) -> None:
    failed = stack.compare("online", "crooked", options={"vice": "failing"})
    assert not failed.ok
    assert "full of eels" in str(failed)
    died = stack.compare("online", "crooked", options={"vice": "dying", "after": "3"})
    assert not died.ok
    assert "its process died" in str(died)


def test_what_the_project_was_asked_is_asked_again(stack: NotebookStack, tmp_path: Path) -> None:
    from stackwright_journal.predictions import PredictionLog

    with PredictionLog(stack.project.folder / "journal") as log:
        log.append(
            {
                "prediction_id": "p1", "model": "valuation", "version": 1, "keys": {"home_id": "03"},
                "request": {"rooms": 2}, "asked_at": START + timedelta(days=40), "predicted_at": START,
            }
        )  # fmt: skip
    workload = online_trial.record(stack, tmp_path / "sample")
    asked = next(item for item in workload.questions if item.service.ref == "valuation@1")
    assert asked.origin == "requests of valuation in the journal"
    assert asked.rows.to_pylist()[0] | {"__asked": None} == {"home_id": "03", "rooms": 2, "__asked": None}


@pytest.mark.nightly
def test_a_project_that_holds_nothing_borrows_the_sample_market(
    project: Callable[..., Path], tmp_path: Path, crooked: Plugins
) -> None:
    with stackwright.load(project(), plugins=crooked, progress=lambda *_: None) as empty:
        workload = online_trial.record(empty, tmp_path / "sample")
    assert workload.origin == "the sample market"
    assert len(workload.rows) > 2
    assert any(item.service.ref == "valuation@1" for item in workload.questions)


@pytest.mark.parametrize(
    ("slot", "adapters", "error", "said"),
    [
        ("onlin", ["redis"], UsageError, "Did you mean 'online'"),
        ("online", ["a", "b", "c"], UsageError, "3 are named"),
        ("online", ["lmdb"], BlueprintError, "path is missing"),
        ("online", ["memory"], BlueprintError, "cannot be read by another process"),
        ("online", ["redsi"], StackwrightError, "redis"),
        ("monitor", ["evidently"], BlueprintError, "0 reporters"),
        ("trainer:houses", ["sklearn"], BlueprintError, "houses"),
        ("server", ["bentoml"], ModelNotFound, "promote"),
    ],
)
def test_what_cannot_be_compared_is_said(
    stack: NotebookStack, slot: str, adapters: list[str], error: type[StackwrightError], said: str
) -> None:
    with pytest.raises(error, match=said):
        stack.compare(slot, *adapters)


def test_an_interruption_leaves_nothing_behind(
    tied: Path, tmp_path: Path, tree: Tree, interruptible: list[str]
) -> None:
    folder = shutil.copytree(tied, tmp_path / "project")
    before = tree(folder)
    command = [*interruptible, "compare", "online", "lmdb", "--set", "path=o.lmdb"]
    for _ in range(5):  # where this process is kept waiting, a comparison may have ended before it is seen
        child = subprocess.Popen(
            [*command, "--project", str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        while child.poll() is None and not list(folder.glob(".stackwright/trials/*/a")):
            time.sleep(0.001)
        if child.poll() is None:
            break
    os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert tree(folder) == before
    assert not (folder / ".stackwright" / "trials").exists()
