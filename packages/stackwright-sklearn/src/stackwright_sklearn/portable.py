"""A fitted model written down for a program that has no scikit-learn: its columns, and what answers by them.

How numbers become columns is read off the steps that scikit-learn fitted. What becomes of a text or a category is asked
of the steps themselves, a known value after another: the steps that are followed here treat all other values alike.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor

from stackwright_interfaces.errors import UsageError
from stackwright_interfaces.model import Signature
from stackwright_sklearn.payload import Payload, steps
from stackwright_sklearn.portable_columns import TODO, Keyed, Number, Step, Walk, of_target
from stackwright_sklearn.portable_models import linear, trees

Floats = NDArray[np.float64]
Rows = list[list[Any]]

MAIN: Final = "prepared.json"
BOOSTED: Final = "model.txt"

_UNKNOWN: Final = "\0 no category has this name"
_FAILED: Final = (ValueError, TypeError, LookupError, ArithmeticError)
_TRIED: Final = 16


class Probe(NamedTuple):
    """Rows that tell what becomes of each known value of an input.

    Args:
        base: a row that the model takes.
        keys: place → its known values.
        prepare: turns rows into a matrix of columns.
    """

    base: list[Any]
    keys: Mapping[int, list[Any]]
    prepare: Callable[[Rows], Floats]

    def told(self, place: int, *, text: bool) -> list[Floats | None]:
        """Return the columns of each known value, of an unknown one and of a missing one; ``None`` where refused."""
        known = self.keys[place]
        others = [_UNKNOWN, None] if text else [max(known, default=0) + 1.5, math.nan]
        rows = [_put(self.base, place, value) for value in (*known, *others)]
        try:
            return list(self.prepare(rows))
        except _FAILED:
            return [self._one(row) for row in rows]

    def _one(self, row: list[Any]) -> Floats | None:
        try:
            found: Floats = self.prepare([row])[0]
        except _FAILED:
            return None
        return found

    def tried(self, numbers: Sequence[int]) -> Rows:
        """Return rows like the base, with made values of the inputs that are numbers alone."""
        random = np.random.default_rng(0)
        rows = [list(self.base) for _ in range(_TRIED)]
        for row in rows:
            for place in numbers:
                row[place] = round(abs(random.normal()), 2)
        return rows


def portable(payload: Payload, signature: Signature, rows: Callable[[Rows], Any]) -> dict[str, bytes]:
    """Write a model down, as ``SupportsPortable`` says.

    Args:
        payload: the model.
        signature: its inputs, and their categories.
        rows: turns values, a list a row, into what the model takes.

    Raises:
        UsageError: a step or the estimator has no such form.
    """
    after: list[Step] = []
    *before, estimator = [step for step in _flat(payload.model, after) if step is not None]
    if is_classifier(estimator) and list(estimator.classes_) != [0, 1]:
        found = f"{type(estimator).__name__} knows the classes {', '.join(map(str, estimator.classes_))}"
        raise UsageError("export", f"{found}; classifiers of 0 and 1 can be written down", TODO)
    inner = _inside(estimator)
    before = before if inner is None else [*before, inner]
    walk = Walk(payload.inputs, _known(payload, signature))
    for step in before:
        walk.take(step)

    def columns_of(values: Rows) -> Any:
        prepared = rows(values)
        for step in before:
            prepared = step.transform(prepared)
        return prepared

    texts = payload.texts or {}
    keys = {place: list(known) for place, known in sorted(walk.keys.items())}
    base: list[Any] = [keys[place][0] if keys.get(place) else 0.0 for place in range(len(payload.inputs))]
    probe = Probe(base, keys, lambda values: _matrix(columns_of(values)))
    try:
        sample = columns_of([base])
        width = _matrix(sample).shape[1]
    except _FAILED as error:
        raise UsageError("export", f"its steps cannot be tried ({error})", TODO) from error
    if width != len(walk.columns):
        raise UsageError("export", f"{type(before[-1]).__name__} makes columns that cannot be followed", TODO)
    told = {place: probe.told(place, text=payload.inputs[place] in texts) for place in keys}
    columns = [_column(item, number, told) for number, item in enumerate(walk.columns)]
    document = {
        "texts": [name for name in payload.inputs if name in texts],
        "keys": {str(place): known for place, known in keys.items()},
        "columns": columns,
        "after": [list(step) for step in after],
    }
    if hasattr(estimator, "booster_"):
        text = str(estimator.booster_.model_to_string())
        return {MAIN: _json({**document, "model": {"kind": "lightgbm"}}), BOOSTED: text.encode()}
    plain = [item.place for item in walk.columns if isinstance(item, Number)]
    model = _model(estimator, probe, plain, dense=not hasattr(sample, "toarray"))
    return {MAIN: _json({**document, "model": model})}


def _model(estimator: Any, probe: Probe, numbers: Sequence[int], *, dense: bool) -> dict[str, Any]:
    model = trees(estimator, dense=dense)
    if model is None and hasattr(estimator, "coef_"):
        try:
            model = linear(estimator, probe.prepare(probe.tried(numbers)))
        except _FAILED:
            model = None
    if model is None:
        raise UsageError("export", f"{type(estimator).__name__} has no portable form", TODO)
    return model


def _flat(model: Any, after: list[Step]) -> list[Any]:
    """Return the steps of a pipeline in order, those of a pipeline at its end too.

    Args:
        after: gets what is done to the answer, where the target was transformed.
    """
    *before, last = steps(model)
    if isinstance(last, TransformedTargetRegressor):
        after[:0] = of_target(last.transformer_)
        return [*before, *_flat(last.regressor_, after)]
    return [*before, last] if last is model else [*before, *_flat(last, after)]


def _inside(estimator: Any) -> Any:
    """Return what an estimator itself prepares its columns with."""
    inside = vars(estimator)
    return inside.get("encoder_") if "booster_" in inside else inside.get("_preprocessor")


def _known(payload: Payload, signature: Signature) -> dict[int, list[Any]]:
    """Return the values of inputs that are texts, or come by their codes."""
    found: dict[int, list[Any]] = {}
    for place, name in enumerate(payload.inputs):
        known = signature.categories.get(name, ())
        if payload.texts is not None and name in payload.texts:
            found[place] = list(known)
        elif payload.texts is None and name in signature.categories:
            found[place] = [float(code) for code in range(len(known) + 1)]
    return found


def _put(row: list[Any], place: int, value: Any) -> list[Any]:
    return [*row[:place], value, *row[place + 1 :]]


def _matrix(columns: Any) -> Floats:
    dense = columns.toarray() if hasattr(columns, "toarray") else columns
    return np.asarray(dense, dtype=np.float64)


def _column(item: Number | Keyed, number: int, told: Mapping[int, list[Floats | None]]) -> dict[str, Any]:
    if isinstance(item, Number):
        return {"input": item.place, "steps": [list(step) for step in item.steps]}
    *known, unknown, missing = [None if row is None else _value(row[number]) for row in told[item.place]]
    usual = Counter(known).most_common(1)[0][0] if known else None
    others = {str(place): value for place, value in enumerate(known) if value != usual}
    return {"input": item.place, "usual": usual, "others": others, "unknown": unknown, "missing": missing}


def _value(value: float) -> float | str:
    return "nan" if np.isnan(value) else float(value)


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n").encode()
