"""The reports that lie in a project's folder."""

from __future__ import annotations

import json
from typing import Any

from stackwright.assembly.stack import Stack


def reports(stack: Stack, name: str, file: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the windows of a model or recommender and what was found, oldest first.

    Args:
        file: what holds the numbers of a report; one that cannot be read is left out.
    """
    found = []
    for path in (stack.project.reports / name).glob(f"*/{file}"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found.append((path.parent.name, content))
    return sorted(found, key=lambda item: item[1].get("at", ""))
