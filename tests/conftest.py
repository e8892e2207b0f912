from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

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
