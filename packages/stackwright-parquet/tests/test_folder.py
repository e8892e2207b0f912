"""A view's folder: what counts, what is swept, and what is said of damage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.errors import FeatureStoreError, UnknownName, VersionRequired
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.half_cases import BLOCKS, COLUMNS, PLAIN
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.histories import Histories
from stackwright_parquet.manifest import HistoryFile, Manifest


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    return Histories(tmp_path / "history", 1.0, lambda: NOON)


@pytest.fixture
def folder(histories: Histories) -> ViewFolder:
    histories.prepare([PLAIN])
    return histories.folder(PLAIN)


def a_file(folder: ViewFolder, name: str, position: int = 1) -> HistoryFile:
    """A file of history, which this room does not look into."""
    (folder.path / name).write_bytes(b"rows")
    return HistoryFile(name=name, first=position, last=position, rows=1, size=4, oldest=0, newest=0)


def names(folder: ViewFolder) -> set[str]:
    return {path.name for path in folder.path.iterdir()} - {".lock"}


def test_a_view_has_an_empty_history_once_it_was_prepared_and_a_namespace_is_a_folder(histories: Histories) -> None:
    histories.prepare([PLAIN, BLOCKS])
    assert histories.folder(BLOCKS).path == histories.root / "town" / "blocks@1"
    assert histories.folder(PLAIN).manifest() == Manifest.of(PLAIN)
    assert histories.watermark(PLAIN, None).position == 0


def test_a_view_that_was_never_prepared_is_unknown_and_those_that_were_are_named(histories: Histories) -> None:
    histories.prepare([BLOCKS])
    with pytest.raises(UnknownName, match=r"town/blocks@1"):
        histories.folder(PLAIN).manifest()


def test_one_view_that_cannot_be_prepared_leaves_the_others_alone(histories: Histories, folder: ViewFolder) -> None:
    with pytest.raises(VersionRequired):
        histories.prepare([BLOCKS, replace(PLAIN, fields=COLUMNS[1:])])
    assert histories.folder(BLOCKS).find() is None


def test_columns_that_a_view_gained_are_published(histories: Histories, folder: ViewFolder) -> None:
    histories.prepare([replace(PLAIN, fields=(*COLUMNS, Field("y", FLOAT64)))])
    assert folder.manifest().field_number("y") == 3


def test_a_writer_removes_what_a_crashed_one_left_and_nothing_else(folder: ViewFolder) -> None:
    kept = ["00000001.parquet", "00000002-00000009.3.parquet", "00000010-00000010.4.0.parquet"]
    with folder.writing():
        folder.publish(Manifest.of(PLAIN).ingesting(1, [a_file(folder, name) for name in kept]))
    for stray in ("00000011.parquet", "00000002-00000010.4.parquet", "00000011-00000011.4.1.parquet", ".tmp-x"):
        (folder.path / stray).write_bytes(b"half")
    (folder.path / ".tmp-folder" / "below").mkdir(parents=True)
    (folder.path / "notes.parquet").write_bytes(b"somebody's")
    with folder.writing():
        assert names(folder) == {*kept, "manifest.json", "notes.parquet"}


def test_files_are_replaced_by_others_in_the_order_of_their_ingestions(folder: ViewFolder) -> None:
    with folder.writing():
        before = [a_file(folder, f"0000000{position}.parquet", position) for position in (1, 2, 3)]
        manifest = Manifest.of(PLAIN).ingesting(1, before)
        folder.publish(manifest)
        merged = replace(a_file(folder, "00000001-00000002.1.parquet"), last=2)
        after = folder.replace_files(manifest, before[:2], [merged])
    assert after.files == (merged, before[2])
    assert after.rewrites == 1
    assert folder.manifest() == after
    assert names(folder) == {merged.name, before[2].name, "manifest.json"}


def test_what_is_staged_is_gone_at_the_end(folder: ViewFolder) -> None:
    with folder.writing(), folder.staging() as staging:
        (staging / "part").write_bytes(b"rows")
    assert names(folder) == {"manifest.json"}


def test_a_lost_manifest_is_missed_and_the_files_stay(histories: Histories, folder: ViewFolder) -> None:
    with folder.writing():
        folder.publish(Manifest.of(PLAIN).ingesting(1, [a_file(folder, "00000001.parquet")]))
    (folder.path / "manifest.json").unlink()
    with pytest.raises(FeatureStoreError, match=r"manifest\.json.*missing"):
        histories.prepare([PLAIN])
    assert names(folder) == {"00000001.parquet"}


def test_a_damaged_manifest_is_named_and_nothing_is_removed(folder: ViewFolder) -> None:
    a_file(folder, "00000001.parquet")
    (folder.path / "manifest.json").write_bytes(b"{")
    with pytest.raises(FeatureStoreError, match=r"manifest\.json"), folder.writing():
        pass
    assert names(folder) == {"00000001.parquet", "manifest.json"}


def test_a_path_that_is_no_folder_is_named(histories: Histories) -> None:
    histories.root.write_text("not a folder")
    with pytest.raises(FeatureStoreError, match="history"):
        histories.prepare([PLAIN])


def test_a_failed_write_says_that_nothing_was_changed(folder: ViewFolder, monkeypatch: Any) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stackwright_parquet.durable.sync", fail)
    with pytest.raises(FeatureStoreError, match=r"No space left.*Nothing was changed"), folder.writing():
        folder.publish(Manifest.of(PLAIN).ingesting(1))
    assert folder.manifest().position == 0
