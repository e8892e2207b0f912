"""Writing the files of a history: new ones, merged ones, and those without some keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stackwright_duckdb.engine import Session
from stackwright_duckdb.scan import (
    FILE,
    ORDER_COLUMNS,
    literal,
    one_file,
    ordered,
    quoted,
    relation,
    same_key,
)
from stackwright_interfaces.feature_store import EVENT
from stackwright_parquet import durable
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import POSITION, HistoryFile, Manifest

_SMALL: Final = 1_000_000
"""Files of fewer rows are merged."""

_ROW_GROUP: Final = 40_960
"""Rows that are read or skipped together: a third of DuckDB's default, since few labels are to read little."""


def in_order(manifest: Manifest, rows: str, *last: str) -> str:
    """Return a SELECT of rows in the order of files: by keys, order token, and what comes last."""
    return f"SELECT * FROM ({rows}) ORDER BY {', '.join([*manifest.key_names, *ORDER_COLUMNS, *last])}"


def write_file(
    session: Session, folder: ViewFolder, manifest: Manifest, rows: str, *, name: str, first: int, last: int
) -> HistoryFile | None:
    """Write the rows of a SELECT, durably; return the file, or ``None`` where there is no row.

    The file does not count before a manifest names it.

    Args:
        session: where queries run.
        folder: the view's folder.
        manifest: its history.
        rows: a SELECT of rows as :func:`in_order` puts them.
        name: file name.
        first: least position among the rows.
        last: greatest.
    """
    names = [f"{name} AS {quoted(stored.column)}" for name, stored in manifest.columns.items()]
    listed = ", ".join([*names, *ORDER_COLUMNS, POSITION])
    path = folder.path / name
    with durable.replacing(path) as temporary:
        session.run(
            f"COPY (SELECT {listed} FROM ({rows})) TO {literal(str(temporary))}"
            f" (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {_ROW_GROUP})"
        )
    count, oldest, newest = session.one(
        f"SELECT count(*), min(epoch_us({EVENT})), max(epoch_us({EVENT})) FROM read_parquet([{one_file(path)}])"
    )
    if not count:
        path.unlink()
        return None
    return HistoryFile(
        name=name,
        first=first,
        last=last,
        rows=count,
        size=path.stat().st_size,
        oldest=oldest,
        newest=newest,
        fields=len(manifest.fields),
    )


def merged(session: Session, folder: ViewFolder, manifest: Manifest, merge_files: int) -> Manifest:
    """Merge the small files into one, where there are many; return the manifest that is published then."""
    small = ordered(file for file in manifest.files if file.rows < _SMALL)
    if len(small) < merge_files:
        return manifest
    written = _rewritten(session, folder, manifest, relation(folder, manifest, small), small)
    return folder.replace_files(manifest, small, written)


def without_keys(session: Session, folder: ViewFolder, manifest: Manifest) -> int:
    """Publish the history without the rows of the keys in the relation ``gone``; return how many they were."""
    files = ordered(manifest.files)
    keys = ", ".join(manifest.key_names)
    counted = session.table(
        f"SELECT {FILE} AS file, count(*) AS rows FROM ({relation(folder, manifest, files, ())})"
        f" SEMI JOIN gone USING ({keys}) GROUP BY {FILE}"
    )
    touched = [files[number] for number in counted["file"].to_pylist()]
    kept = [new for file in touched for new in _without(session, folder, manifest, file)]
    if touched:
        folder.replace_files(manifest, touched, kept)
    return sum(counted["rows"].to_pylist())


def _without(session: Session, folder: ViewFolder, manifest: Manifest, file: HistoryFile) -> list[HistoryFile]:
    gone = f"NOT EXISTS (FROM gone g WHERE {same_key(manifest, 'r', 'g')})"
    rows = f"SELECT * FROM ({relation(folder, manifest, [file])}) r WHERE {gone}"
    return _rewritten(session, folder, manifest, rows, [file])


def _rewritten(
    session: Session, folder: ViewFolder, manifest: Manifest, rows: str, files: Sequence[HistoryFile]
) -> list[HistoryFile]:
    """Write what becomes of some files."""
    first, last = min(file.first for file in files), max(file.last for file in files)
    name = f"{first:08d}-{last:08d}.{manifest.rewrites + 1}.parquet"
    written = write_file(session, folder, manifest, in_order(manifest, rows), name=name, first=first, last=last)
    return [] if written is None else [written]
