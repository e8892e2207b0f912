"""The payloads of MLflow's scoring protocol: four forms of JSON, and tables as Parquet or Arrow bytes.

See https://mlflow.org/docs/latest/deployment/deploy-model-locally#local-inference-server-spec.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stackwright_interfaces.types import Field
from stackwright_serving.refused import Refused
from stackwright_serving.settings import Settings
from stackwright_serving.tables import Table, from_arrow

FORMS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
"""The keys of a JSON body, of which exactly one is sent."""

PARQUET: Final = ("application/vnd.apache.parquet", "application/x-parquet")
ARROW: Final = ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file", "application/x-arrow")

_IGNORED: Final = {"params", "signature_name"}
_UNPACKED: Final = 20
"""How many times larger than a body the tables may be that it unpacks to."""


def read_json(document: Any) -> Table:
    """Return the table of a JSON body.

    Raises:
        Refused: it has none of the forms, or several; or parameters, which no model here takes.
    """
    if not isinstance(document, Mapping):
        raise Refused(400, "the body is no object", f"Send an object with one of: {', '.join(FORMS)}.")
    found = [form for form in FORMS if form in document]
    extra = sorted(set(document) - {*FORMS, *_IGNORED})
    if len(found) != 1 or extra:
        named = ", ".join([*found, *extra]) or "none"
        raise Refused(400, f"the body has the keys: {named}", f"Send exactly one of: {', '.join(FORMS)}.")
    if document.get("params"):
        raise Refused(400, "params: the model takes no parameters", "Leave params out.")
    (form,) = found
    value = document[form]
    match form:
        case "dataframe_split":
            return _split(value)
        case "inputs" if isinstance(value, Mapping):
            return _columns(value)
        case _:
            return _rows(value, form)


def read_bytes(body: bytes, kind: str, settings: Settings) -> Table:
    """Return the table of a Parquet or Arrow body.

    Raises:
        Refused: pyarrow is not installed (415), the bytes are no such table (400), or it has too many rows or unpacks
            to too much (413).
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise Refused(
            415, f"{kind} cannot be read here", "Send JSON, or run: pip install 'stackwright-serving[tables]'"
        ) from error
    try:
        table = _parquet(body, settings) if kind in PARQUET else _arrow(body, settings)
        table.validate(full=True)
        columns = [[from_arrow(value) for value in column.to_pylist()] for column in table.columns]
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
        words = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise Refused(400, f"the body is not {kind}: {words}", "Send the bytes of one table.") from error
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Table(rows, list(table.column_names))


def _parquet(body: bytes, settings: Settings) -> Any:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(body))
    groups = range(file.metadata.num_row_groups)
    size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    _within(file.metadata.num_rows, size, settings)
    return file.read(use_threads=False)


def _arrow(body: bytes, settings: Settings) -> Any:
    import pyarrow as pa

    source = pa.BufferReader(body)
    if body.startswith(b"ARROW1"):
        file = pa.ipc.open_file(source)
        batches = (file.get_batch(place) for place in range(file.num_record_batches))
        schema = file.schema
    else:
        batches = pa.ipc.open_stream(source)
        schema = batches.schema
    taken, rows, size = [], 0, 0
    for batch in batches:
        rows, size = rows + batch.num_rows, size + batch.nbytes
        _within(rows, size, settings)
        taken.append(batch)
    return pa.Table.from_batches(taken, schema)


def _within(rows: int, size: int, settings: Settings) -> None:
    if rows > settings.max_rows:
        raise Refused(413, f"{rows} rows", f"Send at most {settings.max_rows} a request.")
    if size > _UNPACKED * settings.max_body:
        raise Refused(413, f"the table unpacks to {size} bytes", "Send several requests.")


def _split(value: Any) -> Table:
    if not isinstance(value, Mapping) or not set(value) <= {"columns", "index", "data"}:
        raise Refused(400, "dataframe_split is no table", 'Send {"columns": [...], "data": [[...], ...]}.')
    names, data = value.get("columns"), value.get("data")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refused(400, "dataframe_split: columns is no list of names", "Send the names of the columns.")
    if len(set(names)) != len(names):
        raise Refused(400, "dataframe_split: a column is named twice", "Send each column once.")
    if not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        raise Refused(400, "dataframe_split: data is no list of lists", "Send a list a row.")
    return Table(data, names)


def _columns(value: Mapping[str, Any]) -> Table:
    data = {name: column if isinstance(column, list) else [column] for name, column in value.items()}
    if len({len(column) for column in data.values()}) > 1:
        raise Refused(400, "inputs: the columns have different numbers of values", "Send one value a row in each.")
    flat = {name: [_single(item) for item in column] for name, column in data.items()}
    return Table([list(row) for row in zip(*flat.values(), strict=True)], list(flat))


def _single(item: Any) -> Any:
    """Return the value in a list of one, as tensors of shape (n, 1) come."""
    return item[0] if isinstance(item, list) and len(item) == 1 else item


def _rows(value: Any, form: str) -> Table:
    if not isinstance(value, list):
        raise Refused(400, f"{form} is no list", f'Send {{"{form}": [...]}} with an item a row.')
    kinds = {type(row) for row in value}
    if not kinds <= {dict} and (form == "dataframe_records" or not kinds <= {list}):
        wanted = "objects" if form == "dataframe_records" else "objects, or of lists,"
        raise Refused(400, f"{form} is no list of {wanted} alone", "Send rows of one kind.")
    return Table(value)


def describe(row: Mapping[str, Any], inputs: Sequence[Field]) -> dict[str, Any]:
    """Return the OpenAPI schema of a JSON body.

    Args:
        row: schema of a row of keys and request fields.
        inputs: the model's inputs.
    """
    names = [field.name for field in inputs]
    bare = {"type": "object", "description": f"Keys and request fields, or the model's inputs: {', '.join(names)}."}
    rows = {"type": "array", "items": {"anyOf": [row, bare, {"type": "array"}]}}
    split = {
        "type": "object",
        "required": ["columns", "data"],
        "properties": {
            "columns": {"type": "array", "items": {"type": "string"}},
            "index": {"type": "array"},
            "data": {"type": "array", "items": {"type": "array"}},
        },
        "additionalProperties": False,
    }
    columns = {"type": "object", "additionalProperties": {"type": "array"}}
    bodies = {
        "dataframe_split": split,
        "dataframe_records": {"type": "array", "items": {"anyOf": [row, bare]}},
        "instances": rows,
        "inputs": {"anyOf": [columns, rows]},
    }
    return {
        "oneOf": [
            {"type": "object", "properties": {form: schema}, "required": [form]} for form, schema in bodies.items()
        ]
    }
