"""Reading the prediction log: records, tables and single predictions, and what is passed over."""

import numpy as np
import orjson

from stackwright_interfaces.types import BOOL, BYTES, FLOAT64, INT64, STRING, Field
from stackwright_journal import sealing
from stackwright_journal.reading import ReadCounts
from stackwright_journal.tabulating import Wanted


def test_a_torn_last_line_is_skipped_and_counted(write, reader, record, day, segments):
    write(record(1), record(2, predicted_at=day(1)))
    (path,) = segments()
    path.write_bytes(path.read_bytes()[:-20])
    counts = ReadCounts()
    assert [found["prediction_id"] for found in reader.records(counts=counts)] == ["p1"]
    assert (counts.torn, counts.damaged) == (1, 0)


def test_a_damaged_line_and_an_unknown_layout_are_skipped_and_counted(write, reader, record, segments):
    write(record(1))
    (path,) = segments()
    other = {"schema": 99, "prediction_id": "x", "predicted_at": "2026-01-01T00:00:00.000000Z", "model": "m"}
    path.write_bytes(path.read_bytes() + b"\x00\x00\n[1]\n" + orjson.dumps(other) + b"\n")
    counts = ReadCounts()
    assert len(list(reader.records(counts=counts))) == 1
    assert (counts.damaged, counts.unknown_schema) == (2, 1)


def test_one_prediction_among_many_is_found_by_its_id(write, reader, many):
    write(many(300))
    assert reader.find("p299")["prediction_id"] == "p299"
    assert reader.find("p300") is None


def test_some_are_drawn_from_everywhere_and_no_more_than_asked_for(write, reader, many):
    write(many(12_800))
    found = [int(record["prediction_id"][1:]) for record in reader.some(100, model="avm")]
    assert len(found) == len(set(found)) == 100
    assert found == sorted(found)
    assert np.bincount(np.array(found) // 1_280, minlength=10).min() > 0


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
