"""The label log: idempotent, revised, retracted, quarantined; and the past as it was known."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackwright_interfaces.definitions import Entity, Source, Target
from stackwright_interfaces.errors import MissingColumn, StorageError, WrongType
from stackwright_interfaces.types import BYTES, FLOAT64, INT64, STRING, Field
from stackwright_journal import label_parts
from stackwright_journal.label_segments import MANY
from stackwright_journal.labels import LabelLog
from stackwright_storage import FileStorage, open_storage


def prices(log, **options):
    read = log.read(**options)
    return dict(zip(read.column("listing_id").to_pylist(), read.column("price").to_pylist(), strict=True))


def test_labels_come_back_under_the_targets_names(labels, table, label, day):
    report = labels.ingest(table(label(7, 123.0)), source="crm")
    assert (report.rows, report.added, report.position) == (1, 1, 1)
    (row,) = labels.read().to_pylist()
    assert row.pop("label_id").startswith("7|")
    assert row == {**label(7, 123.0), "prediction_id": None, "source": "crm", "revision": None}


def test_the_same_rows_again_are_duplicates_and_leave_the_log_as_it_was(labels, table, label):
    rows = table(label(1), label(2), label(2))
    assert (labels.ingest(rows).added, labels.ingest(rows).added) == (2, 0)
    again = labels.ingest(rows)
    assert (again.duplicates, again.position) == (3, 1)


def test_the_same_rows_from_another_source_change_nothing(labels, table, label):
    labels.ingest(table(label(1), {**label(2), "revision": 4}), source="may.csv")
    again = labels.ingest(table(label(1), {**label(2), "revision": 4}), source="june.csv")
    assert (again.added, again.revisions, again.duplicates, again.position) == (0, 0, 2, 1)
    assert (again.quarantined, labels.history().num_rows) == (0, 2)
    assert set(labels.read().column("source").to_pylist()) == {"may.csv"}


def test_two_sources_that_say_the_same_in_one_table_do_not_contradict_each_other(labels, table, label):
    report = labels.ingest(table({**label(1), "source": "crm"}, {**label(1), "source": "registry"}))
    assert (report.added, report.duplicates, report.quarantined) == (1, 1, 0)


def test_a_later_row_of_a_label_revises_it(labels, table, label, day):
    labels.ingest(table(label(1, 100.0)))
    report = labels.ingest(table(label(1, 110.0, observed_at=day(20))))
    assert (report.added, report.revisions) == (1, 1)
    assert prices(labels) == {1: 110.0}


def test_a_revision_that_was_observed_earlier_does_not_win_though_it_comes_later(labels, table, label, day):
    labels.ingest(table(label(1, 110.0, observed_at=day(20))))
    labels.ingest(table(label(1, 100.0)))
    assert prices(labels) == {1: 110.0}


def test_an_old_file_that_comes_again_does_not_undo_a_revision(labels, table, label, day):
    old = table(label(1, 100.0))
    labels.ingest(old)
    labels.ingest(table(label(1, 110.0)))
    assert labels.ingest(old).duplicates == 1
    assert prices(labels) == {1: 110.0}


def test_where_the_source_counts_revisions_its_numbers_decide(labels, table, label, day):
    labels.ingest(table(label(1, 120.0, revision=2)))
    labels.ingest(table(label(1, 110.0, revision=1, observed_at=day(50))))
    assert prices(labels) == {1: 120.0}


def test_a_recorded_revision_does_not_change_its_content(labels, table, label):
    labels.ingest(table(label(1, 120.0, revision=2)))
    report = labels.ingest(table(label(1, 99.0, revision=2), label(2, 5.0, revision=2)))
    assert report.reasons == {"its revision is recorded with another content": 1}
    assert prices(labels) == {1: 120.0, 2: 5.0}


def test_a_retraction_withdraws_a_label_and_a_later_row_brings_it_back(labels, table, label, day):
    labels.ingest(table(label(1), label(2)))
    labels.ingest(table({**label(1, None, observed_at=day(30)), "retracted": True}))
    assert prices(labels) == {2: 100.0}
    labels.ingest(table(label(1, 90.0, observed_at=day(40))))
    assert prices(labels) == {1: 90.0, 2: 100.0}


def test_the_past_can_be_read_as_it_was_known(labels, table, label, day):
    labels.ingest(table(label(1, 100.0), label(2, 200.0, observed_at=day(15))))
    labels.ingest(
        table(label(1, 110.0, observed_at=day(20)), {**label(2, None, observed_at=day(25)), "retracted": True})
    )
    assert prices(labels, known_at=day(11)) == {}
    assert prices(labels, known_at=day(12)) == {1: 100.0}
    assert prices(labels, known_at=day(15)) == {1: 100.0, 2: 200.0}
    assert prices(labels, known_at=day(24)) == {1: 110.0, 2: 200.0}
    assert prices(labels) == {1: 110.0}


def test_a_report_can_be_repeated_though_labels_of_that_time_came_later(labels, table, label, day):
    labels.ingest(table(label(1, 100.0)))
    position = labels.position
    labels.ingest(table(label(2, 200.0)))
    assert prices(labels, known_at=day(13)) == {1: 100.0, 2: 200.0}
    assert prices(labels, known_at=day(13), position=position) == {1: 100.0}


def test_a_censored_label_has_no_value_until_it_is_revised(labels, table, label, day):
    labels.ingest(table(label(1, None, sold_at=None, unsold=True)))
    (row,) = labels.read().to_pylist()
    assert (row["price"], row["sold_at"], row["unsold"]) == (None, None, True)
    labels.ingest(table(label(1, 100.0, sold_at=day(60), observed_at=day(61))))
    assert prices(labels) == {1: 100.0}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"listing_id": None}, "neither an entity key nor a prediction id"),
        ({"asked_at": None}, "neither an asked time nor a prediction id"),
        ({"price": None}, "no value"),
        ({"price": float("nan")}, "no value"),
        ({"price": float("inf")}, "no value"),
        ({"sold_at": None}, "no time at which it happened"),
        ({"observed_at": None}, "no time at which it was observed"),
        ({"unsold": True}, "censored, and yet with a value"),
        ({"sold_at": datetime(2025, 1, 1, tzinfo=UTC)}, "happened before it was asked"),
        ({"observed_at": datetime(2026, 1, 5, tzinfo=UTC)}, "observed before it happened"),
        (
            {"observed_at": datetime(2025, 1, 5, tzinfo=UTC), "unsold": True, "price": None, "sold_at": None},
            "observed before it was asked",
        ),
    ],
)
def test_a_row_that_cannot_be_a_label_is_set_apart_with_its_reason(labels, table, label, wrong, reason):
    rows = table(label(1), label(2, **wrong))
    report = labels.ingest(rows)
    assert (report.added, report.quarantined, report.reasons) == (1, 1, {reason: 1})
    assert prices(labels) == {1: 100.0}
    (apart,) = labels.quarantine().to_pylist()
    assert (apart["reason"], apart["position"]) == (reason, 1)
    assert orjson.loads(apart["row"])["asking"] == 90.0


def test_a_value_that_does_not_fit_its_type_is_set_apart(labels, label):
    rows = pa.Table.from_pylist([{**label(number), "sold_at": "2026-01-11"} for number in range(50)])
    texts = rows.column("sold_at").to_pylist()
    texts[17], texts[30] = "soon", "2026-13-45"
    report = labels.ingest(rows.set_column(rows.column_names.index("sold_at"), "sold_at", pa.array(texts)))
    assert report.reasons == {"sold_at does not fit its declared type": 2}
    assert (report.added, report.assumed_utc) == (48, 48)
    assert 17 not in prices(labels)


def test_a_column_of_another_type_is_an_error_not_a_quarantine(labels, table, label):
    with pytest.raises(WrongType, match="column 'price' holds string"):
        labels.ingest(table(label(1, "many"), label(2, "few")))
    assert labels.position == 0


def test_two_truths_at_one_time_in_one_table_are_both_set_apart(labels, table, label):
    report = labels.ingest(table(label(1, 100.0), label(1, 110.0), label(2)))
    assert report.reasons == {"contradicts another row of its table": 2}
    assert prices(labels) == {2: 100.0}


def test_a_row_that_was_set_apart_is_taken_once_the_table_is_mended(labels, table, label):
    labels.ingest(table(label(1, 100.0), label(1, 110.0)))
    assert labels.ingest(table(label(1, 110.0))).added == 1
    assert prices(labels) == {1: 110.0}


def test_rows_set_apart_are_set_apart_once(labels, table, label):
    rows = table(label(1, None))
    assert labels.ingest(rows).quarantined == 1
    again = labels.ingest(rows)
    assert (again.quarantined, again.reasons, again.position) == (0, {"no value": 1}, 1)
    assert labels.quarantine().num_rows == 1


def test_a_label_may_name_its_prediction_instead_of_keys_and_asked_time(labels, table, day):
    report = labels.ingest(
        table({"prediction_id": "p7", "price": 5.0, "sold_at": day(3), "unsold": False}), observed_at=day(4)
    )
    assert report.added == 1
    (row,) = labels.read().to_pylist()
    assert (row["prediction_id"], row["listing_id"], row["asked_at"]) == ("p7", None, None)
    assert (row["observed_at"], row["label_id"]) == (day(4), "prediction|p7")


def test_a_retraction_needs_no_value(storage, target, table, label, day):
    log = LabelLog(storage, replace(target, label_id="deed"))
    log.ingest(table(label(1, deed="a"), {**label(2), "deed": None, "prediction_id": "p2"}))
    gone = {"deed": "a", "listing_id": 1, "asked_at": day(0), "observed_at": day(30), "retracted": True}
    assert log.ingest(table(gone)).added == 1
    assert log.ingest(table({"prediction_id": "p2", "retracted": True}), observed_at=day(30)).added == 1
    assert log.read().num_rows == 0


def test_without_a_declared_observed_time_a_label_is_known_when_it_happens(storage, target, table, label, day):
    log = LabelLog(storage, replace(target, observed=None))
    row = label(1)
    del row["observed_at"]
    log.ingest(table(row))
    assert prices(log, known_at=day(9)) == {}
    assert prices(log, known_at=day(10)) == {1: 100.0}


def test_a_declared_label_id_is_what_tells_labels_apart(storage, target, table, label, day):
    log = LabelLog(storage, replace(target, label_id="deed"))
    log.ingest(table(label(1, 100.0, deed="a"), label(1, 200.0, deed="b")))
    assert sorted(log.read().column("price").to_pylist()) == [100.0, 200.0]
    report = log.ingest(table(label(9, 300.0, deed="a", observed_at=day(30)), label(3, 1.0, deed=None)))
    assert (report.revisions, report.reasons) == (1, {"no label id": 1})


def shown(target, **more):
    return replace(target, request=(*target.request, Field("search", STRING)), group="search", **more)


def test_one_row_shown_in_two_lists_at_one_time_is_two_labels(storage, target, table, label, day):
    log = LabelLog(storage, shown(target), clock=lambda: day(0))
    report = log.ingest(table(label(1, search="a"), label(1, 0.0, search="b"), label(2, search=None)))
    assert (report.added, dict(report.reasons)) == (2, {"no list that it was shown in": 1})
    assert log.ingest(table(label(1, 5.0, search="b", observed_at=day(20)))).revisions == 1


def test_a_list_that_is_a_key_needs_no_column_of_its_own(storage, target, table, label, day):
    log = LabelLog(storage, replace(target, group="listing_id"), clock=lambda: day(0))
    assert log.ingest(table(label(1), label(2))).added == 2


def test_composite_keys_of_texts_are_never_confused(storage, table, day):
    entity = Entity(name="room", keys=(Field("house", STRING), Field("room", BYTES)))
    log = LabelLog(storage, Target(name="noise", entity=entity, value=Field("level", FLOAT64)))
    common = {"asked_at": day(0), "happened_at": day(1), "level": 1.0}
    rows = [
        {"house": "a|62", "room": b"c"},
        {"house": "a", "room": b"b|c"},
        {"house": "a\\", "room": b"|"},
        {"house": "a\\|", "room": b""},
    ]
    assert log.ingest(table(*({**row, **common} for row in rows))).added == 4
    assert log.read().num_rows == 4


def test_names_that_the_target_uses_itself_stay_its_own(storage, target, table, label):
    own = replace(target, request=(Field("source", STRING), Field("revision", INT64)))
    log = LabelLog(storage, own)
    log.ingest(table({**label(1), "source": "north", "revision": 7}), source="crm")
    (row,) = log.read().to_pylist()
    assert (row["source"], row["revision"]) == ("north", 7)


def test_columns_are_read_as_the_source_declares_them(storage, target, table):
    declared = Source(rename={"PRICE": "price", "SOLD": "sold_at"}, time_format="%d.%m.%Y", time_zone="Europe/Berlin")
    log = LabelLog(storage, replace(target, source=declared, censored=None, observed=None))
    row = {"listing_id": 1, "asked_at": "01.07.2026", "SOLD": "02.07.2026", "PRICE": 7.0}
    assert log.ingest(table(row)).assumed_utc == 0
    assert log.read().column("sold_at").to_pylist() == [datetime(2026, 7, 1, 22, tzinfo=UTC)]


def test_a_column_that_every_label_needs_is_asked_for(labels, table, label):
    row = label(1)
    del row["asked_at"]
    with pytest.raises(MissingColumn, match="column 'asked_at' is missing"):
        labels.ingest(table(row))


def test_an_empty_table_adds_nothing_and_an_empty_log_is_typed(labels, table, label):
    assert labels.ingest(table(label(1)).slice(0, 0)).added == 0
    read = labels.read()
    assert read.num_rows == 0
    assert read.schema.field("price").type == pa.float64()
    assert labels.quarantine().num_rows == 0


def test_the_history_of_a_label_tells_all(labels, table, label, day):
    labels.ingest(table(label(1, 100.0)))
    labels.ingest(table(label(1, 110.0, observed_at=day(20)), label(2)))
    (id_,) = set(labels.history().filter(pa.compute.field("listing_id") == 1).column("label_id").to_pylist())
    rows = labels.history(id_).to_pylist()
    assert [(row["price"], row["__position"], row["__retracted"]) for row in rows] == [
        (100.0, 1, False),
        (110.0, 2, False),
    ]
    assert rows[0]["__recorded_at"] == day(0)


def test_compaction_changes_nothing_but_the_number_of_segments(storage, labels, target, table, label, day):
    labels.ingest(table(label(1, 100.0), label(5, None)))
    labels.ingest(table(label(1, 110.0, observed_at=day(20))))
    labels.ingest(table(label(2, 200.0)))
    before = [
        labels.read(),
        labels.read(known_at=day(13)),
        labels.read(position=1),
        labels.history(),
        labels.quarantine(),
    ]
    assert labels.compact() == 3
    assert [*storage.list("labels/")] == [
        f"labels/sale_price/{name}.parquet"
        for name in ("000000000001", "000000000002", "000000000003-merged", "000000000003")
    ]
    for log in (labels, LabelLog(storage, target)):
        after = [log.read(), log.read(known_at=day(13)), log.read(position=1), log.history(), log.quarantine()]
        assert after == before
        assert log.ingest(table(label(2, 200.0))).duplicates == 1
    assert labels.compact() == 0
    assert labels.ingest(table(label(3))).position == 4
    assert prices(labels) == {1: 110.0, 2: 200.0, 3: 100.0}


def test_what_was_merged_goes_with_the_next_merge(storage, labels, table, label):
    for listing in range(4):
        labels.ingest(table(label(listing)))
        labels.compact()
    assert [*storage.list("labels/")] == [
        f"labels/sale_price/{name}.parquet" for name in ("000000000003-merged", "000000000004-merged", "000000000004")
    ]
    assert sorted(prices(labels)) == [0, 1, 2, 3]


def test_who_lists_the_log_while_it_is_merged_misses_nothing(tmp_path, target, table, label):
    """A folder is not listed in one instant: here neither what comes meanwhile is seen nor what goes."""
    log = LabelLog(FileStorage(tmp_path), target)
    for listing in range(3):
        log.ingest(table(label(listing)))

    class Slow(FileStorage):
        def list(self, prefix=""):
            before = [*super().list(prefix)]
            log.compact()
            yield from (key for key in before if (tmp_path / key).exists())

    assert sorted(prices(LabelLog(Slow(tmp_path), target))) == [0, 1, 2]
    assert log.position == 3


def test_a_merge_leaves_what_lies_behind_a_segment_that_it_missed(tmp_path, target, table, label):
    """Of two segments that come while a folder is listed, the first may be missed."""
    log = LabelLog(FileStorage(tmp_path), target)
    for listing in range(5):
        log.ingest(table(label(listing)))

    class Overlooking(FileStorage):
        def list(self, prefix=""):
            return (key for key in super().list(prefix) if "000000000004" not in key)

    assert LabelLog(Overlooking(tmp_path), target).compact() == 3
    assert sorted(prices(log)) == [*range(5)]
    assert log.compact() == 3
    assert sorted(prices(log)) == [*range(5)]


def test_ingestions_merge_their_segments_where_they_are_many(storage, labels, target, table, label):
    for listing in range(MANY):
        labels.ingest(table(label(listing)))
    assert sum("merged" in key for key in storage.list("labels/")) == 1
    for listing in range(MANY, 2 * MANY):
        labels.ingest(table(label(listing)))
    assert len([*storage.list("labels/")]) < 2 * MANY, "those of the first merge are gone"
    assert sorted(prices(LabelLog(storage, target))) == [*range(2 * MANY)]
    assert labels.position == 2 * MANY


def test_labels_that_cannot_be_merged_are_ingested_all_the_same(tmp_path, target, table, label):
    class Grudging(FileStorage):
        def put_if_absent(self, key, data):
            if "merged" in key:
                raise StorageError(key, "the disk is full")
            return super().put_if_absent(key, data)

    log = LabelLog(Grudging(tmp_path), target)
    for listing in range(MANY + 2):
        assert log.ingest(table(label(listing))).added == 1
    assert log.read().num_rows == MANY + 2


class Died(BaseException):
    """The end of a process; nothing of the log's code runs after it."""


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_a_merge_that_is_killed_loses_nothing_and_the_next_tidies_up(
    place, tmp_path, request, target, table, label, monkeypatch
):
    url = str(tmp_path) if place == "folder" else request.getfixturevalue("s3")()
    storage, dying = open_storage(url), open_storage(url)
    log = LabelLog(storage, target)

    def grow():
        before = log.position
        for listing in range(before, before + 3):
            log.ingest(table(label(listing)))

    def killed_after(method, name):
        run = getattr(dying, method)

        def killed(key, *more):
            run(key, *more)
            if name in key:
                raise Died

        with monkeypatch.context() as patch:
            patch.setattr(dying, method, killed)
            with pytest.raises(Died):
                LabelLog(dying, target).compact()

    grow()
    killed_after("put_if_absent", "000000000003-merged")
    assert sorted(prices(log)) == [*range(3)]
    grow()
    killed_after("delete", "000000000002")
    assert "labels/sale_price/000000000003.parquet" in storage.list("labels/")
    assert sorted(prices(log)) == [*range(6)]
    assert log.compact() == 4
    assert min(storage.list("labels/")) == "labels/sale_price/000000000003-merged.parquet"
    assert log.history().num_rows == 6


class Interrupted(FileStorage):
    """A storage in which something happens just before an object is put."""

    meanwhile = None

    def put_if_absent(self, key, data):
        happens, self.meanwhile = self.meanwhile, None
        if happens:
            happens()
        return super().put_if_absent(key, data)


def test_labels_that_come_into_the_place_of_a_segment_that_was_merged_are_not_lost(tmp_path, target, table, label):
    storage = Interrupted(tmp_path)
    slow, other = LabelLog(storage, target), LabelLog(FileStorage(tmp_path), target)
    slow.ingest(table(label(1)))

    def merge_what_came():
        other.ingest(table(label(2)))
        other.ingest(table(label(3)))
        other.compact()

    storage.meanwhile = merge_what_came
    report = slow.ingest(table(label(4)))
    assert (report.added, report.position) == (1, 4)
    assert sorted(prices(other)) == [1, 2, 3, 4]
    assert other.history().num_rows == 4


class Listing(FileStorage):
    """A storage in which something happens just after its objects are listed."""

    meanwhile = None

    def list(self, prefix=""):
        yield from [*super().list(prefix)]
        happens, self.meanwhile = self.meanwhile, None
        if happens:
            happens()


def test_labels_that_come_while_others_are_merged_are_there_once(tmp_path, target, table, label):
    storage = Listing(tmp_path)
    slow, other = LabelLog(storage, target), LabelLog(FileStorage(tmp_path), target)
    slow.ingest(table(label(1)))
    slow.ingest(table(label(2)))
    storage.meanwhile = lambda: other.ingest(table(label(3)))
    slow.compact()
    assert other.history().num_rows == 3
    assert sorted(prices(other)) == [1, 2, 3]


def test_labels_that_are_merged_as_soon_as_they_are_stored_are_reported_as_added(
    tmp_path, target, table, label, monkeypatch
):
    log, other = (LabelLog(FileStorage(tmp_path), target) for _ in range(2))
    log.ingest(table(label(1)))
    put = FileStorage.put_if_absent

    def put_and_merge(storage, key, data):
        monkeypatch.setattr(FileStorage, "put_if_absent", put)
        put(storage, key, data)
        other.compact()

    monkeypatch.setattr(FileStorage, "put_if_absent", put_and_merge)
    assert log.ingest(table(label(2))).added == 1
    assert log.history().num_rows == 2


def test_labels_are_kept_on_s3_as_in_a_folder(s3, target, table, label):
    url = s3()
    one, two = (LabelLog(open_storage(url), target) for _ in range(2))
    one.ingest(table(label(1), label(2)))
    assert two.ingest(table(label(2), label(3, 130.0))).duplicates == 1
    assert one.ingest(table(label(1, 110.0))).revisions == 1
    assert prices(two) == {1: 110.0, 2: 100.0, 3: 130.0}
    assert prices(two, position=2) == {1: 100.0, 2: 100.0, 3: 130.0}
    assert one.compact() == 3
    assert prices(two) == {1: 110.0, 2: 100.0, 3: 130.0}


def test_writers_on_s3_each_get_a_position_and_nothing_is_lost(s3, target, table, label):
    url = s3()
    logs = [LabelLog(open_storage(url), target) for _ in range(3)]

    def work(part):
        for number in range(3):
            logs[part].ingest(table(label(part * 100 + number), label(9999)))

    threads = [threading.Thread(target=work, args=(part,)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = LabelLog(open_storage(url), target)
    assert (log.read().num_rows, log.position) == (10, 9)


def test_writers_at_the_same_time_each_get_a_position_and_nothing_is_lost(tmp_path, target, table, label):
    def work(part):
        log = LabelLog(open_storage(str(tmp_path)), target)
        for number in range(5):
            log.ingest(table(label(part * 100 + number), label(9999)))

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = LabelLog(open_storage(str(tmp_path)), target)
    assert log.read().num_rows == 21
    assert log.history().num_rows == 21
    assert log.position == 20


def test_a_segment_that_is_damaged_is_named(storage, labels, table, label):
    storage.put_if_absent("labels/sale_price/000000000001.parquet", b"PAR1 and then nothing")
    with pytest.raises(StorageError, match=r"000000000001\.parquet"):
        labels.read()


def test_targets_do_not_see_each_others_labels(storage, labels, target, table, label):
    labels.ingest(table(label(1)))
    assert LabelLog(storage, replace(target, name="pricing/sale_price")).read().num_rows == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([1.0, 2.0, 3.0]), st.integers(12, 16), st.booleans()), max_size=12
    ),
    st.integers(11, 17),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_log_agrees_with_a_dictionary(tmp_path_factory, target, table, label, day, events, known):
    """Ingested one by one, of each label the last observed, and of those the last ingested, counts."""
    log = LabelLog(open_storage(str(tmp_path_factory.mktemp("journal"))), target)
    seen, last = set(), {}
    for listing, price, observed, retracted in events:
        log.ingest(table({**label(listing, price, observed_at=day(observed)), "retracted": retracted}))
        event = (listing, price, observed, retracted)
        if event in seen:
            continue
        seen.add(event)
        if observed <= known and observed >= last.get(listing, (0,))[0]:
            last[listing] = (observed, price, retracted)
    assert prices(log, known_at=day(known)) == {key: value[1] for key, value in last.items() if not value[2]}


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6), st.integers(12, 16), st.booleans()), max_size=9),
        max_size=4,
    ),
    st.one_of(st.none(), st.integers(11, 17)),
    st.one_of(st.none(), st.integers(0, 4)),
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(1, 20),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_read_in_parts_are_those_read_at_once(
    tmp_path_factory, monkeypatch, target, table, label, day, ingestions, known, position, size, most, at_once
):
    """Revised, retracted, of one instant, of a prediction without a time; by an id that a revision takes to another."""
    monkeypatch.setattr(label_parts, "AT_ONCE", at_once)
    folder = tmp_path_factory.mktemp("journal")
    log = LabelLog(open_storage(str(folder)), replace(target, label_id="id"))
    for rows in ingestions:
        told = [
            {
                **label(listing, float(place), asked_at=day(asked) if asked else None, observed_at=day(observed)),
                "id": str(listing),
                "prediction_id": None if asked else f"p{listing}",
                "retracted": retracted,
            }
            for place, (listing, asked, observed, retracted) in enumerate(rows)
        ]
        if told:
            log.ingest(table(*told))
    options = {"known_at": None if known is None else day(known), "position": position}
    columns = ["listing_id", "asked_at", "price", "asking"]
    whole = log.read(columns=columns, **options)
    (folder / "parts").mkdir()
    found = log.read_in_parts(folder / "parts", size=size, most=most, columns=columns, **options)
    parts = list(found)
    assert found.rows == len(whole) == sum(map(len, parts))
    assert len(parts) <= most
    assert not list((folder / "parts").iterdir())
    timed = whole.filter(pc.is_valid(whole["asked_at"]))
    together = pa.concat_tables([whole.slice(0, 0), *parts])
    assert together.slice(0, len(timed)).equals(timed)
    assert together.slice(len(timed)).equals(whole.filter(pc.is_null(whole["asked_at"])))
    times = [set(part["asked_at"].to_pylist()) for part in parts]
    assert all(not before & after for before, after in pairwise(times)), "an instant is in one part"


def test_a_segment_that_is_damaged_is_named_when_labels_are_read_in_parts(storage, labels, tmp_path):
    storage.put_if_absent("labels/sale_price/000000000001.parquet", b"PAR1 and then nothing")
    with pytest.raises(StorageError, match=r"000000000001\.parquet: not a segment of labels"):
        labels.read_in_parts(tmp_path, size=9, most=9, columns=["price"])


def test_a_hundred_thousand_labels_are_ingested_in_seconds(labels):
    count = 100_000
    zone = pa.timestamp("us", "UTC")
    asked = np.datetime64("2026-01-01", "us") + np.arange(count).astype("timedelta64[s]")
    rows = pa.table(
        {
            "listing_id": np.arange(count),
            "asked_at": pa.array(asked, zone),
            "sold_at": pa.array(asked + np.timedelta64(9, "D"), zone),
            "observed_at": pa.array(asked + np.timedelta64(10, "D"), zone),
            "price": np.arange(count, dtype=float),
            "unsold": np.zeros(count, bool),
        }
    )
    start = time.process_time()
    assert labels.ingest(rows).added == count
    assert time.process_time() - start < 10
    assert labels.read(known_at=datetime(2026, 1, 11, tzinfo=UTC) + timedelta(seconds=9)).num_rows == 10
