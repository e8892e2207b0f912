"""Frames as the engine's models take them: numbers as float64 with NaN, texts as objects with ``None``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stackwright_interfaces.errors import WrongType

Columns = Mapping[str, NDArray[Any]]

_ALL_DIGITS = 17
"""What it takes to tell any two float64 apart."""
_NUMBERS = (bool, int, float, np.number, np.bool_)


def model_columns(X: Any) -> dict[str, NDArray[Any]]:  # noqa: N803 (scikit-learn's name)
    """Return the columns of a frame as models take them: float64 with NaN, or objects with ``None``.

    Raises:
        WrongType: a column holds neither numbers nor texts.
    """
    return {str(name): model_column(str(name), X.iloc[:, place]) for place, name in enumerate(X.columns)}


def model_column(name: str, column: Any) -> NDArray[Any]:
    """Return one column so.

    Raises:
        WrongType: it holds neither numbers nor texts.
    """
    if pd.api.types.is_numeric_dtype(column.dtype):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    values = column.astype(object).to_numpy()
    missing = pd.isna(values)
    known = values[~missing]
    if known.size and all(isinstance(value, _NUMBERS) for value in known):
        return np.array([np.nan if gone else float(value) for value, gone in zip(values, missing, strict=True)])
    for value in known:
        if not isinstance(value, str):
            raise WrongType.of("X", name, f"a {type(value).__name__}", "a column of numbers or of texts")
    texts = np.empty(len(values), dtype=object)
    texts[:] = [None if gone else str(value) for value, gone in zip(values, missing, strict=True)]
    return texts


def to_frame(columns: Columns, index: Any = None) -> pd.DataFrame:
    """Return model columns as a frame, alike under pandas 2 and 3."""
    series = {name: pd.Series(values, dtype=values.dtype, index=index) for name, values in columns.items()}
    return pd.DataFrame(series, index=index)


def slice_names(values: Any, *, quantiles: int = 4) -> list[str]:
    """Return the slice that each row belongs to: its text, its number, or the span of its number between quantiles."""
    column = model_column("slices", values if hasattr(values, "iloc") else pd.Series(values))
    if column.dtype == object:
        return ["missing" if value is None else str(value) for value in column.tolist()]
    known = column[np.isfinite(column)]
    if np.unique(known).size <= 2 * quantiles:
        return [
            "missing" if np.isnan(value) else text for value, text in zip(column, _told_apart(column, 6), strict=True)
        ]
    cuts = np.unique(np.quantile(known, np.linspace(0, 1, quantiles + 1)))
    spans = [f"{low} to {high}" for low, high in pairwise(_told_apart(cuts, 4))]
    place = np.clip(np.searchsorted(cuts, column, side="right") - 1, 0, len(spans) - 1)
    return ["missing" if np.isnan(value) else spans[at] for value, at in zip(column.tolist(), place, strict=True)]


def _told_apart(numbers: NDArray[np.float64], digits: int) -> list[str]:
    """Return numbers as texts of so many digits, or of as many more as unlike numbers need to be unlike."""
    unlike = np.unique(numbers)
    while digits < _ALL_DIGITS and len({f"{number:.{digits}g}" for number in unlike.tolist()}) < unlike.size:
        digits += 1
    return [f"{number:.{digits}g}" for number in numbers.tolist()]
