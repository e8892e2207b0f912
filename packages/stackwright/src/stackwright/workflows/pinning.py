"""Requirements of a stack with hashes, resolved by ``uv``, which both uv and pip install alike."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from stackwright.assembly.requirements import pinned
from stackwright.assembly.vendors import vendors
from stackwright_interfaces.errors import PluginError, UsageError


def resolved(described: Mapping[str, Any], *, pins: Path | None = None, wheels: Path | None = None) -> str:
    """Resolve what a stack is built of, and all that it needs, for this Python and platform.

    The engine and the adapters are taken as they are installed, and each vendor within what its adapter takes, so that
    no resolution goes back to a version that was never tested.

    Args:
        described: what a lock records.
        pins: a file of requirements that bind the resolution, as constraints of pip do; without it, what is installed.
        wheels: a folder of wheels of what no index has.

    Returns:
        requirements with the hashes of their files.

    Raises:
        UsageError: the pins cannot be read.
        PluginError: there is no ``uv``, or nothing fits; a pin that leaves no version is named.
    """
    wanted = _wanted(described)
    bound = _read(pins) if pins else _installed(described)
    text, problem = _compile(wanted, bound, wheels)
    if not problem:
        return text
    for pin in bound if pins else ():
        if not _compile(wanted, [other for other in bound if other != pin], wheels)[1]:
            found = f"{pin} leaves no version that the adapters take: {problem}"
            raise PluginError(str(pins), found, f"Remove or loosen {pin}.")
    todo = "Loosen the pins" if pins else "Give --pins to choose other versions"
    raise PluginError(
        str(pins or "lock --python"), f"nothing fits: {problem}", f"{todo}, or --wheels for what no index has."
    )


def _wanted(described: Mapping[str, Any]) -> list[str]:
    ours = {part["distribution"]: part["version"] for part in _here(described)}
    theirs = {f"{need.name}{need.takes}" for name in ours for need in vendors(name) if need.name not in ours}
    return [*(f"{name}=={version}" for name, version in sorted(ours.items())), *sorted(theirs)]


def _installed(described: Mapping[str, Any]) -> list[str]:
    """Return a pin for each installed distribution that the stack needs."""
    ours = {part["distribution"] for part in _here(described)}
    return [f"{name}=={version}" for name, version in pinned(ours).items()]


def _here(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what is installed beside the engine: isolated parts have environments of their own."""
    return [*described["engine"].values(), *(part for part in described["parts"].values() if "isolated" not in part)]


def _read(pins: Path) -> list[str]:
    try:
        lines = pins.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(str(pins), f"cannot be read ({error})", "Give a file of requirements.") from error
    stripped = (line.partition(" #")[0].strip() for line in lines)
    return [line for line in stripped if line and not line.startswith(("#", "-"))]


def _compile(wanted: Sequence[str], bound: Sequence[str], wheels: Path | None) -> tuple[str, str]:
    """Return requirements, or why there are none."""
    program = os.environ.get("UV") or shutil.which("uv")
    if program is None:
        raise PluginError("uv", "is not installed, and resolves requirements", "Run: pip install uv")
    options = ["--quiet", "--generate-hashes", "--no-header", "--no-annotate", "--python", sys.executable]
    options += ["--find-links", str(wheels.absolute()), "--no-emit-find-links"] if wheels else []
    with NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(bound))
        constraints.flush()
        command = [program, "pip", "compile", "-", "--constraint", constraints.name, *options]
        done = subprocess.run(command, input="\n".join(wanted), capture_output=True, text=True, check=False)
    return done.stdout, " ".join(done.stderr.split()) if done.returncode else ""
