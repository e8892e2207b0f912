"""Golden predictions: inputs with the outputs they must give, kept beside the payload in ``golden.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import GOLDEN
from stackwright_interfaces.types import Field, Kind
from stackwright_serving.model import LoadedModel

TOLERANCE: Final = 1e-6
"""Greatest relative difference between a golden output and what the loaded model gives."""


def write(
    folder: Path,
    columns: Mapping[str, Any],
    inputs: Sequence[Field],
    value: Any,
    further: Mapping[str, Any] | None = None,
) -> None:
    """Write one line a row: ``{"inputs": {...}, "output": number}``, nulls as null.

    Args:
        columns: model columns of the inputs, n values each.
        inputs: the model's inputs.
        value: the answers, after postprocessing, n values.
        further: name → n values of each further output; they stand under ``further``.
    """
    lines = []
    more = further or {}
    for row, output in enumerate(np.asarray(value).tolist()):
        given = {item.name: _plain(columns[item.name][row]) for item in inputs}
        line = {"inputs": given, "output": output}
        if more:
            line["further"] = {name: float(values[row]) for name, values in more.items()}
        lines.append(json.dumps(line, allow_nan=False, sort_keys=True))
    (folder / GOLDEN).write_text("\n".join(lines) + "\n", encoding="utf-8")


def check(folder: Path, model: LoadedModel) -> float:
    """Predict the golden inputs; return the greatest relative difference.

    Raises:
        ArtifactError: there is none, they cannot be read, or an output differs by more than :data:`TOLERANCE`.
    """
    columns, expected = read(folder, model.manifest.signature.inputs)
    if not expected.size:
        raise ArtifactError(str(folder / GOLDEN), "holds no golden prediction", "Train and publish the model again.")
    answer = model.predict(columns)
    pairs = [(answer.value, expected)]
    none = np.full(expected.shape, np.nan)
    pairs += [(answer.further.get(name, none), wanted) for name, wanted in _further(folder).items()]
    return max(_difference(folder, given, wanted) for given, wanted in pairs)


def _difference(folder: Path, given: Any, expected: Any) -> float:
    difference = np.abs(given - expected) / np.maximum(np.abs(expected), 1e-12)
    worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    if not difference[worst] <= TOLERANCE:
        found = f"golden row {worst} gave {float(given[worst])!r}, expected {float(expected[worst])!r}"
        raise ArtifactError(str(folder / GOLDEN), found, "The payload or its library changed; train the model again.")
    return float(difference[worst])


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / GOLDEN).read_text(encoding="utf-8").splitlines()]


def _further(folder: Path) -> dict[str, Any]:
    """Return name → the further outputs of the golden rows."""
    with _translated(folder):
        lines = _lines(folder)
        names = lines[0].get("further", {})
        return {name: np.array([line["further"][name] for line in lines], dtype=np.float64) for name in names}


def read(folder: Path, inputs: Sequence[Field]) -> tuple[dict[str, Any], Any]:
    """Return the golden inputs as model columns, and the outputs as float64.

    Raises:
        ArtifactError: they cannot be read.
    """
    with _translated(folder):
        lines = _lines(folder)
        columns = {item.name: _column([line["inputs"][item.name] for line in lines], item) for item in inputs}
        return columns, np.array([line["output"] for line in lines], dtype=np.float64)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        todo = "Train and publish the model again."
        raise ArtifactError(str(folder / GOLDEN), f"cannot be read ({error!r})", todo) from error


def _column(values: list[Any], item: Field) -> Any:
    if item.type.kind in (Kind.BOOL, Kind.INT64, Kind.FLOAT64):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value
