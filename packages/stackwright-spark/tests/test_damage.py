"""What happens when files are damaged, folders cannot be written, and rows break the contract."""

from __future__ import annotations

import json
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


def test_a_history_of_another_engine_is_whole_and_to_be_moved(desk, store, ingest, ask) -> None:
    ingest(store, *ROWS)
    (path,) = desk.files()
    manifest = path.with_name("manifest.json")
    found = json.loads(manifest.read_bytes())
    for file in found["files"]:
        del file["footer"]  # engines that read no other footer than the written one note no sum of it
    manifest.write_text(json.dumps(found))
    with pytest.raises(FeatureStoreError, match="written by another engine") as caught:
        ask(desk.open(), (1, NOON + 60 * US))
    assert "swap offline spark --migrate" in str(caught.value)


def test_a_flipped_bit_in_a_value_is_noticed(desk, store, ingest, everything) -> None:
    ingest(store, fact(1, NOON, s="north by northwest"))
    (path,) = desk.files()
    content = path.read_bytes()
    at = content.index(b"north by")
    path.write_bytes(content[:at] + b"s" + content[at + 1 :])
    with pytest.raises(FeatureStoreError, match=path.name):
        everything(store)


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


def test_a_temporary_folder_that_cannot_be_made_is_named(desk, store, ask) -> None:
    (desk.folder / "spill").write_text("not a folder")
    with pytest.raises(FeatureStoreError, match="spill"):
        ask(desk.open(temp=desk.folder / "spill"), (1, NOON))


# --- rows and labels that break the contract ---


def test_a_missing_column_is_named(store) -> None:
    with pytest.raises(MissingColumn, match="'x' is missing"):
        store.ingest(PLAIN, normalised(PLAIN, ROWS).drop_columns(["x"]))


def test_a_column_of_another_type_is_named(store) -> None:
    table = normalised(PLAIN, ROWS)
    texts = table.set_column(table.column_names.index("x"), "x", table["s"])
    with pytest.raises(WrongType, match="'x' holds string, declared is double"):
        store.ingest(PLAIN, texts)


def test_a_token_of_other_times_is_refused_and_nothing_is_added(store, everything) -> None:
    table = normalised(PLAIN, [fact(1, NOON, x=1.0)])
    later = table.set_column(table.column_names.index(EVENT), EVENT, stamps([NOON + US]))
    with pytest.raises(DataError, match=ORDER):
        store.ingest(PLAIN, later)
    assert store.watermark(PLAIN).position == 0
    assert everything(store) == []


def test_a_label_key_of_another_type_is_named(store) -> None:
    labels = asked(PLACE.keys, [((1,), NOON)])
    wanted = Asked(view=PLAIN, keys={"place_id": EVENT}, features={"x": "x"})
    with pytest.raises(WrongType, match=EVENT):
        store.join(labels, [wanted])
