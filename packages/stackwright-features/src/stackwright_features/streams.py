"""Tables that are worked off a piece at a time: read from any Arrow stream, and handed on as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stackwright_features.arrow import type_name
from stackwright_interfaces.errors import DataError

PIECE_ROWS: Final = 131_072
PIECE_BYTES: Final = 64 << 20
"""What a piece holds at most; small pieces are put together until they hold half of either."""


class Pieces(NamedTuple):
    """A table in pieces.

    Attributes:
        schema: its ``pyarrow.Schema``.
        tables: ``pyarrow.Table`` of at least one row each, in order.
    """

    schema: Any
    tables: Iterator[Any]


def in_pieces(table: object, where: str) -> Pieces:
    """Open a table; its rows are read as they are asked for.

    Views and runs, of texts say, are laid out as plain columns, since few of Arrow's functions take others.

    Args:
        table: anything with ``__arrow_c_stream__``.
        where: the place, for messages.

    Raises:
        DataError: it has no such thing, or, when its rows are asked for, its stream fails.
    """
    if not hasattr(table, "__arrow_c_stream__"):
        todo = "Give a pyarrow, pandas or Polars table, or anything else with __arrow_c_stream__."
        raise DataError(where, f"a {type_name(table)} is no Arrow table", todo)
    try:
        reader: Any = pa.RecordBatchReader.from_stream(table)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(where, error) from error
    schema = pa.schema([_plain_field(field) for field in reader.schema], reader.schema.metadata)
    return Pieces(schema, _put_together(reader, schema, where))


def _unreadable(where: str, error: Exception) -> DataError:
    return DataError(where, f"the table cannot be read ({error})", "Check how it was made.")


def _put_together(reader: Any, schema: Any, where: str) -> Iterator[Any]:
    held: list[Any] = []
    rows = size = 0
    for batch in _parts(reader, where):
        held.append(_laid_out(batch, schema))
        rows, size = rows + len(batch), size + batch.nbytes
        if rows * 2 >= PIECE_ROWS or size * 2 >= PIECE_BYTES:
            yield pa.Table.from_batches(held).combine_chunks()
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held).combine_chunks()


def _parts(reader: Any, where: str) -> Iterator[Any]:
    """Give record batches that hold rows, and no more than a piece."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(where, error) from error
        rows = min(PIECE_ROWS, max(1, PIECE_BYTES * len(batch) // max(batch.nbytes, 1)))
        yield from (batch.slice(start, rows) for start in range(0, len(batch), rows))


def _laid_out(batch: Any, schema: Any) -> Any:
    if batch.schema.equals(schema):
        return batch
    columns = [pc.run_end_decode(column) if _is_runs(column.type) else column for column in batch.columns]
    arrays = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(found: Any) -> Any:
    """Return the Arrow type that holds the same without views and runs."""
    if pa.types.is_string_view(found):
        return pa.large_string()
    if pa.types.is_binary_view(found):
        return pa.large_binary()
    if _is_runs(found):
        return _plain(found.value_type)
    if pa.types.is_dictionary(found):
        return pa.dictionary(found.index_type, _plain(found.value_type), found.ordered)
    if pa.types.is_list(found) or pa.types.is_large_list(found):
        made = pa.list_ if pa.types.is_list(found) else pa.large_list
        return made(_plain_field(found.value_field))
    if pa.types.is_struct(found):
        return pa.struct([_plain_field(field) for field in found])
    return found


def _plain_field(field: Any) -> Any:
    return field.with_type(_plain(field.type))


def _is_runs(found: Any) -> bool:
    return bool(pa.types.is_run_end_encoded(found))


class Lazy:
    """A table whose rows are made as they are consumed, which is possible once.

    Args:
        schema: its ``pyarrow.Schema``.
        batches: its ``pyarrow.RecordBatch``es.
    """

    def __init__(self, schema: Any, batches: Iterator[Any]) -> None:
        self.schema = schema
        self._failure: BaseException | None = None
        self._batches: Iterator[Any] | None = batches

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give the rows as an Arrow stream.

        Raises:
            ValueError: they were given before, and would now be none.
        """
        if self._batches is None:
            raise ValueError("its rows were consumed already")
        batches, self._batches = self._batches, None
        reader = pa.RecordBatchReader.from_batches(self.schema, self._watched(batches))
        return reader.__arrow_c_stream__(requested_schema)

    def _watched(self, batches: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from batches
        except GeneratorExit:  # its consumer wants no more, for a reason of its own
            raise
        except BaseException as error:
            self._failure = error
            raise

    @contextmanager
    def consumed(self) -> Iterator[None]:
        """Raise what ended the rows as it was: through an Arrow stream, its consumer sees the text alone."""
        try:
            yield
        except Exception:
            if self._failure is not None:
                raise self._failure from self._failure.__cause__
            raise
