from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackwright_interfaces.testing.context import make_context
from stackwright_lmdb.online import LMDBOnlineStore
from stackwright_lmdb.plugin import LMDBConfig

PROLOGUE = """
import os, signal, sys, time
from pathlib import Path
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.testing.context import make_context
from stackwright_lmdb.online import LMDBOnlineStore
from stackwright_lmdb.plugin import LMDBConfig

folder = Path(sys.argv[1])
store = LMDBOnlineStore(LMDBConfig(path=Path("online.lmdb")), make_context(folder))
"""


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., LMDBOnlineStore]]:
    """Opens stores over one file of the test."""
    opened: list[LMDBOnlineStore] = []

    def open_(**options: object) -> LMDBOnlineStore:
        opened.append(LMDBOnlineStore(LMDBConfig(path=Path("online.lmdb"), **options), make_context(tmp_path)))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., LMDBOnlineStore]) -> LMDBOnlineStore:
    return open_store()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a child process that has ``store`` open over the same file."""
    children: list[subprocess.Popen[str]] = []

    def start_(code: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + code, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield start_
    for child in children:
        child.kill()
        child.communicate()
