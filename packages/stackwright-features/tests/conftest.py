from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.online import MemoryOnlineStore
from stackwright_memory.plugin import MemoryConfig

START = """
import numpy as np
from stackwright_interfaces.definitions import *
from stackwright_interfaces.types import *

listing = Entity(name="listing", keys=(Field("listing_id", INT64),))
details = FeatureView(name="details", entity=listing, fields=(Field("price", FLOAT64), Field("rooms", INT64)))
"""


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Writes a project's files (``features`` behind common definitions), and returns the path of ``features.py``."""
    folder = tmp_path / "project"
    folder.mkdir()

    def write(features: str = "", **others: str) -> Path:
        for name, text in {"features": START + features, **others}.items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        return folder / "features.py"

    return write


@dataclass
class Halves:
    """A composed store over memory, its halves and its clock."""

    store: ComposedFeatureStore
    offline: MemoryOfflineStore
    online: MemoryOnlineStore
    clock: SettableClock


@pytest.fixture
def halves(tmp_path: Path) -> Halves:
    """A fresh composed store, whose clock stands at noon."""
    clock = SettableClock()
    context = make_context(tmp_path, clock)
    offline, online = MemoryOfflineStore(MemoryConfig(), context), MemoryOnlineStore(MemoryConfig(), context)
    return Halves(ComposedFeatureStore(offline, online, clock=clock), offline, online, clock)
