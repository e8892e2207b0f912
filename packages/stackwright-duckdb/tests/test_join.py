"""How much a join reads, and that its answer does not depend on how the work is cut up."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_duckdb.offline import DuckDBOfflineStore
from stackwright_duckdb.plugin import DuckDBConfig
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, Asked, Watermark
from stackwright_interfaces.testing.context import NOON, make_context
from stackwright_interfaces.testing.half_cases import BLOCK, PLACE, PLAIN, fact
from stackwright_interfaces.testing.histories import HOUR, US, ingestions, labels, quick
from stackwright_interfaces.testing.offline_store import ASKED, KEYS, VISITS
from stackwright_interfaces.testing.oracle import Fact, Key, microseconds
from stackwright_interfaces.testing.tables import asked, bits, normalised, ranked, rows_of
from stackwright_numerics.order import order_tokens


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


def _damage_row_groups(path: Path, spared: int) -> int:
    """Overwrite the pages of all row groups but one; return how many there were."""
    metadata = pq.read_metadata(path)
    content = bytearray(path.read_bytes())
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if number != spared:
            columns = [group.column(place) for place in range(group.num_columns)]
            start = min(column.dictionary_page_offset or column.data_page_offset for column in columns)
            content[start : start + sum(column.total_compressed_size for column in columns)] = bytes(
                sum(column.total_compressed_size for column in columns)
            )
    path.write_bytes(content)
    return int(metadata.num_row_groups)


def test_labels_of_few_keys_read_only_the_parts_of_files_that_hold_them(desk, store, ask) -> None:
    store.ingest(PLAIN, _many_rows(keys=4_000, rows_a_key=100))
    (path,) = desk.files()
    assert _damage_row_groups(path, spared=0) > 2
    at = NOON + HOUR
    assert [row["x"] for row in ask(store, (1, at), (7, NOON), (400, at))] == [199.0, 700.0, 40_099.0]
    with pytest.raises(FeatureStoreError, match=path.name):
        ask(store, (3_999, at))


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


def test_changes_come_in_chunks_of_about_the_rows_that_were_asked_for(desk) -> None:
    store = desk.open(chunk_rows=5_000)
    store.apply([PLAIN])
    store.ingest(PLAIN, _many_rows(keys=10, rows_a_key=3_000))
    chunks = [pa.table(chunk) for chunk in store.changes(PLAIN, None, Watermark(1, NOON + HOUR))]
    assert [key for chunk in chunks for key in pc.unique(chunk["place_id"]).to_pylist()] == list(range(10))
    assert max(map(len, chunks)) <= 8_000
    assert sum(map(len, chunks)) == 30_000


def test_a_key_of_more_rows_than_a_chunk_stays_in_one(desk) -> None:
    store = desk.open(chunk_rows=2_000)
    store.apply([PLAIN])
    store.ingest(PLAIN, _many_rows(keys=2, rows_a_key=15_000))
    lengths = [len(pa.table(chunk)) for chunk in store.changes(PLAIN, None, Watermark(1, NOON + HOUR))]
    assert lengths == [15_000, 15_000]


def test_ties_between_files_go_to_the_greatest_token_in_every_order_of_ingestion(desk, ingest, ask) -> None:
    tied = [fact(key, NOON, NOON + step * US, x=float(step)) for step in range(4) for key in (1, 2)]
    for turn in (0, 3, 6):
        store = desk.open(path=desk.folder / str(turn))
        store.apply([PLAIN])
        for row in tied[turn:] + tied[:turn]:
            ingest(store, row)
        at = NOON + 2 * US
        assert [row["x"] for row in ask(store, (1, at), (2, at))] == [3.0, 3.0]
        assert [row["x"] for row in ask(store, (1, at), (2, at), known_by=True)] == [2.0, 2.0]


def test_labels_may_come_in_chunks_of_other_layouts(store, ingest) -> None:
    ingest(store, fact(1, NOON, x=1.0), fact(2, NOON, x=2.0))
    table = asked(PLACE.keys, [((key,), NOON) for key in (2, 1, 2)])
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    wanted = Asked(view=PLAIN, keys={"place_id": "place_id"}, features={"x": "x"})
    assert pa.table(store.join(chunked, [wanted]))["x"].to_pylist() == [2.0, 1.0, 2.0]


def test_texts_of_large_layout_and_dictionaries_are_keys_too(desk, ingest) -> None:
    view = type(PLAIN)(name="blocks", entity=BLOCK, fields=PLAIN.fields)
    store = desk.open()
    store.apply([view])
    ingest(store, fact(("1", "High"), NOON, x=1.0), view=view)
    table = asked(BLOCK.keys, [(("1", "High"), NOON)])
    table = table.set_column(2, "number", table["number"].cast(pa.large_string()))
    table = table.set_column(3, "street", table["street"].dictionary_encode())
    wanted = Asked(view=view, keys={name: name for name in BLOCK.key_names}, features={"x": "x"})
    assert pa.table(store.join(table, [wanted]))["x"].to_pylist() == [1.0]


@quick(10)
@given(calls=ingestions(VISITS, KEYS, most=4), asked_for=labels(ASKED), known_by=st.booleans())
def test_the_answer_does_not_depend_on_how_the_work_is_cut_up(
    calls: list[list[Fact]], asked_for: list[tuple[Key, datetime]], known_by: bool
) -> None:
    whole = {"batch_rows": 1_000_000, "chunk_rows": 1_000_000, "merge_files": 1_000}
    answers = [_answers(config, calls, asked_for, known_by) for config in (whole, _IN_PIECES)]
    assert bits(answers[0]) == bits(answers[1])


_IN_PIECES = {"batch_rows": 2, "chunk_rows": 1, "merge_files": 2}


def _answers(config: dict[str, int], calls: list[list[Fact]], asked_for: Any, known_by: bool) -> Any:
    names = [feature.name for feature in VISITS.features]
    wanted = Asked(view=VISITS, keys={"place_id": "place_id"}, features={name: name for name in names})
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDBOfflineStore(DuckDBConfig(path=Path(folder), threads=1, **config), make_context(Path(folder)))
        try:
            store.apply([VISITS])
            for call in calls:
                store.ingest(VISITS, normalised(VISITS, [ranked(row) for row in call]))
            joined = rows_of(store.join(asked(PLACE.keys, asked_for), [wanted], known_by=known_by))
            mark = Watermark(len(calls), NOON + 9 * HOUR)
            changed = [rows_of(chunk) for chunk in store.changes(VISITS, None, mark, history=HOUR)]
        finally:
            store.close()
    return joined, [row for rows in changed for row in rows]
