"""An online store's rows, byte for byte in another: read from the old, which is only read, and verified in the new.

Writes are compare-and-set by order token, so a move that was cut off is simply begun again, and rows that came into the
old store meanwhile are brought over by another round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final

from stackwright.workflows.swapping.moves import Mismatch, Move
from stackwright_interfaces.feature_store import OnlineRow, OnlineStore, SupportsReaders
from stackwright_interfaces.plugin import Progress

_BATCH: Final = 1000
_ROUNDS: Final = 5


def move_rows(old: OnlineStore, new: OnlineStore, views: Sequence[str], progress: Progress) -> Move:
    """Bring the rows of views over.

    Args:
        old: opened through a reader where it has one.
        views: their names in both.

    Raises:
        Mismatch: the new store holds another row than the old, or does not give back what was written.
        FeatureStoreError: one of them fails.
    """
    source = old.reader() if isinstance(old, SupportsReaders) else old
    rows = size = 0
    digests = {}
    try:
        for done, view in enumerate(views):
            progress("moving rows", done, len(views))
            digests[view], count, bytes_ = _move_view(source, new, view)
            rows += count
            size += bytes_
    finally:
        if source is not old:
            source.close()
    progress("moving rows", 1, 1)
    return Move({"rows": rows}, size, digests)


def _move_view(old: OnlineStore, new: OnlineStore, view: str) -> tuple[str, int, int]:
    """Bring a view over; return the digest of its rows, how many they are, and their bytes."""
    for _ in range(_ROUNDS):
        there = {row.key: _digest(row) for row in new.scan(view)}
        given: dict[bytes, bytes] = {}
        size = 0
        for batch in _batches(old.scan(view)):
            for row in batch:
                given[row.key] = _digest(row)
                size += len(row.key) + len(row.order) + len(row.payload)
            if missing := [row for row in batch if there.get(row.key) != given[row.key]]:
                new.write(view, missing)
        found = {row.key: _digest(row) for row in new.scan(view)}
        if found == given:
            return _together(given), len(given), size
        if found.keys() == given.keys() and {row.key: _digest(row) for row in old.scan(view)} == given:
            break  # the old store stands still, and the new one gives something else
    raise _mismatch(view, given, found)


def _mismatch(view: str, given: dict[bytes, bytes], found: dict[bytes, bytes]) -> Mismatch:
    for key in sorted({*given, *found}):
        if given.get(key) != found.get(key):
            was, now = (f"digest {side[key].hex()}" if key in side else "no row" for side in (given, found))
            return Mismatch(f"view {view!r}, key {key.hex()}", f"the old store has {was}, the new one {now}")
    return Mismatch(f"view {view!r}", "rows come faster than they are moved")


def _batches(rows: Iterator[OnlineRow]) -> Iterator[list[OnlineRow]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _digest(row: OnlineRow) -> bytes:
    digest = blake2b(digest_size=16)
    for part in (row.key, row.order, row.payload):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()


def _together(rows: dict[bytes, bytes]) -> str:
    return blake2b(b"".join(rows[key] for key in sorted(rows)), digest_size=16).hexdigest()
