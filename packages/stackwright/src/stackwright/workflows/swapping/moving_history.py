"""An offline store's history, ingestion by ingestion in another.

Positions are kept, so that watermarks which were logged with predictions mean in the new store what they meant in the
old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

import pyarrow as pa

from stackwright.workflows.swapping.moves import Mismatch, Move
from stackwright.workflows.swapping.recording import FOREVER
from stackwright_features.arrow import INSTANT, arrow_type, read_table
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, OfflineStore, Watermark
from stackwright_interfaces.plugin import Progress
from stackwright_numerics.order import TOKEN_BYTES

DELETIONS: Final = (
    "The new store does not know which entities were deleted before: rows of theirs that come again would stay. "
    "Delete them once more: stackwright delete-entity"
)
INSTANTS: Final = "What was known at an instant before the move can be asked for by watermark, and no longer by time."


def move_history(old: OfflineStore, new: OfflineStore, views: Sequence[FeatureView], progress: Progress) -> Move:
    """Bring the history of views over, and verify every row.

    Raises:
        Mismatch: the new store holds rows that the old one has not, numbers ingestions otherwise, or gives other rows.
        FeatureStoreError: one of them fails.
    """
    new.apply(views)
    digests, rows, size = {}, 0, 0
    for done, view in enumerate(views):
        progress("moving history", done, len(views))
        last, begun = old.watermark(view).position, new.watermark(view).position
        if begun > last:
            raise Mismatch(f"view {view.ref!r}", f"the new store has {begun} ingestions, the old one {last}")
        _agree(view, _Rows(old, view, begun), _Rows(new, view, begun))
        for position in range(begun + 1, last + 1):
            report = new.ingest(view, _ingestion(old, view, position))
            if report.position != position:
                found = f"ingestion {position} of the old store became number {report.position} in the new one"
                raise Mismatch(f"view {view.ref!r}", found)
        was = _Rows(old, view, last)
        digests[view.ref] = _agree(view, was, _Rows(new, view, last))
        rows += len(was.digests)
        size += was.bytes
    progress("moving history", 1, 1)
    return Move({"rows": rows}, size, digests, (DELETIONS, INSTANTS) if rows else ())


def _ingestion(store: OfflineStore, view: FeatureView, position: int) -> Any:
    """Return the rows of one ingestion as they stream, also of one that added none."""
    since = Watermark(position - 1, FOREVER) if position > 1 else None
    parts = store.changes(view, since, Watermark(position, FOREVER))
    tables = (read_table(part, "offline store") for part in parts)
    first = next(tables, _schema(view).empty_table())
    batches = (batch for table in chain([first], tables) for batch in table.to_batches())
    return pa.RecordBatchReader.from_batches(first.schema, batches)


def _schema(view: FeatureView) -> Any:
    columns = [(item.name, arrow_type(item.type)) for item in (*view.entity.keys, *view.fields)]
    return pa.schema([*columns, (EVENT, INSTANT), (CREATED, INSTANT), (ORDER, pa.binary(TOKEN_BYTES))])


class _Rows:
    """A view's rows up to an ingestion: key and order token → digest of each, and their bytes."""

    def __init__(self, store: OfflineStore, view: FeatureView, position: int) -> None:
        self.digests: dict[str, bytes] = {}
        self.bytes = 0
        for part in store.changes(view, None, Watermark(position, FOREVER)):
            table = read_table(part, "offline store")
            self.bytes += table.nbytes
            names = sorted(table.column_names)
            for row in table.to_pylist():
                keys = " ".join(f"{key}={row[key]}" for key in view.entity.key_names)
                text = repr([(name, row[name]) for name in names]).encode()
                self.digests[f"{keys} token {row[ORDER].hex()}"] = blake2b(text, digest_size=16).digest()


def _agree(view: FeatureView, was: _Rows, now: _Rows) -> str:
    """Compare rows of both by key and order token; return their digest."""
    a, b = was.digests, now.digests
    if a != b:
        key = min(key for key in {*a, *b} if a.get(key) != b.get(key))
        one, other = (f"digest {side[key].hex()}" if key in side else "no row" for side in (a, b))
        raise Mismatch(f"view {view.ref!r}, {key}", f"the old store has {one}, the new one {other}")
    return blake2b(b"".join(a[key] for key in sorted(a)), digest_size=16).hexdigest()
