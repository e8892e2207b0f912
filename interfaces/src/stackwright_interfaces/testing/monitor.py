"""The kit for a monitor.

The whole test module of one::

    from stackwright_evidently import plugin
    from stackwright_interfaces.monitor import Monitor
    from stackwright_interfaces.testing.adapters import spec_of
    from stackwright_interfaces.testing.monitor import MonitorCases


    class TestEvidentlyMonitor(MonitorCases):
        spec = spec_of(plugin, Monitor)
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from stackwright_interfaces.errors import MonitorError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.monitor import Monitor, MonitorResult
from stackwright_interfaces.testing.adapters import AdapterCases
from stackwright_interfaces.testing.monitor_page import loaded_from_elsewhere
from stackwright_interfaces.testing.tables import OneStream
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, Field

SIGNATURE: Final = Signature(
    inputs=(Field("area", FLOAT64), Field("rooms", INT64), Field("heated", BOOL), Field("district", STRING)),
    outputs=(Field("price", FLOAT64),),
    categories={"district": ("east", "north", "west")},
)
"""What the model under report takes."""

INPUTS: Final = frozenset(field.name for field in SIGNATURE.inputs)

Rows = dict[str, Any]

_OUTSIDE: Final = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "subprocess.Popen")
"""What Python audits when something is asked of the network, or of another process that might ask."""

_watchers: list[list[str]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _OUTSIDE:
        for seen in _watchers:
            seen.append(f"{event} {arguments}")


class Watched(NamedTuple):
    """A report, and what was seen while it was made."""

    result: MonitorResult
    out: Path
    printed: str
    asked: list[str]


_USUAL: Final[dict[type, Watched]] = {}


def homes(count: int = 400, *, seed: int) -> Rows:
    """Return columns of rows: the inputs of the model, with nulls here and there."""
    draw = np.random.default_rng(seed)
    area = np.round(draw.normal(80.0, 20.0, count), 1)
    district = draw.choice(np.array(["east", "north", "west"]), count)
    return {
        "area": [None if place % 17 == 0 else float(value) for place, value in enumerate(area)],
        "rooms": pa.array(draw.integers(1, 7, count), pa.int64()),
        "heated": pa.array(draw.random(count) < 0.8, pa.bool_()),
        "district": [None if place % 13 == 0 else str(value) for place, value in enumerate(district)],
    }


class MonitorCases(AdapterCases):
    """Subclass it in a test module, under a name that starts with ``Test``."""

    @pytest.fixture
    def monitor(self, tmp_path: Path) -> Iterator[Monitor]:
        """The monitor under test."""
        monitor: Monitor = self.build(tmp_path)
        yield monitor
        monitor.close()

    @pytest.fixture
    def usual(self, tmp_path_factory: pytest.TempPathFactory) -> Watched:
        """The report on rows like those of the reference, made once for all cases."""
        cases = type(self)
        if cases not in _USUAL:
            _USUAL[cases] = self._watch(tmp_path_factory.mktemp("usual"))
        return _USUAL[cases]

    def _watch(self, folder: Path) -> Watched:
        """Make a report in a folder that is not there, and watch it being made, vendor's import and all."""
        monitor: Monitor = self.build(folder)
        out, printed = folder / "reports" / "week", folder / "printed.txt"
        asked: list[str] = []
        sys.addaudithook(_audit)
        _watchers.append(asked)
        with _printing_to(printed):
            result = monitor.compare(table(homes(seed=1)), table(homes(seed=2)), SIGNATURE, out)
        _watchers.remove(asked)
        monitor.close()
        return Watched(result, out, printed.read_text(), asked)

    @pytest.fixture
    def compare(self, monitor: Monitor, tmp_path: Path) -> Callable[..., MonitorResult]:
        """Compares such rows with columns replaced, in ``reference`` and ``current``; ``None`` leaves a column out."""

        def compare(
            reference: Mapping[str, Any] | None = None, current: Mapping[str, Any] | None = None
        ) -> MonitorResult:
            before = table({**homes(seed=1), **(reference or {})})
            after = table({**homes(seed=2), **(current or {})})
            return monitor.compare(before, after, SIGNATURE, tmp_path / "report")

        return compare

    # --- the page ---

    def test_a_page_is_written_that_loads_nothing_from_elsewhere(self, usual: Watched) -> None:
        assert usual.result.page in usual.result.files
        assert _files(usual.out) == set(usual.result.files)
        assert "<html" in usual.result.page.read_text(encoding="utf-8").lower()
        assert loaded_from_elsewhere(usual.result.page) == []

    def test_nothing_is_printed(self, usual: Watched) -> None:
        assert usual.printed == ""

    def test_nothing_is_asked_of_the_network_and_no_process_is_started(self, usual: Watched) -> None:
        assert usual.asked == []

    def test_a_category_cannot_smuggle_markup_into_the_page(self, compare: Callable[..., MonitorResult]) -> None:
        smuggled = "</script><script>smuggled()</script>"
        result = compare(current={"district": ["east", smuggled] * 200})
        assert "district" in result.findings
        assert smuggled not in result.page.read_text(encoding="utf-8")

    def test_a_folder_that_cannot_be_written_is_named(self, monitor: Monitor, tmp_path: Path) -> None:
        out = tmp_path / "report"
        out.write_text("a file")
        with pytest.raises(MonitorError, match="report"):
            monitor.compare(table(homes(seed=1)), table(homes(seed=2)), SIGNATURE, out)
        assert out.read_text() == "a file"

    # --- findings ---

    def test_every_input_is_compared(self, usual: Watched) -> None:
        found = usual.result.findings
        assert set(found) == INPUTS
        assert usual.result.skipped == {}
        assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_a_shift_is_found_in_its_column_alone(self, usual: Watched, compare: Callable[..., MonitorResult]) -> None:
        shifted = [None if area is None else area + 60.0 for area in homes(seed=2)["area"]]
        found = compare(current={"area": shifted, "district": ["west"] * 400}).findings
        changed = {name for name in INPUTS if found[name] != usual.result.findings[name]}
        assert changed == {"area", "district"}

    def test_predictions_and_targets_are_compared_where_both_sides_have_them(
        self, compare: Callable[..., MonitorResult]
    ) -> None:
        prices = np.random.default_rng(3).normal(300.0, 50.0, 400)
        result = compare(
            {"prediction": prices, "target": prices + 1.0},
            {"prediction": prices + 100.0, "target": pa.nulls(400, pa.float64())},
        )
        assert set(result.findings) == INPUTS | {"prediction"}
        assert set(result.skipped) == {"target"}

    def test_columns_that_are_no_inputs_are_passed_over(
        self, usual: Watched, compare: Callable[..., MonitorResult]
    ) -> None:
        more = {"listing_id": np.arange(400), "asked_at": [datetime(2026, 3, 14, tzinfo=UTC)] * 400}
        result = compare(more, more)
        assert result.findings == usual.result.findings
        assert result.skipped == {}

    # --- columns that cannot be compared ---

    @pytest.mark.parametrize("side", ["reference", "current"])
    def test_columns_without_comparable_values_are_skipped_with_a_reason(
        self, monitor: Monitor, tmp_path: Path, side: str
    ) -> None:
        unusable = {
            "missing": None,
            "null": pa.nulls(400, pa.float64()),
            "untyped": pa.nulls(400),
            "nan": np.full(400, np.nan),
            "text": ["large"] * 400,
            "nested": [[1.0]] * 400,
        }
        usable = {name: np.random.default_rng(4).normal(size=400) for name in unusable}
        sides = {"reference": usable, "current": usable, side: unusable}
        signature = Signature(
            inputs=(*SIGNATURE.inputs, *(Field(name, FLOAT64) for name in unusable)), outputs=SIGNATURE.outputs
        )
        reference = table({**homes(seed=1), **sides["reference"]})
        current = table({**homes(seed=2), **sides["current"]})
        result = monitor.compare(reference, current, signature, tmp_path / "report")
        assert set(result.skipped) == set(unusable)
        assert all(result.skipped.values())
        assert set(result.findings) == INPUTS

    def test_infinite_and_huge_values_do_not_spoil_the_report(self, compare: Callable[..., MonitorResult]) -> None:
        area = np.where(np.arange(400) % 2 == 0, np.inf, np.where(np.arange(400) % 3 == 0, 1e308, -1e308))
        result = compare({"area": -area}, {"area": area})
        assert set(result.findings) | set(result.skipped) == INPUTS
        assert set(result.findings) >= INPUTS - {"area"}

    def test_a_single_row_is_compared_or_skipped(self, monitor: Monitor, tmp_path: Path) -> None:
        row = {"area": [80.0], "rooms": [3], "heated": [True], "district": ["east"]}
        result = monitor.compare(table(homes(seed=1)), table(row), SIGNATURE, tmp_path / "report")
        assert set(result.findings) | set(result.skipped) == INPUTS

    @pytest.mark.parametrize("side", ["reference", "current", "both"])
    def test_without_rows_there_is_no_report(self, monitor: Monitor, tmp_path: Path, side: str) -> None:
        rows, empty = table(homes(seed=1)), table(homes(seed=1)).slice(0, 0)
        reference = empty if side in ("reference", "both") else rows
        current = empty if side in ("current", "both") else rows
        with pytest.raises(MonitorError):
            monitor.compare(reference, current, SIGNATURE, tmp_path / "report")
        assert not list(tmp_path.rglob("*.html"))

    def test_without_a_common_column_there_is_no_report(self, monitor: Monitor, tmp_path: Path) -> None:
        with pytest.raises(MonitorError):
            monitor.compare(table(homes(seed=1)), pa.table({"other": [1.0]}), SIGNATURE, tmp_path / "report")

    # --- tables ---

    def test_one_monitor_reports_again_and_reads_tables_once_as_streams(
        self, usual: Watched, monitor: Monitor, tmp_path: Path
    ) -> None:
        out = tmp_path / "report"
        for _ in range(2):
            before, after = OneStream(table(homes(seed=1))), OneStream(table(homes(seed=2)))
            result = monitor.compare(before, after, SIGNATURE, out)
            assert result.findings == usual.result.findings
            assert _files(out) == set(result.files)

    def test_text_may_come_in_any_form(self, usual: Watched, compare: Callable[..., MonitorResult]) -> None:
        before, after = (pa.array(homes(seed=seed)["district"], pa.string()) for seed in (1, 2))
        result = compare({"district": before.cast(pa.string_view())}, {"district": after.dictionary_encode()})
        assert result.findings == usual.result.findings


def table(rows: Mapping[str, Any]) -> pa.Table:
    """Return columns as a table; those that are ``None`` are left out."""
    return pa.table({name: values for name, values in rows.items() if values is not None})


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Catch what this process prints on standard output, by whatever way."""
    sys.stdout.flush()
    kept = os.dup(1)
    with path.open("w") as file:
        os.dup2(file.fileno(), 1)
    try:
        with os.fdopen(1, "w", closefd=False) as out, redirect_stdout(out):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
