"""The tables of a recommender, from wherever they lie: columns named and typed as the contract has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from stackwright.assembly.recommender_part import InteractionsPart, ItemsPart, RecommenderPart, TablePart
from stackwright.assembly.stack import Stack
from stackwright.workflows.recommending.conversion import to_instants, to_numbers
from stackwright.workflows.rows.csv_rows import without_nulls
from stackwright.workflows.rows.files import first_line
from stackwright.workflows.rows.fingerprint import Fingerprint
from stackwright.workflows.rows.sources import revealed, rows_of
from stackwright_features.arrow import INSTANT, read_table
from stackwright_features.casts import plain
from stackwright_interfaces.errors import DataError, MissingColumn, WrongType
from stackwright_interfaces.recommender import Interactions, Items
from stackwright_interfaces.types import FLOAT64, STRING, TIMESTAMP, Type
from stackwright_interfaces.views import NULLS

_SHORTEST: Final = r"^(0|-?[1-9][0-9]{0,17})$"


@dataclass(frozen=True)
class Tables:
    """What a recommender learns from.

    Args:
        interactions: columns ``user``, ``item`` and what else is known.
        items: what is known of the items; ``None`` where nothing is.
        notes: what should be told of the sources.
    """

    interactions: Interactions
    items: Items | None
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> dict[str, Any]:
        """Return rows, hash, and first and last time; JSON values."""
        table = self.interactions.table
        found: dict[str, Any] = {"rows": table.num_rows, "sha256": _hash(table)}
        if self.items is not None:
            found |= {"items": self.items.table.num_rows, "items_sha256": _hash(self.items.table)}
        if "time" in table.column_names and table.num_rows:
            ends = pc.min_max(table["time"]).as_py()
            found |= {"first": ends["min"].isoformat(), "last": ends["max"].isoformat()}
        return found


def _hash(table: pa.Table) -> str:
    hashed = Fingerprint(table.schema)
    hashed.add(table)
    return hashed.finish()


def read(stack: Stack, part: RecommenderPart) -> Tables:
    """Read interactions and items.

    Raises:
        UsageError: there is no such source.
        MissingColumn: a column is not there.
        DataError: a value cannot be used; with the row.
        StorageError: bucket or database cannot be reached.
    """
    notes: list[str] = []
    interactions = _interactions(stack, part.interactions, f"{part.place} interactions", notes)
    items = None if part.items is None else _items(stack, part.items, f"{part.place} items", notes)
    return Tables(interactions, items, tuple(notes))


def _interactions(stack: Stack, part: InteractionsPart, where: str, notes: list[str]) -> Interactions:
    named = {name: getattr(part, name) for name in ("user", "item", "time", "weight", "rating") if getattr(part, name)}
    declared: dict[str, Type] = {named[name]: FLOAT64 for name in ("weight", "rating") if name in named}
    declared |= {named["time"]: TIMESTAMP} if "time" in named else {}
    table = _read(stack, part, list(named.values()), declared, where, notes)
    columns: dict[str, Any] = {name: _identifiers(table, named[name], where) for name in ("user", "item")}
    if "time" in named:
        columns["time"] = _complete(_instants(table, named["time"], part.time_unit, where), named["time"], where)
    for name in ("weight", "rating"):
        if name in named:
            columns[name] = _numbers(table, named[name], where)
    if "weight" in named:
        columns["weight"] = _weights(columns["weight"], named["weight"], where)
    if part.relevant_from is not None:
        liked = pc.fill_null(pc.greater_equal(columns["rating"], part.relevant_from), fill_value=False)
        columns["weight"] = pc.if_else(liked, columns.get("weight", 1.0), 0.0)
    found = pa.table(columns)
    return Interactions(table=found, columns=tuple(found.column_names))


def _items(stack: Stack, part: ItemsPart, where: str, notes: list[str]) -> Items:
    texts = {name: getattr(part, name) for name in ("area", "group") if getattr(part, name)}
    numbers = {name: getattr(part, name) for name in ("latitude", "longitude", "price") if getattr(part, name)}
    times = {name: getattr(part, name) for name in ("since", "until") if getattr(part, name)}
    named = [part.item, *part.attributes, *part.numbers, *texts.values(), *numbers.values(), *times.values()]
    declared: dict[str, Type] = dict.fromkeys((*numbers.values(), *part.numbers), FLOAT64)
    declared |= dict.fromkeys(filter(None, (*times.values(), part.time)), TIMESTAMP)
    table, earliest = _read(stack, part, [*named, *([part.time] if part.time else [])], declared, where, notes), None
    _complete(_column(table, part.item), part.item, where)
    if part.time:
        table, earliest = _newest(table, part, where)
    if part.item != "item" and "item" in (*part.attributes, *part.numbers):
        found = f"column 'item' is an attribute or a number, and items are named by {part.item!r}"
        raise DataError(where, found, "Rename the column.")
    roles = {**texts, **numbers, **times}
    columns: dict[str, Any] = {"item": _identifiers(table, part.item, where)}
    columns |= {_held(name): _texts(table, column, where) for name, column in texts.items()}
    columns |= {_held(name): _numbers(table, column, where) for name, column in numbers.items()}
    columns |= {_held(name): _instants(table, column, part.time_unit, where) for name, column in times.items()}
    if part.time and part.since:
        columns[_held("since")] = earliest
    columns |= {name: _attributes(table, name, part.separator, where) for name in part.attributes}
    columns |= {name: _numbers(table, name, where) for name in part.numbers}
    return Items(
        table=pa.table(columns),
        attributes=part.attributes,
        numbers=part.numbers,
        columns={name: _held(name) for name in roles},
    )


def _held(role: str) -> str:
    """Return the column that holds a role, whatever columns of the user's are called."""
    return f"__{role}"


def _read(
    stack: Stack, part: TablePart, wanted: Sequence[str], declared: Mapping[str, Type], where: str, notes: list[str]
) -> pa.Table:
    if part.plain:
        source = revealed(stack, part.source)
        with rows_of(
            stack, _here(stack, source), declared, table=part.table, query=part.query, needed=[*wanted]
        ) as rows:
            table = read_table(rows, where)
            notes += rows.notes
    else:
        table = _odd_csv(Path(_here(stack, revealed(stack, part.source))), part, wanted, declared)
    for name in wanted:
        if name not in table.column_names:
            raise MissingColumn.of(where, name, table.column_names)
    if not table.num_rows:
        raise DataError(where, "there are no rows", "Give a source that holds some.")
    return table.select(list(dict.fromkeys(wanted))).combine_chunks()


def _here(stack: Stack, source: str) -> str:
    """Return a source whose path, where it is one, is that below the project."""
    return source if "://" in source else stack.path(source)


def _odd_csv(path: Path, part: TablePart, wanted: Sequence[str], declared: Mapping[str, Type]) -> pa.Table:
    """Read a text file that has no header, another delimiter or encoding; a file of this machine.

    A column is one of whole numbers where each is written as such a number is: 00123 and 123 are two texts.
    """
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(column_names=list(part.names) or None, encoding=part.encoding),
            csv.ParseOptions(delimiter=part.delimiter, newlines_in_values=True),
            csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), null_values=["", *NULLS]),
        )
    except (pa.ArrowException, OSError, UnicodeError, LookupError) as error:
        todo = "See that names, delimiter and encoding are those of the file."
        raise DataError(str(path), f"cannot be read ({first_line(error)})", todo) from error
    for name in set(table.column_names) & set(wanted):
        there = without_nulls(table.column(name), declared.get(name, STRING), ("", *NULLS))
        table = table.set_column(table.column_names.index(name), name, there)
    whole = {name: pa.int64() for name in wanted if name in table.column_names and _whole(table.column(name))}
    return table.cast(
        pa.schema([(name, whole.get(name, table.schema.field(name).type)) for name in table.column_names])
    )


def _whole(column: Any) -> bool:
    """Return whether texts are whole numbers of 64 bits, each written in the one way that is shortest."""
    return pa.types.is_string(column.type) and bool(pc.all(pc.match_substring_regex(column, _SHORTEST)).as_py())


def _column(table: pa.Table, name: str) -> Any:
    found = plain(table.column(name))
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _identifiers(table: pa.Table, name: str, where: str) -> Any:
    column = _column(table, name)
    if pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
        todo = "Give texts or whole numbers; pandas makes numbers with gaps of whole ones."
        raise WrongType(where, f"column {name!r} holds {column.type}, no identifiers", todo)
    target = pa.int64() if pa.types.is_integer(column.type) else pa.string()
    return _complete(_cast(column, target, name, where), name, where)


def _cast(column: Any, target: pa.DataType, name: str, where: str) -> Any:
    try:
        return column.cast(target)
    except pa.ArrowException as error:
        found = f"column {name!r} holds {column.type}, which cannot be read as {target} ({first_line(error)})"
        raise WrongType(where, found, "Give texts or whole numbers of 64 bits.") from error


def _complete(column: Any, name: str, where: str) -> Any:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0]) + 1
        found = f"column {name!r} holds nothing in row {row} ({column.null_count} of {len(column)} rows)"
        raise DataError(where, found, "Complete these rows, or leave them out.")
    return column


def _weights(column: Any, name: str, where: str) -> Any:
    values = _complete(column, name, where).to_numpy(zero_copy_only=False)
    odd = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if odd.size:
        found = f"column {name!r} holds {values[odd[0]]} in row {odd[0] + 1} ({odd.size} of {len(column)} rows)"
        raise DataError(where, found, "Give weights of 0 or more.")
    return column


def _numbers(table: pa.Table, name: str, where: str) -> Any:
    return to_numbers(_column(table, name), name, where)


def _instants(table: pa.Table, name: str, unit: str, where: str) -> Any:
    return to_instants(_column(table, name), name, unit, where)


def _texts(table: pa.Table, name: str, where: str) -> Any:
    column = _column(table, name)
    return column if pa.types.is_integer(column.type) else _cast(column, pa.string(), name, where)


def _attributes(table: pa.Table, name: str, separator: str, where: str) -> Any:
    """Return lists of texts."""
    column = _column(table, name)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _cast(column, pa.list_(pa.string()), name, where)
    texts = _cast(column, pa.string(), name, where)
    return pc.split_pattern(texts, separator) if separator else pa.array([[one] for one in texts.to_pylist()])


def _newest(table: pa.Table, part: ItemsPart, where: str) -> tuple[pa.Table, Any]:
    """Return the newest row of each item, of rows of one time the last; and of each the earliest ``since``."""
    time = np.asarray(_complete(_instants(table, part.time, part.time_unit, where), part.time, where).cast(pa.int64()))
    code = _column(table, part.item).dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    order = np.lexsort((np.arange(len(code)), time, code))
    ends = np.flatnonzero(np.append(np.diff(code[order]) != 0, True))
    last = order[ends]
    kept = table.take(pa.array(last))
    if not part.since:
        return kept, None
    since = _instants(table, part.since, part.time_unit, where)
    micros = np.where(since.is_null(), np.iinfo(np.int64).max, since.cast(pa.int64()).fill_null(0))
    first = np.minimum.reduceat(micros[order], np.append(0, ends[:-1] + 1))
    nowhere = first == np.iinfo(np.int64).max
    return kept, pa.array(first, mask=nowhere).cast(pa.timestamp("us")).cast(INSTANT)
