"""Predictions without a server: one by keys, or every row of a file, by the scorer that serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from stackwright.assembly.stack import Stack
from stackwright.workflows.live.scoring import scorer
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.rows.arguments import parse_value
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import MissingColumn, UsageError, did_you_mean
from stackwright_interfaces.types import Field
from stackwright_serving import explaining
from stackwright_serving.scorer import Scored, Scorer


def predict(
    stack: Stack,
    pairs: Mapping[str, Any],
    *,
    model: str | None = None,
    at: datetime | None = None,
    explain: bool = False,
) -> Outcome:
    """Predict for one entity.

    Args:
        pairs: request keys and request fields; texts are read by their declared types.
        explain: tell what each input added to the answer, and how old the features are.

    Raises:
        MissingColumn: a key or field is not given.
        WrongType: a value is not of its type.
        PredictionError: it is to be explained, and the model cannot tell.
    """
    used = scorer(stack, model)
    service: FeatureService = used.service or stack.service(used.model.manifest.service)
    known = [field.name for field in (*service.request_keys, *service.request)]
    for name in pairs:
        if name not in known:
            todo = did_you_mean(name, known) or f"Known: {', '.join(known)}."
            raise UsageError(f"argument {name!r}", "is no key of the model", todo)
    keys = {field.name: [_read(pairs, field)] for field in service.request_keys}
    request = {field.name: [_read(pairs, field)] for field in service.request}
    scored = used.by_keys(keys, request, at=at)
    outcome = _one(used, scored, pairs)
    return _explained(outcome, used, scored, at or stack.clock()) if explain else outcome


def _read(pairs: Mapping[str, Any], field: Field) -> Any:
    if field.name not in pairs:
        if field.has_default:
            return field.default
        given = ", ".join(pairs) or "nothing"
        raise MissingColumn("arguments", f"{field.name!r} is missing. Given: {given}", f"Add: {field.name}=...")
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
    if answer.further:
        data["outputs"] = {name: _plain(float(column[0])) for name, column in answer.further.items()}
        title += "".join(f", {name} {column[0]:,.6g}" for name, column in answer.further.items())
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


def _explained(outcome: Outcome, used: Scorer, scored: Scored, at: datetime) -> Outcome:
    rows = scored.features
    assert rows is not None, "features are read by keys"
    explanation = explaining.explain(used.model, rows.columns)
    found = {
        **explanation.row(0),
        **explanation.about(),
        "ages": explaining.ages(rows, at, 0),
    }
    added = [(name, _plain(rows.columns[name][0]), value) for name, value in found["contributions"].items()]
    after = "".join(f", then {step['op']}" for step in found["steps"])
    tables = (
        Table(("input", "value", "adds"), added),
        Table(("features of", "seconds old"), list(found["ages"].items())),
    )
    sum_ = f"{found['base']:.6g} with nothing known, {found['raw']:.6g} with all inputs"
    notes = (f"{sum_} ({found['link']}{after}, gives the answer).", *outcome.notes)
    return replace(outcome, data={**outcome.data, "explanation": found}, tables=tables, notes=notes)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value
