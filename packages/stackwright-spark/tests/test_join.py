"""How a join works, how much it reads, and that its answer does not depend on how the work is cut up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from stackwright_interfaces.errors import DataError, FeatureStoreError
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, ROW, Asked, Watermark
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.half_cases import BLOCK, BLOCKS, PLACE, PLAIN, fact
from stackwright_interfaces.testing.histories import HOUR, US
from stackwright_interfaces.testing.offline_store import VISITS
from stackwright_interfaces.testing.oracle import microseconds
from stackwright_interfaces.testing.tables import asked, bits, normalised
from stackwright_numerics.order import order_tokens
from stackwright_spark import ingest as intake
from stackwright_spark import join as joining
from stackwright_spark import windows
from stackwright_spark.join import Labels, ViewJoin


def test_labels_of_which_some_are_refused_leave_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_BATCH", 1)
    wanted = Asked(view=PLAIN, keys={"place_id": "place_id"}, features={"x": "x"})
    good = pa.table(asked(PLACE.keys, [((1,), NOON)])).combine_chunks()
    bad = good.set_column(good.column_names.index(ROW), ROW, pa.array([None], pa.int64()))
    batches = [*good.to_batches(), *bad.to_batches()]
    with pytest.raises(DataError, match="holds 1 nulls") as refused:
        Labels.receive(pa.RecordBatchReader.from_batches(good.schema, batches), [wanted], tmp_path / "labels.parquet")
    assert refused.value.todo == "Give every row one."
    assert pq.read_metadata(tmp_path / "labels.parquet").num_rows == 1


def _many_rows(keys: int, rows_a_key: int) -> Any:
    """Rows of the view of places, in the order of their keys."""
    rows = keys * rows_a_key
    key = np.repeat(np.arange(keys), rows_a_key)
    event = microseconds(NOON) + np.tile(np.arange(rows_a_key), keys)
    tokens = order_tokens(event, event, np.arange(rows, dtype=np.uint64))
    instants = pa.array(event).cast(pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "place_id": key,
            "x": np.arange(rows, dtype=np.float64),
            "n": key,
            "s": pa.nulls(rows, pa.string()),
            EVENT: instants,
            CREATED: instants,
            ORDER: pa.FixedSizeBinaryArray.from_buffers(pa.binary(24), rows, [None, pa.py_buffer(tokens)]),
        }
    )


# --- plans ---


@pytest.fixture
def view_join(store, ingest, tmp_path) -> Any:
    """The join of a view of visits, with two labels."""
    store.apply([VISITS])
    ingest(store, *(fact(key, NOON, x=1.0) for key in range(3)), view=VISITS)
    folder = store._histories.folder(VISITS)
    wanted = Asked(
        view=VISITS, keys={"place_id": "place_id"}, features={item.name: item.name for item in VISITS.features}
    )
    labels = asked(PLACE.keys, [((1,), NOON), ((None,), NOON)])
    return ViewJoin(
        session=store._session(),
        folder=folder,
        manifest=folder.manifest(),
        asked=wanted,
        labels=Labels.receive(labels, [wanted], tmp_path / "labels.parquet"),
        known_by=True,
    )


@pytest.mark.parametrize("few", [0, 2], ids=["labels are many", "labels are few"])
@pytest.mark.parametrize("part", ["matches", "aggregates"])
def test_no_plan_compares_each_label_with_each_row(view_join, monkeypatch, part: str, few: int) -> None:
    monkeypatch.setattr(joining, "_FEW", few)
    plan = getattr(view_join, part)()._jdf.queryExecution().toString().split("== Physical Plan ==")[1]
    assert "FileScan parquet" in plan
    assert not [word for word in ("Cartesian", "NestedLoop", "Generate") if word in plan]
    # Few labels sort out rows of other keys, by equality of keys; many are not joined at all.
    assert re.findall(r"(\w+Join) \[.*(Left\w+)", plan) == [("BroadcastHashJoin", "LeftSemi")][:few]


# --- reading ---


def test_files_whose_event_times_no_label_can_see_are_not_read(desk, store, ingest, ask) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    ingest(store, fact(1, NOON + HOUR, x=2.0))
    desk.files()[1].write_bytes(b"")
    assert ask(store, (1, NOON + HOUR - US))[0]["x"] == 1.0
    with pytest.raises(FeatureStoreError):
        ask(store, (1, NOON + HOUR))


def test_files_ingested_after_the_watermark_are_not_read(desk, store, ingest, ask) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    ingest(store, fact(1, NOON, x=2.0))
    desk.files()[1].write_bytes(b"")
    assert ask(store, (1, NOON), as_of=Watermark(1, NOON))[0]["x"] == 1.0


def test_changes_do_not_read_files_that_were_known_before(desk, store, ingest) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    before = store.watermark(PLAIN)
    ingest(store, fact(1, NOON, x=2.0))
    desk.files()[0].write_bytes(b"")
    (chunk,) = store.changes(PLAIN, before, store.watermark(PLAIN))
    assert chunk["x"].to_pylist() == [2.0]


# --- changes ---


def test_changes_come_in_order_and_in_chunks_of_about_the_rows_that_were_asked_for(desk) -> None:
    store = desk.open(chunk_rows=5_000)
    store.apply([PLAIN])
    store.ingest(PLAIN, _many_rows(keys=10, rows_a_key=3_000))
    chunks = [pa.table(chunk) for chunk in store.changes(PLAIN, None, Watermark(1, NOON + HOUR))]
    assert [key for chunk in chunks for key in pc.unique(chunk["place_id"]).to_pylist()] == list(range(10))
    assert max(map(len, chunks)) <= 8_000
    assert pa.concat_tables(chunks)["x"].to_pylist() == [float(row) for row in range(30_000)]


def test_a_key_of_more_rows_than_a_chunk_stays_in_one(desk) -> None:
    store = desk.open(chunk_rows=2_000)
    store.apply([PLAIN])
    store.ingest(PLAIN, _many_rows(keys=2, rows_a_key=15_000))
    lengths = [len(pa.table(chunk)) for chunk in store.changes(PLAIN, None, Watermark(1, NOON + HOUR), history=HOUR)]
    assert lengths == [15_000, 15_000]


# --- how the work is cut up ---


def test_answers_and_reports_are_the_same_with_all_keys_sent_to_all_workers(desk, ingest, ask, monkeypatch) -> None:
    rows = [fact(key, NOON + step * US, x=step + key / 8, visit=str(step)) for key in range(4) for step in range(4)]
    labels = [(key, NOON + step * US) for key in (0, 2, 7, None) for step in (0, 2, 9)]
    answers = []
    for few in (0, 12):
        monkeypatch.setattr(joining, "_FEW", few)
        monkeypatch.setattr(intake, "_FEW", few)
        store = desk.open(path=desk.folder / str(few))
        store.apply([VISITS])
        reports = [ingest(store, *part, view=VISITS) for part in (rows[:14], rows[12:])]
        assert [report.added for report in reports] == [14, 2]
        answers.append(ask(store, *labels, view=VISITS))
    assert bits(answers[0]) == bits(answers[1])
    assert [row["rows"] for row in answers[0]] == [0, 2, 4] * 2 + [0] * 3 + [None] * 3


def _part(rows: list[tuple[int, int, int | None, float | None]]) -> Any:
    """A partition as the windows' task gets it: key, time, row number of a label or none, value."""
    at = [step for _, step, _, _ in rows]
    return pa.table(
        {
            "k0": [key for key, _, _, _ in rows],
            windows.AT: pa.array(at, pa.int64()),
            windows.KIND: pa.array([0 if label is None else 1 for _, _, label, _ in rows], pa.int32()),
            ROW: pa.array([label for _, _, label, _ in rows], pa.int64()),
            windows.KNOWN: pa.array(at, pa.int64()),
            "c0": pa.array([value for *_, value in rows], pa.float64()),
        }
    )


@pytest.mark.parametrize("held", [1, 3, 5, 1000])
def test_a_worker_treats_whole_keys_however_its_batches_are_cut(monkeypatch, held: int) -> None:
    monkeypatch.setattr(windows, "_ROWS", held)
    window = next(window for window in VISITS.windows if window.name == "sum_x")
    x = next(field for field in VISITS.fields if field.name == "x").type
    task = windows.WindowTask(
        keys=1,
        windows={"w0": (window, VISITS.window_type(window))},
        columns={"x": ("c0", x)},
        event_id=None,
        known_by=True,
    )
    rows = [
        row
        for key in range(5)
        for row in [
            *((key, step, None, float(10**key)) for step in range(key * 2)),
            *((key, 3 * step, 10 * key + step, None) for step in range(2)),
        ]
    ]
    for size in (1, 2, 4, len(rows)):
        answers = pa.Table.from_batches(task(iter(_part(rows).to_batches(max_chunksize=size)))).to_pylist()
        expected = {10 * key: None for key in range(5)} | {
            10 * key + 1: float(min(3, 2 * key) * 10**key) if key else None for key in range(5)
        }
        assert {row[ROW]: row["w0"] for row in answers} == expected


# --- labels ---


def test_labels_may_come_in_chunks_of_other_layouts(store, ingest) -> None:
    ingest(store, fact(1, NOON, x=1.0), fact(2, NOON, x=2.0))
    table = asked(PLACE.keys, [((key,), NOON) for key in (2, 1, 2)])
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    wanted = Asked(view=PLAIN, keys={"place_id": "place_id"}, features={"x": "x"})
    assert pa.table(store.join(chunked, [wanted]))["x"].to_pylist() == [2.0, 1.0, 2.0]


def test_texts_of_large_layout_and_dictionaries_are_keys_too(store, ingest) -> None:
    store.apply([BLOCKS])
    ingest(store, fact(("1", "High"), NOON, x=1.0), view=BLOCKS)
    table = asked(BLOCK.keys, [(("1", "High"), NOON)])
    table = table.set_column(2, "number", table["number"].cast(pa.large_string()))
    table = table.set_column(3, "street", table["street"].dictionary_encode())
    wanted = Asked(view=BLOCKS, keys={name: name for name in BLOCK.key_names}, features={"x": "x"})
    assert pa.table(store.join(table, [wanted]))["x"].to_pylist() == [1.0]


def test_a_label_column_that_is_asked_for_as_two_types_is_named(store) -> None:
    store.apply([BLOCKS])
    wanted = [
        Asked(view=PLAIN, keys={"place_id": "id"}, features={}),
        Asked(view=BLOCKS, keys={"street": "id", "number": "id"}, features={}),
    ]
    with pytest.raises(DataError, match="'id' is asked for as int64 and as string"):
        store.join(normalised(PLAIN, []), wanted)
