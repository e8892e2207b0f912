"""An online half at work in another process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.plugin import AdapterSpec

_WORK: Final = """
import importlib, os, pickle, sys
from pathlib import Path
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.testing.context import make_context

folder, factory, config, view, rows, keys = pickle.load(sys.stdin.buffer)
module, _, name = factory.partition(":")
store = getattr(importlib.import_module(module), name)(config, make_context(Path(folder)))
if rows:
    store.write(view, [OnlineRow(*row) for row in rows])
found = store.reader().read([view], [keys])[0] if keys else []
sys.stdout.buffer.write(pickle.dumps(found))
sys.stdout.flush()
os._exit(0)
"""


def work_in_a_child(
    spec: AdapterSpec, config: Any, folder: Path, view: str, rows: Sequence[OnlineRow], keys: Sequence[bytes]
) -> list[bytes | None]:
    """Build an adapter in another process, which writes rows, reads keys through a reader, and dies without closing.

    Args:
        spec: the adapter.
        config: its configuration.
        folder: the project folder.
        view: written to and read from.
        rows: what is written.
        keys: what is read.

    Returns:
        The payloads that were found.
    """
    plain = [(row.key, row.order, row.payload) for row in rows]
    handed = pickle.dumps((str(folder), spec.factory, config, view, plain, list(keys)))
    child = subprocess.run([sys.executable, "-c", _WORK], input=handed, stdout=subprocess.PIPE, check=True)
    found: list[bytes | None] = pickle.loads(child.stdout)
    return found
