"""Labels that only name a prediction, given what it was asked with, so that they can be learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stackwright_features.casts import cast
from stackwright_interfaces.definitions import Target
from stackwright_interfaces.types import TIMESTAMP, Kind, Type
from stackwright_journal.label_columns import LabelNames
from stackwright_journal.reading import PredictionReader


def complete(labels: Any, reader: PredictionReader, target: Target, *, keys: Mapping[str, str] | None = None) -> Any:
    """Fill keys, asked time and request fields that are null from the predictions that labels name.

    Args:
        labels: table of :meth:`~stackwright_journal.labels.LabelLog.read`.
        reader: of the prediction log.
        target: the target of the labels.
        keys: key of the target's entity → name of the key in the predictions, where they differ.

    Returns:
        The table with the same rows, columns and order. Labels whose prediction is not in the log stay as they are.
    """
    names = LabelNames.of(target)
    if names.prediction_id is None:
        return labels
    lacking = labels.column(names.asked).is_null()
    for name in names.keys:
        lacking = pc.or_(lacking, labels.column(name).is_null())
    ids = pc.if_else(lacking, labels.column(names.prediction_id), None)
    found = reader.find_all(ids.drop_null().to_pylist())
    records = [found.get(prediction_id, {}) for prediction_id in ids.to_pylist()]
    sources: list[tuple[str, Type, list[Any]]] = [(names.asked, TIMESTAMP, [item.get("asked_at") for item in records])]
    for part, fields in (("keys", target.entity.keys), ("request", target.request)):
        for field in fields:
            given = (keys or {}).get(field.name, field.name) if part == "keys" else field.name
            sources.append((field.name, field.type, [(item.get(part) or {}).get(given) for item in records]))
    for name, type_, values in sources:
        place = labels.column_names.index(name)
        filled = pc.coalesce(labels.column(name), _typed(values, type_, name))
        labels = labels.set_column(place, name, filled)
    return labels


def _typed(values: list[Any], type_: Type, name: str) -> Any:
    """Return values of JSON as an array of their declared type."""
    if type_.kind is Kind.BYTES:
        values = [None if value is None else bytes.fromhex(value) for value in values]
    return cast(pa.array(values), type_, where="prediction log", name=name)
