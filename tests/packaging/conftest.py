"""Wheels of every member, and clean environments that get them from there and everything else from the index."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[2]
UV = os.environ.get("UV", "uv")


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, *command: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return subprocess.run(
            [str(self.folder / "bin" / str(command[0])), *map(str, command[1:])],
            capture_output=True, text=True, check=False, cwd=cwd or self.folder, env=variables,
        )  # fmt: skip

    def stackwright(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self.run("stackwright", *arguments)

    def json(self, *arguments: object) -> Any:
        done = self.stackwright(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def installed(self) -> set[str]:
        """Names of the distributions that are installed."""
        code = "from importlib.metadata import distributions as d; print(*{i.name.lower() for i in d()})"
        return set(self.run("python", "-c", code).stdout.split())


@contextmanager
def once(folder: Path) -> Iterator[bool]:
    """Let one of several test processes make a folder; give whether this one shall."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.with_name(f"{folder.name}.done")
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the processes of one test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "packaging"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def wheelhouse(shared: Path) -> Path:
    """A folder with the wheel of every member; no other run had it, for uv remembers wheels by where they lay."""
    folder = shared / f"wheelhouse-{os.environ.get('PYTEST_XDIST_TESTRUNUID') or uuid4().hex}"
    with once(folder) as make:
        if make:
            command = [UV, "build", "--all-packages", "--wheel", "--quiet", "--out-dir", str(folder)]
            subprocess.run(command, check=True, cwd=ROOT)
    return folder


@pytest.fixture(scope="session")
def environment(shared: Path, wheelhouse: Path) -> Callable[..., Environment]:
    """Makes an environment with these requirements, by uv or by pip, once in a test run."""

    def environment(name: str, *requirements: str, by: str = "uv") -> Environment:
        made = Environment(shared / name)
        with once(made.folder) as make:
            if make:
                create = [UV, "venv", "--quiet", "--python", sys.executable, *(["--seed"] if by == "pip" else [])]
                subprocess.run([*create, str(made.folder)], check=True)
                tool = [UV, "pip", "install", "--python", str(made.python)]
                tool = [str(made.python), "-m", "pip", "install"] if by == "pip" else tool
                command = [*tool, "--quiet", "--find-links", str(wheelhouse), *requirements]
                done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=shared)
                assert done.returncode == 0, done.stderr
        return made

    return environment
