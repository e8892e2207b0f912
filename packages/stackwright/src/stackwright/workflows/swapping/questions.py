"""What feature stores are asked in a trial: what the project was asked, by its journal, and each view by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final

import pyarrow as pa

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright_features.arrow import INSTANT, arrow_type
from stackwright_interfaces.definitions import FeatureService, FeatureView, Target
from stackwright_interfaces.types import Kind
from stackwright_journal.label_columns import LabelNames

ASKED: Final = "__asked"
ROWS: Final = 1000
"""Requests of a service that are taken from the journal."""


@dataclass(frozen=True)
class Questions:
    """Requests of one service.

    Args:
        service: what is asked for.
        rows: ``pyarrow.Table`` of request keys, request fields and :data:`ASKED`, a row a request.
        origin: where they come from, for people.
    """

    service: FeatureService
    rows: Any
    origin: str

    def given(self, fields: Sequence[Any], start: int = 0, stop: int | None = None) -> dict[str, list[Any]]:
        """Return request keys or fields of some of the requests, as an online read takes them."""
        part = self.rows.slice(start, None if stop is None else stop - start)
        return {field.name: part.column(field.name).to_pylist() for field in fields}

    def keys(self) -> list[str]:
        """Return how each request is named: its number, what it was asked with, and when."""
        names = [field.name for field in (*self.service.request_keys, *self.service.request)]
        texts = zip(*(self.rows.column(name).to_pylist() for name in names), strict=True) if names else ()
        said = [" ".join(f"{name}={value}" for name, value in zip(names, values, strict=True)) for values in texts]
        times = [time.isoformat() for time in self.rows.column(ASKED).to_pylist()]
        return [f"{number} {text} at {time}" for number, (text, time) in enumerate(zip(said, times, strict=True), 1)]


def recorded(stack: Stack) -> Iterator[Questions]:
    """Give for every service what it was asked: in serving, or where nothing is logged, what labels ask."""
    for service in stack.definitions.services:
        models = [part for part in stack.blueprint.models.values() if part.data is None and part.service == service.ref]
        served = ((f"requests of {part.name} in the journal", _served(stack, part.name, service)) for part in models)
        learned = (
            (f"labels of {target.name}", _learned(stack, target, service)) for target in stack.definitions.targets
        )
        found = next(((origin, rows) for origin, rows in chain(served, learned) if len(rows)), None)
        if found is not None:
            yield Questions(service, found[1], found[0])


def of_view(view: FeatureView, rows: Mapping[str, Sequence[Any]], at: Sequence[datetime], origin: str) -> Questions:
    """Return requests of everything a view has, for these keys at these instants."""
    service = FeatureService(name=f"whole_{view.name.replace('/', '_')}", selections=(view.select(),))
    return Questions(service, _table(service, rows, at), origin)


def _served(stack: Stack, model: str, service: FeatureService) -> Any:
    reader = journal.predictions(stack)
    try:
        records = reader.some(ROWS, model=model)
    finally:
        reader.close()
    fields = (*service.request_keys, *service.request)
    fitting = [record for record in records if record.get("keys") and _names(record) >= {item.name for item in fields}]
    columns = {item.name: [_value(_given(record)[item.name], item.type.kind) for record in fitting] for item in fields}
    return _table(service, columns, [datetime.fromisoformat(record["asked_at"]) for record in fitting])


def _given(record: Mapping[str, Any]) -> dict[str, Any]:
    return {**(record.get("request") or {}), **(record.get("keys") or {})}


def _names(record: Mapping[str, Any]) -> set[str]:
    return set(_given(record))


def _value(value: Any, kind: Kind) -> Any:
    """Return a logged value as it was given: JSON has neither bytes nor times."""
    if value is not None and kind is Kind.BYTES:
        return bytes.fromhex(value)
    return datetime.fromisoformat(value) if value is not None and kind is Kind.TIMESTAMP else value


def _learned(stack: Stack, target: Target, service: FeatureService) -> Any:
    """Return what labels ask: their newest rows, where they hold what the service is asked with."""
    log = journal.labels(stack, target)
    names: LabelNames = log.names
    labels = log.read(known_at=stack.clock()).sort_by([(names.asked, "ascending")])
    fields = (*service.request_keys, *service.request)
    if not len(labels) or not {item.name for item in fields} <= set(labels.column_names):
        return _table(service, {item.name: [] for item in fields}, [])
    labels = labels.slice(max(0, len(labels) - ROWS))
    columns = {item.name: labels.column(item.name).to_pylist() for item in fields}
    return _table(service, columns, labels.column(names.asked).to_pylist())


def _table(service: FeatureService, columns: Mapping[str, Sequence[Any]], at: Sequence[datetime]) -> Any:
    fields = (*service.request_keys, *service.request)
    arrays = {item.name: pa.array(list(columns[item.name]), arrow_type(item.type)) for item in fields}
    return pa.table({**arrays, ASKED: pa.array(list(at), INSTANT)})
