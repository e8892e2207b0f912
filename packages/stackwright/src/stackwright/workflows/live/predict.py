"""Predictions without a server: one by keys, or every row of a file, by the scorer that serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.ready_rows import ReadyRows
from stackwright.workflows.live.scoring import scorer
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.rows.arguments import parse_value
from stackwright.workflows.rows.tables import read_table, suffix_of, write_table
from stackwright_features.arrow import INSTANT, to_columns
from stackwright_features.casts import cast
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import MissingColumn, UsageError
from stackwright_interfaces.types import Field
from stackwright_numerics.columns import to_model_array
from stackwright_serving.scorer import Scored, Scorer

CHUNK: Final = 10_000

_ASKED: Final = "__asked"


def predict(stack: Stack, pairs: Mapping[str, Any], *, model: str | None = None, at: datetime | None = None) -> Outcome:
    """Predict for one entity.

    Args:
        pairs: request keys and request fields; texts are read by their declared types.

    Raises:
        MissingColumn: a key or field is not given.
        WrongType: a value is not of its type.
    """
    used = scorer(stack, model)
    service: FeatureService = used.service or stack.service(used.model.manifest.service)
    keys = {field.name: [_read(pairs, field)] for field in service.request_keys}
    request = {field.name: [_read(pairs, field)] for field in service.request}
    for name in pairs:
        if name not in {**keys, **request}:
            raise UsageError(f"argument {name!r}", "is no key of the model", f"Known: {', '.join([*keys, *request])}.")
    scored = used.by_keys(keys, request, at=at)
    return _one(used, scored, pairs)


def _read(pairs: Mapping[str, Any], field: Field) -> Any:
    if field.name not in pairs:
        if field.has_default:
            return field.default
        raise MissingColumn.of("arguments", field.name, list(pairs))
    value = pairs[field.name]
    return parse_value(value, field) if isinstance(value, str) else value


def _one(used: Scorer, scored: Scored, pairs: Mapping[str, Any]) -> Outcome:
    answer = scored.prediction
    value = float(answer.value[0])
    data: dict[str, Any] = {
        "model": used.model.ref,
        "digest": used.model.digest,
        "keys": dict(pairs),
        "prediction": value,
    }
    title = f"{used.model.ref}: {value:,.6g}"
    if answer.lower is not None and answer.upper is not None:
        data |= {"lower": float(answer.lower[0]), "upper": float(answer.upper[0])}
        title += f" ({data['lower']:,.6g} to {data['upper']:,.6g})"
    rows = scored.features
    tables: tuple[Table, ...] = ()
    if rows is not None:
        features = {name: _plain(rows.columns[name][0]) for name in rows.names}
        data["features"] = features
        tables = (Table(("feature", "value"), list(features.items())),)
    incomplete = scored.incomplete.get(0, ())
    data["incomplete"] = list(incomplete)
    notes = (f"Not found or expired: {', '.join(incomplete)}.",) if incomplete else ()
    return Outcome(title, data, tables, notes)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value


def score(stack: Stack, source: Path, out: Path, *, model: str | None = None, at: datetime | None = None) -> Outcome:
    """Predict for every row of a file, in bounded chunks, and write the rows with their predictions.

    Rows hold the service's keys and request fields; or the features themselves, from which transforms are computed.
    Features are read online, and by a join from a stack that has history alone.

    Raises:
        UsageError: one of the files has an unknown suffix.
        MissingColumn: neither the keys nor the inputs are all there.
        DataError: a value cannot be what it is declared to be.
    """
    suffix_of(out)
    used = scorer(stack, model)
    inputs = used.model.manifest.signature.inputs
    known = {service.ref: service for service in stack.definitions.services}
    service: FeatureService | None = known.get(used.model.manifest.service)
    fields = (*service.all_fields, *service.request_keys) if service else ()
    declared = {field.name: field.type for field in (*inputs, *fields)}
    table = read_table(source, declared)
    answer = _answering(stack, used, service, table.column_names, at or stack.clock())
    parts: list[Scored] = []
    for start in range(0, max(table.num_rows, 1), CHUNK):
        stack.progress("score", start, table.num_rows)
        parts.append(answer(table.slice(start, CHUNK)))
    stack.progress("score", table.num_rows, table.num_rows)
    write_table(_with_predictions(table, parts), out)
    incomplete = sum(len(part.incomplete) for part in parts)
    data = {"model": used.model.ref, "rows": table.num_rows, "out": str(out), "incomplete": incomplete}
    notes = (f"{incomplete} rows lacked a feature; see the column 'incomplete'.",) if incomplete else ()
    return Outcome(f"Scored {table.num_rows:,} rows with {used.model.ref} into {out}", data, notes=notes)


def _answering(
    stack: Stack, used: Scorer, service: FeatureService | None, present: Sequence[str], at: datetime
) -> Callable[[pa.Table], Scored]:
    """Return what scores a table with these columns."""
    slots = {"feature_store", "online", "offline"} & set(stack.plan.choices)
    keys = [field.name for field in service.request_keys] if service else []
    if service is None or not slots or not keys or not set(keys) <= set(present):
        ready = ReadyRows(used.model.manifest.signature.inputs, service, stack.project.folder, present)
        return lambda table: used.by_columns(ready.columns(table, at))
    if slots == {"offline"}:
        return lambda table: used.by_columns(_joined(stack, service, table, at))
    return lambda table: used.by_keys(*_requests(table, service), at=at)


def _joined(stack: Stack, service: FeatureService, table: pa.Table, at: datetime) -> dict[str, Any]:
    fields = [field for field in (*service.request_keys, *service.request) if field.name in table.column_names]
    frame = pa.table({field.name: _cast(table, field) for field in fields})
    asked = pa.repeat(pa.scalar(at, INSTANT), table.num_rows)
    joined = pa.table(stack.features.join(service.ref, frame.append_column(_ASKED, asked), time=_ASKED))
    columns = to_columns(joined, service.output_fields)
    return {field.name: to_model_array(columns[field.name], field.type) for field in service.output_fields}


def _cast(table: pa.Table, field: Field) -> Any:
    return cast(table.column(field.name), field.type, where="input", name=field.name)


def _requests(table: pa.Table, service: FeatureService) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    for field in service.request:
        if field.name not in table.column_names and not field.has_default:
            raise MissingColumn.of("input", field.name, table.column_names)
    keys = {field.name: table[field.name].to_pylist() for field in service.request_keys}
    request = {
        field.name: table[field.name].to_pylist()
        if field.name in table.column_names
        else [field.default] * table.num_rows
        for field in service.request
    }
    return keys, request


def _with_predictions(table: pa.Table, parts: Sequence[Scored]) -> pa.Table:
    predictions = [part.prediction for part in parts]
    table = _add(table, "prediction", np.concatenate([item.value for item in predictions]))
    if all(item.lower is not None and item.upper is not None for item in predictions):
        table = _add(table, "lower", np.concatenate([np.asarray(item.lower) for item in predictions]))
        table = _add(table, "upper", np.concatenate([np.asarray(item.upper) for item in predictions]))
    gaps = [", ".join(part.incomplete.get(row, ())) for part in parts for row in range(len(part.prediction.value))]
    return _add(table, "incomplete", gaps) if any(gaps) else table


def _add(table: pa.Table, name: str, values: Any) -> pa.Table:
    if name in table.column_names:
        table = table.drop_columns([name])
    return table.append_column(name, pa.array(values))
