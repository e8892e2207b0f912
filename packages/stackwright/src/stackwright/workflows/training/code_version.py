"""Which commit of a project is at work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Final

_STATUS: Final = ("status", "--porcelain=v2", "--branch", "--untracked-files=no", "--", ".")


def commit_of(folder: Path) -> dict[str, Any]:
    """Return ``commit`` of the git repository around a folder, and ``dirty``: whether files in it differ from that.

    The commit is empty and ``dirty`` null where there is none to be had.
    """
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *_STATUS], capture_output=True, text=True, timeout=10, check=True, env=quiet
        )
    except (OSError, subprocess.SubprocessError):
        return {"commit": "", "dirty": None}
    lines = done.stdout.splitlines()
    ids = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    commit = ids[0] if ids and ids[0].isalnum() else ""
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}
