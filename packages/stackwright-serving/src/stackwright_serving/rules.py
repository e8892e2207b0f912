"""Rules that travel with a model: which rows it answers for, and the limits its inputs are kept within.

They stand in the manifest under ``parameters["rules"]``, and run alike wherever the model does: in training, live, in
batch, and where answers are compared::

    {"select": {"area": [20, 300], "kind": ["flat", "house"]}, "fallback": 0.0, "clip": {"area": [25.0, 280.0]}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

KEY: Final = "rules"


class Rules:
    """The rules of a model.

    Args:
        document: their JSON form; empty where there are none.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._select: Mapping[str, Any] = document.get("select", {})
        self._clip = {name: (float(low), float(high)) for name, (low, high) in document.get("clip", {}).items()}
        fallback = document.get("fallback")
        self.fallback: float | None = None if fallback is None else float(fallback)

    def outside(self, columns: Mapping[str, Any]) -> dict[int, tuple[str, ...]]:
        """Return row → inputs that lie outside of the selection; a missing value does.

        Args:
            columns: model columns, all those selected by among them.
        """
        found: dict[int, list[str]] = {}
        for name, allowed in self._select.items():
            for row in np.flatnonzero(~inside(columns[name], allowed)).tolist():
                found.setdefault(row, []).append(name)
        return {row: tuple(names) for row, names in found.items()}

    def clipped(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the columns with values beyond a limit at that limit."""
        if not self._clip:
            return columns
        return {**columns, **{name: np.clip(columns[name], *limits) for name, limits in self._clip.items()}}


def inside(column: NDArray[Any], allowed: Any) -> NDArray[np.bool_]:
    """Return which values are taken.

    Args:
        column: a model column.
        allowed: lowest and highest number, or the texts that are taken.
    """
    if allowed and isinstance(allowed[0], str):
        known = frozenset(allowed)
        return np.array([value in known for value in column.tolist()], dtype=np.bool_)
    low, high = allowed
    numbers = np.asarray(column, dtype=np.float64)
    taken: NDArray[np.bool_] = (numbers >= low) & (numbers <= high)
    return taken
