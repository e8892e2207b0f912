"""The kits' pytest plugin: cases that a store cannot meet, and the matrix of what each store met."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stackwright_interfaces.testing.matrix import CASES, Found, Matrix

SUITE = """
import pytest

class Cases:
    store_name = ""
    unmet = {}
    right = True

    @pytest.mark.case(1)
    @pytest.mark.parametrize("number", [1, 2])
    def test_one(self, number):
        assert self.right

    @pytest.mark.case(2)
    @pytest.mark.case(3)
    def test_two(self):
        pass

class TestA(Cases):
    store_name = "a"

class TestB(Cases):
    store_name = "b"
    right = False
    unmet = UNMET

class TestNameless(Cases):
    pass
"""

WRITTEN = ("--matrix", "matrix.json")


def kit(folder: Path, unmet: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(SUITE.replace("UNMET", unmet))
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "test_it.py", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_what_a_store_cannot_meet_is_expected_to_fail(tmp_path: Path) -> None:
    done = kit(tmp_path, '{"test_one": "it keeps no history"}')
    assert (done.returncode, "2 xfailed" in done.stdout) == (0, True), done.stdout
    assert kit(tmp_path, "{}").returncode == 1


def test_one_that_is_met_after_all_is_a_failure(tmp_path: Path) -> None:
    done = kit(tmp_path, '{"test_one": "it keeps no history", "test_two": "it cannot count"}')
    assert done.returncode == 1
    assert "[XPASS(strict)] it cannot count" in done.stdout


def test_a_name_that_is_no_test_is_an_error(tmp_path: Path) -> None:
    done = kit(tmp_path, '{"test_gone": "it was renamed"}')
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "TestB: unmet names test_gone, which is no test" in done.stderr


@pytest.mark.parametrize(
    "processes", [(), pytest.param(("-n", "2"), marks=pytest.mark.nightly)], ids=["one process", "two"]
)
def test_the_matrix_tells_which_store_met_which_case(tmp_path: Path, processes: tuple[str, ...]) -> None:
    path = tmp_path / "matrix.json"
    path.write_text('{"kept": {}}')
    kit(tmp_path, '{"test_one": "it keeps no history"}', "--matrix", str(path), *processes)
    found = json.loads(path.read_text())
    assert sorted(found) == ["a", "b", "kept"]
    assert (sorted(found["a"]["1"]["met"]), found["a"]["1"]["unmet"]) == (["test_one[1]", "test_one[2]"], [])
    assert found["b"]["1"] == {"met": [], "unmet": ["it keeps no history"] * 2}
    assert found["b"]["2"] == found["b"]["3"] == {"met": ["test_two"], "unmet": []}


def test_a_failure_is_in_the_matrix(tmp_path: Path) -> None:
    kit(tmp_path, "{}", *WRITTEN)
    found = json.loads((tmp_path / "matrix.json").read_text())
    assert found["b"]["1"]["unmet"] == ["assert False"] * 2


def test_what_says_nothing_about_a_store_is_neither_met_nor_unmet(tmp_path: Path) -> None:
    kit(
        tmp_path, '{"test_one": "it keeps no history"}\n    inapplicable = {"test_two": "it cannot be asked"}', *WRITTEN
    )
    found = json.loads((tmp_path / "matrix.json").read_text())
    assert found["b"]["2"] == {"met": [], "unmet": []}
    rows = {row[0]: row[2:] for row in Matrix.of(found, (1, 2)).rows}
    assert rows == {"1": ("yes", "no"), "2": ("yes", "not applicable")}


def test_one_case_can_be_asked_for(tmp_path: Path) -> None:
    done = kit(tmp_path, '{"test_one": "it keeps no history"}', "--case", "2")
    assert "3 passed, 6 deselected" in done.stdout


def test_the_page_shows_every_case_and_says_why_one_is_not_met() -> None:
    met = {str(case): {"met": ["test"], "unmet": list[str]()} for case in CASES}
    broken = {**met, "2": {"met": ["test"], "unmet": ["it rounds"]}, "3": {"met": [], "unmet": ["it cannot"] * 2}}
    del broken["4"]
    found: Found = {"right": met, "broken": broken}
    lines = Matrix.of(found).page.splitlines()
    assert lines[0] == "| case | | broken | right |"
    assert [line.split(" | ")[-2:] for line in lines[2:6]] == [
        ["yes", "yes |"], ["1 of 2", "yes |"], ["no", "yes |"], ["not run", "yes |"],
    ]  # fmt: skip
    assert "- broken, case 2: it rounds" in lines
    assert "- broken, case 3: it cannot" in lines
    assert len([line for line in lines if line.startswith("| ")]) == 46
