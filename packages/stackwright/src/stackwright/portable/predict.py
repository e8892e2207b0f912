"""Predicts with the model in this folder. Needs Python 3.10 or later; for ``model.onnx`` also onnxruntime and numpy.

    python predict.py < rows.jsonl          # one JSON object a line in, one a line out
    python predict.py --check               # give the golden predictions

Or from Python::

    from predict import Model
    model = Model()
    model.predict({"area": 70.0, "kind": "flat"})   # {"prediction": ..., "lower": ..., "upper": ...}

``schema.json`` names the inputs. A missing value is null (``None``) or NaN; a category that training did not know is
taken as unknown. ``model.txt`` is LightGBM's own text form; ``model.json`` says what each input of a linear model adds;
``prepared.json`` is asked by ``prepared.py``, ``model.onnx`` by ``graph.py``, and nothing else is needed without it.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from runpy import run_path
from typing import Any

TOLERANCE = 1e-6
"""Greatest relative difference between a golden prediction and what the model gives."""

_ZERO = 1e-35
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_ZERO, _MISSING_NAN = 1, 2


class Tree:
    """One tree of LightGBM's text form.

    Args:
        lines: name → text, of the tree's section.
    """

    def __init__(self, lines: Mapping[str, str]) -> None:
        if lines.get("is_linear", "0") != "0":
            raise ValueError("model.txt: trees with linear leaves are not read here")
        self._leaf = _floats(lines["leaf_value"])
        self._feature = _ints(lines.get("split_feature", ""))
        self._threshold = _floats(lines.get("threshold", ""))
        self._decision = _ints(lines.get("decision_type", ""))
        self._left = _ints(lines.get("left_child", ""))
        self._right = _ints(lines.get("right_child", ""))
        self._boundaries = _ints(lines.get("cat_boundaries", ""))
        self._bits = _ints(lines.get("cat_threshold", ""))

    def value(self, row: Sequence[float]) -> float:
        """Return the value of the leaf that a row falls into."""
        node = 0 if self._feature else -1
        while node >= 0:
            goes_left = self._goes_left(row[self._feature[node]], node)
            node = self._left[node] if goes_left else self._right[node]
        return self._leaf[~node]

    def _goes_left(self, value: float, node: int) -> bool:
        decision = self._decision[node]
        if decision & _CATEGORICAL:
            return self._in_set(value, int(self._threshold[node]))
        missing = (decision >> 2) & 3
        if math.isnan(value) and missing != _MISSING_NAN:
            value = 0.0
        is_zero = missing == _MISSING_ZERO and -_ZERO <= value <= _ZERO
        if is_zero or (missing == _MISSING_NAN and math.isnan(value)):
            return bool(decision & _DEFAULT_LEFT)
        return value <= self._threshold[node]

    def _in_set(self, value: float, number: int) -> bool:
        if math.isnan(value) or value < 0:
            return False
        words = self._bits[self._boundaries[number] : self._boundaries[number + 1]]
        word, bit = divmod(int(value), 32)
        return word < len(words) and bool(words[word] >> bit & 1)


def _floats(text: str) -> list[float]:
    return [float(item) for item in text.split()]


def _ints(text: str) -> list[int]:
    return [int(item) for item in text.split()]


class Trees:
    """A model of LightGBM.

    Args:
        text: its text form.

    Raises:
        ValueError: it has a form that is not read here.
    """

    def __init__(self, text: str) -> None:
        head, *sections = text.partition("\nend of trees")[0].split("\nTree=")
        header = _lines(head)
        self._trees = [Tree(_lines(section)) for section in sections]
        self._average = "average_output" in header
        self._convert = _conversion(header.get("objective", "regression").split())

    def predict(self, row: Sequence[float]) -> float:
        """Return the answer for a row of numbers, NaN where missing."""
        total = 0.0
        for tree in self._trees:
            total += tree.value(row)
        return self._convert(total / len(self._trees) if self._average and self._trees else total)


def _lines(text: str) -> dict[str, str]:
    parts = (line.partition("=") for line in text.splitlines())
    return {name: value for name, _, value in parts}


def _conversion(objective: Sequence[str]) -> Callable[[float], float]:
    """Return what turns a sum of leaves into an answer."""
    name, options = objective[0], dict(item.partition(":")[::2] for item in objective[1:])
    if name == "regression" and "sqrt" in options:
        return lambda raw: math.copysign(raw * raw, raw)
    if name in ("poisson", "gamma", "tweedie"):
        return math.exp
    if name in ("binary", "cross_entropy"):
        slope = float(options.get("sigmoid", "1"))
        return lambda raw: 1.0 / (1.0 + math.exp(-slope * raw))
    plain = ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", "custom")
    if name not in plain:
        raise ValueError(f"model.txt: objective {name!r} is not read here")
    return lambda raw: raw


class Sum:
    """A model that adds up what each of its inputs says.

    Args:
        text: its JSON form.

    Raises:
        ValueError: it has a form that is not read here.
    """

    def __init__(self, text: str) -> None:
        document = json.loads(text)
        self._base: float = document["base"]
        self._inputs: list[Mapping[str, Any]] = document["inputs"]
        if document["link"] not in _LINKS:
            raise ValueError(f"model.json: link {document['link']!r} is not read here")
        self._convert = _LINKS[document["link"]]

    def predict(self, row: Sequence[float]) -> float:
        """Return the answer for a row of numbers, NaN where missing."""
        return self._convert(math.fsum([self._base, *map(_added, self._inputs, row)]))


def _logistic(raw: float) -> float:
    small = math.exp(-abs(raw))
    return (1.0 if raw >= 0 else small) / (1.0 + small)


_LINKS: dict[str, Callable[[float], float]] = {"identity": float, "exp": math.exp, "logistic": _logistic}


def _added(item: Mapping[str, Any], value: float) -> float:
    if math.isnan(value):
        if item["missing"] is None:
            raise ValueError("a value is missing, and the model takes none that is")
        return float(item["missing"])
    return float(item["effects"][int(value)] if "effects" in item else item["zero"] + item["slope"] * value)


class Model:
    """The model of a folder.

    Args:
        folder: the folder; that of this file where none is given.

    Raises:
        ValueError: a file is damaged, or has a form that is not read here.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder is not None else Path(__file__).parent
        self.schema: Mapping[str, Any] = json.loads((self.folder / "schema.json").read_text(encoding="utf-8"))
        for name, digest in self.schema["files"].items():
            if hashlib.sha256((self.folder / name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{name}: is not the file that was exported")
        self._model: Any = self._loaded()
        self._texts: Collection[str] = getattr(self._model, "texts", ())
        self._codes = {
            item["name"]: {text: float(place) for place, text in enumerate(item["categories"])}
            for item in self.schema["inputs"]
            if item["categories"] is not None
        }

    def _loaded(self) -> Any:
        if "model.onnx" in self.schema["files"]:
            graph = run_path(str(self.folder / "graph.py"))["Graph"]
            return graph(self.folder / "model.onnx", self.schema)
        if "prepared.json" in self.schema["files"]:
            return run_path(str(self.folder / "prepared.py"))["Prepared"](self.folder, Trees)
        if "model.json" in self.schema["files"]:
            return Sum((self.folder / "model.json").read_text(encoding="utf-8"))
        return Trees((self.folder / "model.txt").read_text(encoding="utf-8"))

    def predict(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``prediction``, ``lower`` and ``upper`` where the model has intervals, and ``outside``: inputs.

        Inputs stand under ``outside`` whose values the model is not meant to answer for.

        Args:
            row: input → value.

        Raises:
            ValueError: an input is not there, is of another type, or is missing where it must not be.
        """
        rules = self.schema["rules"]
        outside = [name for name, allowed in rules.get("select", {}).items() if not _inside(row.get(name), allowed)]
        numbers = [self._number(item, row) for item in self.schema["inputs"]]
        names = [item["name"] for item in self.schema["inputs"]]
        told = [None if math.isnan(value) else row[name] for name, value in zip(names, numbers, strict=True)]
        texts = [name in self._texts for name in names]
        answer = self._model.predict([item[is_text] for *item, is_text in zip(numbers, told, texts, strict=True)])
        for step in self.schema["postprocess"]:
            answer = _step(step, answer)
        ends = {} if self.schema["intervals"] is None else _interval(self.schema["intervals"], answer, numbers)
        for step in self.schema["postprocess"]:
            if step["op"] == "clip":
                ends = {name: _step(step, end) for name, end in ends.items()}
        found: dict[str, Any] = {"prediction": answer, **ends}
        if outside and rules.get("fallback") is not None:
            found = dict.fromkeys(found, float(rules["fallback"]))
        return {**found, "outside": outside} if outside else found

    def _number(self, item: Mapping[str, Any], row: Mapping[str, Any]) -> float:
        name = item["name"]
        if name not in row:
            raise ValueError(f"{name}: is not there; give null where its value is missing")
        value = row[name]
        if value is None or (isinstance(value, float) and math.isnan(value)):
            if item["missing"] == "refuse":
                raise ValueError(f"{name}: is missing, and the model refuses rows without it")
            return math.nan
        if name in self._codes:
            if not isinstance(value, str):
                raise ValueError(f"{name}: is {value!r}, a text is wanted")
            return self._codes[name].get(value, float(len(self._codes[name])))
        if not isinstance(value, (bool, int, float)):
            raise ValueError(f"{name}: is {value!r}, a number is wanted")
        low, high = self.schema["rules"].get("clip", {}).get(name, (-math.inf, math.inf))
        return float(min(max(float(value), low), high))

    def check(self) -> float:
        """Predict the golden inputs; return the greatest relative difference.

        Raises:
            ValueError: it is more than :data:`TOLERANCE`.
        """
        worst = 0.0
        for number, line in enumerate((self.folder / "golden.jsonl").read_text(encoding="utf-8").splitlines()):
            case = json.loads(line)
            given = self.predict(case["inputs"])["prediction"]
            difference = abs(given - case["output"]) / max(abs(case["output"]), 1e-12)
            if not difference <= TOLERANCE:
                raise ValueError(f"golden.jsonl: case {number} gave {given!r}, expected {case['output']!r}")
            worst = max(worst, difference)
        return worst


def _inside(value: Any, allowed: Sequence[Any]) -> bool:
    if allowed and isinstance(allowed[0], str):
        return value in allowed
    return isinstance(value, (bool, int, float)) and allowed[0] <= value <= allowed[1]


def _step(step: Mapping[str, Any], value: float) -> float:
    """Return a number after one step between the model and its answer."""
    if step["op"] == "exp":
        return math.exp(value)
    if step["op"] == "scale":
        return value * float(step["by"])
    if step["op"] == "clip":
        return float(min(max(value, step.get("low", -math.inf)), step.get("high", math.inf)))
    if step["op"] == "round":
        unit = float(10 ** abs(step["digits"]))
        return round(value * unit) / unit if step["digits"] >= 0 else round(value / unit) * unit
    raise ValueError(f"schema.json: step {step['op']!r} is not known here")


def _interval(table: Mapping[str, Any], answer: float, numbers: Sequence[float]) -> dict[str, float]:
    """Return the ends of the prediction interval: half-widths by the prediction, times the difficulty of the row."""
    logarithm = math.log(answer) if answer > 0 else math.nan
    place = logarithm if table["relative"] else answer
    width = _interpolated(place, table["places"], table["widths"])
    if table.get("difficulty"):
        width *= _difficulty(table["difficulty"], [*numbers, place])
    low, high = min(table["centre"] - width, 0.0), max(table["centre"] + width, 0.0)
    if table["relative"]:
        return {"lower": answer * math.exp(low), "upper": answer * math.exp(high)}
    return {"lower": answer + low, "upper": answer + high}


def _difficulty(table: Mapping[str, Any], row: Sequence[float]) -> float:
    total = 0.0
    for value, cuts, effects in zip(row, table["cuts"], table["effects"], strict=True):
        total += effects[-1] if math.isnan(value) else effects[bisect_right(cuts, value)]
    return math.exp(total)


def _interpolated(place: float, places: Sequence[float], values: Sequence[float]) -> float:
    if math.isnan(place):
        return math.nan
    after = bisect_right(places, place)
    if after == 0:
        return float(values[0])
    if after == len(places):
        return float(values[-1])
    share = (place - places[after - 1]) / (places[after] - places[after - 1])
    return float(values[after - 1] + share * (values[after] - values[after - 1]))


def _answered(model: Model, line: str, number: int) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: is no JSON ({error})") from error
    if not isinstance(row, dict):
        raise ValueError(f"line {number}: is no JSON object of inputs")
    try:
        return model.predict(row)
    except (ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"line {number}: {error}") from error


def main(arguments: Sequence[str], lines: Iterable[str]) -> int:
    """Check, or predict for each line."""
    try:
        model = Model()
        if list(arguments) == ["--check"]:
            sys.stdout.write(f"golden predictions differ by {model.check():.3g} at most, relatively\n")
            return 0
        for number, line in enumerate(lines, 1):
            if line.strip():
                sys.stdout.write(json.dumps(_answered(model, line, number)) + "\n")
    except (OSError, ValueError, KeyError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin))
