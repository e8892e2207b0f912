"""Answers with the ``prepared.json`` beside this file; ``predict.py`` asks it. Needs nothing but the standard library.

``prepared.json`` says how the inputs become columns, and what is asked with these: trees or a linear model of
scikit-learn, or, where a ``model.txt`` lies beside it, trees of LightGBM.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


class Prepared:
    """A model, and what precedes it.

    Args:
        folder: where ``prepared.json`` is.
        boosted: makes trees of LightGBM from their text.

    Raises:
        ValueError: it has a form that is not read here.
    """

    def __init__(self, folder: Path, boosted: Callable[[str], Any]) -> None:
        document = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
        self.texts = frozenset(document["texts"])
        self._columns: list[Mapping[str, Any]] = document["columns"]
        self._places = {
            int(place): {key: str(number) for number, key in enumerate(keys)}
            for place, keys in document["keys"].items()
        }
        self._after: list[list[Any]] = document["after"]
        model = document["model"]
        if model["kind"] == "lightgbm":
            self._answer = boosted((folder / "model.txt").read_text(encoding="utf-8")).predict
        elif model["kind"] in _KINDS:
            self._answer = _KINDS[model["kind"]](model).predict
        else:
            raise ValueError(f"prepared.json: a model {model['kind']!r} is not read here")

    def predict(self, row: Sequence[float | str | None]) -> float:
        """Return the answer for a row: its numbers, NaN where missing, and its texts, ``None`` where missing.

        Raises:
            ValueError: the model does not take a value, or its answer is too large.
        """
        found = {place: _key(row[place], keys) for place, keys in self._places.items()}
        columns = [_column(item, row, found) for item in self._columns]
        try:
            return _stepped(float(self._answer(columns)), self._after)
        except OverflowError as error:
            raise ValueError("the answer is too large for a number") from error


def _key(value: float | str | None, keys: Mapping[Any, str]) -> str:
    """Return the number of a value among the known ones, ``"missing"`` or ``"unknown"``."""
    return "missing" if value is None or value != value else keys.get(value, "unknown")


def _column(item: Mapping[str, Any], row: Sequence[Any], found: Mapping[int, str]) -> float:
    place = item["input"]
    if "steps" in item:
        return _stepped(float(row[place]), item["steps"])
    key = found[place]
    value = item[key] if key in ("missing", "unknown") else item["others"].get(key, item["usual"])
    if value is None:
        raise ValueError(f"the model takes no value that is {key if key in item else repr(row[place])}")
    return float(value)


def _stepped(value: float, steps: Sequence[Sequence[Any]]) -> float:
    if steps and math.isinf(value):
        raise ValueError("a value is infinite, which the model does not take")
    for name, *arguments in steps:
        value = _STEPS[name](value, *arguments)
    return value


_STEPS: dict[str, Callable[..., float]] = {
    "fill": lambda value, filler: filler if math.isnan(value) else value,
    "missing": lambda value: 1.0 if math.isnan(value) else 0.0,
    "add": lambda value, term: value + term,
    "subtract": lambda value, term: value - term,
    "multiply": lambda value, factor: value * factor,
    "divide": lambda value, divisor: value / divisor,
    "exp": math.exp,
    "expm1": math.expm1,
    "clip": lambda value, low, high: value if math.isnan(value) else min(max(value, low), high),
}


class Trees:
    """Trees whose leaves are added up.

    Args:
        document: ``trees``; ``base``, which they are added to; ``factor`` of each; ``share``, what the sum is divided
            by; ``link``; ``single``, whether columns are of single precision; ``takes_missing``; ``known``, column
            → its known categories.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._trees: list[Mapping[str, list[Any]]] = document["trees"]
        self._base, self._factor, self._share = document["base"], document["factor"], document["share"]
        self._single, self._takes_missing = document["single"], document["takes_missing"]
        self._known = {int(column): set(categories) for column, categories in document["known"].items()}
        self._convert = _LINKS[document["link"]]

    def predict(self, columns: Sequence[float]) -> float:
        """Return the answer for the columns of a row.

        Raises:
            ValueError: a value is missing, or too large, and the model takes none that is.
        """
        if not self._takes_missing and any(map(math.isnan, columns)):
            raise ValueError("a value is missing, and the model takes none that is")
        if self._single:
            columns = [_single(value) for value in columns]
        total: float = self._base
        for tree in self._trees:
            total += self._factor * self._leaf(tree, columns)
        return self._convert(total / self._share)

    def _leaf(self, tree: Mapping[str, list[Any]], columns: Sequence[float]) -> float:
        features, left, right = tree["feature"], tree["left"], tree["right"]
        node = 0
        while features[node] >= 0:
            goes_left = self._goes_left(tree, node, features[node], columns[features[node]])
            node = left[node] if goes_left else right[node]
        return float(tree["value"][node])

    def _goes_left(self, tree: Mapping[str, list[Any]], node: int, column: int, value: float) -> bool:
        threshold, missing = tree["threshold"][node], bool(tree["missing_left"][node])
        if math.isnan(value):
            return missing
        if not isinstance(threshold, list):
            return threshold is None or bool(value <= threshold)
        category = int(value)
        if value < 0 or category not in self._known[column]:
            return missing
        return category in threshold


class Linear:
    """A sum over columns.

    Args:
        document: ``coefficients``, ``intercept`` and ``link``.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._coefficients, self._intercept = document["coefficients"], document["intercept"]
        self._convert = _LINKS[document["link"]]

    def predict(self, columns: Sequence[float]) -> float:
        """Return the answer for the columns of a row.

        Raises:
            ValueError: a value is missing or infinite.
        """
        if not all(map(math.isfinite, columns)):
            raise ValueError("a value is missing or infinite, and the model takes none that is")
        terms = (value * factor for value, factor in zip(columns, self._coefficients, strict=True))
        return self._convert(math.fsum([self._intercept, *terms]))


def _single(value: float) -> float:
    """Return a number in single precision, as scikit-learn's trees compare it."""
    try:
        rounded = float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        rounded = math.inf
    if math.isinf(rounded):
        raise ValueError(f"a value is {value!r}, which the model does not take")
    return rounded


def _logistic(raw: float) -> float:
    small = math.exp(-abs(raw))
    return (1.0 if raw >= 0 else small) / (1.0 + small)


_LINKS: dict[str, Callable[[float], float]] = {
    "identity": float,
    "exp": math.exp,
    "logistic": _logistic,
    "logistic of twice": lambda raw: _logistic(2 * raw),
}
_KINDS: dict[str, Callable[[Mapping[str, Any]], Any]] = {"trees": Trees, "linear": Linear}
