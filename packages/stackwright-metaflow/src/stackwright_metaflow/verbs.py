"""Verbs of stackwright, each a process of its own."""

from __future__ import annotations

import json
import subprocess
from typing import Any


def verb(project: str, *words: str) -> Any:
    """Run a verb by the ``stackwright`` that is on the path; its log goes where ours goes.

    Args:
        project: the project's folder.
        words: the verb and its arguments.

    Returns:
        What it says with ``--json``.

    Raises:
        subprocess.CalledProcessError: a gate or a check is red, or the work failed; what it said is printed.
    """
    command = ["stackwright", *words, "--project", project, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(done.stdout)
        done.check_returncode()
    return json.loads(done.stdout)
