"""The flow of the recipes, run by Metaflow itself, which has an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stackwright.cli.main import parser

FLOW = Path(__file__).parents[2] / "docs" / "schedulers" / "metaflow_flow.py"

STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
calls = Path({calls!r})
with calls.open("a") as stream:
    stream.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "job" and calls.with_name("red").exists():
    sys.exit(1)
print(json.dumps({{"verb": sys.argv[1]}}))
"""


class Flow:
    """Runs the flow with a stand-in for the command line, which writes down how it was called."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python, self._folder, self.calls = python, folder, folder / "calls"
        (folder / "bin").mkdir()
        command = folder / "bin" / "stackwright"
        command.write_text(STAND_IN.format(python=sys.executable, calls=str(self.calls)))
        command.chmod(0o755)

    def run(self, *arguments: str) -> int:
        environment = {
            **os.environ,
            "PATH": f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "METAFLOW_HOME": str(self._folder / "home"),
            "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(self._folder),
            "METAFLOW_USER": "tester",
            "METAFLOW_DEFAULT_METADATA": "local",
        }
        command = [str(self._python), str(FLOW), "--no-pylint", *arguments]
        done = subprocess.run(command, cwd=self._folder, env=environment, capture_output=True, check=False, timeout=120)
        return done.returncode

    def verbs(self) -> list[str]:
        """Return the verbs that were called; each call is one that the command line takes."""
        import json

        found = [parser().parse_args(json.loads(line)).verb for line in self.calls.read_text().splitlines()]
        self.calls.unlink()
        return found


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    program = shutil.which("metaflow")
    if program is None:
        message = "metaflow is not installed; run: uv tool install metaflow"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return Flow(Path(program).resolve().parent / "python", tmp_path)


def test_the_flow_runs_the_verbs_in_their_order_and_goes_on_after_a_red_check(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "red").touch()
    assert flow.run("run", "--project", "/srv/p", "--at", "2026-01-02T00:00:00Z", "--max-workers", "1") != 0
    assert flow.verbs() == ["check", "train", "promote", "job", "job"]
    (tmp_path / "red").unlink()
    assert flow.run("resume") == 0
    assert flow.verbs() == ["job", "report"]
