"""What was done before: a step whose inputs have not changed is recognised by their content and skipped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from stackwright.assembly.project import Project, write_json
from stackwright_interfaces.catalogue import canonical


class Ledger:
    """Steps of a project with the hash of what each was done on."""

    def __init__(self, project: Project) -> None:
        self._path = project.state / "steps.json"
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        self._done: dict[str, Any] = found if isinstance(found, dict) else {}

    def unchanged(self, step: str, inputs: Any) -> bool:
        """Return whether the step was finished on these inputs (JSON values)."""
        return bool(self._done.get(step, {}).get("key") == _key(inputs))

    def note(self, step: str) -> Any:
        """Return what was kept of the step when it was finished."""
        return self._done.get(step, {}).get("note")

    def finish(self, step: str, inputs: Any, note: Any = None) -> None:
        """Write down that the step was finished on these inputs."""
        self._done[step] = {"key": _key(inputs), "note": note}
        write_json(self._path, self._done)


def _key(inputs: Any) -> str:
    return hashlib.sha256(canonical(inputs)).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
