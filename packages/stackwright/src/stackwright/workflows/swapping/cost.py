"""What a change would cost: what must be moved, in what time, what must be installed, what is lost and gained."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from stackwright.assembly import lock
from stackwright.assembly.stack import Stack
from stackwright.workflows.swapping.answers import Answers
from stackwright.workflows.swapping.candidates import Candidate
from stackwright.workflows.swapping.recording import FOREVER
from stackwright.workflows.swapping.registry_trial import LIVED
from stackwright_features.arrow import read_table
from stackwright_features.watermarks import VIEW
from stackwright_interfaces.feature_store import Watermark
from stackwright_interfaces.model import MANIFEST, Manifest
from stackwright_interfaces.registry import SupportsRuns


@dataclass(frozen=True)
class Moved:
    """What a slot holds.

    Args:
        things: what → how many: rows, versions, journal lines, runs.
        bytes: how much that is.
        seconds: how long the new part would take, by what its trial took; ``None`` where nothing tells.
    """

    things: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class Cost:
    """What a change would cost.

    Args:
        moved: what must be moved.
        installed: distributions that the new part needs and the old one did not: name → version.
        lost: capabilities that the old part has and the new one has not.
        gained: the other way about.
    """

    moved: Moved
    installed: dict[str, str]
    lost: list[str]
    gained: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    def rows(self) -> list[tuple[str, Any]]:
        """Return what is worth showing."""
        moved = ", ".join(f"{count:,} {name}" for name, count in self.moved.things.items()) or "nothing"
        seconds = None if self.moved.seconds is None else f"about {self.moved.seconds:.1f} s"
        return [
            ("to be moved", moved),
            ("bytes to be moved", f"{self.moved.bytes:,}"),
            ("time to move", seconds),
            ("to be installed", [f"{name} {version}" for name, version in self.installed.items()]),
            ("capabilities lost", self.lost),
            ("capabilities gained", self.gained),
        ]


def cost_of(stack: Stack, a: Candidate, b: Candidate, answers: Answers) -> Cost:
    """Return what it would cost to put the second part in the place of the first.

    Args:
        answers: what the second did in its trial.
    """
    needs_a, needs_b = (_needs(stack, side) for side in (a, b))
    abilities_a, abilities_b = (side.choice.spec.capabilities for side in (a, b))
    return Cost(
        moved=_moved(stack, a.place.slot, answers),
        installed={name: version for name, version in needs_b.items() if name not in needs_a},
        lost=sorted(item.value for item in abilities_a - abilities_b),
        gained=sorted(item.value for item in abilities_b - abilities_a),
    )


def _needs(stack: Stack, side: Candidate) -> dict[str, str]:
    described = lock.describe_part(side.place.key, side.choice, stack.plugins, stack.isolation)
    own = {described["distribution"]: described["version"]} if described["distribution"] else {}
    return {**own, **described["requires"]}


def _moved(stack: Stack, slot: str, answers: Answers) -> Moved:
    if slot == "online":
        return _online(stack, answers)
    if slot == "offline":
        return _offline(stack, answers)
    return _registry(stack, answers) if slot == "registry" else Moved()


def _online(stack: Stack, answers: Answers) -> Moved:
    online = stack.online
    assert online is not None
    rows = size = 0
    views = [*(item.ref for item in stack.definitions.views), VIEW]
    for done, view in enumerate(views):
        stack.progress("counting rows", done, len(views))
        for row in online.scan(view):
            rows += 1
            size += len(row.key) + len(row.order) + len(row.payload)
    stack.progress("counting rows", 1, 1)
    batch = next((name for name in answers.seconds if name.startswith("write ")), "")
    seconds = answers.quantile(batch, 0.5) * rows / 1000
    return Moved({"rows": rows}, size, None if math.isnan(seconds) else seconds)


def _offline(stack: Stack, answers: Answers) -> Moved:
    offline = stack.offline
    assert offline is not None
    rows = size = 0
    views = stack.definitions.views
    for done, view in enumerate(views):
        stack.progress("counting rows", done, len(views))
        for part in offline.changes(view, None, Watermark(offline.watermark(view).position, FOREVER)):
            table = read_table(part, "offline store")
            rows += len(table)
            size += table.nbytes
    stack.progress("counting rows", 1, 1)
    ingested = sum(answers.seconds.get("ingest", ())) if answers.told.get("rows ingested") else math.nan
    seconds = ingested * rows / answers.told.get("rows ingested", math.nan)
    return Moved({"rows": rows}, size, None if math.isnan(seconds) else seconds)


def _registry(stack: Stack, answers: Answers) -> Moved:
    versions, events = stack.registry.history()
    size = 0
    for done, version in enumerate(versions):
        stack.progress("counting versions", done, len(versions))
        folder = stack.registry.fetch(version)
        manifest = Manifest.read(folder)
        size += sum(entry.size for entry in manifest.files.values()) + (folder / MANIFEST).stat().st_size
    stack.progress("counting versions", 1, 1)
    runs = len(stack.registry.runs()) if isinstance(stack.registry, SupportsRuns) else 0
    things = {"versions": len(versions), "journal lines": len(events), "runs": runs}
    lived = answers.quantile(LIVED, 0.5) / max(answers.told.get("lines lived", 0), 1)
    return Moved(things, size, None if math.isnan(lived) else lived * len(events))
