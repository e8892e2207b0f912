"""Requirements resolved into versions with hashes, and installed: by ``uv``, or by ``venv`` and ``pip``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from stackwright_interfaces.errors import PluginError

Versions = Mapping[str, Sequence[str]]
"""Exact requirement, one a distribution → the hashes of its files (``sha256:...``); of a folder there are none."""

_HASH: Final = " --hash="
_CONFLICT: Final = ("no solution found", "resolutionimpossible", "no matching distribution", "not found in the package")
_HASHES: Final = ("hash mismatch", "do not match the hashes", "must have a hash", "hashes are required")


def resolve(where: str, project: Path, requirements: Sequence[str]) -> Versions:
    """Return what meets requirements. ``uv`` gives the hashes of all files of a version, ``pip`` of one that fits here.

    Args:
        where: the place in the blueprint, for messages.
        project: the folder that paths start from.
        requirements: as a file of requirements holds them.

    Raises:
        PluginError: nothing meets them, or the registry cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="stackwright-") as scratch:
        asked = Path(scratch) / "requirements.in"
        asked.write_text("\n".join(requirements) + "\n")
        uv = _uv()
        if uv is not None:
            exact = Path(scratch) / "requirements.txt"
            options = ["--quiet", "--no-header", "--no-annotate", "--generate-hashes", "--python", sys.executable]
            run(where, [uv, "pip", "compile", *options, "--output-file", str(exact), str(asked)], project)
            return _read(exact.read_text())
        python = _bare(where, Path(scratch) / "venv")
        options = ["--quiet", "--dry-run", "--ignore-installed", "--report", "-", "-r", str(asked)]
        report = json.loads(run(where, [python, "-m", "pip", "install", *options], project))
    return dict(sorted(map(_exact, report["install"])))


def _read(text: str) -> Versions:
    """Read a file of requirements in which one has hashes on further lines."""
    lines = text.replace("\\\n", " ").splitlines()
    parts = [[part.strip() for part in line.split(_HASH)] for line in lines]
    return {requirement: hashes for requirement, *hashes in sorted(parts) if requirement}


def _exact(item: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return what pip would install as a requirement, with the hashes of its file."""
    name, version = item["metadata"]["name"], item["metadata"]["version"]
    info = item["download_info"]
    hashes = [f"{kind}:{value}" for kind, value in info.get("archive_info", {}).get("hashes", {}).items()]
    if info.get("dir_info", {}).get("editable"):
        return f"-e {unquote(urlsplit(info['url']).path)}", []
    return (f"{name} @ {info['url']}" if item.get("is_direct") else f"{name}=={version}"), hashes


def install(where: str, project: Path, folder: Path, versions: Versions) -> None:
    """Make an environment of versions: every file must have one of its hashes; a folder is taken as it is.

    Args:
        where: the place in the blueprint, for messages.
        project: the folder that paths start from.
        folder: that of the environment, which is not there.
        versions: what :func:`resolve` gives.

    Raises:
        PluginError: a file is not the one that was locked, or the registry cannot be reached.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = _uv()
    if uv is not None:
        run(where, [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)], project)
        command = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "--no-deps"]
    else:
        command = [_bare(where, folder), "-m", "pip", "install", "--quiet", "--no-deps"]
    local = [requirement for requirement, hashes in versions.items() if not hashes and _is_local(requirement)]
    files = [_HASH.join([requirement, *versions[requirement]]) for requirement in versions if requirement not in local]
    for lines, options in ((files, ["--require-hashes"]), (local, [])):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as exact:
            exact.write("\n".join(lines) + "\n")
            exact.flush()
            if lines:
                run(where, [*command, *options, "-r", exact.name], project)


def _is_local(requirement: str) -> bool:
    """Whether a requirement names a folder or a commit, of which installers know no hash."""
    return requirement.startswith("-e ") or " @ " in requirement


def _uv() -> str | None:
    return os.environ.get("UV") or shutil.which("uv")


def _bare(where: str, folder: Path) -> str:
    """Make an environment with pip alone; return its interpreter."""
    run(where, [sys.executable, "-m", "venv", str(folder)], folder.parent)
    return str(folder / "bin" / "python")


def run(where: str, command: Sequence[str], folder: Path) -> str:
    """Run a command that makes or asks an environment; return what it prints.

    Raises:
        PluginError: it fails; what it said is told.
    """
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise _failed(where, done.stderr.strip() or done.stdout.strip())
    return done.stdout


def _failed(where: str, said: str) -> PluginError:
    found = f"its environment cannot be made: {said or 'the installer said nothing'}"
    if any(text in said.lower() for text in _CONFLICT):
        return PluginError(where, found, "Name requirements that go together: isolated = [...].")
    if any(text in said.lower() for text in _HASHES):
        todo = "The registry gives other files than were locked. If that is meant, run: stackwright lock --upgrade"
        return PluginError(where, found, todo)
    todo = "See that the package registry can be reached, and run the same again: what was fetched is kept."
    return PluginError(where, found, todo)
