"""Parity: answers that were given live, made once more by the offline path as things were known when they were given.

Each prediction is logged with how much of each view its read knew. The same keys and request fields are joined from
history, as of the asked instant and up to those watermarks, and the version that answered predicts from what comes out.
Whatever differs was served otherwise than it is learned from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.gates.delivery import check_definitions
from stackwright.workflows.gates.joining import differing, joined
from stackwright.workflows.live.scoring import load, resolve
from stackwright.workflows.outcome import Outcome, Table
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import FeatureStoreError, MonitorError, StackwrightError
from stackwright_interfaces.feature_store import Watermark
from stackwright_interfaces.types import Field, Kind
from stackwright_journal.reading import Span
from stackwright_serving.model import LoadedModel

TOLERANCE: Final = 1e-5
ROWS: Final = 1000

_ARMS: Final = ("live", "canary")
_GROUPS: Final = 40
_EXAMPLES: Final = 10
_NUMBERS: Final = (Kind.BOOL, Kind.INT64, Kind.FLOAT64)

Record = Mapping[str, Any]


@dataclass
class Compared:
    """What a comparison found.

    Args:
        rows: answers that were made again.
        features: input → answers in which it is another value offline; those of no difference are not named.
        predictions: answers whose prediction differs by more than the tolerance.
        difference: greatest difference of a prediction in proportion to it.
        examples: a few differences: prediction id, feature, values online and offline.
        passed_over: why → answers that could not be made again.
        replayed: whether the store could pass over what it learned since.
    """

    rows: int = 0
    features: Counter[str] = field(default_factory=Counter)
    predictions: int = 0
    difference: float = 0.0
    examples: list[dict[str, Any]] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    replayed: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**vars(self), "features": dict(self.features.most_common()), "passed_over": dict(self.passed_over)}


def parity(
    stack: Stack,
    name: str | None = None,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    rows: int = ROWS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """Compare live answers of a window with what the offline path makes of the same requests.

    Args:
        name: the model.
        start: first asked instant; without it, the first.
        end: end of the window, exclusive; without it, now.
        rows: answers that are compared, spread over the window.
        tolerance: by which a prediction may differ, in proportion to it. Features may not differ at all.

    Returns:
        An outcome that is not ok where anything differs.

    Raises:
        ModelNotFound: the model has no champion.
        MonitorError: no answer of the window can be made again.
    """
    model = resolve(stack, stack.model(name).name).name
    found = compare(stack, model, start=start, end=end, rows=rows, tolerance=tolerance)
    if not found.rows:
        why = "; ".join(f"{count:,}: {reason}" for reason, count in found.passed_over.items()) or "none is logged"
        todo = "Give a window in which the server answered by keys."
        raise MonitorError(f"model {model!r}", f"no answer can be made again ({why})", todo)
    unlike = [(feature, count, f"{count / found.rows:.1%}") for feature, count in found.features.most_common()]
    if found.predictions:
        unlike.append(("prediction", found.predictions, f"{found.predictions / found.rows:.1%}"))
    said = f"{found.rows:,} live answers of {model} equal those of the offline path"
    if unlike:
        said = f"{max(count for _, count, _ in unlike):,} of {found.rows:,} live answers of {model} are other offline"
    notes = [f"{count:,} answers passed over: {reason}." for reason, count in found.passed_over.items()]
    if not found.replayed:
        notes.append("The store cannot pass over what it learned since: later rows may be told as differences.")
    tables = (
        Table(("differs", "answers", "share"), unlike),
        Table(
            ("prediction", "feature", "live", "offline"),
            [(item["prediction_id"], item["feature"], item["live"], item["offline"]) for item in found.examples],
        ),
    )
    data = {"model": model, "tolerance": tolerance, **found.to_json()}
    return Outcome(said, data, tables, tuple(notes), ok=not unlike)


def compare(
    stack: Stack,
    model: str,
    *,
    start: datetime | None,
    end: datetime | None,
    rows: int,
    tolerance: float = TOLERANCE,
) -> Compared:
    """Make answers of a window again, and compare; see :func:`parity`."""
    with closing(journal.predictions(stack)) as reader:
        records = reader.some(rows, model=model, span=Span(start, end, "asked_at"))
    found = Compared()
    for (version, _), group in _groups(records, found).items():
        with ExitStack() as opened:
            try:
                loaded, service = _version(stack, f"{model}@{version}", opened)
            except StackwrightError as error:
                found.passed_over[str(error)] += len(group)
                continue
            _Again(stack, loaded, service, tolerance)(group, found)
    return found


def _groups(records: Sequence[Record], found: Compared) -> dict[tuple[int, str], list[Record]]:
    """Return the answers to be made again, by version and watermarks: each group is one join."""
    groups: dict[tuple[int, str], list[Record]] = {}
    for record in records:
        reason = _unfit(record)
        if reason:
            found.passed_over[reason] += 1
            continue
        marks = json.dumps(record["watermarks"], sort_keys=True)
        groups.setdefault((int(record["version"]), marks), []).append(record)
    kept = sorted(groups, key=lambda key: -len(groups[key]))[:_GROUPS]
    left = sum(len(group) for key, group in groups.items() if key not in kept)
    if left:
        found.passed_over["more states of the store than are looked at"] += left
    return {key: groups[key] for key in kept}


def _unfit(record: Record) -> str:
    if record.get("arm", "live") not in _ARMS:
        return "no live answer"
    if not record.get("keys") and record.get("features"):
        return "the caller brought the features"
    return "" if record.get("watermarks") else "answered without the store"


def _version(stack: Stack, ref: str, opened: ExitStack) -> tuple[LoadedModel, FeatureService]:
    loaded = opened.enter_context(closing(load(stack, resolve(stack, ref))))
    check_definitions(stack, loaded.manifest)
    service: FeatureService = stack.service(loaded.manifest.service)
    return loaded, service


class _Again:
    """Makes answers of one version again."""

    def __init__(self, stack: Stack, model: LoadedModel, service: FeatureService, tolerance: float) -> None:
        self._stack = stack
        self._model = model
        self._service = service
        self._tolerance = tolerance

    def __call__(self, group: Sequence[Record], found: Compared) -> None:
        """Compare answers of one state of the store."""
        inputs = self._model.manifest.signature.inputs
        live = {item.name: _logged(group, item) for item in inputs}
        offline = {name: _as_json(column) for name, column in self._offline(group, found).items() if name in live}
        unlike = differing(live, offline)
        found.rows += len(group)
        for name, places in unlike.items():
            found.features[name] += int(places.sum())
            self._note(found, group, name, places, live[name], offline[name])
        before = np.array([np.nan if item.get("prediction") is None else item["prediction"] for item in group])
        after = self._model.predict(offline).value
        gap = np.abs(after - before) / np.maximum(np.abs(before), 1e-12)
        other = ~(gap <= self._tolerance)
        found.predictions += int(other.sum())
        found.difference = max(found.difference, float(np.nanmax(gap, initial=0.0)))
        self._note(found, group, "prediction", other, before, after)

    def _offline(self, group: Sequence[Record], found: Compared) -> dict[str, Any]:
        fields = (*self._service.request_keys, *self._service.request)
        keys = {item.name: [_given(record, item) for record in group] for item in fields}
        asked = np.array([_instant(record["asked_at"]) for record in group], dtype="datetime64[us]")
        marks = {
            view: Watermark(int(mark["position"]), datetime.fromisoformat(mark["due"]))
            for view, mark in group[0]["watermarks"].items()
        }
        try:
            return joined(self._stack, self._service, keys, asked, as_of=marks)
        except FeatureStoreError:  # a store that cannot replay is held to what it knows now
            found.replayed = False
            return joined(self._stack, self._service, keys, asked)

    def _note(
        self,
        found: Compared,
        group: Sequence[Record],
        name: str,
        places: NDArray[np.bool_],
        live: NDArray[Any],
        offline: NDArray[Any],
    ) -> None:
        for row in np.flatnonzero(places)[: max(0, _EXAMPLES - len(found.examples))].tolist():
            values = {"live": _plain(live[row]), "offline": _plain(offline[row])}
            found.examples.append({"prediction_id": group[row]["prediction_id"], "feature": name, **values})


def _logged(group: Sequence[Record], item: Field) -> NDArray[Any]:
    """Return an input as it was logged, as a model column."""
    values = [(record.get("features") or {}).get(item.name) for record in group]
    if item.type.kind in _NUMBERS:
        return np.array([np.nan if value is None else float(value) for value in values])
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _as_json(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column as it would be logged: JSON has no infinity."""
    return np.where(np.isfinite(column), column, np.nan) if column.dtype.kind == "f" else column


def _given(record: Record, item: Field) -> Any:
    value = {**(record.get("request") or {}), **(record.get("keys") or {})}.get(item.name)
    if value is not None and item.type.kind is Kind.BYTES:
        return bytes.fromhex(value)
    if value is not None and item.type.kind is Kind.TIMESTAMP:
        return datetime.fromisoformat(value)
    return value


def _instant(text: str) -> np.datetime64:
    return np.datetime64(text.removesuffix("Z"), "us")


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and np.isnan(value) else value
