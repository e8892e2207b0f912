"""How much each view knows online: written last by a materialisation, read with every online read.

The state of a view is an online row like any other: under the view name :data:`VIEW`, its key the view's reference.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from operator import le
from time import monotonic
from typing import Final, TypeAlias

from stackwright_features.times import from_microseconds, to_microseconds
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import OnlineRow, OnlineStore, Watermark
from stackwright_numerics.columns import NAT

VIEW: Final = "__watermarks"

_FRESH_SECONDS: Final = 1.0
_SIGN: Final = 1 << 63
_TOKEN: Final = struct.Struct(">QQ")


def key_of(ref: str) -> bytes:
    """Return the online key of a view's state."""
    return ref.encode()


def token_of(watermark: Watermark) -> bytes:
    """Return 16 bytes that compare like (position, due)."""
    return _TOKEN.pack(watermark.position, to_microseconds(watermark.due) + _SIGN)


def write_watermark(online: OnlineStore, ref: str, watermark: Watermark) -> None:
    """Store how much a view knows, unless more is stored."""
    payload = json.dumps({"position": watermark.position, "due_us": to_microseconds(watermark.due)}).encode()
    online.write(VIEW, [OnlineRow(key_of(ref), token_of(watermark), payload)])


def read_watermark(online: OnlineStore, ref: str) -> Watermark | None:
    """Return how much a view knows; ``None`` if it was never materialised.

    Raises:
        FeatureStoreError: what is stored is damaged.
    """
    return parse(online.read([VIEW], [[key_of(ref)]])[0][0])


def parse(payload: bytes | None) -> Watermark | None:
    """Return the watermark of a stored row.

    Raises:
        FeatureStoreError: it is damaged.
    """
    if payload is None:
        return None
    try:
        state = json.loads(payload)
        return Watermark(state["position"], from_microseconds(state["due_us"]))
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise FeatureStoreError(
            "stored watermark", f"it is damaged ({error})", "Materialise the view again."
        ) from error


class KnownWatermarks:
    """What is known online of some views, read again with a read of rows when it is older than a second.

    An older state is still right for a row that was not written since: what the row says itself is added to it.

    Args:
        refs: references of the views.
    """

    def __init__(self, refs: Sequence[str]) -> None:
        self._refs = tuple(dict.fromkeys(refs))
        self._keys = [key_of(ref) for ref in self._refs]
        self._states: dict[str, _State] = dict.fromkeys(self._refs, _NOTHING)
        self._whole = _whole(self._states)
        self._expires = 0.0

    def wanted(self) -> list[bytes]:
        """Return the keys that should be read now, before any row is; empty while what is known is fresh."""
        return self._keys if monotonic() >= self._expires else []

    def learn(self, payloads: Sequence[bytes | None]) -> None:
        """Take what was read under the keys that were wanted."""
        self._states = {ref: _state(parse(payload)) for ref, payload in zip(self._refs, payloads, strict=True)}
        self._whole = _whole(self._states)
        self._expires = monotonic() + _FRESH_SECONDS

    def forget(self) -> None:
        """Let the next read ask again."""
        self._expires = 0.0

    def of(self, ref: str, rows_know: tuple[int, int]) -> Watermark | None:
        """Return how much is known of a view, given the greatest position and due time (microseconds) of its rows.

        ``None`` if nothing is.
        """
        known, watermark = self._states[ref]
        if rows_know <= known:
            return watermark
        return Watermark(rows_know[0], from_microseconds(rows_know[1]))

    def of_all(self, rows_know: Sequence[tuple[int, int]]) -> dict[str, Watermark]:
        """Return how much is known of each view of which something is, given the same of the rows of each."""
        known, watermarks = self._whole
        if all(map(le, rows_know, known)):
            return watermarks.copy()
        marks = zip(self._refs, map(self.of, self._refs, rows_know), strict=True)
        return {ref: mark for ref, mark in marks if mark is not None}


_State: TypeAlias = tuple[tuple[int, int], Watermark | None]
_NOTHING: Final[_State] = ((0, NAT), None)


def _state(watermark: Watermark | None) -> _State:
    return _NOTHING if watermark is None else ((watermark.position, to_microseconds(watermark.due)), watermark)


def _whole(states: Mapping[str, _State]) -> tuple[list[tuple[int, int]], dict[str, Watermark]]:
    """What is known of each view, and the watermarks of those of which something is."""
    watermarks = {ref: watermark for ref, (_, watermark) in states.items() if watermark is not None}
    return [known for known, _ in states.values()], watermarks
