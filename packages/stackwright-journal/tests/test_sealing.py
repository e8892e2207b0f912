"""Seals: what is read of them is what the lines say, whoever seals, writes, dies or deletes meanwhile."""

import json
import threading

import pytest

from stackwright_interfaces.errors import StorageError
from stackwright_interfaces.storage import Storage
from stackwright_interfaces.types import BOOL, BYTES, FLOAT64, INT64, STRING, Field
from stackwright_journal import sealing
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.reading import PredictionReader, Span
from stackwright_journal.tabulating import Wanted

LATER = "2027-01-01"
KEYS = (Field("listing_id", INT64), Field("code", STRING), Field("blob", BYTES), Field("flag", BOOL))
FEATURES = (Field("area", FLOAT64), Field("zip", STRING), Field("new", BOOL), Field("absent", FLOAT64))


class Elsewhere(Storage):
    """A storage of whole objects, as S3 is one: nothing can be appended, sought or mapped."""

    def __init__(self, inner):
        self.inner = inner

    def get(self, key):
        return self.inner.get(key)

    def put_if_absent(self, key, data):
        return self.inner.put_if_absent(key, data)

    def put_if_match(self, key, data, tag):
        return self.inner.put_if_match(key, data, tag)

    def list(self, prefix=""):
        return self.inner.list(prefix)

    def delete(self, key):
        self.inner.delete(key)


@pytest.fixture
def some(record, day):
    """Records of odd and of plain values, ten a day."""

    def make(begin=0, end=40):
        return [
            record(
                number,
                asked_at=day(number / 10),
                predicted_at=day(number / 10),
                model="avm" if number % 3 else "rent",
                version=number % 2,
                keys={"listing_id": number, "code": f"c{number}", "blob": b"\x01\x02", "flag": number % 2 == 0},
                features={"area": 10.5 + number, "zip": "98178" if number % 2 else 7, "new": True, "old": None},
                statuses={"area": 2} if number % 5 == 0 else {},
                lower=1,
                upper=None,
                fallbacks=["default"] if number == 3 else [],
            )
            for number in range(begin, end)
        ]

    return make


def everything(reader, **span):
    found = reader.read(keys=KEYS, features=FEATURES, **span)
    return found.table.sort_by("prediction_id").to_pylist(), found.statuses


def test_what_is_read_of_seals_is_what_the_lines_say(storage, write, reader, some, day):
    write(*some(), rotate_bytes=1000)
    rows, statuses = everything(reader)
    assert sealing.seal_all(storage, today=LATER) == 40
    assert everything(reader) == (rows, statuses)
    assert {row["feature.zip"] for row in rows} == {"98178", None}
    inside = [row for row in rows if 7 <= int(row["prediction_id"][1:]) < 19]
    assert everything(reader, start=day(0.7), end=day(1.9))[0] == inside
    assert sealing.seal_all(storage, today=LATER) == 0


def test_lines_that_come_after_a_seal_are_read_from_their_segment(tmp_path, storage, reader, some):
    with PredictionLog(tmp_path, flush_records=1, flush_seconds=0.01) as log:
        first, second = some(1, 2), some(1, 3)[1:]
        second[0]["predicted_at"] = first[0]["predicted_at"]
        log.append(first[0])
        wait(lambda: log.counts.written == 1)
        assert sealing.seal_all(storage, today=LATER) == 1
        log.append(second[0])
        wait(lambda: log.counts.written == 2)
        assert [row["prediction_id"] for row in everything(reader)[0]] == ["p1", "p2"]
        assert sealing.seal_all(storage, today=LATER) == 1
    (_, one), (_, two) = sorted((seal.number, seal) for seal in sealing.seals(storage))
    ((begin, end),) = one.segments.values()
    assert (begin, next(iter(two.segments.values()))[0]) == (0, end)


def wait(done):
    for _ in range(500):
        if done():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came")


def test_few_new_lines_of_today_wait_and_those_of_earlier_days_do_not(storage, write, some):
    write(*some(9, 11))
    assert sealing.seal_all(storage, today="2026-01-02") == 1
    assert sealing.seal_all(storage, today="2026-01-02") == 0
    assert sealing.seal_all(storage, today="2026-01-02", least=1) == 1


def test_a_torn_line_stays_outside_and_is_counted_each_time(tmp_path, storage, write, reader, some):
    write(*some(0, 1))
    (segment,) = tmp_path.glob("predictions/*/*.jsonl")
    with segment.open("ab") as stream:
        stream.write(b'not json\n{"schema": 1, "prediction_')
    for _ in range(2):
        counts = reader.read().counts
        assert (counts.torn, counts.damaged, counts.segments) == (1, 1, 1)
        sealing.seal_all(storage, today=LATER)


def test_of_records_with_one_id_the_first_counts_wherever_they_lie(storage, write, reader, record):
    write(record(1, prediction=1.0), record(1, prediction=2.0), record(2))
    sealing.seal_all(storage, today=LATER)
    write(record(1, prediction=3.0))
    for _ in range(2):
        found = reader.read()
        assert found.table.column("prediction").to_pylist() == [1.0, 100.0]
        assert found.counts.duplicates == 2
        sealing.seal_all(storage, today=LATER)


def test_a_storage_of_whole_objects_is_sealed_and_read_alike(storage, write, some):
    write(*some())
    away = Elsewhere(storage)
    rows = everything(PredictionReader(away))
    assert sealing.seal_all(away, today=LATER) == 40
    assert sealing.seal_all(away, today=LATER) == 0
    assert everything(PredictionReader(away)) == rows


def test_many_that_seal_at_once_hold_each_line_once(tmp_path, storage, write, reader, some):
    write(*some(0, 40), rotate_bytes=1000)
    rows = everything(reader)
    threads = [threading.Thread(target=sealing.seal_all, args=(storage,), kwargs={"today": LATER}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seals = sealing.seals(storage)
    assert sum(item.rows for seal in seals for item in seal.files) == 40
    assert everything(reader) == rows
    assert everything(reader)[0]
    named = {item.key for seal in seals for item in seal.files}
    assert {key for key in storage.list("columns/") if key.endswith(".parquet")} == named


def test_a_seal_that_is_gone_or_not_understood_is_made_again(tmp_path, storage, write, reader, some):
    write(*some(0, 30))
    rows = everything(reader)
    sealing.seal_all(storage, today=LATER)
    first, second, third = sorted(tmp_path.glob("columns/*/*.json"))
    first.write_text("{")
    second.write_text(json.dumps({**json.loads(second.read_text()), "format": 99}))
    third.unlink()
    assert everything(reader) == rows


def test_a_damaged_file_is_named_with_the_way_out(tmp_path, storage, write, reader, some):
    write(*some(0, 1))
    sealing.seal_all(storage, today=LATER)
    (path,) = tmp_path.glob("columns/*/*.parquet")
    path.write_bytes(b"PAR1")
    with pytest.raises(StorageError, match=r"columns/.*parquet.*Delete the folder columns"):
        reader.read()


def test_files_outside_of_the_span_are_not_opened(tmp_path, storage, write, reader, some, day):
    write(*some(0, 20))
    sealing.seal_all(storage, today=LATER)
    for path in tmp_path.glob("columns/2026-01-02/*.parquet"):
        path.write_bytes(b"")
    wanted = Wanted(base=("prediction_id",))
    before = reader.batches(wanted, span=Span(end=day(0.9), time="asked_at"))
    assert sum(len(batch.table) for batch in before) == 9
    between = Span(start=day(0.91), end=day(1), time="predicted_at")
    assert not list(reader.batches(wanted, span=between))


def test_texts_may_come_as_dictionaries(storage, write, reader, some):
    write(*some())
    compact = Wanted((), FEATURES, base=("arm",), more=("identity", "fallbacks"), compact=True)
    plain = Wanted((), FEATURES, base=("arm",), more=("identity", "fallbacks"))
    for _ in range(2):
        small = [row for batch in reader.batches(compact) for row in batch.table.to_pylist()]
        full = [row for batch in reader.batches(plain) for row in batch.table.to_pylist()]
        assert small == full
        assert sum(row["fallbacks"] for row in full) == 1
        sealing.seal_all(storage, today=LATER)


def test_the_answer_of_a_ranking_is_read_with_places_and_propensities(storage, write, reader, record):
    items = [{"key": 7, "position": 1, "score": 2.5, "propensity": 0.9}, {"key": "b", "position": 2, "score": 1.0}]
    write(record(1, items=items, prediction=None))
    wanted = Wanted(base=("prediction_id",), more=("items",))
    for _ in range(2):
        ((row,),) = [batch.table.to_pylist() for batch in reader.batches(wanted)]
        assert row["items"] == [
            {"key": "7", "position": 1, "score": 2.5, "propensity": 0.9},
            {"key": "b", "position": 2, "score": 1.0, "propensity": None},
        ]
        sealing.seal_all(storage, today=LATER)
