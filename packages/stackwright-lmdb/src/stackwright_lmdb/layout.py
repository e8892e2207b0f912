"""The layout of the file: which LMDB keys and values hold a row.

One database, the unnamed one. A row's LMDB key is the digest of its view (16 bytes), a tag, and the key; its value is
one byte with the length of the order token, the token, and the payload. LMDB takes keys of up to 511 bytes: a longer
one is stored under its digest, and is itself the value of a second entry under another tag.

Views are not named databases of LMDB, since those are limited in number when the file is opened, and handles to
them are not safe to make while other threads read.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

MARK: Final = b"stackwright online"
"""Key of the entry that marks the file as ours; no row has a key so short."""

LAYOUT: Final = b"1"
"""Version of this layout, the marking entry's value."""

LONGEST: Final = 494
"""Bytes of the longest key that is stored as it is."""

_VIEW_DIGEST: Final = 16


class Prefixes(NamedTuple):
    """How LMDB keys of a view begin, in their order.

    Args:
        short: rows whose key follows.
        long: rows whose key's digest follows.
        names: keys that are stored under their digest.
    """

    short: bytes
    long: bytes
    names: bytes


@lru_cache(maxsize=4096)
def prefixes(view: str) -> Prefixes:
    """Return the prefixes of a view."""
    digest = blake2b(view.encode(), digest_size=_VIEW_DIGEST).digest()
    return Prefixes(digest + b"\x00", digest + b"\x01", digest + b"\x02")


def place_of(view: Prefixes, key: bytes) -> bytes:
    """Return the LMDB key of a row."""
    return view.short + key if len(key) <= LONGEST else view.long + _digest(key)


def name_of(view: Prefixes, key: bytes) -> bytes:
    """Return the LMDB key under which a long key is kept."""
    return view.names + _digest(key)


def name_at(view: Prefixes, place: bytes) -> bytes:
    """Return the LMDB key under which the key of the row at an LMDB key of ``view.long`` is kept."""
    return view.names + place[len(view.long) :]


def _digest(key: bytes) -> bytes:
    return blake2b(key, digest_size=32).digest()
