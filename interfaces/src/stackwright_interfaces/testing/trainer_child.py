"""Loading model folders in a child process: a parser may end the process over a damaged payload."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stackwright_interfaces.plugin import AdapterSpec

_LOAD: Final = """
import importlib, json, pickle, sys
from pathlib import Path
from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import MANIFEST, Manifest
from stackwright_interfaces.testing.context import make_context

factory, config, folders = pickle.load(sys.stdin.buffer)
module, _, name = factory.partition(":")
for folder in map(Path, folders):
    loads = getattr(importlib.import_module(module), name)(config, make_context(folder.parent))
    manifest = Manifest.from_json(json.loads((folder / MANIFEST).read_text()))
    try:
        loads.load(folder, manifest)
        print("loaded", flush=True)
    except ArtifactError:
        print("refused", flush=True)
"""


def load_in_a_child(spec: AdapterSpec, folders: Sequence[Path], timeout: float) -> list[str]:
    """Load folders whose files are not verified first.

    Args:
        spec: of the model format; it is built with its default configuration.
        folders: model folders.
        timeout: seconds for all of them.

    Returns:
        For each folder ``"loaded"``, ``"refused"`` or ``"died"``.

    Raises:
        TimeoutExpired: a load hangs.
    """
    outcomes: list[str] = []
    while len(outcomes) < len(folders):
        rest = [str(folder) for folder in folders[len(outcomes) :]]
        child = subprocess.run(
            [sys.executable, "-c", _LOAD],
            input=pickle.dumps((spec.factory, spec.config(), rest)),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        outcomes += child.stdout.decode().split()
        if child.returncode:
            outcomes.append("died")
    return outcomes
