"""Which hash a view shares that is written for the first time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_redis.layout import command
from stackwright_redis.places import SHARED
from stackwright_redis.reading import Server
from stackwright_redis.shared_rows import NAME

ROW: Final = 700
"""Bytes that a shared value may have, on average."""

VIEWS_A_HASH: Final = 32
"""Views that share a hash at most."""

_SAMPLE: Final = 64


def proposed_entry(server: Server, rows: Sequence[OnlineRow]) -> bytes:
    """Return the entry of the catalogue that a view should get; empty if it should have a hash of its own.

    Args:
        server: what holds the catalogue.
        rows: the first of its rows, at least one: they tell how large rows are, and which hash has their keys.
    """
    sample = rows[:: -(-len(rows) // _SAMPLE)]
    room = ROW - sum(len(row.order) + len(row.payload) for row in sample) / len(sample)
    if room < 0:
        return b""
    views = {
        field.removeprefix(SHARED): int(count)
        for field, count in server.fields(server.names.catalogue)
        if field.startswith(SHARED)
    }
    keys = [row.key for row in sample]
    fitting = ((_in_common(server, number, keys, room), number) for number in views if views[number] < VIEWS_A_HASH)
    common, number = max(fitting, default=(0, b""))
    if 2 * common < len(sample):
        number = b"%d" % (max(map(int, views), default=0) + 1)
    return os.urandom(NAME) + number


def _in_common(server: Server, number: bytes, keys: Sequence[bytes], room: float) -> int:
    """Return how many of these keys a shared hash has; none where it has no room for so many bytes a row more."""
    (values,) = server.ask(command(b"HMGET", server.names.shared(number), *keys), 1)
    sizes = [len(value) for value in values if value is not None]
    return len(sizes) if sum(sizes) <= room * len(sizes) else 0
