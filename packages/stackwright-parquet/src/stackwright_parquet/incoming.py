"""Rows on their way into a history: under the names that all views share, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, ArrowStream
from stackwright_numerics.order import TOKEN_BYTES, order_tokens
from stackwright_parquet.columns import STAMP, arrow_type, integers, one_piece, pick, without_nulls
from stackwright_parquet.deletion import DELETED
from stackwright_parquet.manifest import Manifest


def batches(stream: ArrowStream, rows: int) -> Iterator[Any]:
    """Give a stream as tables of at least so many rows but for the last; one at least, so that its columns are seen."""
    reader = pa.RecordBatchReader.from_stream(stream)
    held: list[Any] = []
    count = given = 0
    for batch in reader:
        held.append(batch)
        count += len(batch)
        if count >= rows:
            yield pa.Table.from_batches(held).combine_chunks()
            held, count, given = [], 0, given + 1
    if held or not given:
        yield pa.Table.from_batches(held, reader.schema).combine_chunks()


def named(view: FeatureView, manifest: Manifest, rows: Any) -> Any:
    """Return rows with keys as ``k0, k1, ...``, values as ``c0, c1, ...``, times and order token.

    Args:
        view: whose rows they are; columns that the history has and it lacks are null.
        manifest: the history.
        rows: ``pyarrow.Table``.

    Raises:
        DataError: a column is missing or of another type, a time is null, or a token does not fit its row's times.
    """
    where = f"rows of {view.ref!r}"
    declared = {item.name for item in (*view.entity.keys, *view.fields)}
    columns = {
        name: pick(rows, stored.name, arrow_type(stored.type), where)
        if stored.name in declared
        else pa.chunked_array([pa.nulls(len(rows), arrow_type(stored.type))])
        for name, stored in manifest.columns.items()
    }
    columns |= {name: without_nulls(rows, name, STAMP, where) for name in (EVENT, CREATED)}
    columns[ORDER] = _checked(without_nulls(rows, ORDER, pa.binary(), where), columns, where)
    return pa.table(columns)


def _checked(tokens: Any, columns: dict[str, Any], where: str) -> Any:
    try:
        tokens = one_piece(tokens.cast(pa.binary(TOKEN_BYTES)))
    except pa.ArrowInvalid as error:
        raise DataError(where, f"column {ORDER!r} holds other than {TOKEN_BYTES} bytes", "Give tokens.") from error
    expected = order_tokens(integers(columns[EVENT]), integers(columns[CREATED]), contents(tokens))
    if not np.array_equal(expected, _bytes(tokens)):
        raise DataError(where, f"column {ORDER!r} does not begin with the row's times", "Compute it from them.")
    return tokens


def contents(tokens: Any) -> NDArray[np.uint64]:
    """Return the hashes of the content in order tokens of n rows, of fixed size and none of them null."""
    return _bytes(tokens).view(">u8")[:, 2].astype(np.uint64)


def _bytes(tokens: Any) -> NDArray[np.uint8]:
    array = one_piece(tokens)
    first = array.offset * TOKEN_BYTES
    data = np.frombuffer(array.buffers()[1] or b"", np.uint8)[first : first + len(array) * TOKEN_BYTES]
    return data.reshape(-1, TOKEN_BYTES)


def without_refused(rows: Any, keys: Sequence[str], deleted: Any) -> Any:
    """Return rows that may come in: of a whole key, and created after its deletion.

    Args:
        rows: what :func:`named` gives.
        keys: the key columns.
        deleted: keys and when they were deleted (:data:`~stackwright_parquet.deletion.DELETED`), or ``None``.
    """
    rows = rows.filter(reduce(pc.and_, (pc.is_valid(rows[key]) for key in keys)))
    if deleted is None or not len(rows):
        return rows
    place = "__place"
    asked = rows.select([*keys, CREATED]).append_column(place, pa.array(np.arange(len(rows))))
    found = asked.join(deleted, list(keys), join_type="inner")
    refused = found.filter(pc.less_equal(found[CREATED], found[DELETED]))[place]
    kept = np.ones(len(rows), np.bool_)
    kept[integers(refused)] = False
    return rows.filter(pa.array(kept))
