"""The writer of the prediction log: never in the way, never torn but at the end, and what is lost is counted."""

import errno
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import orjson
import pytest

from stackwright_interfaces.feature_store import Watermark
from stackwright_journal.lines import records_of
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.reading import PredictionReader, ReadCounts
from stackwright_journal.records import encode, rfc3339
from stackwright_storage import open_storage


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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


def test_a_segment_is_begun_when_the_last_is_full(write, reader, record, day, segments):
    one = len(encode(record(0)))
    write(*(record(number, predicted_at=day(0)) for number in range(10)), rotate_bytes=3 * one + 2)
    sizes = [path.stat().st_size for path in segments()]
    assert len(sizes) == 4
    assert max(sizes) <= 3 * one + 2
    assert len(list(reader.records())) == 10


def test_a_record_larger_than_a_segment_is_written_alone(write, record, segments):
    write(record(1), record(1, features={"text": "x" * 500}), record(1), rotate_bytes=400)
    assert len(segments()) == 3


def test_each_day_of_predictions_has_segments_of_its_own(write, record, segments):
    write(record(1), record(0), record(1), record(0))
    assert [path.parent.name for path in segments()] == ["2026-01-01", "2026-01-02"]
    assert [len(path.read_bytes().splitlines()) for path in segments()] == [2, 2]


def test_days_that_come_in_turn_make_no_segment_for_every_turn(write, reader, record, day, segments):
    features = {f"feature_{number}": number / 7 for number in range(100)}
    given = [record(number, predicted_at=day(number % 2), features=features) for number in range(400)]
    assert write(*given, flush_seconds=60, flush_records=1000).written == 400
    assert len(segments()) <= 3
    assert len(list(reader.records())) == 400


def test_writers_of_many_processes_never_share_a_segment(tmp_path, reader, record, day, segments):
    logs = [PredictionLog(tmp_path, clock=lambda: day(0)) for _ in range(5)]
    for number, log in enumerate(logs):
        log.append(record(number))
    for log in logs:
        log.close()
    assert len(segments()) == 5
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


def test_a_segment_holds_no_more_predictions_than_a_reader_can_hold(write, reader, segments, many):
    write(many(1000), rotate_rows=300)
    held = [len(list(records_of(path.read_bytes(), ReadCounts()))) for path in segments()]
    assert held == [256, 256, 256, 232]
    assert len(reader.read().table) == 1000


def test_what_no_disk_says_costs_records_and_not_the_writer(tmp_path, many):
    class Odd(Disk):
        def create(self, name):
            raise MemoryError("no room")

    log = PredictionLog(Odd(0), flush_seconds=0.01)
    log.append(many(200))
    until(lambda: log.counts.failed == 200)
    log.append(many(3))
    log.close()
    assert (log.counts.taken, log.counts.failed) == (203, 203)
    assert "no room" in log.counts.last_error


def test_rows_that_fail_midway_are_counted_once(tmp_path, day, many):
    class Failing:
        predicted_at = day(1)

        def __len__(self):
            return 5

        def lines(self):
            yield next(many(2).lines())
            raise RuntimeError("gone")

    with PredictionLog(tmp_path) as log:
        log.append(Failing())
    assert (log.counts.taken, log.counts.written, log.counts.rejected) == (5, 2, 3)


def test_a_disk_that_is_full_at_the_end_of_a_line_has_that_line(many):
    block = many(2)
    (line,) = block.lines()
    with PredictionLog(Disk(room=2 * len(line.data)), flush_seconds=60) as log:
        for _ in range(3):
            log.append(block)
    assert (log.counts.written, log.counts.failed) == (4, 2)


def test_a_full_disk_in_the_middle_of_a_block_costs_all_of_it_and_nothing_before(many):
    block = many(2)
    (line,) = block.lines()
    disk = Disk(room=2 * len(line.data) + 30)
    with PredictionLog(disk, flush_seconds=60) as log:
        for _ in range(3):
            log.append(block)
    assert (log.counts.written, log.counts.failed) == (4, 2)


def test_all_rows_of_a_scoring_are_taken_or_none(tmp_path, many):
    with PredictionLog(tmp_path, limit=3, flush_seconds=60) as log:
        assert log.append(many(2))
        assert not log.append(many(2))
        assert log.append(many(1))
    assert log.counts.dropped == 2


def test_the_log_keeps_up_with_thousands_of_records_a_second(tmp_path, record):
    given = record(1, features={f"feature_{number}": number / 7 for number in range(30)})
    start = time.process_time()
    with PredictionLog(tmp_path, limit=20_000) as log:
        for _ in range(10_000):
            log.append(given)
    spent = time.process_time() - start
    assert log.counts.written == 10_000
    assert 10_000 / spent > 5_000
