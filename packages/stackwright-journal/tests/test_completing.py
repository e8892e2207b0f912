"""Labels that only name a prediction are completed from the prediction log."""

from dataclasses import replace

from stackwright_interfaces.definitions import Entity
from stackwright_interfaces.types import BYTES, Field
from stackwright_journal.completing import complete
from stackwright_journal.labels import LabelLog


def test_keys_asked_time_and_request_fields_come_from_the_named_prediction(
    write, reader, record, labels, target, table, label, day
):
    write(record(3, keys={"listing_id": 42}, request={"asking": 77.0}))
    named = {"prediction_id": "p3", "price": 5.0, "sold_at": day(8), "unsold": False}
    labels.ingest(table(named, {**named, "prediction_id": "lost"}), observed_at=day(9))
    labels.ingest(table(label(1)))
    rows = complete(labels.read(), reader, target).to_pylist()
    assert {(row["listing_id"], row["asked_at"], row["asking"], row["price"]) for row in rows} == {
        (42, day(3), 77.0, 5.0),
        (None, None, None, 5.0),
        (1, day(0), 90.0, 100.0),
    }


def test_keys_may_have_other_names_in_the_predictions(write, reader, record, storage, target, table, day):
    own = replace(target, entity=Entity(name="person", keys=(Field("person_id", BYTES),)), request=())
    log = LabelLog(storage, own)
    write(record(3, keys={"buyer_id": b"\x07"}))
    log.ingest(table({"prediction_id": "p3", "price": 5.0, "sold_at": day(8)}), observed_at=day(9))
    rows = complete(log.read(), reader, own, keys={"person_id": "buyer_id"})
    assert rows.column("person_id").to_pylist() == [b"\x07"]
    assert rows.schema == log.read().schema


def test_labels_that_lack_nothing_are_left_as_they_are(reader, labels, target, table, label):
    labels.ingest(table(label(1)))
    assert complete(labels.read(), reader, target) == labels.read()
