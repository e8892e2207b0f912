"""Predictions without a server: one by keys, or every row of a file, by the scorer that serves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np

from stackwright.assembly.stack import Stack
from stackwright.workflows.live.scoring import scorer
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.rows.arguments import parse_value
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import MissingColumn, UsageError
from stackwright_interfaces.types import Field
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
