"""Predictions on a storage that takes whole objects: spooled here, shipped when closed, read from both places."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from stackwright_interfaces.errors import StorageError
from stackwright_interfaces.testing.crashes import crashes
from stackwright_journal.places import open_reader, open_segments, spool_of
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.reading import PredictionReader, ReadCounts
from stackwright_journal.segments import FolderSegments
from stackwright_journal.spool import SpooledSegments, ship
from stackwright_storage import FileStorage, open_storage


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ids(reader, **options):
    return [found["prediction_id"] for found in reader.records(**options)]


def waiting(spool):
    return sorted(path.name for path in spool.rglob("*.jsonl"))


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def away(tmp_path):
    """Stands for a storage that is far away."""
    return FileStorage(tmp_path / "away")


@pytest.fixture
def both(away, spool):
    return PredictionReader(away, spool=FileStorage(spool))


class Refusing(FileStorage):
    """A storage that can be told to refuse."""

    refuses = True

    def put_if_absent(self, key, data):
        if self.refuses:
            raise StorageError("s3://bucket", "S3 cannot be reached")
        return super().put_if_absent(key, data)


def test_predictions_written_to_s3_are_read_from_there_on_any_machine(s3, spool, tmp_path, record):
    url = s3()
    with PredictionLog(open_segments(url, spool=spool)) as log:
        for number in range(3):
            log.append(record(number))
    assert waiting(spool) == []
    elsewhere = open_reader(url, spool=tmp_path / "another machine")
    assert ids(elsewhere) == ["p0", "p1", "p2"]
    assert elsewhere.find("p1")["prediction"] == 100.0
    elsewhere.close()


def test_a_journal_in_a_folder_is_written_where_it_is_read(tmp_path, spool, record):
    for url in (str(tmp_path / "journal"), (tmp_path / "journal").as_uri()):
        assert isinstance(open_segments(url, spool=spool), FolderSegments)
    with PredictionLog(open_segments(str(tmp_path / "journal"), spool=spool)) as log:
        log.append(record(1))
    assert ids(open_reader(str(tmp_path / "journal"), spool=spool)) == ["p1"]
    assert not spool.exists()


def test_what_is_not_shipped_yet_is_read_from_the_spool(away, both, spool, record):
    with PredictionLog(SpooledSegments(spool, away), flush_seconds=0.02) as log:
        log.append(record(1))
        until(lambda: log.counts.written == 1)
        assert list(away.list()) == []
        assert ids(both) == ["p1"]
        assert both.find("p1")
    assert ids(both) == ids(PredictionReader(away)) == ["p1"]


def test_a_segment_is_shipped_when_it_is_old_though_nothing_more_is_written(away, spool, record):
    segments = SpooledSegments(spool, away, rotate_seconds=0.1)
    with PredictionLog(segments, flush_seconds=0.02) as log:
        log.append(record(1))
        until(lambda: list(away.list()))
        log.append(record(2, predicted_at=record(1)["predicted_at"]))
        until(lambda: len(list(away.list())) == 2)
    assert ids(PredictionReader(away)) == ["p1", "p2"]
    assert (segments.counts.segments, segments.counts.failures) == (2, 0)


def test_a_segment_keeps_its_name_so_that_both_places_are_laid_out_alike(away, spool, record):
    storage = Refusing(away.folder)
    with PredictionLog(SpooledSegments(spool, storage)) as log:
        log.append(record(1))
    (path,) = spool.rglob("*.jsonl")
    content = path.read_bytes()
    storage.refuses = False
    list(ship(spool, storage))
    assert away.get(path.relative_to(spool).as_posix()).data == content


def test_appending_does_not_notice_that_the_storage_is_away(away, both, spool, record, caplog):
    caplog.set_level(logging.WARNING, "stackwright.journal")
    storage = Refusing(away.folder)
    segments = SpooledSegments(spool, storage, rotate_seconds=0.05)
    with PredictionLog(segments, flush_seconds=0.02) as log:
        log.append(record(1))
        until(lambda: segments.counts.failures)
        assert "S3 cannot be reached" in segments.counts.last_error
        until(lambda: "S3 cannot be reached" in caplog.text)
        assert log.counts.failed == 0
        assert ids(both) == ["p1"]
        storage.refuses = False
        until(lambda: list(away.list()))
    assert waiting(spool) == []


def test_what_could_not_be_shipped_is_shipped_by_whoever_comes_next(away, spool, record):
    with PredictionLog(SpooledSegments(spool, Refusing(away.folder))) as log:
        log.append(record(1))
    assert len(waiting(spool)) == 1
    PredictionLog(SpooledSegments(spool, away)).close()
    assert waiting(spool) == []
    assert ids(PredictionReader(away)) == ["p1"]


def test_closing_does_not_wait_for_ever_for_a_storage_that_hangs(spool, away, record):
    class Hanging(FileStorage):
        def put_if_absent(self, key, data):
            time.sleep(3)
            return super().put_if_absent(key, data)

    log = PredictionLog(SpooledSegments(spool, Hanging(away.folder), close_seconds=0.1))
    log.append(record(1))
    start = time.monotonic()
    log.close()
    assert time.monotonic() - start < 2
    assert len(waiting(spool)) == 1


def test_a_segment_that_is_being_written_is_left_alone_by_other_processes(spool, away, record):
    with PredictionLog(SpooledSegments(spool, Refusing(away.folder)), flush_seconds=0.02) as log:
        log.append(record(1))
        until(lambda: log.counts.written == 1)
        command = (
            "import sys; from pathlib import Path;"
            "from stackwright_journal.spool import ship; from stackwright_storage import open_storage;"
            "print(list(ship(Path(sys.argv[1]), open_storage(sys.argv[2]))))"
        )
        told = subprocess.check_output([sys.executable, "-c", command, str(spool), str(away.folder)])
        assert told == b"[]\n"
    assert list(away.list()) == []


def test_an_empty_segment_is_kept_for_an_hour_because_somebody_may_be_about_to_use_it(spool, away):
    young, old = (spool / "predictions/2026-01-01" / name for name in ("young.jsonl", "old.jsonl"))
    young.parent.mkdir(parents=True)
    for path in (young, old):
        path.touch()
    os.utime(old, (time.time() - 4000,) * 2)
    assert list(ship(spool, away)) == []
    assert waiting(spool) == ["young.jsonl"]


def test_a_shipping_that_is_killed_loses_nothing_and_ships_nothing_twice(tmp_path, record):
    line = b'{"schema":1,"prediction_id":"p","predicted_at":"2026-01-01T00:00:00.000000Z","model":"m"}\n'

    def prepare(name):
        for number in range(2):
            path = tmp_path / name / f"spool/predictions/2026-01-01/{number}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(line * (number + 1))

    def work(name):
        list(ship(tmp_path / name / "spool", FileStorage(tmp_path / name / "away")))

    for name in crashes(work, prepare=prepare, at_most=25):
        spool, away = tmp_path / name / "spool", FileStorage(tmp_path / name / "away")
        counts = ReadCounts()
        assert len(ids(PredictionReader(away, spool=FileStorage(spool)), counts=counts)) == 3
        assert (counts.segments, counts.torn) == (2, 0)
        list(ship(spool, away))
        assert waiting(spool) == []
        assert len(ids(PredictionReader(away))) == 3


def test_a_segment_that_lost_its_end_after_it_was_shipped_does_not_stay(spool, away):
    path = spool / "predictions/2026-01-01/a.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one\n")
    away.put_if_absent("predictions/2026-01-01/a.jsonl", b"one\ntwo\n")
    assert list(ship(spool, away)) == [4]
    assert away.get("predictions/2026-01-01/a.jsonl").data == b"one\ntwo\n"


def test_a_segment_of_another_journal_is_never_taken_for_ones_own(spool, away):
    path = spool / "predictions/2026-01-01/a.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one\n")
    away.put_if_absent("predictions/2026-01-01/a.jsonl", b"other\n")
    with pytest.raises(StorageError, match="another segment of this name"):
        list(ship(spool, away))
    assert waiting(spool) == ["a.jsonl"]


def test_journals_do_not_mix_in_a_spool(tmp_path):
    one, two = (spool_of(f"s3://bucket/{name}", tmp_path) for name in ("a-b", "a/b"))
    assert one != two
    assert spool_of("s3://bucket/a-b/?region=eu-west-1", tmp_path) == one


KILLED = textwrap.dedent(
    """
    import pathlib, sys, time
    from datetime import datetime, timezone
    from stackwright_journal.places import open_segments
    from stackwright_journal.predictions import PredictionLog

    segments = open_segments(sys.argv[1], spool=pathlib.Path(sys.argv[2]), rotate_seconds=0.3)
    log = PredictionLog(segments, flush_seconds=0.05)
    number = 0
    while True:
        now = datetime.now(timezone.utc)
        log.append({"prediction_id": f"{number:06}", "model": "m", "version": 1, "asked_at": now, "predicted_at": now})
        number += 1
        if number % 50 == 0:
            print(log.counts.written, segments.counts.segments, flush=True)
            time.sleep(0.01)
    """
)


def test_what_a_killed_process_wrote_is_shipped_to_s3_by_the_next(s3, spool, tmp_path):
    url = s3()
    child = subprocess.Popen([sys.executable, "-c", KILLED, url, str(spool)], stdout=subprocess.PIPE, text=True)
    written, shipped = 0, 0
    while shipped < 2:
        written, shipped = map(int, child.stdout.readline().split())
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    here = ids(open_reader(url, spool=spool))
    assert sorted(here) == [f"{number:06}" for number in range(len(here))]
    assert len(here) >= written > 0
    PredictionLog(open_segments(url, spool=spool)).close()
    assert waiting(spool) == []
    assert sorted(ids(open_reader(url, spool=tmp_path / "elsewhere"))) == sorted(here)


def test_writers_share_a_spool_and_ship_each_segment_once(s3, spool, tmp_path, record):
    url = s3()
    logs = [PredictionLog(open_segments(url, spool=spool)) for _ in range(4)]
    for number, log in enumerate(logs):
        log.append(record(number))
    for log in logs:
        log.close()
    counts = ReadCounts()
    assert sorted(ids(open_reader(url, spool=tmp_path / "elsewhere"), counts=counts)) == ["p0", "p1", "p2", "p3"]
    assert counts.segments == 4


def test_many_segments_of_a_storage_that_is_far_away_are_fetched_several_at_once(away, spool, record):
    class Slow(FileStorage):
        def get(self, key):
            time.sleep(0.05)
            return super().get(key)

    for number in range(16):
        with PredictionLog(away.folder) as log:
            log.append(record(number))
    start = time.monotonic()
    assert ids(PredictionReader(Slow(away.folder))) == [f"p{number}" for number in range(16)]
    assert time.monotonic() - start < 16 * 0.05


def test_a_spool_that_is_shipped_while_it_is_read_is_read_whole(away, spool, record):
    class Shipping(FileStorage):
        """Ships the whole spool after it was listed."""

        def list(self, prefix=""):
            keys = list(super().list(prefix))
            for _ in ship(spool, away):
                pass
            return iter(keys)

    refusing = Refusing(away.folder)
    with PredictionLog(SpooledSegments(spool, refusing)) as log:
        log.append(record(1))
    assert ids(PredictionReader(away, spool=Shipping(spool))) == ["p1"]
    assert open_storage(str(spool)).folder == spool
