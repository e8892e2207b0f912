"""Files of a history as a Spark table.

In it, keys are ``k0, k1, ...`` and value columns ``c0, c1, ...`` as the manifest numbers them, beside ``__event``,
``__created`` (timestamps), ``__order`` (binary, which Spark compares byte by byte, unsigned) and ``__position``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final
from zlib import crc32

from pyspark.sql import DataFrame, SparkSession

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, Watermark
from stackwright_parquet.columns import instant_of
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import EARLIEST, LATEST, POSITION, HistoryFile, Manifest
from stackwright_spark.columns import spark_type

FILE: Final = "__file"

_TAIL: Final = 8
_SYSTEM: Final = {EVENT: "TIMESTAMP_LTZ", CREATED: "TIMESTAMP_LTZ", ORDER: "BINARY", POSITION: "BIGINT"}


def quoted(name: str) -> str:
    """Return an SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def instant(microseconds: int) -> str:
    """Return an SQL expression of an instant."""
    return f"timestamp_micros({min(max(microseconds, EARLIEST), LATEST)}L)"


def read_files(session: SparkSession, paths: Sequence[Path], columns: dict[str, str]) -> DataFrame:
    """Return these columns (name → Spark type) of Parquet files; their pages' checksums are verified."""
    schema = ", ".join(f"{quoted(name)} {dtype}" for name, dtype in columns.items())
    reader = session.read.schema(schema).option("parquet.page.verify-checksum.enabled", "true")
    return reader.parquet(*map(_location, paths))


def _location(path: Path) -> str:
    """What Spark takes for this file, not for a pattern."""
    return "file://" + re.sub(r"[\\{}\[\]*?]", r"\\\g<0>", str(path))


def table(
    session: SparkSession,
    folder: ViewFolder,
    manifest: Manifest,
    files: Sequence[HistoryFile],
    fields: Collection[int] | None = None,
) -> DataFrame:
    """Return the rows of some files, with these value columns (``None``: all) by their numbers.

    Raises:
        FeatureStoreError: a file is gone or has another size than was written.
    """
    numbers = sorted(range(len(manifest.fields)) if fields is None else fields)
    columns = {f"k{number}": item for number, item in enumerate(manifest.keys)}
    columns |= {f"c{number}": manifest.fields[number] for number in numbers}
    types = {name: spark_type(item.type) for name, item in columns.items()} | _SYSTEM
    if not files:
        nothing = [f"CAST(NULL AS {dtype}) AS {name}" for name, dtype in types.items()]
        return session.range(0).selectExpr(*nothing, f"'' AS {FILE}")
    for file in files:
        check_file(folder, file)
    stored = {item.column: spark_type(item.type) for item in columns.values()} | _SYSTEM
    read = read_files(session, [folder.file(file) for file in files], stored)
    named = [f"{quoted(item.column)} AS {name}" for name, item in columns.items()]
    return read.selectExpr(*named, *_SYSTEM, f"_metadata.file_name AS {FILE}")


def check_file(folder: ViewFolder, file: HistoryFile) -> None:
    """Look whether a file is there whole, as Spark does not (it passes over empty ones), and its footer as written.

    Raises:
        FeatureStoreError: it is not, or another engine wrote it.
    """
    path = folder.file(file)
    if file.footer is None:
        todo = "Take that engine again (offline = ...), then move it: stackwright swap offline spark --migrate"
        raise FeatureStoreError(str(folder.path), "the history was written by another engine", todo)
    try:
        size = path.stat().st_size
        if size != file.size:
            raise damaged(path, f"is damaged: it holds {size} bytes, {file.size} were written")
        if footer_sum(path) != file.footer:
            raise damaged(path, "is damaged: its footer is not the one that was written")
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror}") from error


def footer_sum(path: Path) -> int:
    """Return the CRC-32 of a Parquet file's footer, whose length stands in front of the last four bytes."""
    with path.open("rb") as file:
        file.seek(-_TAIL, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-min(length + _TAIL, path.stat().st_size), os.SEEK_END)
        return crc32(file.read())


def damaged(path: Path, found: str) -> FeatureStoreError:
    """Return the error that names a damaged file."""
    return FeatureStoreError(
        str(path), found, "Restore it from a backup, or remove the view's folder and ingest again."
    )


def admitted(mark: Watermark) -> str:
    """Return the SQL condition that a watermark admits a row."""
    return f"({POSITION} <= {mark.position} AND {EVENT} <= {instant(instant_of(mark.due))})"
