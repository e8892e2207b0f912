"""Rows of CSV files, converted as they are declared, with the line of what is wrong."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from stackwright_interfaces.errors import DataError, WrongType
from stackwright_interfaces.types import STRING, Kind, Type
from stackwright_interfaces.views import NULLS

_WHOLE: Final = r"^-?\d+$"
_POINT_ZERO: Final = r"^([+-]?\d+)\.0*$"
_PLUS: Final = r"^\+([\d.])"
_CHUNK: Final = 1 << 20


class File(NamedTuple):
    """A file to read, and the name it has for people."""

    path: Path
    shown: str


class Stream(NamedTuple):
    """Rows that are read as they are asked for."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def read_csv(file: File, declared: Mapping[str, Type], nulls: Sequence[str] = NULLS) -> Stream:
    """Open a CSV (UTF-8, a header line). Numbers and booleans among the declared columns are converted.

    Args:
        declared: column → type; a column that is not declared holds texts.
        nulls: texts that stand for null, beside the empty one; in columns of texts without those of ``NULLS``.

    Raises:
        DataError: it is empty, cut off, or names a column twice; of its rows, when they are read.
    """
    try:
        names = _header(file)
        _check_end(file)
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
        )
        parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
        reader = pyarrow.csv.open_csv(file.path, parse_options=parse, convert_options=convert)
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error):
        _check_lines(file)
        raise
    types = {name: declared.get(name, STRING) for name in names}
    schema = pa.schema([(name, _arrow(type_)) for name, type_ in types.items()])
    return Stream(schema, _batches(reader, schema, types, nulls, file))


def ends_openly(path: Path) -> bool:
    """Tell whether the last line has no end, so that its last value may have been cut off."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(size - 1, 0))
        return stream.read(1) not in (b"\n", b"\r")


def converted(texts: pa.Array, type_: Type, nulls: Sequence[str] = NULLS) -> pa.Array:
    """Return texts as values of a type, as those of a file are; texts stay what they are for a type that is written so.

    Raises:
        pa.ArrowInvalid: one is none.
    """
    there = without_nulls(texts, type_, nulls)
    return _CONVERT[type_.kind].convert(pc.utf8_trim_whitespace(there)) if type_.kind in _CONVERT else there


def without_nulls(texts: Any, type_: Type, nulls: Sequence[str] = NULLS) -> Any:
    """Return texts of a column of a type, null where one stands for null."""
    gaps = [text for text in nulls if type_.kind is not Kind.STRING or text not in NULLS]
    return pc.if_else(pc.is_in(texts, pa.array(gaps)), None, texts) if gaps else texts


def records_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the records of a CSV that hold anything, the header first, each with the number of its first line."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader, line = csv.reader(stream), 1
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1


def line_of(file: File, row: int) -> int:
    """Return the line of a file, from 1, where a row begins; rows are counted from 0, behind the header."""
    return next((line for place, (line, _) in enumerate(records_of(file.path)) if place == row + 1), 0)


def first_bad(column: Any, read: Callable[[Any], Any]) -> int:
    """Return the first row of a column that holds one and cannot be read, found by halving."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            read(column.slice(low, middle - low))
            low = middle
        except (pa.ArrowInvalid, WrongType):
            high = middle
    return low


def _arrow(type_: Type) -> pa.DataType:
    return _CONVERT[type_.kind].type if type_.kind in _CONVERT else pa.string()


def _batches(
    reader: Any, schema: pa.Schema, declared: Mapping[str, Type], nulls: Sequence[str], file: File
) -> Iterator[pa.RecordBatch]:
    first = 0
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except pa.ArrowInvalid:
            _check_lines(file)
            raise
        arrays = [
            _converted(without_nulls(column, declared[name], nulls), file, name, declared[name], first)
            for name, column in zip(schema.names, batch.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        first += len(batch)


def _check_lines(file: File) -> None:
    """Say which line cannot be read, if one can be named."""
    with file.path.open("rb") as stream:
        for line, data in enumerate(stream, 1):
            try:
                data.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{file.shown} line {line}", f"not UTF-8 ({error.reason})", "Export the file as UTF-8."
                ) from error
    width = 0
    for line, record in records_of(file.path):
        width = width or len(record)
        if len(record) != width:
            found = f"{len(record)} values, and the header names {width}"
            todo = "Mend the line; quote values that hold a comma. If it is the last one, the file was cut off."
            raise DataError(f"{file.shown} line {line}", found, todo)


def _check_end(file: File) -> None:
    """See that no quote is open at the end: the parser would take what is there for the whole value."""
    with file.path.open("rb") as stream:
        quotes = sum(chunk.count(b'"') for chunk in iter(lambda: stream.read(_CHUNK), b""))
    if quotes % 2 == 0:
        return
    with file.path.open(encoding="utf-8-sig", newline="") as text:
        reader, line = csv.reader(text, strict=True), 1
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                found, todo = "a quote is opened and never closed", "Was the file cut off? Mend or export it again."
                raise DataError(f"{file.shown} line {line}", found, todo) from error


def _header(file: File) -> list[str]:
    names = next((record for _, record in records_of(file.path)), None)
    if names is None:
        raise DataError(file.shown, "the file is empty", "Give a file with a header line.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(file.shown, f"column {twice[0]!r} is there twice", "Remove or rename one of them.")
    return names


def _converted(column: pa.Array, file: File, name: str, type_: Type, first: int) -> pa.Array:
    """Convert the values of some rows; ``first`` rows came before them."""
    if type_.kind not in _CONVERT:
        return column
    convert = _CONVERT[type_.kind].convert
    trimmed = pc.utf8_trim_whitespace(column)
    try:
        return convert(trimmed)
    except pa.ArrowInvalid as error:
        row = first_bad(trimmed, convert)
        where = f"{file.shown} line {line_of(file, first + row)}"
        raise WrongType.of(where, name, repr(column[row].as_py()), str(type_)) from error


def _whole(texts: pa.Array) -> pa.Array:
    """Convert whole numbers, also those written as 3.0 or 1.2e+06."""
    texts = pc.replace_substring_regex(_unsigned(texts), _POINT_ZERO, r"\1")
    plain = pc.match_substring_regex(texts, _WHOLE)
    written = pc.cast(pc.if_else(plain, texts, None), pa.int64())
    computed = pc.cast(pc.cast(pc.if_else(plain, None, texts), pa.float64()), pa.int64())
    return pc.coalesce(written, computed)


def _unsigned(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, _PLUS, r"\1")


class _Conversion(NamedTuple):
    type: pa.DataType
    convert: Callable[[Any], Any]


_CONVERT: Final[Mapping[Kind, _Conversion]] = {
    Kind.BOOL: _Conversion(pa.bool_(), lambda texts: pc.cast(texts, pa.bool_())),
    Kind.INT64: _Conversion(pa.int64(), _whole),
    Kind.FLOAT64: _Conversion(pa.float64(), lambda texts: pc.cast(_unsigned(texts), pa.float64())),
}
