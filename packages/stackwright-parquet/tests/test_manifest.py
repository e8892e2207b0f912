"""What a manifest says, in the form that every version reads."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stackwright_interfaces.definitions import Entity, FeatureView
from stackwright_interfaces.errors import UnknownName, VersionRequired
from stackwright_interfaces.feature_store import Watermark
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.half_cases import COLUMNS, PLACE, PLAIN
from stackwright_interfaces.testing.histories import US
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field
from stackwright_parquet.columns import instant_of
from stackwright_parquet.manifest import HistoryFile, Manifest, StoredColumn

FILE = {"name": "00000001.parquet", "first": 1, "last": 1, "rows": 3, "size": 900, "oldest": 5, "newest": 7}
BY_DUCKDB = {
    "format": 1,
    "view": "plain@1",
    "keys": [{"name": "place_id", "type": "int64", "column": "place_id"}],
    "fields": [{"name": "x", "type": "float64", "column": "x"}, {"name": "X", "type": "string", "column": "X__2"}],
    "ingested_us": [1700000000000000],
    "rewrites": 0,
    "files": [{**FILE, "fields": 2}],
}
BY_SPARK = {
    **BY_DUCKDB,
    "keys": [{"name": "place_id", "type": "int64"}],
    "fields": [{"name": "x", "type": "float64"}, {"name": "X", "type": "string"}],
    "files": [{**FILE, "footer": 12345}],
}


def test_a_manifest_that_duckdb_wrote_is_read_and_written_as_it_was() -> None:
    found = Manifest.from_json(json.dumps(BY_DUCKDB).encode())
    assert found.fields == (StoredColumn("x", FLOAT64, "x"), StoredColumn("X", STRING, "X__2"))
    assert found.files == (HistoryFile(**FILE, fields=2),)
    assert found.position == 1
    assert json.loads(found.to_json()) == BY_DUCKDB


def test_a_manifest_that_spark_wrote_is_read_whose_columns_have_their_own_names() -> None:
    found = Manifest.from_json(json.dumps(BY_SPARK).encode())
    assert [stored.column for stored in (*found.keys, *found.fields)] == ["place_id", "x", "X"]
    assert found.files == (HistoryFile(**FILE, footer=12345),)
    assert Manifest.from_json(found.to_json()) == found


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 99}', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Manifest.from_json(content)


def test_columns_whose_names_differ_in_case_alone_get_names_apart() -> None:
    entity = Entity(name="place", keys=(Field("ID", INT64),))
    fields = tuple(Field(name, STRING) for name in ("id", "Id", "other"))
    found = Manifest.of(FeatureView(name="shouting", entity=entity, fields=fields))
    assert [stored.column for stored in found.columns.values()] == ["ID", "id__2", "Id__3", "other"]
    assert list(found.columns) == ["k0", "c0", "c1", "c2"]


def test_a_view_gains_columns_behind_those_it_has() -> None:
    wider = replace(PLAIN, fields=(Field("y", FLOAT64), *COLUMNS))
    found = Manifest.of(PLAIN).widened(wider)
    assert [stored.name for stored in found.fields] == ["x", "n", "s", "y"]
    assert found.widened(PLAIN_AND_Y) == found
    assert found.field_number("y") == 3
    with pytest.raises(UnknownName, match="'z'"):
        found.field_number("z")


PLAIN_AND_Y = replace(PLAIN, fields=(*COLUMNS, Field("y", FLOAT64)))


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (replace(PLAIN, fields=COLUMNS[1:]), "column 'x' was a float64 and is gone"),
        (replace(PLAIN, fields=(Field("x", STRING), *COLUMNS[1:])), "column 'x' was a float64 and is a string"),
        (
            replace(PLAIN, entity=replace(PLACE, keys=(*PLACE.keys, Field("floor", INT64)))),
            "key 'floor' was added",
        ),
    ],
)
def test_what_a_view_loses_or_changes_needs_a_new_version(view: FeatureView, message: str) -> None:
    with pytest.raises(VersionRequired, match=message):
        Manifest.of(PLAIN).widened(view)


def test_files_are_passed_over_that_hold_no_position_or_time_that_is_asked_for() -> None:
    files = [HistoryFile(**{**FILE, "first": n, "last": n, "oldest": 10 * n, "newest": 10 * n + 5}) for n in (1, 2, 3)]
    manifest = replace(Manifest.of(PLAIN), files=tuple(files))
    assert manifest.select() == tuple(files)
    assert manifest.select(as_of=2) == tuple(files[:2])
    assert manifest.select(oldest=15, newest=20) == tuple(files[:2])
    assert manifest.select(oldest=16, newest=19) == ()


def test_an_ingestion_counts_from_its_instant_on() -> None:
    manifest = Manifest.of(PLAIN).ingesting(instant_of(NOON)).ingesting(instant_of(NOON + 2 * US))
    found = [manifest.watermark(NOON + step * US) for step in (-1, 0, 1, 2)]
    assert [mark.position for mark in found] == [0, 1, 1, 2]
    assert found[0] == Watermark(0, NOON - US)
