"""The reports that lie in a project's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stackwright.assembly.stack import Stack

PREDICTIONS: Final = "report.json"
LISTS: Final = "lists.json"

_NEEDED: Final[Mapping[str, Mapping[str, type]]] = {
    PREDICTIONS: {"at": str, "state": str, "data": dict, "performance": dict, "cohorts": list},
    LISTS: {"at": str, "lists": int, "clicks": int, "ctr": dict},
}


@dataclass(frozen=True)
class Reports:
    """The reports about a model or recommender.

    Args:
        found: windows and what was found, oldest first.
        damaged: windows whose report cannot be read, and is passed over.
    """

    found: tuple[tuple[str, dict[str, Any]], ...]
    damaged: tuple[str, ...]

    @property
    def told(self) -> tuple[str, ...]:
        """What is said of those that are passed over."""
        return tuple(f"The report {window} is damaged and passed over. Make it anew." for window in self.damaged)


def reports(stack: Stack, name: str, file: str) -> Reports:
    """Read the reports about a model or recommender.

    Args:
        file: what holds the numbers: :data:`PREDICTIONS` or :data:`LISTS`.
    """
    found, damaged = [], []
    for path in sorted((stack.project.reports / name).glob(f"*/{file}")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = None
        if isinstance(content, dict) and all(isinstance(content.get(key), kind) for key, kind in _NEEDED[file].items()):
            found.append((path.parent.name, content))
        else:
            damaged.append(path.parent.name)
    return Reports(tuple(sorted(found, key=lambda item: item[1]["at"])), tuple(damaged))
