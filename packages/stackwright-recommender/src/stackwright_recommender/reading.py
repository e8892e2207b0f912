"""Interactions and items from a user's own files: CSV or Parquet, or a table at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import scipy.sparse as sp
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError, MissingColumn, UsageError, WrongType
from stackwright_interfaces.views import NULLS
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.identifiers import UNKNOWN, Codes, Identifiers
from stackwright_recommender.interactions import Interactions

Source = Any
"""A path, or a table that gives ``__arrow_c_stream__`` (pandas, Polars, pyarrow, DuckDB)."""

_PARQUET: Final = (".parquet", ".pq")
_SECONDS: Final = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column of the interactions holds what.

    Args:
        user: who; texts or whole numbers. CSV is read as texts.
        item: what was taken.
        time: when: timestamps, ISO 8601 texts, or numbers of ``time_unit`` since 1970; naive ones are UTC.
        weight: how much taste an interaction tells of, 0 or more (a contact 3, a click 1); without it each counts 1.
        rating: what the user thought of it.
        relevant_from: the least rating that is liked; what is rated lower counts as seen, with weight 0. ``None``
            likes all.
        time_unit: of times that are numbers: ``s``, ``ms``, ``us`` or ``ns``.
        names: names of the columns of a CSV file that has no header.
        delimiter: of a CSV file.
    """

    user: str = "user"
    item: str = "item"
    time: str | None = None
    weight: str | None = None
    rating: str | None = None
    relevant_from: float | None = None
    time_unit: str = "s"
    names: tuple[str, ...] = ()
    delimiter: str = ","


@dataclass(frozen=True, kw_only=True)
class ItemColumns:
    """Which column of the items holds what. Every row is one item.

    Args:
        item: the identifier, as in the interactions.
        attributes: columns of texts, each of one value or of several parted by ``separator``; or of lists of texts.
        numbers: columns of numbers.
        latitude: degrees.
        longitude: degrees.
        area: what popularity is counted by.
        group: what rules may speak of: the seller, the brand.
        price: what a budget limits.
        since: when the item may be shown first; as ``Columns.time``.
        until: when it may no longer be shown.
        separator: between values of one attribute.
        time_unit: of times that are numbers.
        names: names of the columns of a CSV file that has no header.
        delimiter: of a CSV file.
        encoding: of a CSV file.
    """

    item: str = "item"
    attributes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    latitude: str | None = None
    longitude: str | None = None
    area: str | None = None
    group: str | None = None
    price: str | None = None
    since: str | None = None
    until: str | None = None
    separator: str = "|"
    time_unit: str = "s"
    names: tuple[str, ...] = ()
    delimiter: str = ","
    encoding: str = "utf-8"


def read_interactions(
    source: Source, columns: Columns, *, users: Identifiers | None = None, items: Identifiers | None = None
) -> tuple[Interactions, Identifiers, Identifiers]:
    """Read interactions.

    Args:
        source: a path or a table.
        columns: which column holds what.
        users: identifiers whose codes are to be kept; new ones come behind.
        items: the same of items.

    Returns:
        The interactions, and the identifiers of users and items that their codes stand for.

    Raises:
        DataError: the file cannot be read, is empty, or holds what cannot be used; with the row, from 1.
        MissingColumn: a column is not there.
        WrongType: a column holds something else.
        UsageError: ``relevant_from`` without ``rating``, or an unknown unit.
    """
    wanted = [name for name in (columns.user, columns.item, columns.time, columns.weight, columns.rating) if name]
    if columns.relevant_from is not None and columns.rating is None:
        raise UsageError("columns", "relevant_from is given, and no rating", "Name the column of ratings.")
    table = _read(source, wanted, columns.names, columns.delimiter, texts=[columns.user, columns.item])
    where = _name(source)
    if not table.num_rows:
        raise DataError(where, "no interactions", "Give a file with one interaction a row.")
    who, user = _coded(table, columns.user, where, users)
    what, item = _coded(table, columns.item, where, items)
    time = _times(table, columns.time, columns.time_unit, where) if columns.time else None
    if time is not None:
        _refuse(~np.isfinite(time), where, columns.time, "no time")
    rating = _numbers(table, columns.rating, where) if columns.rating else None
    weight = _numbers(table, columns.weight, where) if columns.weight else np.ones(table.num_rows)
    _refuse(~(weight >= 0) | np.isinf(weight), where, columns.weight, "a weight that is missing or below 0")
    if columns.relevant_from is not None and rating is not None:
        weight = np.where(rating >= columns.relevant_from, weight, 0.0)
    found = Interactions.of(user, item, time, weight, rating, users=len(who), items=len(what))
    return found, who, what


def read_items(source: Source, columns: ItemColumns, known: Identifiers | None = None) -> Catalogue:
    """Read items.

    Args:
        source: a path or a table.
        columns: which column holds what.
        known: items whose codes are to be kept, with or without a row; others come behind.

    Raises:
        DataError: the file cannot be read, or holds an item twice.
        MissingColumn: a column is not there.
        WrongType: a column holds something else.
    """
    texts = [name for name in (columns.item, columns.area, columns.group, *columns.attributes) if name]
    others = (columns.latitude, columns.longitude, columns.price, columns.since, columns.until)
    wanted = [*texts, *columns.numbers, *(name for name in others if name)]
    table = _read(source, wanted, columns.names, columns.delimiter, texts=texts, encoding=columns.encoding)
    where = _name(source)
    ids, code = _coded(table, columns.item, where, known)
    if np.unique(code).size < code.size:
        repeated = ids.names([int(np.flatnonzero(np.bincount(code) > 1)[0])])[0]
        raise DataError(where, f"item {repeated!r} has several rows", "Keep the newest row of each item.")
    reader = _ItemReader(table, where, code, len(ids))
    area, areas = reader.named(columns.area)
    group, groups = reader.named(columns.group)
    attributes, attribute_names = reader.attributes(columns.attributes, columns.separator)
    place = np.column_stack([reader.numbers(columns.latitude), reader.numbers(columns.longitude)])
    return Catalogue(
        ids=ids,
        attributes=attributes,
        attribute_names=attribute_names,
        numbers=np.column_stack([reader.numbers(name) for name in columns.numbers])
        if columns.numbers
        else np.empty((len(ids), 0)),
        number_names=tuple(columns.numbers),
        place=place,
        area=area,
        areas=areas,
        group=group,
        groups=groups,
        price=reader.numbers(columns.price),
        since=reader.times(columns.since, columns.time_unit),
        until=reader.times(columns.until, columns.time_unit),
    )


class _ItemReader:
    """Puts the rows of a table at the places of their items.

    Args:
        table: the rows.
        where: what errors call it.
        code: of each row's item.
        items: how many items there are.
    """

    def __init__(self, table: pa.Table, where: str, code: Codes, items: int) -> None:
        self._table = table
        self._where = where
        self._code = code
        self._items = items

    def numbers(self, name: str | None) -> NDArray[np.float64]:
        answer = np.full(self._items, np.nan)
        if name:
            answer[self._code] = _numbers(self._table, name, self._where)
        return answer

    def times(self, name: str | None, unit: str) -> NDArray[np.float64]:
        answer = np.full(self._items, np.nan)
        if name:
            answer[self._code] = _times(self._table, name, unit, self._where)
        return answer

    def named(self, name: str | None) -> tuple[Codes, Identifiers]:
        answer = np.full(self._items, UNKNOWN, dtype=np.int32)
        if not name:
            return answer, Identifiers([])
        values = _texts(self._table, name)
        known = Identifiers(sorted({value for value in values if value}))
        answer[self._code] = [known.code(value) if value else UNKNOWN for value in values]
        return answer, known

    def attributes(self, names: Sequence[str], separator: str) -> tuple[Any, tuple[str, ...]]:
        pairs = [
            (int(code), f"{name}={part}")
            for name in names
            for code, parts in zip(self._code, _parts(self._table, name, separator), strict=True)
            for part in dict.fromkeys(parts)
            if part
        ]
        known = {value: place for place, value in enumerate(sorted({value for _, value in pairs}))}
        rows, columns = [code for code, _ in pairs], [known[value] for _, value in pairs]
        ones = np.ones(len(pairs), dtype=np.float32)
        return sp.csr_matrix((ones, (rows, columns)), shape=(self._items, len(known))), tuple(known)


def _read(
    source: Source,
    wanted: Sequence[str],
    names: tuple[str, ...],
    delimiter: str,
    *,
    texts: Sequence[str],
    encoding: str = "utf-8",
) -> pa.Table:
    if hasattr(source, "__arrow_c_stream__"):
        table = pa.table(source)
    else:
        path = Path(source)
        if not path.is_file():
            raise DataError(str(path), "there is no such file", "Give the path of a CSV or Parquet file.")
        try:
            if path.suffix.lower() in _PARQUET:
                table = pq.read_table(path)
            else:
                table = csv.read_csv(
                    path,
                    csv.ReadOptions(column_names=list(names) or None, encoding=encoding),
                    csv.ParseOptions(delimiter=delimiter),
                    csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()), null_values=["", *NULLS]),
                )
                table = _with_gaps(table, texts)
        except (pa.ArrowException, OSError, UnicodeError) as error:
            raise DataError(str(path), f"cannot be read ({error})", "Give a CSV or Parquet file.") from error
    for name in wanted:
        if name not in table.column_names:
            raise MissingColumn.of(_name(source), name, table.column_names)
    return table.select(list(dict.fromkeys(wanted)))


def _with_gaps(table: pa.Table, texts: Sequence[str]) -> pa.Table:
    """Return a table of a CSV whose empty texts are null; of columns that hold none, also those of ``NULLS``."""
    for place, name in enumerate(table.column_names):
        if pa.types.is_string(table.schema.types[place]):
            gaps = pa.array(["", *(() if name in texts else NULLS)])
            column = table.column(place)
            table = table.set_column(place, name, pc.if_else(pc.is_in(column, gaps), None, column))
    return table


def _name(source: Source) -> str:
    return "table" if hasattr(source, "__arrow_c_stream__") else str(source)


def _coded(table: pa.Table, name: str, where: str, known: Identifiers | None) -> tuple[Identifiers, Codes]:
    """Return identifiers and the code of each row."""
    column = table.column(name).combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        todo = "Cast it to whole numbers or texts; pandas makes numbers with gaps of whole ones."
        raise WrongType(where, f"column {name!r} holds {column.type}, no identifiers", todo)
    whole = pa.types.is_integer(column.type)
    if not whole and not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        todo = "Give texts or whole numbers."
        raise WrongType(where, f"column {name!r} holds {column.type}, no identifiers", todo)
    _refuse(column.is_null().to_numpy(zero_copy_only=False), where, name, "no value")
    encoded = column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    if known is None:
        order = sorted(range(len(values)), key=values.__getitem__)
        ids = Identifiers([values[place] for place in order])
        places = np.argsort(order).astype(np.int32)
    else:
        new = sorted({str(value) for value in values if known.code(value) == UNKNOWN})
        ids = known.with_others(new)
        places = ids.codes(values)
    return ids, places[encoded.indices.to_numpy(zero_copy_only=False)]


def _refuse(wrong: NDArray[np.bool_], where: str, name: str | None, found: str) -> None:
    rows = np.flatnonzero(wrong)
    if rows.size:
        what = f"column {name!r} holds {found} in row {rows[0] + 1} ({rows.size} of {wrong.size} rows)"
        raise DataError(where, what, "Correct these rows, or leave them out.")


def _texts(table: pa.Table, name: str) -> list[str | None]:
    values = table.column(name).to_pylist()
    return [None if value is None else str(value) for value in values]


def _parts(table: pa.Table, name: str, separator: str) -> list[list[str]]:
    """Return the values of each row: those of a list, or of a text the parts."""
    if pa.types.is_list(table.column(name).type) or pa.types.is_large_list(table.column(name).type):
        return [[str(one) for one in value or () if one is not None] for value in table.column(name).to_pylist()]
    return [(value or "").split(separator) for value in _texts(table, name)]


def _numbers(table: pa.Table, name: str, where: str) -> NDArray[np.float64]:
    try:
        return np.asarray(pc.cast(table.column(name), pa.float64()).to_numpy(), dtype=np.float64)
    except (pa.ArrowException, ValueError) as error:
        found = f"column {name!r} holds {table.column(name).type}, no numbers ({error})"
        raise WrongType(where, found, "Give numbers, and leave missing ones empty.") from error


def _times(table: pa.Table, name: str, unit: str, where: str) -> NDArray[np.float64]:
    """Return seconds since 1970, NaN where there is none."""
    if unit not in _SECONDS:
        raise UsageError("columns", f"time_unit is {unit!r}", f"Use one of: {', '.join(_SECONDS)}.")
    column = table.column(name)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return _numbers(table, name, where) / _SECONDS[unit]
    try:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.cast(column, pa.timestamp("us", tz="UTC" if _zoned(column) else None))
        too_fine = pa.types.is_timestamp(column.type) and column.type.unit == "ns"
        instants = pc.cast(column, pa.timestamp("us", tz=getattr(column.type, "tz", None)), safe=not too_fine)
        micros = pc.cast(pc.cast(instants, pa.int64()), pa.float64())
        return np.asarray(micros.to_numpy(), dtype=np.float64) / 1e6
    except (pa.ArrowException, ValueError) as error:
        found = f"column {name!r} holds {column.type}, no times ({error})"
        raise WrongType(where, found, "Give timestamps, ISO 8601 texts, or numbers and time_unit.") from error


def _zoned(column: pa.ChunkedArray) -> bool:
    """Tell whether texts of times name their zone: pyarrow reads all of one column alike."""
    first = next((value for value in column.to_pylist() if value), "")
    return first.endswith("Z") or any(sign in first[len("2024-01-01") :] for sign in "+-")
