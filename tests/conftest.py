from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2] / "shared" / "data"

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a verb as a user does, in a process of its own; give what ``--json`` prints."""

    def run(*arguments: object, code: int = 0) -> dict[str, Any]:
        command = [sys.executable, "-m", "stackwright.cli.main", *map(str, arguments), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run


@pytest.fixture(scope="session")
def king_county_data() -> Path:
    folder = DATA / "king_county"
    if not folder.exists():
        pytest.skip(f"the King County sales are not in {folder}")
    return folder


@pytest.fixture(scope="session")
def movielens_data() -> Path:
    folder = DATA / "movielens_100k"
    if not folder.exists():
        pytest.skip(f"MovieLens 100k is not in {folder}")
    return folder
