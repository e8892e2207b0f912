"""What the kit does not ask of the reference."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from stackwright_interfaces.errors import UnknownName
from stackwright_interfaces.testing.context import NOON, make_context
from stackwright_interfaces.testing.half_cases import BLOCKS, PLAIN, fact
from stackwright_interfaces.testing.half_history_cases import places
from stackwright_interfaces.testing.tables import normalised
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.plugin import MemoryConfig


def test_nothing_is_deleted_where_a_view_is_unknown(tmp_path: Path) -> None:
    store = MemoryOfflineStore(MemoryConfig(), make_context(tmp_path))
    store.apply([PLAIN])
    store.ingest(PLAIN, normalised(PLAIN, [fact(1, NOON, x=1.0)]))
    with pytest.raises(UnknownName):
        store.delete([PLAIN, BLOCKS], pa.table(places(1)), NOON)
    assert sum(len(pa.table(rows)) for rows in store.changes(PLAIN, None, store.watermark(PLAIN))) == 1
