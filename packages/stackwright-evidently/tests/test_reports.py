"""What Evidently makes of the columns, and what happens where it fails."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stackwright_evidently.monitor import EvidentlyMonitor
from stackwright_evidently.plugin import EvidentlyConfig
from stackwright_interfaces.errors import MonitorError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.monitor import MonitorResult
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.monitor_page import loaded_from_elsewhere
from stackwright_interfaces.types import FLOAT64, Field

SIGNATURE = Signature(inputs=(Field("area", FLOAT64), Field("rooms", FLOAT64)), outputs=())

HUGE = np.where(np.arange(200) % 2 == 0, 1e308, -1e308)
"""Numbers whose range is none."""

Compare = Callable[..., MonitorResult]


def numbers(seed: int, shift: float = 0.0) -> Any:
    return np.random.default_rng(seed).normal(shift, 1.0, 200)


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Compares areas and rooms, and predictions of a class, with options of the reporter."""

    def compare(area: Any = None, rooms: Any = None, prediction: Any = None, **options: Any) -> MonitorResult:
        reference = {"area": numbers(1), "rooms": numbers(2)}
        current = {
            "area": numbers(3) if area is None else area,
            "rooms": numbers(4) if rooms is None else rooms,
        }
        if prediction is not None:
            reference["prediction"] = current["prediction"] = prediction
        monitor = EvidentlyMonitor(EvidentlyConfig(**{"summary": False, **options}), make_context(tmp_path))
        return monitor.compare(pa.table(reference), pa.table(current), SIGNATURE, tmp_path / "report")

    return compare


def test_evidently_calls_nobody(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    monkeypatch.delenv("ITERATIVE_DO_NOT_TRACK", raising=False)
    compare()
    from evidently.telemetry import event_logger

    assert not event_logger.is_enabled()


def test_a_finding_is_the_method_its_value_and_its_threshold(compare: Compare) -> None:
    found = compare(area=numbers(3, shift=5.0)).findings
    assert found["area"]["method"] == found["rooms"]["method"] == "K-S p_value"
    assert found["area"]["value"] < found["area"]["threshold"] == 0.05 < found["rooms"]["value"]


def test_a_column_that_evidently_fails_on_is_left_out(compare: Compare) -> None:
    result = compare(area=HUGE)
    assert result.skipped["area"].startswith("Evidently failed (ValueError: ")
    assert set(result.findings) == {"rooms"}


def test_where_evidently_fails_on_every_column_there_is_no_report(compare: Compare) -> None:
    with pytest.raises(MonitorError, match="Evidently failed"):
        compare(area=HUGE, rooms=HUGE)


def test_the_summary_adds_to_the_page_alone(compare: Compare) -> None:
    short = compare()
    length = short.page.stat().st_size
    long = compare(summary=True)
    assert long.page.stat().st_size > length
    assert long.findings == short.findings
    assert loaded_from_elsewhere(long.page) == []


def test_nothing_of_a_category_becomes_markup_in_the_summary(compare: Compare) -> None:
    smuggled = "</script><script>smuggled()</script>"
    result = compare(prediction=[smuggled, "plain"] * 100, summary=True)
    assert "prediction" in result.findings
    page = result.page.read_text(encoding="utf-8")
    assert "smuggled()" in page
    assert smuggled not in page


def test_an_installation_that_does_not_fit_is_named(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evidently.presets", None)
    with pytest.raises(MonitorError, match="cannot be imported"):
        compare()


def test_an_installation_that_breaks_while_it_is_imported_is_named(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise ValueError("numpy.dtype size changed")

    monkeypatch.setitem(sys.modules, "evidently.presets", Broken("evidently.presets"))
    with pytest.raises(MonitorError, match=r"cannot be imported .*numpy\.dtype size changed"):
        compare()


@pytest.mark.parametrize("rows", [0, -3])
def test_a_report_about_no_rows_is_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=f"rows is {rows}, must be 1 or more"):
        EvidentlyConfig(rows=rows)


def test_a_report_that_fails_leaves_the_last_one_in_place(compare: Compare) -> None:
    page = compare().page
    before = page.read_bytes()
    for values in ([None], HUGE):
        with pytest.raises(MonitorError):
            compare(area=values, rooms=values)
    assert page.read_bytes() == before
    assert list(page.parent.iterdir()) == [page]


def test_two_processes_that_report_into_one_folder_do_not_spoil_each_other(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = itertools.count(1)
    replace = Path.replace

    def replace_after_another_report(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        compare()
        return replace(self, target)

    monkeypatch.setattr(os, "getpid", lambda: next(processes))
    monkeypatch.setattr(Path, "replace", replace_after_another_report)
    page = compare().page
    assert list(page.parent.iterdir()) == [page]


def test_neither_evidently_nor_pandas_is_imported_before_a_report_is_made() -> None:
    code = "import sys, stackwright_evidently.monitor; print({'evidently', 'pandas'} & set(sys.modules))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "set()"
