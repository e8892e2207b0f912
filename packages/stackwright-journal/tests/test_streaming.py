"""Counts of a server's workers: off the reply path, added up, of the last hours, whatever dies or fills up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stackwright_journal.counting import ColumnCounts
from stackwright_journal.streaming import SPAN, LiveCounts
from stackwright_numerics.drift import Histogram, Limits

RANDOM = np.random.default_rng(3)
AREA = RANDOM.normal(100, 20, 4000)
KIND = np.array(["flat", "house"], dtype=object)[RANDOM.integers(0, 2, 4000)]
REFERENCE = {"area": Histogram.of(AREA).to_json(), "kind": Histogram.of(KIND).to_json(),
             "prediction": Histogram.of(AREA * 2).to_json()}  # fmt: skip


class Clock:
    def __init__(self):
        self.hours = 500_000.0

    def __call__(self):
        return self.hours * 3600


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def worker(tmp_path, clock):
    """Opens workers of one server."""
    opened = []

    def open_(**options):
        opened.append(LiveCounts(tmp_path, **{"flush_seconds": 60, "clock": clock, **options}))
        return opened[-1]

    yield open_
    for counts in opened:
        counts.close()


def ask(counts, begin, end, version=1, shift=0.0):
    """Requests of one row each."""
    for row in range(begin, end):
        columns = {"area": AREA[row : row + 1] + shift, "kind": KIND[row : row + 1]}
        assert counts.append("avm", version, REFERENCE, columns, AREA[row : row + 1] * 2)


def test_what_workers_counted_apart_adds_up_to_what_one_would_have_counted(worker):
    one, two = worker(), worker()
    ask(one, 0, 300)
    ask(two, 300, 900)
    one.flush()
    two.flush()
    whole = ColumnCounts(REFERENCE)
    whole.add_columns({"area": AREA[:900], "kind": KIND[:900], "prediction": AREA[:900] * 2}, 900)
    for told in (one.totals(), two.totals(), worker().totals()):
        assert told["avm", 1].judge(Limits()) == whole.judge(Limits())


def test_versions_are_counted_apart_and_a_shift_shows(worker):
    counts = worker()
    ask(counts, 0, 400)
    ask(counts, 400, 800, version=2, shift=60)
    counts.flush()
    judged = {version: item.judge(Limits()) for (_, version), item in counts.totals().items()}
    assert judged[1]["state"] == "ok"
    assert judged[2]["columns"]["area"]["state"] == "alarm"


def test_the_last_hours_count_and_files_of_the_dead_are_removed_when_they_are_old(worker, clock, tmp_path):
    dead = worker()
    ask(dead, 0, 100)
    dead.flush()
    clock.hours += SPAN / 2
    living = worker()
    ask(living, 100, 150)
    living.flush()
    assert living.totals()["avm", 1].rows == 150
    clock.hours += SPAN / 2 + 1
    assert living.totals()["avm", 1].rows == 50
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_what_does_not_fit_the_queue_is_dropped_and_counted(worker):
    counts = worker(limit=10)
    ask(counts, 0, 10)
    assert not counts.append("avm", 1, REFERENCE, {"area": AREA[:1]}, AREA[:1])
    assert counts.dropped == 1
    counts.flush()
    ask(counts, 0, 10)


def test_a_column_of_another_type_and_a_damaged_file_cost_no_more_than_themselves(worker, tmp_path):
    counts = worker()
    counts.append("avm", 1, REFERENCE, {"area": np.array(["x"], dtype=object)}, AREA[:1])
    counts.flush()
    ask(counts, 0, 20)
    counts.flush()
    (tmp_path / "9-0.json").write_text("{")
    assert counts.totals()["avm", 1].judge(Limits())["columns"]["area"]["n"] == 20


def test_a_folder_that_cannot_be_written_to_keeps_nobody_from_answering(tmp_path, clock):
    (tmp_path / "file").write_text("")
    counts = LiveCounts(tmp_path / "file", flush_seconds=60, clock=clock)
    ask(counts, 0, 5)
    counts.close()
    assert counts.totals() == {}


def test_memory_goes_by_bins_not_by_rows(worker, tmp_path):
    counts = worker()
    sizes = []
    for _ in range(2):
        for _ in range(5):
            columns = {"area": np.tile(AREA, 5), "kind": np.tile(KIND, 5)}
            assert counts.append("avm", 1, REFERENCE, columns, np.tile(AREA, 5))
            counts.flush()
        sizes.append(len(json.dumps(json.loads(next(tmp_path.glob("*.json")).read_text()))))
    assert sizes[1] < sizes[0] * 1.1
    assert counts.totals()["avm", 1].rows == 200_000
