"""The same seed gives the same bytes, the size is what was asked for, and memory stays bounded."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stackwright_interfaces.errors import StorageError
from stackwright_market.sample import generate
from stackwright_market.writer import Writer

SMALL = {"listings": 300, "events": 3_000, "persons": 100, "months": 6, "live_months": 2}
OF_EVENTS = ("searches", "impressions", "clicks", "direct_views", "contacts")

# The peak resident set of this program alone; `ru_maxrss` would start at that of its parent.
PEAK = """
import sys
from pathlib import Path
from stackwright_market.sample import generate
options = {"listings": 4_000, "events": int(sys.argv[2]), "persons": 500, "months": 6, "live_months": 2}
generate(Path(sys.argv[1]), "realtime", options, lambda *_: None)
status = Path("/proc/self/status")
if status.exists():
    print(next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")))
else:
    import resource
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("blueprint", ["realtime", "batch", "recommender"])
def test_the_same_seed_gives_the_same_bytes(make: Callable[..., Any], blueprint: str) -> None:
    first, second = make(blueprint, **SMALL), make(blueprint, **SMALL)
    assert digests(first.folder) == digests(second.folder)
    assert first.truth == second.truth


def test_another_seed_gives_another_market(make: Callable[..., Any]) -> None:
    first, second = make("realtime", **SMALL), make("realtime", **SMALL, seed=8)
    same = {name for name, digest in digests(first.folder).items() if digests(second.folder)[name] == digest}
    assert same == set()


def test_more_events_leave_homes_people_and_sales_as_they_were(make: Callable[..., Any]) -> None:
    few, many = make("realtime", **SMALL), make("realtime", **{**SMALL, "events": 9_000})
    before, after = digests(few.folder), digests(many.folder)
    changed = {name for name in before if before[name] != after[name]}
    traffic = {*OF_EVENTS, "visits", "interest"}
    assert changed == {*(f"{name}.parquet" for name in traffic), "truth/truth.json"}


def test_listings_and_persons_are_as_many_as_asked_for(market: Any) -> None:
    assert len(set(market.column("listings", "listing_id").tolist())) == 6_000
    assert market.table("persons").num_rows == 1_500


@pytest.mark.parametrize("events", [1_000, 30_000])
def test_events_are_about_as_many_as_asked_for(make: Callable[..., Any], events: int) -> None:
    made = make("realtime", **{**SMALL, "events": events})
    visits = made.table("visits")["contact_id"]
    total = sum(made.table(name).num_rows for name in OF_EVENTS) + len(visits) - visits.null_count
    assert total == pytest.approx(events, rel=0.05)


def test_the_truth_counts_the_rows_of_each_file(market: Any) -> None:
    files = {path.relative_to(market.folder).with_suffix("").as_posix() for path in market.folder.rglob("*.parquet")}
    counted = {name: pq.read_metadata(market.folder / f"{name}.parquet").num_rows for name in files}
    assert market.truth["rows"] == counted


def test_progress_is_told_day_by_day_up_to_the_last(market: Any) -> None:
    done = [done for _, done, _ in market.told]
    assert done == sorted(set(done))
    assert {total for _, _, total in market.told} == {done[-1]}


def test_memory_does_not_grow_with_the_events(tmp_path: Path) -> None:
    def peak(events: int) -> int:
        command = [sys.executable, "-c", PEAK, str(tmp_path / str(events)), str(events)]
        unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        return int(subprocess.run(command, env=unmeasured, check=True, capture_output=True, text=True).stdout) // 1024

    few, many = peak(60_000), peak(500_000)
    impressions = pq.ParquetFile(tmp_path / "500000" / "impressions.parquet").metadata
    rows = [impressions.row_group(group).num_rows for group in range(impressions.num_row_groups)]
    assert len(rows) >= 3
    assert max(rows) < 100_000
    assert many - few < 80


def test_an_error_leaves_no_half_written_file(tmp_path: Path) -> None:
    def fails() -> None:
        with Writer(tmp_path, {"numbers": {"number": "int"}}) as writer:
            writer.add("numbers", {"number": range(3)})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="taken: cannot be written to"):
        generate(tmp_path / "taken", "realtime", SMALL, lambda *_: None)
