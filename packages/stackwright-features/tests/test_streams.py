"""Tables in pieces, and tables that are made while they are consumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_features import streams
from stackwright_features.normalise import NormalisedRows, normalise
from stackwright_features.streams import Lazy, in_pieces
from stackwright_interfaces.definitions import Entity, FeatureView
from stackwright_interfaces.errors import DataError, MissingColumn, WrongType
from stackwright_interfaces.testing.tables import CutOff
from stackwright_interfaces.types import INT64, STRING, Field

VIEW = FeatureView(
    name="homes",
    entity=Entity(name="home", keys=(Field("home_id", INT64),)),
    fields=(Field("kind", STRING), Field("rooms", INT64)),
)


def homes(rows: int, **columns: Any) -> pa.Table:
    plain = {"home_id": range(rows), "kind": ["flat"] * rows, "rooms": [2] * rows}
    return pa.table({**plain, "event_time": ["2024-01-01T00:00:00Z"] * rows, **columns})


@given(st.lists(st.integers(0, 7), max_size=8))
def test_pieces_hold_all_rows_in_order_and_none_is_empty(sizes: list[int]) -> None:
    whole = pa.table({"n": range(sum(sizes))})
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    given_ = pa.RecordBatchReader.from_batches(
        whole.schema,
        (batch for start, size in zip(starts, sizes, strict=True) for batch in whole.slice(start, size).to_batches()),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "PIECE_ROWS", 4)
        pieces = list(in_pieces(given_, "here").tables)
    assert [row for piece in pieces for row in piece["n"].to_pylist()] == [*range(sum(sizes))]
    assert all(2 <= len(piece) <= 5 for piece in pieces[:-1])
    assert all(len(piece) for piece in pieces)


def test_wide_rows_make_short_pieces(monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "PIECE_BYTES", 100_000)
    wide = pa.table({"text": ["x" * 1_000] * 1_000})
    sizes = [piece.nbytes for piece in in_pieces(wide, "here").tables]
    assert len(sizes) > 5
    assert max(sizes) <= 110_000


def test_views_and_runs_are_laid_out_as_plain_columns() -> None:
    texts, view = pa.array(["flat", None, "house"]), pa.string_view()
    columns = {
        "text": texts.cast(view),
        "bytes": pa.array([b"a", b"", None], pa.binary_view()),
        "runs": pc.run_end_encode(pa.array([7, 7, None])),
        "category": pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["a", "b"], view)),
        "list": pa.array([["a"], [], None], pa.large_list(view)),
        "struct": pa.array([{"a": "x"}, None, {"a": None}], pa.struct({"a": view})),
        "number": pa.array([1, 2, 3]),
    }
    pieces = in_pieces(pa.table(columns), "here")
    (piece,) = pieces.tables
    assert piece.to_pydict() == {name: column.to_pylist() for name, column in columns.items()}
    assert piece.schema == pieces.schema
    assert piece.take([2, 0]).column("struct").to_pylist() == [{"a": None}, {"a": "x"}]


def test_what_is_no_table_is_named() -> None:
    with pytest.raises(DataError, match="a list is no Arrow table"):
        in_pieces([1, 2], "here")


def test_a_stream_that_fails_is_named_when_its_rows_are_asked_for() -> None:
    pieces = in_pieces(CutOff(homes(5)), "here")
    with pytest.raises(DataError, match=r"here.*went away"):
        list(pieces.tables)


def test_what_ended_a_lazy_table_is_raised_as_it_was() -> None:
    def batches() -> Iterator[Any]:
        yield from homes(1).to_batches()
        raise KeyError("as it was")

    rows = Lazy(homes(1).schema, batches())
    with pytest.raises(KeyError, match="as it was"), rows.consumed():
        pa.table(rows)


def test_a_lazy_table_cannot_be_consumed_twice() -> None:
    rows = Lazy(homes(1).schema, iter(homes(1).to_batches()))
    assert len(pa.table(rows)) == 1
    with pytest.raises(DataError, match="consumed already"):
        in_pieces(rows, "here")


def test_an_error_of_the_consumer_stays_its_own() -> None:
    rows = Lazy(homes(1).schema, iter(homes(1).to_batches()))
    with pytest.raises(ZeroDivisionError), rows.consumed():
        raise ZeroDivisionError


def test_a_consumer_that_wants_no_more_rows_ends_with_its_own_error() -> None:
    rows = Lazy(homes(1).schema, iter(2 * homes(1).to_batches()))
    with pytest.raises(ZeroDivisionError), rows.consumed():
        _leave_in_the_middle(rows)


def _leave_in_the_middle(rows: Lazy) -> None:
    reader = pa.RecordBatchReader.from_stream(rows)
    reader.read_next_batch()
    del reader
    raise ZeroDivisionError


def test_rows_normalised_a_piece_at_a_time_are_those_of_the_whole(monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "PIECE_ROWS", 4)
    kinds = ["flat", None, "house", "", "flat", "barn", "house", "flat", None, "loft"]
    table = homes(10, kind=kinds, home_id=[None, *range(9)], event_time=["2024-01-01 00:00:00"] * 10)
    rows = NormalisedRows(table, VIEW)
    found, whole = pa.table(rows), normalise(table, VIEW)
    assert found.equals(whole.rows)
    assert (rows.handed, rows.refused, rows.assumed_utc) == (10, 1, 10)


def test_an_unfit_column_is_told_before_a_row_is_read_and_an_unfit_value_by_its_row(monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "PIECE_ROWS", 2)
    with pytest.raises(MissingColumn, match="rooms"):
        NormalisedRows(CutOff(homes(5).drop_columns(["rooms"])), VIEW)
    rows = NormalisedRows(homes(5, rooms=[1.0, 2.0, 3.0, 4.5, 5.0]), VIEW)
    with pytest.raises(WrongType, match=r"4\.5 in row 3"), rows.consumed():
        pa.table(rows)
