"""Model columns of numbers that lie in one array, so that a matrix of them costs no array for each."""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class NumberColumns(Mapping[str, NDArray[np.float64]]):
    """Columns of n float64, each made when it is looked at.

    Args:
        places: name → row of the block; shared by many, and so never changed.
        block: (columns, n), NaN where null.
    """

    __slots__ = ("block", "places")

    def __init__(self, places: dict[str, int], block: NDArray[np.float64]) -> None:
        self.places = places
        self.block = block

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        column: NDArray[np.float64] = self.block[self.places[name]]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __repr__(self) -> str:
        return repr(dict(self))

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self.places.keys()

    @property
    def rows(self) -> int:
        """How many values a column has."""
        return int(self.block.shape[1])

    def matrix(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return columns side by side: float64 (n, columns), C-contiguous and not shared with these.

        Args:
            rows: their rows of the block.
        """
        return self.block.take(rows, axis=0).T.copy()

    def row(self, place: int) -> dict[str, Any]:
        """Return name → number of one row, as Python's numbers."""
        return dict(zip(self.places, self.block[:, place].tolist(), strict=True))


def joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
    """Return the columns that all parts have, one part after the other.

    Args:
        parts: one or more.
    """
    blocks = [part for part in parts if isinstance(part, NumberColumns)]
    if len(blocks) == len(parts) and all(part.places is blocks[0].places for part in blocks):
        return NumberColumns(blocks[0].places, np.concatenate([part.block for part in blocks], axis=1))
    names = set.intersection(*(set(part) for part in parts))
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
