"""Tables from files: CSV and Parquet, each column as it is declared."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from stackwright_interfaces.errors import DataError, UsageError, WrongType
from stackwright_interfaces.types import Kind, Type

_WHOLE: Final = r"^-?\d+$"
_POINT_ZERO: Final = r"^([+-]?\d+)\.0*$"
_PLUS: Final = r"^\+([\d.])"


def read_table(path: Path, declared: Mapping[str, Type], *, nulls: Sequence[str] = ()) -> pa.Table:
    """Read a file.

    Args:
        path: ``.csv`` (UTF-8, a header line) or ``.parquet``.
        declared: column of the file → type; in CSV, numbers and booleans among them are converted, everything else
            stays text, so that keys keep their leading zeros.
        nulls: texts of a CSV that stand for null, beside the empty one.

    Raises:
        UsageError: there is no such file, or its suffix is unknown.
        DataError: it is damaged, names a column twice, or a value is not of the declared type.
    """
    if not path.exists():
        raise UsageError(str(path), "no such file", "Check the path.")
    try:
        if path.is_dir() or suffix_of(path) == ".parquet":
            return pyarrow.parquet.read_table(path)
        return _read_csv(path, declared, nulls)
    except (pa.ArrowException, OSError, csv.Error) as error:
        raise DataError(
            str(path), f"cannot be read ({_first_line(error)})", "Mend or export the file again."
        ) from error


def suffix_of(path: Path) -> str:
    """Return the suffix of a file that can be read and written.

    Raises:
        UsageError: it has another one.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        todo = f"Give a file that ends in {' or '.join(_WRITERS)}."
        raise UsageError(str(path), f"suffix {path.suffix!r} is not known", todo)
    return suffix


def _read_csv(path: Path, declared: Mapping[str, Type], nulls: Sequence[str]) -> pa.Table:
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    try:
        names = _header(path)
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=["", *nulls], strings_can_be_null=True
        )
        table = pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert)
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error):
        _check_text(path)
        _check_widths(path)
        raise
    for place, name in enumerate(names):
        converter = _CONVERT.get(declared[name].kind) if name in declared else None
        if converter is not None:
            converted = _converted(table.column(place), converter, path, name, declared[name])
            table = table.set_column(place, name, converted)
    return table


def _check_text(path: Path) -> None:
    with path.open("rb") as stream:
        for line, data in enumerate(stream, 1):
            try:
                data.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path} line {line}", f"not UTF-8 ({error.reason})", "Export the file as UTF-8."
                ) from error


def _header(path: Path) -> list[str]:
    names = next((record for _, record in _records(path)), None)
    if names is None:
        raise DataError(str(path), "the file is empty", "Give a file with a header line.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(str(path), f"column {twice[0]!r} is there twice", "Remove or rename one of them.")
    return names


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the records of a CSV that hold anything, the header first, each with the number of its first line."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader, line = csv.reader(stream), 1
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1


def _check_widths(path: Path) -> None:
    width = 0
    for line, record in _records(path):
        width = width or len(record)
        if len(record) != width:
            found = f"{len(record)} values, and the header names {width}"
            raise DataError(f"{path} line {line}", found, "Mend the line; quote values that hold a comma.")


def _converted(
    column: pa.ChunkedArray, convert: Callable[[Any], Any], path: Path, name: str, type_: Type
) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(column)
    try:
        return convert(trimmed)
    except pa.ArrowInvalid as error:
        row = _first_bad(trimmed, convert)
        line = next((line for place, (line, _) in enumerate(_records(path)) if place == row + 1), 0)
        raise WrongType.of(f"{path} line {line}", name, repr(column[row].as_py()), str(type_)) from error


def _first_bad(column: pa.ChunkedArray, convert: Callable[[Any], Any]) -> int:
    """Return the first row that cannot be converted, found by halving."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(column.slice(low, middle - low))
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _whole(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert whole numbers, also those written as 3.0 or 1.2e+06."""
    texts = pc.replace_substring_regex(_unsigned(texts), _POINT_ZERO, r"\1")
    plain = pc.match_substring_regex(texts, _WHOLE)
    written = pc.cast(pc.if_else(plain, texts, None), pa.int64())
    computed = pc.cast(pc.cast(pc.if_else(plain, None, texts), pa.float64()), pa.int64())
    return pc.coalesce(written, computed)


def _unsigned(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(texts, _PLUS, r"\1")


_CONVERT: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    Kind.BOOL: lambda texts: pc.cast(texts, pa.bool_()),
    Kind.INT64: _whole,
    Kind.FLOAT64: lambda texts: pc.cast(_unsigned(texts), pa.float64()),
}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def write_table(table: pa.Table, path: Path) -> None:
    """Write a file, whole or not at all.

    Args:
        path: ends in ``.csv`` or ``.parquet``.

    Raises:
        UsageError: another suffix.
        DataError: it cannot be written.
    """
    write = _WRITERS[suffix_of(path)]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(table, temporary)
        temporary.replace(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            str(path), f"cannot be written ({_first_line(error)})", "Free space or allow writing there."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


_WRITERS: Final[Mapping[str, Callable[[pa.Table, Path], None]]] = {
    ".csv": pyarrow.csv.write_csv,
    ".parquet": pyarrow.parquet.write_table,
}
