"""What is monitored: a version of a model with its service and target, and which version served when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from stackwright.assembly.stack import Stack
from stackwright.workflows.live.scoring import load, resolve
from stackwright_interfaces.definitions import FeatureService, Target
from stackwright_interfaces.errors import MonitorError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.registry import ModelVersion
from stackwright_numerics.lists import PLACES
from stackwright_serving.model import LoadedModel


@dataclass(frozen=True)
class Watched:
    """A version, loaded, with what it reads and predicts."""

    version: ModelVersion
    model: LoadedModel
    service: FeatureService
    target: Target

    @classmethod
    def of(cls, stack: Stack, name: str | None, version: ModelVersion | None = None) -> Watched:
        """Load a model's champion, or another version of it.

        Raises:
            ModelNotFound: the model has no champion.
            MonitorError: nothing says when the truth of its predictions comes.
        """
        part = stack.model(name)
        if part.data is not None:
            found = "it learns from rows of its own, for which nothing says when their truth comes"
            raise MonitorError(part.place, found, "Give the model a service and a target of features.py.")
        chosen = version or resolve(stack, part.name)
        model = load(stack, chosen)
        manifest = model.manifest
        return cls(chosen, model, stack.service(manifest.service), stack.target(manifest.target))

    @property
    def name(self) -> str:
        """The model's name."""
        return self.version.name

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        return self.model.manifest.signature

    @property
    def histograms(self) -> Mapping[str, Any]:
        """Input, or ``prediction``, → reference histogram."""
        return self.model.manifest.histograms

    @property
    def coverage(self) -> float | None:
        """Nominal coverage of the model's intervals; ``None`` where it has none."""
        intervals = self.model.manifest.intervals
        return None if intervals is None else float(intervals["level"])

    @property
    def k(self) -> int:
        """Of a ranking, the places that count."""
        return int(self.model.manifest.parameters.get("k", PLACES))

    @property
    def keys(self) -> dict[str, str]:
        """Key of the target's entity → its name in requests."""
        return keys_of(self.service, self.target)


def keys_of(service: FeatureService, target: Target) -> dict[str, str]:
    """Return key of a target's entity → its name in requests."""
    for selection in service.selections:
        if selection.view.entity.name == target.entity.name:
            return dict(zip(selection.view.entity.key_names, selection.key_sources, strict=True))
    return {}


Moves: TypeAlias = Sequence[tuple[datetime, int]]
"""Since when which version has been the champion, oldest first."""


def expected_of(stack: Stack, name: str) -> dict[int, dict[str, float]]:
    """Return version → metrics at its training."""
    versions, _ = stack.registry.history(name)
    return {version.version: dict(version.record.get("metrics", {})) for version in versions}


def champions(stack: Stack, name: str) -> list[tuple[datetime, int]]:
    """Return since when which version has been the champion, oldest first."""
    _, events = stack.registry.history(name)
    moves = [event for event in events if event.kind == "alias" and event.alias == stack.champion]
    return [(event.at, event.after) for event in moves if event.after is not None]


def champion_at(moves: Moves, instant: datetime) -> int | None:
    """Return the version that was the champion at an instant; the first one for an earlier one, ``None`` of none."""
    before = [version for at, version in moves if at <= instant]
    return before[-1] if before else moves[0][1] if moves else None


def version_before(moves: Moves, version: int, instant: datetime) -> int | None:
    """Return the other version that was the champion last before a version came to be so, as of an instant."""
    before = [number for at, number in moves if at <= instant and number != version]
    return before[-1] if before else None
