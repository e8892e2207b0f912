"""What is known of the items beside who took them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from stackwright_recommender.identifiers import UNKNOWN, Codes, Identifiers
from stackwright_recommender.spectrum import strongest

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

_WIDE: Final = 128
"""Up to so many attributes, vectors hold them as they are; more are pressed into ``_PRESSED``."""
_PRESSED: Final = 64
_CLIP: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Items, each with what a file said of it.

    Args:
        ids: their identifiers; every array below has a row an item, in their order.
        attributes: items × values, 1 where an item has the value (``genre=comedy``); a sparse matrix of float32.
        attribute_names: name of each column.
        numbers: items × numbers, NaN where one is missing.
        number_names: name of each column.
        place: items × 2, latitude and longitude in degrees, NaN where missing.
        area: code of the item's area, -1 where it has none.
        areas: identifiers of the areas.
        group: code of the item's group (its seller, its brand), which rules may speak of; -1 where it has none.
        groups: identifiers of the groups.
        price: NaN where it is not known.
        since: seconds since 1970 from which it may be shown, NaN for ever.
        until: seconds since 1970 until which it may be shown, NaN for ever.
    """

    ids: Identifiers
    attributes: Any
    attribute_names: tuple[str, ...] = ()
    numbers: Floats
    number_names: tuple[str, ...] = ()
    place: Floats
    area: Codes
    areas: Identifiers
    group: Codes
    groups: Identifiers
    price: Floats
    since: Floats
    until: Floats
    _memo: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def bare(cls, ids: Identifiers) -> Self:
        """Return items of which nothing is known."""
        n = len(ids)
        return cls(
            ids=ids,
            attributes=sp.csr_matrix((n, 0), dtype=np.float32),
            numbers=np.empty((n, 0)),
            place=np.full((n, 2), np.nan),
            area=np.full(n, UNKNOWN, np.int32),
            areas=Identifiers([]),
            group=np.full(n, UNKNOWN, np.int32),
            groups=Identifiers([]),
            price=np.full(n, np.nan),
            since=np.full(n, np.nan),
            until=np.full(n, np.nan),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def placed(self) -> bool:
        """Whether any item has a place."""
        return bool(np.isfinite(self.place).all(axis=1).any())

    @cached_property
    def vectors(self) -> Vectors:
        """Items × d, of length 1 each (0 where nothing is known): rare attributes weigh more, numbers are standardised.

        Weights are ``log(1 + n / n_value)`` (Spärck Jones 1972). Many attributes are pressed into 64 dimensions by a
        truncated singular value decomposition (Deerwester et al. 1990).
        """
        counts = np.asarray(self.attributes.sum(axis=0)).ravel()
        weighted = self.attributes @ sp.diags(np.log1p(len(self) / np.maximum(counts, 1)).astype(np.float32))
        parts = [_pressed(_unit(weighted)), _standardised(self.numbers)]
        joined = np.concatenate(parts, axis=1).astype(np.float32)
        length = np.linalg.norm(joined, axis=1, keepdims=True)
        return np.asarray(joined / np.maximum(length, 1e-12), dtype=np.float32)


def _unit(rows: Any) -> Any:
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return sp.diags((1 / np.maximum(length, 1e-12)).astype(np.float32)) @ rows


def _pressed(rows: Any) -> NDArray[Any]:
    if rows.shape[1] <= _WIDE or min(rows.shape) <= _PRESSED + 1:
        return np.asarray(rows.toarray())
    return np.asarray(rows @ strongest(rows.astype(np.float64), _PRESSED))


def _standardised(numbers: Floats) -> Floats:
    """Return numbers less their mean, by their deviation, cut at 3, 0 where missing; together as long as 1 or so."""
    known = np.isfinite(numbers)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, numbers, 0.0).sum(axis=0) / count
    away = np.where(known, numbers - mean, 0.0)
    deviation = np.sqrt((away**2).sum(axis=0) / count)
    scaled = np.clip(away / np.where(deviation > 0, deviation, 1.0), -_CLIP, _CLIP)
    return np.asarray(scaled / np.sqrt(max(numbers.shape[1], 1)))
