"""Rows of files: one, a folder of them, or those that fit a pattern; CSV, Parquet, Arrow."""

from __future__ import annotations

import csv
import glob
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from stackwright.workflows.rows.csv_rows import File, Stream, read_csv
from stackwright_interfaces.errors import DataError, UsageError
from stackwright_interfaces.types import Type
from stackwright_interfaces.views import NULLS

BATCH_ROWS: Final = 65_536

ARROW: Final = (".arrow", ".feather")
READABLE: Final = (".parquet", *ARROW, ".csv")
"""Suffixes of files that can be read."""


class Found(NamedTuple):
    """Files of one kind, and the folder below which ``key=value`` folders are columns."""

    files: Sequence[File]
    root: Path | None = None


def find(source: str) -> Found:
    """Return the files of a path, of a folder at any depth, or of a pattern such as ``days/*.csv``.

    In a folder, names that begin with ``.`` or ``_`` are passed over, and files of kinds that cannot be read.

    Raises:
        UsageError: there is none, its suffix is unknown, or they are of several kinds.
    """
    path = Path(source)
    if path.is_dir():
        return chosen([File(file, str(file)) for file in sorted(path.rglob("*")) if file.is_file()], source, path)
    if path.exists():
        return Found([File(path, str(path))]) if suffix(path) in READABLE else _unknown(source, path)
    names = sorted(glob.glob(source, recursive=True)) if glob.has_magic(source) else []  # noqa: PTH207 -- absolute too
    if not names:
        raise UsageError(source, "no file fits" if glob.has_magic(source) else "no such file", "Check the path.")
    return chosen([File(Path(name), name) for name in names if Path(name).is_file()], source, None)


def chosen(files: Sequence[File], source: str, root: Path | None) -> Found:
    """Return those of some files that can be read.

    Raises:
        UsageError: there is none, or they are of several kinds.
    """
    readable = [file for file in files if suffix(file.path) in READABLE and not _passed_over(file.path, root)]
    kinds = sorted({suffix(file.path) for file in readable})
    if not kinds:
        raise UsageError(source, "it holds no file that can be read", f"Give files that end in {_listed(READABLE)}.")
    if len(kinds) > 1 and kinds != [".arrow", ".feather"]:
        todo = f"Name one kind: a pattern such as '*{kinds[0]}'."
        raise UsageError(source, f"it holds files of several kinds: {_listed(kinds, 'and')}", todo)
    return Found(readable, root)


def _passed_over(path: Path, root: Path | None) -> bool:
    parts = path.relative_to(root).parts if root else (path.name,)
    return any(part.startswith((".", "_")) for part in parts)


def _unknown(source: str, path: Path) -> Found:
    raise UsageError(source, f"suffix {path.suffix!r} is not known", f"Give a file that ends in {_listed(READABLE)}.")


def _listed(names: Sequence[str], last: str = "or") -> str:
    return f" {last} ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def suffix(path: Path) -> str:
    """Return what tells the kind of a file."""
    return path.suffix.lower()


def read(
    found: Found, declared: Mapping[str, Type], *, nulls: Sequence[str] = NULLS, needed: Collection[str] = ()
) -> Stream:
    """Open files; their rows are read as they are asked for, some batches at a time.

    Args:
        declared: column of the files → type; in CSV, numbers and booleans among them are converted, everything else
            stays text, so that keys keep their leading zeros.
        nulls: texts of a CSV that stand for null, beside the empty one; in columns that are not declared, or as texts,
            without those of :data:`~stackwright_interfaces.views.NULLS`.
        needed: where all of these columns are there, only they are read.

    Raises:
        DataError: one is damaged, lacks a column that others have, or a value is not of the declared type.
    """
    if suffix(found.files[0].path) == ".csv":
        return _read_csvs(found.files, declared, nulls)
    from stackwright.workflows.rows.column_files import read_columns  # brings pandas along: a fifth of a second

    return read_columns(found, needed)


def _read_csvs(files: Sequence[File], declared: Mapping[str, Type], nulls: Sequence[str]) -> Stream:
    def opened(file: File) -> Stream:
        with told(file):
            return read_csv(file, declared, nulls)

    schema = opened(files[0]).schema
    for file in files[1:]:
        same_columns(file, opened(file).schema.names, schema.names, files[0])

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            with told(file):
                for batch in opened(file).batches:
                    yield batch.select(schema.names)

    return Stream(schema, batches())


def same_columns(file: File, names: Collection[str], expected: Collection[str], first: File) -> None:
    """Hold the columns of a file to those of the first.

    Raises:
        DataError: one of them has a column that the other lacks.
    """
    for lacking, one, other in (({*expected} - {*names}, file, first), ({*names} - {*expected}, first, file)):
        if lacking:
            found = f"column {min(lacking)!r} is missing, and {other.shown} has it"
            raise DataError(one.shown, found, "Add it, or take the file out.")


@contextmanager
def told(file: File) -> Iterator[None]:
    """Name the file that cannot be read.

    Raises:
        DataError: it is damaged.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        kind = ", as an Arrow file" if suffix(file.path) in ARROW else ""
        todo = f"Was it cut off, or altered? Mend or export the file again{kind}."
        raise DataError(file.shown, f"cannot be read ({first_line(error)})", todo) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return str(error).partition("\n")[0]
