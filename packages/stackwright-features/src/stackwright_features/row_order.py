"""Rows of a view's history, by key and then by order token."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_features.arrow import to_columns
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import ORDER
from stackwright_numerics.keys import encode_keys


class RowOrder(NamedTuple):
    """Rows of a chunk sorted by key, then order token.

    Attributes:
        places: where each sorted row stands in the chunk.
        key_id: a number for its key.
        keys: the keys of the chunk's rows, as they stand there.
    """

    places: NDArray[np.int64]
    key_id: NDArray[np.int64]
    keys: list[bytes | None]

    def keys_of(self, places: NDArray[np.int64]) -> list[bytes]:
        """Keys of rows of the chunk; none of an ingested row is null."""
        found = [self.keys[place] for place in places.tolist()]
        return [key for key in found if key is not None]


def order_rows(view: FeatureView, table: Any) -> RowOrder:
    """Return the order of the rows of a view's history.

    Args:
        view: whose rows.
        table: ``pyarrow.Table`` with its keys and ``__order``.
    """
    entity = view.entity
    columns = to_columns(table, entity.keys)
    keys = encode_keys([columns[key.name] for key in entity.keys], [key.type for key in entity.keys])
    numbers: dict[bytes | None, int] = {}
    key_id = np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64, len(keys))
    words = np.frombuffer(b"".join(table.column(ORDER).to_pylist()), ">u8").reshape(len(keys), -1)
    places = np.lexsort((*words.T[::-1], key_id))
    return RowOrder(places, key_id[places], keys)


def ends(key_id: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows are the last of their key, in rows sorted by key."""
    last = np.ones(len(key_id), np.bool_)
    last[:-1] = key_id[1:] != key_id[:-1]
    return last
