"""Writing the files of a history: new ones, merged ones, and those without some keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from stackwright_duckdb.engine import Session
from stackwright_duckdb.scan import (
    FILE,
    ORDER_COLUMNS,
    literal,
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


def write_file(session: Session, folder: ViewFolder, manifest: Manifest, query: str, file: HistoryFile) -> HistoryFile:
    """Write the rows of a query, sorted by keys and order token, durably under the file's name; return it sized.

    The file does not count before a manifest names it.
    """
    names = [f"{name} AS {quoted(stored.column)}" for name, stored in manifest.columns.items()]
    listed = ", ".join([*names, *ORDER_COLUMNS, POSITION])
    order = ", ".join([*manifest.key_names, *ORDER_COLUMNS])
    path = folder.file(file)
    with durable.replacing(path) as temporary:
        session.run(
            f"COPY (SELECT {listed} FROM ({query}) ORDER BY {order})"
            f" TO {literal(str(temporary))} (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {_ROW_GROUP})"
        )
        size = temporary.stat().st_size
    return replace(file, size=size)


def merged(session: Session, folder: ViewFolder, manifest: Manifest, merge_files: int) -> Manifest:
    """Merge the small files into one, where there are many; return the manifest that is published then."""
    small = ordered(file for file in manifest.files if file.rows < _SMALL)
    if len(small) < merge_files:
        return manifest
    whole = HistoryFile(
        name=_name(manifest, small),
        first=min(file.first for file in small),
        last=max(file.last for file in small),
        rows=sum(file.rows for file in small),
        size=0,
        oldest=min(file.oldest for file in small),
        newest=max(file.newest for file in small),
        fields=len(manifest.fields),
    )
    written = write_file(session, folder, manifest, relation(folder, manifest, small), whole)
    return folder.replace_files(manifest, small, [written])


def without_keys(session: Session, folder: ViewFolder, manifest: Manifest) -> int:
    """Publish the history without the rows of the keys in the relation ``gone``; return how many they were."""
    files = ordered(manifest.files)
    keys = ", ".join(manifest.key_names)
    counted = session.table(
        f"SELECT {FILE} AS file, count(*) AS rows FROM ({relation(folder, manifest, files, ())})"
        f" SEMI JOIN gone USING ({keys}) GROUP BY {FILE}"
    )
    touched = [files[number] for number in counted["file"].to_pylist()]
    kept = [_without(session, folder, manifest, file) for file in touched]
    if touched:
        folder.replace_files(manifest, touched, [file for file in kept if file is not None])
    return sum(counted["rows"].to_pylist())


def _without(session: Session, folder: ViewFolder, manifest: Manifest, file: HistoryFile) -> HistoryFile | None:
    rows = relation(folder, manifest, [file])
    query = f"FROM ({rows}) r WHERE NOT EXISTS (FROM gone g WHERE {same_key(manifest, 'r', 'g')})"
    count, oldest, newest = session.one(f"SELECT count(*), min(epoch_us({EVENT})), max(epoch_us({EVENT})) {query}")
    if not count:
        return None
    shrunk = replace(
        file,
        name=_name(manifest, [file]),
        rows=count,
        oldest=oldest,
        newest=newest,
        fields=len(manifest.fields),
    )
    return write_file(session, folder, manifest, f"SELECT * {query}", shrunk)


def _name(manifest: Manifest, files: Sequence[HistoryFile]) -> str:
    first, last = min(file.first for file in files), max(file.last for file in files)
    return f"{first:08d}-{last:08d}.{manifest.rewrites + 1}.parquet"
