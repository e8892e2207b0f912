"""What was swapped and on which evidence: a file a swap, in the project's own folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from stackwright.assembly import editing
from stackwright.assembly.project import Project, write_json
from stackwright.workflows.outcome import finite

FOLDER: Final = "swaps"


@dataclass
class Swap:
    """A swap, and what speaks for it.

    Args:
        slot: ``online``, or ``trainer:valuation`` say.
        keys: where in the blueprint the part stands.
        old: adapter and options before.
        new: adapter and options after.
        at: when.
        who: the acting user.
        before: what stood in the blueprint.
        after: what stands there now.
        proof: what was shown of the new part: the kit, the comparison.
        moved: what was moved and verified.
        refused: why the blueprint was left as it was; empty where it was changed.
    """

    slot: str
    keys: tuple[str, ...]
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    at: datetime
    who: str
    before: str
    after: str
    proof: dict[str, Any] = field(default_factory=dict)
    moved: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""

    def save(self, project: Project) -> Path:
        """Write it down; return where.

        Raises:
            ProjectError: it cannot be written.
        """
        name = f"{self.at:%Y%m%dT%H%M%S%f}-{self.slot.replace(':', '-')}.json"
        path = project.state / FOLDER / name
        write_json(path, finite(vars(self)))
        return path


def remembered(project: Project, text: str, keys: tuple[str, ...], adapter: str) -> editing.Edit | None:
    """Return the edit that gives a place the characters it had when it last named an adapter.

    ``None`` where it never did, or where the place was changed by hand since its last swap.
    """
    past = [swap for swap in _done(project) if tuple(swap["keys"]) == keys]
    if not past:
        return None
    now = past[0]["after"]
    for swap in past:
        for side, characters in (("new", "after"), ("old", "before")):
            if swap[side]["adapter"] == adapter:
                return editing.put_back(text, keys, swap[characters], now)
    return None


def _done(project: Project) -> Iterator[Mapping[str, Any]]:
    """Give the swaps that changed the blueprint, the newest first."""
    for path in sorted((project.state / FOLDER).glob("*.json"), reverse=True):
        try:
            swap = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(swap, dict) and swap.get("refused") == "":
            yield swap
