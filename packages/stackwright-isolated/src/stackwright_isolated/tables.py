"""Tables and arrays as Arrow IPC streams, written and read a piece at a time.

An error on the way is the custom metadata of a last, empty batch. Format:
https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_interfaces.errors import PluginError
from stackwright_isolated import documents

PIECE: Final = 4 << 20
"""Bytes that a batch on the wire aims at."""

ERROR: Final = b"stackwright.error"


@dataclass(frozen=True)
class Outgoing:
    """What is written as one stream: batches that may be made while it is written.

    Args:
        about: how the other side turns it into what it was, a JSON object.
    """

    about: Mapping[str, Any]
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]

    @classmethod
    def of(cls, value: Any) -> Outgoing | None:
        """Return the stream of a table, an array or columns of one length; ``None`` where a value is none of these."""
        if isinstance(value, np.ndarray):
            return _of_array(value)
        if isinstance(value, Mapping):
            return _of_columns(value)
        if hasattr(value, "__arrow_c_stream__"):
            reader = pa.RecordBatchReader.from_stream(value)
            return cls({"form": "table"}, reader.schema, _pieces(reader))
        return None

    def write(self, sink: BinaryIO | Any) -> Iterator[None]:
        """Write into a sink, a batch a step.

        Raises:
            Exception: what making the batches raised, once the other side was told.
        """
        with pa.ipc.new_stream(sink, self.schema) as writer:
            yield
            try:
                for batch in self.batches:
                    writer.write_batch(batch)
                    yield
            except Exception as error:
                told = json.dumps(documents.write_error(error)).encode()
                nothing = pa.RecordBatch.from_arrays(
                    [pa.nulls(0, item.type) for item in self.schema], schema=self.schema
                )
                writer.write_batch(nothing, custom_metadata={ERROR: told})
                yield
                raise


class StreamFailed(Exception):
    """The other side could not go on with a stream.

    Args:
        document: the error, as :func:`~stackwright_isolated.documents.write_error` gives it.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        super().__init__(": ".join(document["of"]))


def read(source: BinaryIO | Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return schema and batches of a stream, which are read as they are consumed, to its end and no further.

    Raises:
        StreamFailed: while batches are consumed, the other side failed.
        OSError: the stream broke off.
    """
    reader = pa.ipc.open_stream(source)
    return reader.schema, _batches(reader)


def _batches(reader: Any) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            return
        if metadata is not None and ERROR in metadata:
            raise StreamFailed(json.loads(metadata[ERROR]))
        yield batch


def array_of(about: Mapping[str, Any], schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Any:
    """Return the array or the columns of a stream; it is read to its end."""
    if about["form"] == "matrix":
        return _matrix(about, batches)
    table = pa.Table.from_batches(batches, schema)
    arrays = [_array(column, how) for column, how in zip(table.columns, about["columns"], strict=True)]
    return arrays[0] if about["form"] == "array" else dict(zip(about["names"], arrays, strict=True))


def _pieces(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut batches that are too large for one piece."""
    for batch in batches:
        parts = max(1, -(-batch.nbytes // PIECE))
        rows = max(1, -(-batch.num_rows // parts))
        yield from (batch.slice(at, rows) for at in range(0, batch.num_rows, rows))


def _of_array(array: NDArray[Any]) -> Outgoing:
    if array.ndim == 1:
        column, how = _column(array)
        return _of_table(pa.table({"values": column}), {"form": "array", "columns": [how]})
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        found = f"an array of {array.dtype} with {array.ndim} dimensions does not cross to another environment"
        raise PluginError("isolated", found, "Give numbers in one dimension or two.")
    turned = array.flags.f_contiguous and not array.flags.c_contiguous
    laid = np.ascontiguousarray(array.T if turned else array)
    about = {"form": "matrix", "shape": list(laid.shape), "dtype": laid.dtype.str, "turned": turned}
    flat = pa.array(laid.reshape(-1))
    rows = pa.table({"values": flat if not len(flat) else pa.FixedSizeListArray.from_arrays(flat, laid.shape[1])})
    return _of_table(rows, about)


def _of_columns(columns: Mapping[Any, Any]) -> Outgoing | None:
    arrays = list(columns.values())
    fits = arrays and all(isinstance(array, np.ndarray) and array.ndim == 1 for array in arrays)
    if not fits or len({len(array) for array in arrays}) != 1 or not all(isinstance(name, str) for name in columns):
        return None
    made = [_column(array) for array in arrays]
    table = pa.table([column for column, _ in made], names=[str(place) for place in range(len(made))])
    return _of_table(table, {"form": "columns", "names": list(columns), "columns": [how for _, how in made]})


def _of_table(table: pa.Table, about: Mapping[str, Any]) -> Outgoing:
    return Outgoing(about, table.schema, _pieces(iter(table.to_batches())))


def _column(array: NDArray[Any]) -> tuple[pa.Array, str]:
    """Return an array of one dimension as Arrow holds it, and how it is turned back: a dtype, or of objects how."""
    if array.dtype != object:
        return pa.array(array, from_pandas=False), array.dtype.str
    values: Sequence[Any] = array.tolist()
    try:
        return pa.array(values, from_pandas=False), "objects"
    except (pa.ArrowException, OverflowError):  # of several types
        return pa.array([json.dumps(documents.write(value)) for value in values], pa.string()), "documents"


def _array(column: pa.ChunkedArray, how: str) -> NDArray[Any]:
    if how not in ("objects", "documents"):
        return np.array(column.to_numpy(zero_copy_only=False), dtype=np.dtype(how))
    values = column.to_pylist()
    array = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        array[place] = value if how == "objects" else documents.read(json.loads(value))
    return array


def _matrix(about: Mapping[str, Any], batches: Iterator[pa.RecordBatch]) -> NDArray[Any]:
    matrix = np.empty(about["shape"], dtype=np.dtype(about["dtype"]))
    at = 0
    for batch in batches:
        rows = batch.column(0)
        if matrix.size:
            values = rows.flatten().to_numpy(zero_copy_only=False)
            matrix[at : at + len(rows)] = values.reshape(len(rows), matrix.shape[1])
        at += len(rows)
    return matrix.T if about["turned"] else matrix
