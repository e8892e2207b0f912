"""Tensors of the Open Inference Protocol, as JSON and as bytes, and the columns of a model.

As bytes a tensor lies little-endian behind the JSON of its request or answer; texts have their length, four bytes,
before them. ``Inference-Header-Content-Length`` says where the JSON ends. That is the extension ``binary_tensor_data``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from stackwright_interfaces.types import Field, Kind
from stackwright_serving.exchange import Response
from stackwright_serving.refused import Refused
from stackwright_serving.values import InvalidValue, check_value

DATATYPES: Final = {Kind.BOOL: "BOOL", Kind.INT64: "INT64", Kind.FLOAT64: "FP64", Kind.STRING: "BYTES"}
"""How a model's input is described."""

LENGTH: Final = b"inference-header-content-length"

_WHOLE: Final = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_ACCEPTED: Final = {
    Kind.BOOL: frozenset({"BOOL"}),
    Kind.INT64: _WHOLE,
    Kind.FLOAT64: _WHOLE | {"FP16", "FP32", "FP64"},
    Kind.STRING: frozenset({"BYTES"}),
}
_NUMPY: Final = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_INT64: Final = 2**63
_EXACT: Final = 2**53
"""Below it a float64 holds every whole number."""


class Tensors:
    """Reads the inputs of requests to one model.

    Args:
        fields: the model's inputs.
        most: rows that are taken.
    """

    def __init__(self, fields: Sequence[Field], most: int) -> None:
        self._fields = {field.name: field for field in fields}
        self._most = most

    def columns(self, tensors: Any, tail: bytes) -> dict[str, Any]:
        """Return the model columns of a request.

        Args:
            tensors: ``inputs`` of its JSON.
            tail: what lies behind the JSON.

        Raises:
            Refused: they are no tensors of the model's inputs.
            InvalidValue: a value does not fit; the message names input and row.
        """
        if not isinstance(tensors, list) or not all(isinstance(tensor, Mapping) for tensor in tensors):
            raise Refused(400, "inputs is no list of tensors", 'Send {"inputs": [{"name": ..., "shape": ..., ...}]}.')
        self._check_names([tensor.get("name") for tensor in tensors])
        columns, place = {}, 0
        for tensor in tensors:
            size = _binary_size(tensor)
            data = None if size is None else tail[place : place + size]
            if data is not None and size != len(data):
                raise Refused(400, f"{size} bytes are announced and {len(data)} came", "Send all tensors.")
            place += size or 0
            columns[tensor["name"]] = self._column(tensor, self._fields[tensor["name"]], data)
        if place != len(tail):
            raise Refused(400, f"{len(tail) - place} bytes belong to no tensor", "Announce them as binary_data_size.")
        if len({len(column) for column in columns.values()}) > 1:
            raise Refused(400, "the inputs have different numbers of rows", "Send one value a row in each.")
        return columns

    def _check_names(self, names: list[Any]) -> None:
        missing = [name for name in self._fields if name not in names]
        extra = [str(name)[:100] for name in names if not isinstance(name, str) or name not in self._fields]
        extra += [name for name in self._fields if names.count(name) > 1]
        if missing or extra:
            parts = [f"missing inputs: {', '.join(missing)}"] if missing else []
            parts += [f"unknown or doubled: {', '.join(extra)}"] if extra else []
            raise Refused(422, "; ".join(parts), f"The model takes: {', '.join(self._fields)}.")

    def _column(self, tensor: Mapping[str, Any], field: Field, data: bytes | None) -> Any:
        where = f"input {field.name!r}"
        datatype = tensor.get("datatype")
        if not isinstance(datatype, str) or datatype not in _ACCEPTED.get(field.type.kind, frozenset()):
            wanted = DATATYPES.get(field.type.kind, "nothing")
            raise InvalidValue(where, f"datatype is {str(datatype)[:100]!r}", f"Send {wanted}.")
        values = _flat(tensor.get("data")) if data is None else _unpacked(data, datatype, where)
        self._check_shape(tensor.get("shape"), len(values), where)
        if isinstance(values, list):
            return _checked(values, field, where)
        return _model_column(values, field, where)

    def _check_shape(self, shape: Any, count: int, where: str) -> None:
        if not isinstance(shape, list) or not all(type(size) is int for size in shape):
            raise Refused(400, f"{where}: shape is no list of whole numbers", "Send [n].")
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1) or shape[0] != count:
            raise Refused(400, f"{where}: shape {str(shape)[:100]} does not fit {count} values", "Send [n], n values.")
        if count > self._most:
            raise Refused(413, f"{count} rows", f"Send at most {self._most} a request.")


def split(body: bytes, header: str) -> tuple[bytes, bytes]:
    """Return the JSON of a body, and what lies behind it.

    Args:
        header: ``Inference-Header-Content-Length``; empty where all is JSON.

    Raises:
        Refused: it is no place in the body.
    """
    if not header:
        return body, b""
    if not header.isascii() or not header.isdigit() or len(header) > 18 or int(header) > len(body):
        raise Refused(400, f"Inference-Header-Content-Length is {header[:100]!r}", f"The body has {len(body)} bytes.")
    return body[: int(header)], body[int(header) :]


def packed(document: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]], **more: Any) -> Response:
    """Return an answer, with those outputs behind its JSON whose ``data`` are bytes; ``more`` goes to the response."""
    if not any(isinstance(output["data"], bytes) for output in outputs):
        return Response(orjson.dumps({**document, "outputs": outputs}), **more)
    told, tail = [], []
    for output in outputs:
        data = output["data"]
        if isinstance(data, bytes):
            tail.append(data)
            rest = {key: value for key, value in output.items() if key != "data"}
            told.append({**rest, "parameters": {"binary_data_size": len(data)}})
        else:
            told.append(dict(output))
    head = orjson.dumps({**document, "outputs": told})
    headers = [(LENGTH, b"%d" % len(head))]
    return Response(b"".join([head, *tail]), media_type=b"application/octet-stream", headers=headers, **more)


def _binary_size(tensor: Mapping[str, Any]) -> int | None:
    """Return how many bytes of a tensor lie behind the JSON; ``None`` where its data are in it."""
    parameters = tensor.get("parameters")
    if parameters is None:
        return None
    if not isinstance(parameters, Mapping):
        raise Refused(400, "parameters is no object", "Send an object, or leave it out.")
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0 or "data" in tensor:
        raise Refused(400, "a tensor has no binary_data_size that fits", "Send data, or the number of its bytes.")
    return size


def _unpacked(data: bytes, datatype: str, where: str) -> Any:
    """Return the values of a tensor that came as bytes: a list of texts, or an array of numbers."""
    if datatype == "BYTES":
        return _texts(data, where)
    dtype = np.dtype(_NUMPY[datatype])
    if len(data) % dtype.itemsize:
        raise Refused(400, f"{where}: {len(data)} bytes are no whole number of {datatype}", "Send all of them.")
    return np.frombuffer(data, dtype)


def _texts(data: bytes, where: str) -> list[str]:
    found, place = [], 0
    try:
        while place < len(data):
            (length,) = struct.unpack_from("<I", data, place)
            place += 4 + length
            if place > len(data):
                raise Refused(400, f"{where}: a text is longer than its tensor", "Send length and bytes of each.")
            found.append(data[place - length : place].decode())
    except struct.error as error:
        raise Refused(400, f"{where}: a text has no length", "Send length and bytes of each.") from error
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{where} row {len(found)}", "is not UTF-8", "Send UTF-8.") from error
    return found


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise Refused(400, "data is no list", "Send a list of values.")
    if data and all(isinstance(item, list) and len(item) == 1 for item in data):
        return [item[0] for item in data]
    return data


def _checked(values: list[Any], field: Field, where: str) -> Any:
    """Return the model column of JSON values.

    A whole number may be written 3.0: the datatype says what is meant, and clients that keep all numbers in one type
    write so.
    """
    if field.type.kind is Kind.INT64:
        values = [_whole(value) for value in values]
    given = [
        None if value is None else check_value(value, field, f"{where} row {row}") for row, value in enumerate(values)
    ]
    if field.type.kind is Kind.STRING:
        column = np.empty(len(given), dtype=object)
        column[:] = given
        return column
    return np.array([np.nan if value is None else value for value in given], dtype=np.float64)


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() and abs(value) < _EXACT else value


def _model_column(values: Any, field: Field, where: str) -> Any:
    """Return the model column of an array of numbers, in which NaN is a missing one."""
    column = values.astype(np.float64)
    bad = np.isinf(column)
    if field.type.kind is Kind.INT64 and values.dtype.kind == "u":
        bad |= values >= _INT64
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InvalidValue(f"{where} row {row}", f"is {values[row]}", f"Send a value of type {field.type}.")
    return column
