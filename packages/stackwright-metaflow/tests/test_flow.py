"""The flow, run by Metaflow on this machine, with a stand-in for the command line that takes down its calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stackwright_metaflow.flow
from stackwright.cli.parsing import parser

FLOW = Path(stackwright_metaflow.flow.__file__)

STAND_IN = """#!{python}
import json, sys
from pathlib import Path
calls = Path({calls!r})
with calls.open("a") as stream:
    stream.write(json.dumps(sys.argv[1:]) + "\\n")
print(json.dumps({{"verb": sys.argv[1], "model": "valuation@3"}}))
sys.exit(sys.argv[1] == "verify" and calls.with_name("red").exists())
"""

README = Path(__file__).parents[1] / "README.md"


class Flow:
    """Runs a flow, and tells which verbs it called."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._calls = folder, folder / "calls"
        (folder / "bin").mkdir()
        command = folder / "bin" / "stackwright"
        command.write_text(STAND_IN.format(python=sys.executable, calls=str(self._calls)))
        command.chmod(0o755)

    def run(self, *arguments: str, flow: Path = FLOW) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "METAFLOW_HOME": str(self._folder / "home"),
            "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(self._folder),
            "METAFLOW_DEFAULT_DATASTORE": "local",
            "METAFLOW_DEFAULT_METADATA": "local",
            "METAFLOW_USER": "tester",
        }
        command = [sys.executable, str(flow), "--no-pylint", *arguments]
        return subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False, timeout=240
        )

    def calls(self) -> list[list[str]]:
        """Return what was called since; each call is one that the command line takes."""
        found: list[list[str]] = [json.loads(line) for line in self._calls.read_text().splitlines()]
        self._calls.unlink()
        for words in found:
            parser().parse_args(words)
        return found


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    return Flow(tmp_path)


def test_the_verbs_run_in_their_order_and_a_red_check_is_where_it_goes_on(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "red").touch()
    wanted = ["--project", "/srv/p", "--model", "valuation", "--staging", "staging", "--production", "production"]
    done = flow.run("run", *wanted, "--max-workers", "1")
    assert done.returncode != 0
    assert '{"verb": "verify",' in done.stdout + done.stderr
    calls = flow.calls()
    assert [words[0] for words in calls] == ["check", "train", "promote", "deploy", "verify"]
    assert calls[2][1] == "valuation@3"  # what was trained here, not the newest
    assert calls[3] == ["deploy", "staging", "--model", "valuation", "--project", "/srv/p", "--json"]
    (tmp_path / "red").unlink()
    assert flow.run("resume").returncode == 0
    assert [words[:2] for words in flow.calls()] == [
        ["verify", "--record"], ["deploy", "production"], ["report", "valuation"],
    ]  # fmt: skip


@pytest.mark.nightly
def test_the_subclass_of_the_readme_runs_and_environments_may_be_left_out(flow: Flow, tmp_path: Path) -> None:
    weekly = tmp_path / "weekly.py"
    weekly.write_text(README.read_text().partition("```py\n")[2].partition("```")[0])
    done = flow.run("run", "--max-workers", "1", flow=weekly)  # as on a schedule, which gives no parameters
    assert done.returncode == 0, done.stdout + done.stderr
    assert [words[:2] for words in flow.calls()] == [
        ["check", "--project"], ["train", "valuation"], ["promote", "valuation@3"], ["report", "valuation"],
    ]  # fmt: skip
