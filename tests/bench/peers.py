"""Peers in environments of their own, and children that answer questions line by line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
DROPPED: Final = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
FEAST: Final = ("feast[redis,duckdb]>=0.60", "pandas<3", "sqlglot<30")
MLFLOW: Final = ("mlflow==3.17.2", "lightgbm>=4.6", "pandas<3")


def feast() -> tuple[Path, str]:
    """Install Feast; return its interpreter and its version.

    Raises:
        SystemExit: it cannot be installed.
    """
    return installed("feast", FEAST)


def mlflow() -> tuple[Path, str]:
    """Install MLflow with LightGBM; return its interpreter and its version.

    Raises:
        SystemExit: it cannot be installed.
    """
    return installed("mlflow", MLFLOW)


def installed(name: str, packages: Sequence[str]) -> tuple[Path, str]:
    """Install packages into an environment of their own; return its interpreter and the version of the first.

    Raises:
        SystemExit: they cannot be installed.
    """
    folder = ROOT / ".nox" / "bench-peers" / name
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    install = ["uv", "pip", "install", "--quiet", "--python", str(python), *packages]
    code = f"from importlib.metadata import version; print(version({name!r}))"
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    if found.returncode:
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} cannot be installed:\n{done.stderr}")
        found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return python, found.stdout.strip()


def run_again_with(package: str) -> None:
    """Run this program again with a package that is not installed here, out of a folder of its own; else return.

    Raises:
        SystemExit: it cannot be installed.
    """
    if find_spec(package) is not None:
        return
    folder = ROOT / ".nox" / "bench-peers" / f"with-{package}"
    install = ["uv", "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder), package]
    if subprocess.run(install, check=False).returncode:
        raise SystemExit(f"{package} cannot be installed")
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONPATH": str(folder)})


class Child:
    """A process that takes a JSON object a line and answers each with one.

    Args:
        python: its interpreter.
        program: file beside this one.
        arguments: of its command line.
        log: file that what it prints otherwise goes to.
    """

    def __init__(self, python: Path | str, program: str, arguments: Sequence[str], log: Path) -> None:
        self._log = log
        variables = {name: value for name, value in os.environ.items() if name not in DROPPED}
        variables["FEAST_USAGE"] = "False"
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(python), str(HERE / program), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=variables,
            )

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send a question and return the answer.

        Raises:
            SystemExit: the child ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{question} failed:\n{self._log.read_text(errors='replace')[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the child."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
