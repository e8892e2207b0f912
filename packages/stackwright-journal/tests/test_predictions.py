"""The prediction log: never in the way, never torn but at the end, and what is lost is counted."""

import errno
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_interfaces.feature_store import FeatureRows, Watermark
from stackwright_interfaces.types import BOOL, BYTES, FLOAT64, INT64, STRING, Field
from stackwright_journal import sealing
from stackwright_journal.lines import records_of
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.reading import PredictionReader, ReadCounts
from stackwright_journal.records import encode, rfc3339
from stackwright_journal.rows import PredictionRows
from stackwright_journal.tabulating import Wanted
from stackwright_storage import open_storage


def segments(folder):
    return sorted((folder / "predictions").rglob("*.jsonl"))


def written(rows):
    """The records of the lines that rows become."""
    return list(records_of(b"".join(line.data for line in rows.lines()), ReadCounts()))


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_further_outputs_are_written_by_their_names(day):
    rows = PredictionRows(
        prediction_ids=["a", "b"],
        prediction=np.array([1.0, 2.0]),
        outputs={"within_30": np.array([0.25, np.nan])},
        model="days",
        version=1,
        predicted_at=day(0),
    )
    assert [record["outputs"] for record in written(rows)] == [{"within_30": 0.25}, {"within_30": None}]
    assert not any("outputs" in record for record in written(replace(rows, outputs={})))


def test_what_was_appended_is_read_back(write, reader, record):
    given = record(
        1, features={"area": 70.5, "zip": "98178", "new": None}, lower=90.0, upper=120.0, fallbacks=["default"]
    )
    counts = write(given)
    (found,) = reader.records()
    assert found == {
        **given,
        "schema": 1,
        "asked_at": "2026-01-02T00:00:00.000000Z",
        "predicted_at": "2026-01-02T00:00:00.000000Z",
    }
    assert (counts.taken, counts.written, counts.dropped, counts.rejected, counts.failed) == (1, 1, 0, 0, 0)


def test_times_are_utc_with_microseconds_in_texts_of_one_width():
    summer = datetime(2026, 7, 1, 2, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(summer) == "2026-07-01T00:00:00.000005Z"
    assert rfc3339(datetime(2026, 7, 1, tzinfo=UTC)) == "2026-07-01T00:00:00.000000Z"


def test_values_without_a_json_form_of_their_own_get_one(record, day):
    line = orjson.loads(
        encode(
            record(
                1,
                keys={"id": b"\x01\xff"},
                features={"cost": Decimal("1.50"), "vector": np.array([1.0, 2.0]), "gone": float("nan")},
                watermarks={"listing@1": Watermark(7, day(0))},
            )
        )
    )
    assert line["keys"] == {"id": "01ff"}
    assert line["features"] == {"cost": "1.50", "vector": [1.0, 2.0], "gone": None}
    assert line["watermarks"] == {"listing@1": {"position": 7, "due": "2026-01-01T00:00:00.000000Z"}}


@pytest.mark.parametrize(
    "broken",
    [
        {"asked_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - a time without a zone is the point
        {"features": {"x": object()}},
        {"prediction_id": "\ud800"},
    ],
)
def test_a_record_that_is_no_record_is_rejected_and_the_others_are_written(write, reader, record, broken):
    counts = write(record(1), record(2, **broken), record(3))
    assert counts.rejected == 1
    assert counts.last_error
    assert [found["prediction_id"] for found in reader.records()] == ["p1", "p3"]


def test_a_record_without_what_every_prediction_has_is_rejected(write, record):
    incomplete = record(1)
    del incomplete["model"]
    assert write(incomplete).rejected == 1


def test_a_queue_that_is_full_drops_and_counts(tmp_path, record):
    log = PredictionLog(tmp_path, limit=3, flush_seconds=60, flush_records=100)
    taken = [log.append(record(number)) for number in range(5)]
    log.close()
    assert taken == [True, True, True, False, False]
    assert log.counts.dropped == 2
    assert log.counts.written == 3


def test_a_closed_log_drops(tmp_path, record):
    log = PredictionLog(tmp_path)
    log.close()
    log.close()
    assert not log.append(record(1))
    assert log.counts.dropped == 1


def test_records_are_written_after_the_flush_time_without_a_close(tmp_path, reader, record):
    with PredictionLog(tmp_path, flush_seconds=0.05) as log:
        log.append(record(1))
        until(lambda: log.counts.written == 1)
        assert len(list(reader.records())) == 1


def test_records_are_written_at_once_when_enough_wait(tmp_path, record):
    with PredictionLog(tmp_path, flush_seconds=60, flush_records=3) as log:
        for number in range(3):
            log.append(record(number))
        until(lambda: log.counts.written == 3)


def test_appending_does_not_wait_for_a_disk_that_hangs(record):
    hang = threading.Event()

    class Hanging:
        rotate_seconds = math.inf

        def create(self, name):
            hang.wait(10)
            raise OSError(errno.EIO, "gone")

        def close(self):
            pass

    log = PredictionLog(Hanging(), flush_seconds=0.01, flush_records=1, limit=10)
    start = time.monotonic()
    for number in range(100):
        log.append(record(number))
    assert time.monotonic() - start < 1
    hang.set()
    log.close()
    assert log.counts.dropped > 0
    assert log.counts.failed == log.counts.taken


def test_a_segment_is_begun_when_the_last_is_full(write, reader, record, day, tmp_path):
    one = len(encode(record(0)))
    write(*(record(number, predicted_at=day(0)) for number in range(10)), rotate_bytes=3 * one + 2)
    sizes = [path.stat().st_size for path in segments(tmp_path)]
    assert len(sizes) == 4
    assert max(sizes) <= 3 * one + 2
    assert len(list(reader.records())) == 10


def test_a_record_larger_than_a_segment_is_written_alone(write, record, tmp_path):
    write(record(1), record(1, features={"text": "x" * 500}), record(1), rotate_bytes=400)
    assert len(segments(tmp_path)) == 3


def test_each_day_of_predictions_has_segments_of_its_own(write, record, tmp_path):
    write(record(1), record(0), record(1), record(0))
    assert [path.parent.name for path in segments(tmp_path)] == ["2026-01-01", "2026-01-02"]
    assert [len(path.read_bytes().splitlines()) for path in segments(tmp_path)] == [2, 2]


def test_days_that_come_in_turn_make_no_segment_for_every_turn(write, reader, record, day, tmp_path):
    features = {f"feature_{number}": number / 7 for number in range(100)}
    given = [record(number, predicted_at=day(number % 2), features=features) for number in range(400)]
    assert write(*given, flush_seconds=60, flush_records=1000).written == 400
    assert len(segments(tmp_path)) <= 3
    assert len(list(reader.records())) == 400


def test_writers_of_many_processes_never_share_a_segment(tmp_path, reader, record, day):
    logs = [PredictionLog(tmp_path, clock=lambda: day(0)) for _ in range(5)]
    for number, log in enumerate(logs):
        log.append(record(number))
    for log in logs:
        log.close()
    assert len(segments(tmp_path)) == 5
    assert len(list(reader.records())) == 5


def test_many_threads_may_append(tmp_path, reader, record):
    with PredictionLog(tmp_path) as log:
        threads = [
            threading.Thread(target=lambda part=part: [log.append(record(part * 100 + n)) for n in range(100)])
            for part in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {found["prediction_id"] for found in reader.records()} == {f"p{number}" for number in range(400)}


class Disk:
    """A place for segments that has room for so many bytes."""

    rotate_seconds = math.inf

    def __init__(self, room):
        self.room = room
        self.made = []

    def create(self, name):
        self.made.append(bytearray())
        return Disk.Segment(self)

    def close(self):
        pass

    class Segment:
        def __init__(self, disk):
            self.disk, self.data = disk, disk.made[-1]

        def write(self, data):
            part = bytes(data[: self.disk.room])
            self.disk.room -= len(part)
            self.data += part
            if not part:
                raise OSError(errno.ENOSPC, "no space left on device")
            return len(part)

        def sync(self):
            pass

        def close(self):
            pass


def test_a_full_disk_costs_records_and_is_counted_until_there_is_room_again(record):
    one = len(encode(record(0)))
    disk = Disk(room=one * 2 + 10)
    log = PredictionLog(disk, flush_seconds=0.01, flush_records=10_000)
    for number in range(5):
        log.append(record(number))
    until(lambda: log.counts.failed)
    log.append(record(5))
    until(lambda: log.counts.failed + log.counts.written == 6)
    disk.room = 10_000
    log.append(record(6))
    log.close()
    counts = log.counts
    assert counts.written + counts.failed == counts.taken == 7
    assert "no space" in counts.last_error
    whole = [line for data in disk.made for line in bytes(data).split(b"\n")[:-1]]
    assert len(whole) == counts.written
    assert orjson.loads(whole[-1])["prediction_id"] == "p6"
    assert len([data for data in disk.made if data and not data.endswith(b"\n")]) == 1


def test_a_torn_last_line_is_skipped_and_counted(write, reader, record, day, tmp_path):
    write(record(1), record(2, predicted_at=day(1)))
    (path,) = segments(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    counts = ReadCounts()
    assert [found["prediction_id"] for found in reader.records(counts=counts)] == ["p1"]
    assert (counts.torn, counts.damaged) == (1, 0)


def test_a_damaged_line_and_an_unknown_layout_are_skipped_and_counted(write, reader, record, tmp_path):
    write(record(1))
    (path,) = segments(tmp_path)
    other = {"schema": 99, "prediction_id": "x", "predicted_at": "2026-01-01T00:00:00.000000Z", "model": "m"}
    path.write_bytes(path.read_bytes() + b"\x00\x00\n[1]\n" + orjson.dumps(other) + b"\n")
    counts = ReadCounts()
    assert len(list(reader.records(counts=counts))) == 1
    assert (counts.damaged, counts.unknown_schema) == (2, 1)


KILLED = textwrap.dedent(
    """
    import pathlib, sys, time
    from datetime import datetime, timezone
    from stackwright_journal.predictions import PredictionLog

    log = PredictionLog(pathlib.Path(sys.argv[1]), flush_seconds=0.1, flush_records=200)
    number = 0
    while True:
        now = datetime.now(timezone.utc)
        log.append({"prediction_id": str(number), "model": "m", "version": 1, "asked_at": now, "predicted_at": now,
                    "features": {"text": "x" * 300}})
        number += 1
        if number % 50 == 0:
            print(number, log.counts.written, flush=True)
            time.sleep(0.002)
    """
)


def test_a_killed_process_loses_no_more_than_was_waiting(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    told = [child.stdout.readline().split() for _ in range(100)]
    while told[-1][1] == "0":
        told.append(child.stdout.readline().split())
    os.kill(child.pid, signal.SIGKILL)
    rest, _ = child.communicate()
    last_written = int((rest.splitlines()[-1] if rest.splitlines() else " ".join(told[-1])).split()[1])
    counts = ReadCounts()
    found = [
        int(item["prediction_id"]) for item in PredictionReader(open_storage(str(tmp_path))).records(counts=counts)
    ]
    assert found == list(range(len(found)))
    assert len(found) >= last_written > 0
    assert counts.damaged == 0
    assert counts.torn <= 1


def rows(day, n=2, **more):
    at = day(1)
    features = FeatureRows(
        names=("area", "zip"),
        columns={"area": np.array([70.0, np.nan])[:n], "zip": np.array(["98178", None], dtype=object)[:n]},
        statuses={"area": np.array([0, 2])[:n], "zip": np.array([0, 3])[:n]},
        events={"home@1": np.array(["2026-01-01T12:00:00", "NaT"], dtype="datetime64[us]")[:n]},
        watermarks={"home@1": Watermark(3, at)},
        at=at,
    )
    given = {
        "prediction_ids": ["a", "b"][:n],
        "prediction": np.array([1.0, 2.0])[:n],
        "lower": np.array([0.5, 1.5])[:n],
        "upper": np.array([1.5, 2.5])[:n],
        "model": "avm",
        "version": 3,
        "digest": "sha256:0",
        "blueprint": "b0",
        "request_ids": ["r1", "r2"][:n],
        "predicted_at": day(2),
        "keys": {"listing_id": [7, 8][:n]},
        "request": {"asking": np.array([5.0, 6.0])[:n]},
        "features": features,
        "fallbacks": {1: ("default",)},
    }
    return PredictionRows(**{**given, **more})


TIMES = np.full(300, np.datetime64("2026-01-01", "us"))


def many(day, n, **more):
    given = {"prediction_ids": [f"p{row}" for row in range(n)], "prediction": np.arange(n) / 7}
    return PredictionRows(**{**given, "model": "avm", "version": 1, "predicted_at": day(1), **more})


def test_the_rows_of_a_scoring_become_a_record_each(write, reader, day):
    counts = write(rows(day))
    one, two = reader.records()
    assert counts.taken == counts.written == 2
    assert one == {
        "schema": 1,
        "prediction_id": "a",
        "request_id": "r1",
        "model": "avm",
        "version": 3,
        "digest": "sha256:0",
        "blueprint": "b0",
        "arm": "live",
        "asked_at": "2026-01-02T00:00:00.000000Z",
        "predicted_at": "2026-01-03T00:00:00.000000Z",
        "watermarks": {"home@1": {"position": 3, "due": "2026-01-02T00:00:00.000000Z"}},
        "keys": {"listing_id": 7},
        "request": {"asking": 5.0},
        "features": {"area": 70.0, "zip": "98178"},
        "statuses": {},
        "ages": {"home@1": 43200.0},
        "prediction": 1.0,
        "lower": 0.5,
        "upper": 1.5,
        "fallbacks": [],
    }
    assert two["request_id"] == "r2"
    assert two["features"] == {"area": None, "zip": None}
    assert two["statuses"] == {"area": 2, "zip": 3}
    assert two["ages"] == {"home@1": None}
    assert two["fallbacks"] == ["default"]


@pytest.mark.parametrize("row", [0, 1])
def test_a_row_that_comes_alone_is_written_as_it_is_among_others(day, row):
    both = rows(
        day,
        outputs={"within_30": np.array([0.25, np.nan])},
        keys={"listing_id": [7, 8], "place": np.array([[1, 2], [3, 4]])},
    )
    read, one = both.features, slice(row, row + 1)
    alone = replace(
        both,
        **{
            name: getattr(both, name)[one] for name in ("prediction_ids", "request_ids", "prediction", "lower", "upper")
        },
        **{
            name: {key: column[one] for key, column in getattr(both, name).items()}
            for name in ("keys", "request", "outputs")
        },
        fallbacks={number - row: said for number, said in both.fallbacks.items()},
        features=replace(
            read,
            **{
                name: {key: column[one] for key, column in getattr(read, name).items()}
                for name in ("columns", "statuses", "events")
            },
        ),
    )
    (record,) = written(alone)
    assert record == written(both)[row]


COLUMNS = st.sampled_from(
    [
        lambda n: np.linspace(-1, 1e300, n),
        lambda n: np.where(np.arange(n) % 3, np.pi, np.nan),
        lambda n: np.linspace(0, 1, n, dtype=np.float32),
        lambda n: np.arange(n) - 2**62,
        lambda n: np.arange(n, dtype=np.int16),
        lambda n: np.arange(n) % 2 == 0,
        lambda n: np.arange(2 * n, dtype=np.float64)[::2],
        lambda n: np.arange(2.0 * n).reshape(n, 2),
        lambda n: np.array(["98178", None, 3, b"\x00\xff"] * n, dtype=object)[:n],
        lambda n: np.datetime64("2026-01-01", "us") + np.arange(n),
        lambda n: [Decimal(row) for row in range(n)],
        range,
    ]
)
NAMED = st.dictionaries(st.sampled_from("abc"), COLUMNS, max_size=3)


@settings(deadline=None)
@given(
    n=st.sampled_from([2, 3, 127, 128, 129, 300]),
    named=st.fixed_dictionaries(dict.fromkeys(("keys", "request", "outputs", "columns"), NAMED)),
    bare=st.booleans(),
    shared=st.booleans(),
    odd=st.sets(st.integers(0, 299)),
)
def test_rows_that_are_written_together_are_read_as_if_each_was_written_alone(n, named, bare, shared, odd):
    now = datetime(2026, 1, 2, tzinfo=UTC)
    given = {name: {column: of(n) for column, of in columns.items()} for name, columns in named.items()}
    read = FeatureRows(
        names=("area", "zip"),
        columns=given["columns"],
        statuses={"area": np.isin(np.arange(n), list(odd)) * 2, "zip": np.zeros(n, np.int8)},
        events={"home@1": np.datetime64("2026-01-01", "us") + np.where(np.arange(n) % 2, np.timedelta64("NaT"), 7)},
        watermarks={"home@1": Watermark(3, now)},
        at=now,
    )

    def some(begin, end):
        part = slice(begin, end)
        cut = {name: {column: values[part] for column, values in columns.items()} for name, columns in given.items()}
        features = replace(
            read,
            columns=cut["columns"],
            statuses={name: codes[part] for name, codes in read.statuses.items()},
            events={view: times[part] for view, times in read.events.items()},
        )
        return PredictionRows(
            prediction_ids=[f"p{row}" for row in range(n)][part],
            prediction=np.arange(n)[part] / 7,
            request_ids=[] if bare else [f"r{row // n if shared else row // 2}" for row in range(n)][part],
            model="avm",
            version=1,
            predicted_at=now + timedelta(days=1),
            features=None if bare else features,
            fallbacks={row - begin: ("default",) for row in odd if begin <= row < end},
            **({} if bare else {"upper": np.where(np.arange(n) % 5, 1.0, np.nan)[part]}),
            **cut,
        )

    assert written(some(0, n)) == [record for row in range(n) for record in written(some(row, row + 1))]


def test_a_row_that_has_no_json_form_is_rejected_by_itself(write, reader, day):
    ids = [f"p{number}" for number in range(300)]
    odd = [object() if number in (0, 130, 299) else number for number in range(300)]
    counts = write(
        PredictionRows(
            prediction_ids=ids,
            prediction=np.zeros(300),
            keys={"listing_id": odd},
            model="avm",
            version=1,
            predicted_at=day(1),
        )
    )
    assert (counts.taken, counts.written, counts.rejected) == (300, 297, 3)
    assert "not JSON serializable: object" in counts.last_error
    assert {record["prediction_id"] for record in reader.records()} == set(ids) - {"p0", "p130", "p299"}


def test_a_line_holds_no_more_predictions_than_a_torn_one_may_cost(day):
    lines = list(many(day, 300).lines())
    assert [line.predictions for line in lines] == [128, 128, 44]
    assert not list(many(day, 0).lines())


@pytest.mark.parametrize("n", [2, 300])
@pytest.mark.parametrize(
    "short", ["keys", "request", "outputs", "lower", "request_ids", "columns", "statuses", "events"]
)
def test_rows_of_which_anything_has_another_length_are_rejected_whole(write, reader, day, n, short):
    read = {"columns": {"area": np.zeros(n)}, "statuses": {"area": np.zeros(n, int)}, "events": {"home@1": TIMES[:n]}}
    if short in read:
        read[short] = {name: values[:-1] for name, values in read[short].items()}
        more = {"features": FeatureRows(names=("area",), at=day(1), **read)}
    elif short in ("lower", "request_ids"):
        more = {short: ["x"] * (n - 1)}
    else:
        more = {short: {"x": [1] * (n - 1)}}
    counts = write(many(day, n, **more))
    assert (counts.taken, counts.rejected, counts.written) == (n, n, 0)
    assert list(reader.records()) == []


def test_a_segment_holds_no_more_predictions_than_a_reader_can_hold(write, reader, tmp_path, day):
    write(many(day, 1000), rotate_rows=300)
    held = [len(list(records_of(path.read_bytes(), ReadCounts()))) for path in segments(tmp_path)]
    assert held == [256, 256, 256, 232]
    assert len(reader.read().table) == 1000


def test_one_prediction_among_many_is_found_by_its_id(write, reader, day):
    write(many(day, 300))
    assert reader.find("p299")["prediction_id"] == "p299"
    assert reader.find("p300") is None


def test_some_are_drawn_from_everywhere_and_no_more_than_asked_for(write, reader, day):
    write(many(day, 12_800))
    found = [int(record["prediction_id"][1:]) for record in reader.some(100, model="avm")]
    assert len(found) == len(set(found)) == 100
    assert found == sorted(found)
    assert np.bincount(np.array(found) // 1_280, minlength=10).min() > 0


def test_what_no_disk_says_costs_records_and_not_the_writer(tmp_path, day):
    class Odd(Disk):
        def create(self, name):
            raise MemoryError("no room")

    log = PredictionLog(Odd(0), flush_seconds=0.01)
    log.append(many(day, 200))
    until(lambda: log.counts.failed == 200)
    log.append(many(day, 3))
    log.close()
    assert (log.counts.taken, log.counts.failed) == (203, 203)
    assert "no room" in log.counts.last_error


def test_rows_that_fail_midway_are_counted_once(tmp_path, day):
    class Failing:
        predicted_at = day(1)

        def __len__(self):
            return 5

        def lines(self):
            yield next(many(day, 2).lines())
            raise RuntimeError("gone")

    with PredictionLog(tmp_path) as log:
        log.append(Failing())
    assert (log.counts.taken, log.counts.written, log.counts.rejected) == (5, 2, 3)


def test_a_disk_that_is_full_at_the_end_of_a_line_has_that_line(day):
    block = rows(day)
    (line,) = block.lines()
    with PredictionLog(Disk(room=2 * len(line.data)), flush_seconds=60) as log:
        for _ in range(3):
            log.append(block)
    assert (log.counts.written, log.counts.failed) == (4, 2)


def test_rows_of_one_answer_take_little_more_than_their_values(write, tmp_path, day):
    names = [f"a_feature_of_a_long_name_{number}" for number in range(40)]
    write(
        PredictionRows(
            prediction_ids=[f"p{number}" for number in range(500)],
            prediction=np.zeros(500),
            columns={name: np.zeros(500) for name in names},
            model="avm",
            version=1,
            predicted_at=day(1),
        )
    )
    assert sum(path.stat().st_size for path in segments(tmp_path)) < 2 * len(b"0.0,") * 500 * 41


@pytest.mark.parametrize(
    "damage",
    [
        lambda block: block["features"]["area"].pop(),
        lambda block: block["prediction_id"].pop(),
        lambda block: block.pop("model"),
        lambda block: block.update(keys=None),
        lambda block: block.update(fallbacks=[]),
        lambda block: block.update(prediction=3.0),
    ],
)
def test_a_block_that_does_not_fit_together_is_passed_over_whole_and_counted(write, reader, tmp_path, day, damage):
    write(rows(day))
    (path,) = segments(tmp_path)
    block = orjson.loads(path.read_bytes())
    damage(block)
    path.write_bytes(orjson.dumps(block) + b"\n")
    counts = ReadCounts()
    assert list(reader.records(counts=counts)) == []
    assert (counts.damaged, counts.torn, counts.unknown_schema) == (1, 0, 0)


def test_a_full_disk_in_the_middle_of_a_block_costs_all_of_it_and_nothing_before(day):
    block = rows(day)
    (line,) = block.lines()
    disk = Disk(room=2 * len(line.data) + 30)
    with PredictionLog(disk, flush_seconds=60) as log:
        for _ in range(3):
            log.append(block)
    assert (log.counts.written, log.counts.failed) == (4, 2)


def test_callers_may_bring_the_features_themselves(write, reader, day):
    write(rows(day, features=None, columns={"area": np.array([1.0, 2.0])}, lower=None, upper=None))
    one, _ = reader.records()
    assert one["features"] == {"area": 1.0}
    assert one["asked_at"] == one["predicted_at"]
    assert "lower" not in one


def test_rows_with_a_column_of_another_length_are_rejected_whole(write, reader, day):
    counts = write(rows(day, keys={"listing_id": [7]}))
    assert counts.rejected == 2
    assert "1 rows, there are 2" in counts.last_error


@pytest.mark.parametrize("column", [[7, 8], np.array([7, 8]), []])
def test_a_row_alone_with_a_column_of_another_length_is_rejected(write, day, column):
    counts = write(rows(day, n=1, keys={"listing_id": column}))
    assert counts.rejected == 1
    assert f"'listing_id' has {len(column)} rows, there are 1" in counts.last_error


def test_all_rows_of_a_scoring_are_taken_or_none(tmp_path, day):
    with PredictionLog(tmp_path, limit=3, flush_seconds=60) as log:
        assert log.append(rows(day))
        assert not log.append(rows(day))
        assert log.append(rows(day, n=1))
    assert log.counts.dropped == 2


def test_predictions_are_read_as_a_table_with_the_keys_and_features_asked_for(write, reader, record):
    write(
        record(1, keys={"listing_id": 4, "agent": "x"}, features={"area": 3, "old": True, "zip": "98178"}, upper=5),
        record(0, keys={"listing_id": "wrong"}, features={"area": "wrong", "zip": 9}),
    )
    keys = (Field("listing_id", INT64), Field("agent", STRING))
    features = (Field("area", FLOAT64), Field("old", BOOL), Field("zip", STRING), Field("absent", FLOAT64))
    table = reader.read(keys=keys, features=features).table
    assert table.column("prediction_id").to_pylist() == ["p0", "p1"]
    assert table.column("key.listing_id").to_pylist() == [None, 4]
    assert table.column("key.agent").to_pylist() == [None, "x"]
    assert table.column("feature.area").to_pylist() == [None, 3.0]
    assert table.column("feature.old").to_pylist() == [None, 1.0]
    assert table.column("feature.zip").to_pylist() == [None, "98178"]
    assert table.column("feature.absent").to_pylist() == [None, None]
    assert table.column("upper").to_pylist() == [None, 5.0]


def test_keys_of_bytes_come_back_as_bytes(write, reader, record):
    write(record(1, keys={"id": b"\x00\xff"}))
    assert reader.read(keys=[Field("id", BYTES)]).table.column("key.id").to_pylist() == [b"\x00\xff"]


def test_predictions_are_read_by_model_and_time(write, reader, record, day):
    write(*(record(number, model="avm" if number % 2 else "other") for number in range(10)))
    table = reader.read(model="avm", start=day(3), end=day(7)).table
    assert table.column("prediction_id").to_pylist() == ["p3", "p5"]


def test_segments_of_other_days_are_not_opened(write, reader, record, day):
    write(*(record(number) for number in (0, 50, 51, 100)))
    assert reader.read(start=day(50), end=day(51)).counts.segments == 2


def test_of_two_records_with_one_id_the_first_counts(write, reader, record):
    write(record(1, prediction=1.0), record(1, prediction=2.0))
    read = reader.read()
    assert read.table.column("prediction").to_pylist() == [1.0]
    assert read.counts.duplicates == 1


def test_a_reader_that_reads_again_passes_over_the_doubles_that_came_meanwhile(write, reader, storage, record):
    def read():
        counts = ReadCounts()
        tables = [batch.table for batch in reader.batches(Wanted(base=("prediction",)), counts=counts)]
        return sorted(value for table in tables for value in table.column("prediction").to_pylist()), counts.duplicates

    write(record(1, prediction=1.0), record(2, prediction=2.0), record(1, prediction=9.0))
    assert read() == read() == ([1.0, 2.0], 1)
    write(record(3, prediction=3.0), record(2, prediction=9.0))
    assert read() == ([1.0, 2.0, 3.0], 2)
    sealing.seal_all(storage, today="2027-01-01")
    assert read() == read() == ([1.0, 2.0, 3.0], 2)


def test_statuses_are_tallied_by_name(write, reader, record):
    write(record(1, statuses={"area": 3}), record(2, statuses={"area": 3, "zip": 2}), record(3))
    assert reader.read().statuses == {"area": {"EXPIRED": 2}, "zip": {"NOT_FOUND": 1}}


def test_an_empty_journal_reads_as_an_empty_table(reader):
    read = reader.read(keys=[Field("listing_id", INT64)])
    assert read.table.num_rows == 0
    assert "key.listing_id" in read.table.column_names
    assert reader.find("p1") is None


def test_one_prediction_is_found_by_its_id(write, reader, record):
    write(record(1, request_id="p2"), record(2, prediction=7.0))
    assert reader.find("p2")["prediction"] == 7.0
    assert reader.find("p3") is None


def test_the_log_keeps_up_with_thousands_of_records_a_second(tmp_path, record):
    given = record(1, features={f"feature_{number}": number / 7 for number in range(30)})
    start = time.process_time()
    with PredictionLog(tmp_path, limit=20_000) as log:
        for _ in range(10_000):
            log.append(given)
    spent = time.process_time() - start
    assert log.counts.written == 10_000
    assert 10_000 / spent > 5_000
