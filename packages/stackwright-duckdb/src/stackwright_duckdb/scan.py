"""Files of a history as one SQL relation.

In it, keys are ``k0, k1, ...`` and value columns ``c0, c1, ...`` as the manifest numbers them, beside ``__event``,
``__created``, ``__content`` and ``__position``; ``__file`` (place in the list of files) and ``__row`` point to a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from stackwright_duckdb.columns import sql_type
from stackwright_interfaces.feature_store import CREATED, EVENT, Watermark
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import CONTENT, EARLIEST, LATEST, POSITION, HistoryFile, Manifest, StoredColumn

FILE: Final = "__file"
PLACE: Final = "__row"

ORDER_COLUMNS: Final = (EVENT, CREATED, CONTENT)
"""What the order token is made of."""

_SYSTEM: Final = {EVENT: "TIMESTAMPTZ", CREATED: "TIMESTAMPTZ", CONTENT: "UBIGINT", POSITION: "BIGINT"}


def quoted(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return an SQL text."""
    return "'" + text.replace("'", "''") + "'"


def one_file(path: Path) -> str:
    """Return an SQL text that ``read_parquet`` takes for this file, not for a pattern."""
    return literal(re.sub(r"[\[*?]", r"[\g<0>]", str(path)))


def instant(microseconds: int) -> str:
    """Return an SQL expression of an instant."""
    return f"make_timestamptz({min(max(microseconds, EARLIEST), LATEST)})"


def same_key(manifest: Manifest, left: str, right: str) -> str:
    """Return the condition that two relations are at the same key."""
    return " AND ".join(f"{left}.{key} = {right}.{key}" for key in manifest.key_names)


def fields_of(file: HistoryFile) -> int:
    """Return how many value columns a file holds: it was told when the file was written."""
    assert file.fields is not None
    return file.fields


def ordered(files: Iterable[HistoryFile]) -> list[HistoryFile]:
    """Return files with those of like columns together."""
    return sorted(files, key=lambda file: (fields_of(file), file.first))


def relation(
    folder: ViewFolder, manifest: Manifest, files: Sequence[HistoryFile], fields: Iterable[int] | None = None
) -> str:
    """Return a SELECT of the rows of some files, with these value columns (``None``: all) by their numbers."""
    numbers = sorted(range(len(manifest.fields)) if fields is None else fields)
    parts = []
    base = 0
    for held, group in groupby(files, key=fields_of):
        paths = [one_file(folder.file(file)) for file in group]
        columns = [f"{quoted(key.column)} AS k{number}" for number, key in enumerate(manifest.keys)]
        columns += _SYSTEM
        columns += [f"CAST(file_index AS BIGINT) + {base} AS {FILE}", f"file_row_number AS {PLACE}"]
        columns += [_field(manifest.fields[number], number, present=number < held) for number in numbers]
        parts.append(f"SELECT {', '.join(columns)} FROM read_parquet([{', '.join(paths)}], hive_partitioning = false)")
        base += len(paths)
    return " UNION ALL ".join(parts) if parts else _nothing(manifest, numbers)


def admitted(mark: Watermark, due: int) -> str:
    """Return the condition that a watermark admits a row; ``due`` is its instant in microseconds."""
    return f"({POSITION} <= {mark.position} AND {EVENT} <= {instant(due)})"


def _field(stored: StoredColumn, number: int, *, present: bool) -> str:
    value = quoted(stored.column) if present else "NULL"
    return f"CAST({value} AS {sql_type(stored.type)}) AS c{number}"


def _nothing(manifest: Manifest, numbers: Sequence[int]) -> str:
    types = {f"k{number}": sql_type(key.type) for number, key in enumerate(manifest.keys)}
    types |= _SYSTEM | {FILE: "BIGINT", PLACE: "BIGINT"}
    types |= {f"c{number}": sql_type(manifest.fields[number].type) for number in numbers}
    columns = [f"CAST(NULL AS {types[name]}) AS {name}" for name in types]
    return f"SELECT {', '.join(columns)} WHERE false"
