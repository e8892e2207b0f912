"""The page that writes an adapter from the first line to a green kit does so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/write-an-adapter.md"
BLOCK = re.compile(r"^```(sh|python) ?(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def install(folder: Path, environment: dict[str, str]) -> None:
    """Do as ``pip install -e`` does, without the network."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"src/stackwright_shelf-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = [f"{name} = {module}" for name, module in project["entry-points"]["stackwright"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[stackwright]", *points]))
    environment["PYTHONPATH"] = os.pathsep.join([str(folder / "src"), environment.get("PYTHONPATH", "")])


@pytest.mark.timeout(600)
def test_every_step_of_the_page_gives_what_it_says(tmp_path: Path) -> None:
    environment = {**os.environ}
    ran = []
    for kind, target, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "python":
            (tmp_path / target).write_text(text)
            continue
        for line in text.splitlines():
            command, _, note = line.partition(" # ends with ")
            if command.startswith("pip install -e"):
                install(tmp_path / "stackwright-shelf", environment)
                continue
            words = [sys.executable, "-m", "stackwright.cli.main", *command.removeprefix("stackwright ").split()]
            done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == int(note or 0), done.stdout + done.stderr
            ran.append((command, done.stdout))
    shown = PAGE.read_text(encoding="utf-8").partition("```\nshelf (online)")[2].partition("```")[0]
    printed = {" ".join(line.split()) for line in ran[1][1].splitlines()}
    lines = {" ".join(line.split()) for line in f"shelf (online){shown}".splitlines()}
    assert lines - {"..."} <= printed
    assert re.match(r"shelf \(online\): conforms; \d+ passed\n", ran[-1][1])
    for command in (["ruff", "format", "--check", "--line-length", "120", "."], ["ruff", "check", "."]):
        done = subprocess.run(command, cwd=tmp_path / "stackwright-shelf", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
