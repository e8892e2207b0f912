"""What is known of a model for its score: gates, definitions, the registry's journal, reports, logged predictions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.versions.evidence import evidence_of
from stackwright_interfaces.definitions import FeatureService, FeatureView
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.registry import Event, ModelVersion

RECENT: Final = timedelta(days=90)

_LOOKED_AT: Final = 100_000


@dataclass(frozen=True)
class Logged:
    """The predictions of the last ninety days.

    Args:
        predictions: how many.
        traceable: of these, how many with the features that they came from.
        arms: arm → how many.
    """

    predictions: int = 0
    traceable: int = 0
    arms: Mapping[str, int] = field(default_factory=dict)


class Evidence:
    """Evidence of one model: of its champion, or while there is none of its newest version."""

    def __init__(self, stack: Stack, part: ModelPart) -> None:
        self.stack = stack
        self.part = part

    @property
    def ref(self) -> str:
        """The version, or the model's name where there is none."""
        return self.part.name if self.version is None else self.version.ref

    @cached_property
    def _history(self) -> tuple[Sequence[ModelVersion], Sequence[Event]]:
        return self.stack.registry.history(self.part.name)

    @property
    def events(self) -> Sequence[Event]:
        """The journal of the model, oldest first."""
        return self._history[1]

    @cached_property
    def version(self) -> ModelVersion | None:
        """The version that is judged."""
        versions, _ = self._history
        promoted = [version for version in versions if self.stack.champion in version.aliases]
        return next(iter([*promoted, *reversed(versions)]), None)

    @cached_property
    def gates(self) -> Mapping[str, Mapping[str, Any]]:
        """Gate → what it found."""
        if self.version is None:
            return {}
        found = evidence_of(self.events, self.version).get("gates", [])
        return {gate["name"]: {"state": "green" if gate["passed"] else "red", **gate} for gate in found}

    @cached_property
    def service(self) -> FeatureService | None:
        """The service it reads, where it is applied."""
        return next((item for item in self.stack.definitions.services if item.ref == self.part.service), None)

    @cached_property
    def views(self) -> Sequence[FeatureView]:
        """The views it reads, and those that these are computed from."""
        found: dict[str, FeatureView] = {}
        waiting = [item.view for item in (self.service.selections if self.service else ())]
        while waiting:
            view = waiting.pop()
            if view.ref not in found:
                found[view.ref] = view
                waiting += view.computed.inputs if view.computed else ()
        return [found[ref] for ref in sorted(found)]

    @cached_property
    def report(self) -> Mapping[str, Any]:
        """The numbers of the newest report about this version; empty where there is none.

        Raises:
            DataError: a report as new or newer is damaged.
        """
        folder = self.stack.project.reports / self.part.name
        paths = sorted(folder.glob("*/report.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in paths:
            found = _read(path)
            if self.version is not None and found.get("version") == self.version.version:
                return found
        return {}

    @cached_property
    def logged(self) -> Logged:
        """The model's predictions of the last ninety days, the first hundred thousand of them."""
        arms: Counter[str] = Counter()
        traceable = 0
        with closing(journal.predictions(self.stack)) as reader:
            records = reader.records(start=self.stack.clock() - RECENT)
            mine = (record for record in records if record["model"] == self.part.name)
            for record in islice(mine, _LOOKED_AT):
                arms[str(record.get("arm", "live"))] += 1
                traceable += bool(record.get("features"))
        return Logged(arms.total(), traceable, dict(arms))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        todo = "Delete its folder, and make the report anew: stackwright report."
        raise DataError(str(path), f"cannot be read as a report ({error})", todo) from error
    return found
