"""Models that are sums over their inputs, written down: a slope of each number, an effect of each category."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import PredictionError
from stackwright_interfaces.model import Signature, SupportsAdditive

_FAR: Final = 2.0**40
"""Where slopes are taken: so far out that what is added at 0 does not blur them."""

_TRIED: Final = (-1e6, -3.0, 0.5, 1.0, 40.0, 2500.0, 1e9)
_TOLERANCE: Final = 1e-9

Floats = NDArray[np.float64]


def written_down(predictor: SupportsAdditive, signature: Signature) -> dict[str, Any] | None:
    """Return a sum as JSON values; ``None`` where what a number adds is no straight line.

    Returns:
        ``link``, ``base``, and ``inputs`` in the signature's order: of a number ``slope`` and what it adds at ``zero``,
        of a category ``effects`` by its code, the last one of an unknown; and of both what ``missing`` adds, ``None``
        where the model takes no missing value.
    """
    width = len(signature.inputs)
    start = predictor.contributions(np.zeros((1, width)))
    inputs = []
    for place, field in enumerate(signature.inputs):
        if field.name in signature.categories:
            codes = np.arange(len(signature.categories[field.name]) + 1, dtype=np.float64)
            found: dict[str, Any] = {"effects": _added(predictor, width, place, codes).tolist()}
        else:
            low, zero, high = _added(predictor, width, place, np.array([-_FAR, 0.0, _FAR])).tolist()
            found = {"slope": (high - low) / (2 * _FAR), "zero": zero}
            tried = np.array(_TRIED)
            added = _added(predictor, width, place, tried)
            if not np.allclose(zero + found["slope"] * tried, added, rtol=_TOLERANCE, atol=_TOLERANCE * abs(zero)):
                return None
        inputs.append({**found, "missing": _of_missing(predictor, width, place)})
    return {"link": start.link, "base": float(start.base[0]), "inputs": inputs}


def _added(predictor: SupportsAdditive, width: int, place: int, values: Floats) -> Floats:
    rows = np.zeros((len(values), width))
    rows[:, place] = values
    return np.asarray(predictor.contributions(rows).values[:, place], dtype=np.float64)


def _of_missing(predictor: SupportsAdditive, width: int, place: int) -> float | None:
    try:
        return float(_added(predictor, width, place, np.array([np.nan]))[0])
    except PredictionError:
        return None
