"""What happens when files are damaged, folders cannot be written, and limits are met."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackwright_interfaces.errors import DataError, FeatureStoreError, MissingColumn, WrongType
from stackwright_interfaces.feature_store import EVENT, ORDER, Asked
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.half_cases import PLACE, PLAIN, fact
from stackwright_interfaces.testing.half_history_cases import places
from stackwright_interfaces.testing.histories import US
from stackwright_interfaces.testing.tables import asked, normalised, stamps

ROWS = [fact(key, NOON + step * US, x=float(step), s=f"text {step}") for key in range(20) for step in range(50)]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _scribble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-200:-8] = bytes(192)
    path.write_bytes(content)


def _scribble_on_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    path.write_bytes(content)


# --- damage ---


@pytest.mark.parametrize("damage", [_truncate, _empty, _scribble, _scribble_on_pages, Path.unlink])
def test_a_damaged_file_is_named_by_whatever_reads_it(desk, store, ingest, ask, everything, damage) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    ingest(store, *ROWS)
    path = desk.files()[1]
    damage(path)
    for work in (
        lambda: ask(store, *((key, NOON + 60 * US) for key in range(20))),
        lambda: everything(store),
        lambda: ingest(store, *ROWS),
        lambda: store.delete([PLAIN], places(3), NOON),
    ):
        with pytest.raises(FeatureStoreError, match=path.name):
            work()


def test_a_store_goes_on_after_a_file_was_restored(desk, store, ingest, ask) -> None:
    ingest(store, *ROWS)
    (path,) = desk.files()
    good = path.read_bytes()
    for damage in (_truncate, _scribble_on_pages):
        damage(path)
        with pytest.raises(FeatureStoreError):
            ask(store, (1, NOON))
        path.write_bytes(good)
        assert ask(store, (1, NOON))[0]["x"] == 0.0


def test_without_the_memory_of_deletions_nothing_is_taken_in(desk, store, ingest) -> None:
    store.delete([PLAIN], places(1), NOON)
    path = desk.folder / "history" / "_deleted" / "place.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(FeatureStoreError, match=r"place\.parquet"):
        ingest(store, fact(1, NOON, x=1.0))


# --- folders and limits ---


@contextmanager
def _files_no_larger_than(size: int) -> Iterator[None]:
    """As a full disk: writing more fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [2_000, 100])
def test_an_ingestion_that_finds_no_room_adds_nothing(desk, store, ingest, everything, room: int) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    rows = normalised(PLAIN, ROWS)
    with _files_no_larger_than(room), pytest.raises(FeatureStoreError, match=r"cannot be written.*Nothing was changed"):
        store.ingest(PLAIN, rows)
    assert everything(store) == [1.0]
    assert store.watermark(PLAIN).position == 1
    assert ingest(store, *ROWS).added == len(ROWS)
    assert [path.name for path in desk.files()] == ["00000001.parquet", "00000002.parquet"]


def test_a_deletion_that_finds_no_room_can_be_done_again(desk, store, ingest, everything) -> None:
    ingest(store, *ROWS)
    with _files_no_larger_than(2_000), pytest.raises(FeatureStoreError, match="plain@1"):
        store.delete([PLAIN], places(1), NOON)
    assert len(everything(store)) == len(ROWS)
    assert store.delete([PLAIN], places(1), NOON) == 50


def test_a_limit_that_makes_no_sense_is_refused(desk) -> None:
    with pytest.raises(FeatureStoreError, match="memory_limit"):
        desk.open(memory_limit="a lot")


def test_a_limit_of_sorting_that_makes_no_sense_is_named(desk, ingest) -> None:
    store = desk.open(sort_memory="a lot")
    store.apply([PLAIN])
    with pytest.raises(FeatureStoreError, match="sort_memory"):
        ingest(store, fact(1, NOON, x=1.0))


def test_too_little_memory_is_said(desk, store, ingest, ask) -> None:
    ingest(store, *ROWS)
    with pytest.raises(FeatureStoreError, match="Raise memory_limit"):
        ask(desk.open(memory_limit="1KB"), *((key, NOON) for key in range(20)))


def test_temporary_files_go_when_the_store_closes(desk) -> None:
    store = desk.open(temp=desk.folder / "spill")
    assert list((desk.folder / "spill").iterdir())
    store.close()
    assert list((desk.folder / "spill").iterdir()) == []


def test_nothing_is_loaded_from_elsewhere(store) -> None:
    with store._engine.session() as session:
        settings = session.table(
            "SELECT name, value FROM duckdb_settings() WHERE name IN"
            " ('autoinstall_known_extensions', 'autoload_known_extensions', 'allow_community_extensions')"
        )
    assert settings["value"].to_pylist() == ["false"] * 3


# --- rows and labels that break the contract ---


def test_a_missing_column_is_named(store) -> None:
    with pytest.raises(MissingColumn, match="'x' is missing"):
        store.ingest(PLAIN, normalised(PLAIN, ROWS).drop_columns(["x"]))


def test_a_column_of_another_type_is_named(store) -> None:
    table = normalised(PLAIN, ROWS)
    texts = table.set_column(table.column_names.index("x"), "x", table["s"])
    with pytest.raises(WrongType, match="'x' holds string, declared is double"):
        store.ingest(PLAIN, texts)


def test_a_token_of_other_times_is_refused(store) -> None:
    table = normalised(PLAIN, [fact(1, NOON, x=1.0)])
    later = table.set_column(table.column_names.index(EVENT), EVENT, stamps([NOON + US]))
    with pytest.raises(DataError, match=ORDER):
        store.ingest(PLAIN, later)


def test_a_label_key_of_another_type_is_named(store) -> None:
    labels = asked(PLACE.keys, [((1,), NOON)])
    wanted = Asked(view=PLAIN, keys={"place_id": EVENT}, features={"x": "x"})
    with pytest.raises(WrongType, match=EVENT):
        store.join(labels, [wanted])


def test_the_manifest_says_how_large_each_file_is(desk, store, ingest) -> None:
    ingest(store, *ROWS)
    (path,) = desk.files()
    (file,) = json.loads(path.with_name("manifest.json").read_text())["files"]
    assert (file["rows"], file["size"]) == (len(ROWS), path.stat().st_size)


def test_no_progress_is_drawn_into_what_a_verb_prints(tmp_path: Path) -> None:
    """DuckDB draws it where it takes the process for an interactive one, as it does one that runs no file."""
    program = """
from pathlib import Path
import duckdb, sys
from stackwright_duckdb.offline import DuckDBOfflineStore
from stackwright_duckdb.plugin import DuckDBConfig
from stackwright_interfaces.testing.context import make_context

asked = "SELECT current_setting('enable_progress_bar') AS drawn"
print(*duckdb.connect().sql(asked).fetchall()[0])
store = DuckDBOfflineStore(DuckDBConfig(), make_context(Path(sys.argv[1])))
with store._engine.session() as reading, store._engine.frugal_session() as writing:
    print(*reading.one(asked), *writing.one(asked), *store.sql(asked, {})["drawn"].to_pylist())
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    drawn = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert drawn.splitlines() == ["True", "False False False"]
