"""A small project whose history has ties, and stores with one vice each."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

import stackwright
from stackwright.assembly.discovery import Plugins
from stackwright.notebook import NotebookStack

START = datetime(2024, 1, 1, tzinfo=UTC)
HOMES = 12

CROOKED = Path(__file__).parent / "crooked"


@pytest.fixture(scope="session")
def crooked() -> Iterator[Plugins]:
    """Plugins with the stores of ``crooked/``, which the processes of trials find as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(CROOKED))
        patch.setenv("PYTHONPATH", str(CROOKED), prepend=os.pathsep)
        yield Plugins(extra={"crooked": importlib.import_module("crooked_plugin")})


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory, project_in: Callable[..., Path], crooked: Plugins) -> Path:
    """A small project in whose history every home has two rows of one instant. To be copied or read."""
    root = tmp_path_factory.mktemp("tied")
    folder = project_in(root / "project")
    names = [f"{number:02}" for number in range(HOMES)]
    days = [START + timedelta(days=number) for number in range(HOMES)]
    homes = {
        "home_id": names * 2,
        "changed_at": days * 2,
        "area": [30.25 + number for number in range(2 * HOMES)],
        "kind": ["flat", "house"] * HOMES,
    }
    visits = {"home_id": names, "visited_at": days, "minutes": [1.5 * number for number in range(HOMES)]}
    sales = {
        "home_id": names,
        "asked_at": [day + timedelta(days=1) for day in days],
        "sold_at": [day + timedelta(days=10) for day in days],
        "known_at": [day + timedelta(days=20) for day in days],
        "rooms": [1 + number % 4 for number in range(HOMES)],
        "price": [1000.0 * number for number in range(1, HOMES + 1)],
    }
    for name, rows in (("homes", homes), ("visits", visits), ("sales", sales)):
        pyarrow.csv.write_csv(pa.table(rows), root / f"{name}.csv")
    with stackwright.load(folder, plugins=crooked, progress=lambda *_: None) as stack:
        stack.apply()
        stack.ingest("homes", root / "homes.csv")
        stack.ingest("visits", root / "visits.csv")
        stack.materialize()
        stack.label(root / "sales.csv")
    return folder


@pytest.fixture
def stack(tied: Path, tmp_path: Path, crooked: Plugins) -> Iterator[NotebookStack]:
    """The small project, to be changed."""
    folder = shutil.copytree(tied, tmp_path / "project")
    with stackwright.load(folder, plugins=crooked, progress=lambda *_: None) as opened:
        yield opened


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Gives the files of a project but its cache: path → content."""

    def tree(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts)
        kept = (path for path in files if not path.name.endswith(("-shm", "-wal")))
        return {str(path.relative_to(folder)): path.read_bytes() for path in kept}

    return tree


INTERRUPTIBLE = """
import signal, sys
from stackwright.cli.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""
"""The command line, also where whoever started the tests ignores interruptions, as a shell in the background does."""


@pytest.fixture
def interruptible() -> list[str]:
    """What runs the command line so that an interruption reaches it."""
    return [sys.executable, "-c", INTERRUPTIBLE]
