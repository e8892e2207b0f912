"""The benchmarks' harness: which way a ratio points, that work is done in turn, and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import harness
import pytest


def test_a_ratio_is_ours_by_theirs_so_that_smaller_is_better() -> None:
    row = harness.Row("m", "s", harness.Measured(1.0, 0.1), "peer 1", harness.Measured(4.0, 0.1), ratio_bar=0.5)
    assert (row.ratio, row.met) == (0.25, True)
    slower = harness.Row("m", "s", harness.Measured(3.0, 0.1), "peer 1", harness.Measured(4.0, 0.1), ratio_bar=0.5)
    assert (slower.ratio, slower.met) == (0.75, False)


def test_a_bar_is_the_greatest_cost() -> None:
    assert harness.Row("m", "s", harness.Measured(0.08, 0), bar=0.08).met is True
    assert harness.Row("m", "s", harness.Measured(0.09, 0), bar=0.08).met is False
    assert harness.Row("m", "s", harness.Measured(0.09, 0)).met is None


def test_work_is_done_in_turn_and_warm_rounds_do_not_count() -> None:
    calls: list[str] = []

    def work(name: str, values: list[float]) -> object:
        return lambda: (calls.append(name), values.pop(0))[1]

    found = harness.in_turn({"a": work("a", [9, 1, 2, 3]), "b": work("b", [9, 4, 4, 4])}, rounds=3)
    assert calls == ["a", "b"] * 4
    assert (found["a"].median, found["b"].median, found["b"].spread) == (2, 4, 0)


def test_a_difference_is_taken_round_by_round() -> None:
    ours, theirs = harness.Measured.of([3.0, 13.0, 5.0]), harness.Measured.of([1.0, 11.0, 3.0])
    assert ours.less(theirs) == harness.Measured(2.0, 0.0)


def test_results_are_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = harness.Row("start", "s", harness.Measured(0.5, 0.1), "peer 1", harness.Measured(1.0, 0.1), bar=0.4)
    harness.report("start", [row], ["zenml could not be installed"])
    written = json.loads((tmp_path / "bench-results" / "start.json").read_text())
    assert written["rows"][0]["ratio"] == 0.5
    assert written["rows"][0]["met"] is False
    assert written["rows"][0]["reference"] == "peer 1"
    printed = capsys.readouterr().out
    assert "MISSED" in printed
    assert "zenml could not be installed" in printed
