"""What online stores have in common: which of several rows stays, a row as one value, and handles that only read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import OnlineRow, OnlineStore


def greatest(rows: Sequence[OnlineRow]) -> dict[bytes, int]:
    """Return key → place of the row with the greatest token, the first of equals."""
    places: dict[bytes, int] = {}
    for place, row in enumerate(rows):
        best = places.setdefault(row.key, place)
        if row.order > rows[best].order:
            places[row.key] = place
    return places


def pack(order: bytes, payload: bytes) -> bytes:
    """Return a row as one value: a byte with the length of the token, the token (at most 255 bytes), the payload.

    Stores keep it in this form: it stays as it is.
    """
    return bytes((len(order),)) + order + payload


def order_of(value: bytes) -> bytes:
    """Return the order token of a packed row."""
    return value[1 : 1 + value[0]]


def payload_of(value: bytes) -> bytes:
    """Return the payload of a packed row."""
    return value[1 + value[0] :]


class ReadOnlyStore(OnlineStore):
    """A handle that refuses to write.

    Args:
        where: the store, for messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Refuse.

        Raises:
            FeatureStoreError: always.
        """
        del rows
        raise self._refusal(view)

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Refuse.

        Raises:
            FeatureStoreError: always.
        """
        del keys
        raise self._refusal(view)

    def _refusal(self, view: str) -> FeatureStoreError:
        where = f"{self._where}, view {view!r}"
        return FeatureStoreError(where, "this handle is read-only", "Write through the store that made it.")
