"""The finished trials of a search, a line each, so that a search that was killed goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackwright_interfaces.errors import ProjectError


class TrialLog:
    """Lines of one search; a line that was cut off counts as never written.

    Args:
        path: of the file, whose name tells data, definitions and settings apart.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Mapping[str, Any]]:
        """Return the finished trials by number, each once."""
        found: dict[int, Mapping[str, Any]] = {}
        for line in self._whole().splitlines():
            try:
                entry = json.loads(line)
                found.setdefault(int(entry["number"]), entry)
            except (ValueError, KeyError, TypeError):
                continue
        return [found[number] for number in sorted(found)]

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add a finished trial, durably.

        Raises:
            ProjectError: it cannot be written.
        """
        line = json.dumps(entry, sort_keys=True) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            torn = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
            with self._path.open("ab") as stream:
                stream.write((b"\n" if torn else b"") + line.encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            todo = "Free space or allow writing there."
            raise ProjectError(str(self._path), f"cannot be written ({error.strerror})", todo) from error

    def drop(self) -> None:
        """Forget the search: what came of it was published."""
        self._path.unlink(missing_ok=True)

    def _whole(self) -> str:
        try:
            data = self._path.read_bytes()
        except OSError:
            return ""
        return data[: data.rfind(b"\n") + 1].decode(errors="replace")
