"""Feast's feature server over the files of ``serving``; runs in Feast's environment: ``FOLDER PORT FILE...``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from feast_online import opened

if __name__ == "__main__":
    folder, port, *files = sys.argv[1:]
    names = [[f"v{view}_{number}" for number in range(10)] for view in range(len(files))]
    store, _ = opened(Path(folder), {"type": "sqlite", "path": "online.db"}, files, names)
    store.materialize(datetime(2024, 12, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    store.serve("127.0.0.1", int(port), workers=1, max_requests=0, max_requests_jitter=0)
