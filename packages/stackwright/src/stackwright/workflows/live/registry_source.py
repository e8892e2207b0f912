"""Where the models of a server's workers come from: the champions in the registry."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stackwright.assembly.project import write_json
from stackwright.assembly.stack import Stack
from stackwright.workflows.live.scoring import load, scorer_of
from stackwright.workflows.versions.challengers import challenger_of
from stackwright.workflows.versions.champions import champions, model_names
from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.registry import ModelVersion

if TYPE_CHECKING:
    from stackwright.workflows.live.worker import Guard
    from stackwright_serving.arms import Challenger
    from stackwright_serving.scorer import Scorer

REMEMBERED: Final = "remembered"
"""Generation of what was served last, while the registry cannot be asked."""

log = logging.getLogger("stackwright.serving")


class Registered:
    """What is to be served of some names, as the registry has it; while it cannot be asked, what was served last.

    Args:
        names: returns the names.
        memory: what was served last is written down there.
    """

    def __init__(self, stack: Stack, names: Callable[[Stack], Iterable[str]], memory: Path) -> None:
        self._stack = stack
        self._names = names
        self._memory = memory
        self._asked = False

    def generation(self) -> str:
        """Return the registry's generation; before it could be asked at all, that of what was served last."""
        try:
            return self._stack.registry.generation()
        except StackwrightError:
            if self._asked or not self._remembered():
                raise
            return REMEMBERED

    def promoted(self) -> Mapping[str, ModelVersion]:
        """Return the champions; while the registry cannot be asked, those of the server's last time."""
        try:
            found = champions(self._stack, self._names(self._stack))
        except StackwrightError:
            remembered = self._remembered()
            if self._asked or not remembered:
                raise
            log.warning("the registry cannot be asked; what was served last is served: %s", ", ".join(remembered))
            return remembered
        self._asked = True
        self._remember(found)
        return found

    def challengers(self) -> Mapping[str, Challenger]:
        """Return the versions on trial."""
        if not self._asked:
            return {}
        found = ((name, challenger_of(self._stack, name)) for name in self._names(self._stack))
        return {name: challenger for name, challenger in found if challenger is not None}

    def _remember(self, found: Mapping[str, ModelVersion]) -> None:
        document = {
            name: {**asdict(version), "created": version.created.isoformat()} for name, version in found.items()
        }
        try:
            write_json(self._memory, document)
        except (StackwrightError, OSError) as error:
            log.warning("what is served cannot be remembered: %s", error)

    def _remembered(self) -> Mapping[str, ModelVersion]:
        try:
            document = json.loads(self._memory.read_text(encoding="utf-8"))
            return {
                name: ModelVersion(
                    **{
                        **kept,
                        "created": datetime.fromisoformat(kept["created"]),
                        "aliases": tuple(kept["aliases"]),
                    }
                )
                for name, kept in document.items()
            }
        except (OSError, ValueError, TypeError, KeyError):
            return {}


class RegistrySource(Registered):
    """Where a worker's models come from: the champions in the registry, each probed in a child process first.

    Args:
        guard: makes of the stack's features what requests read; without it they read them as they are.
        probe_seconds: seconds that a version may take to be loaded in the child process.
    """

    def __init__(self, stack: Stack, guard: Guard | None = None, *, probe_seconds: float = 60.0) -> None:
        super().__init__(stack, model_names, stack.project.state / "served.json")
        self._guard = guard
        self._probe_seconds = probe_seconds

    def open(self, version: ModelVersion) -> tuple[Scorer, Path]:
        """Probe and load a version."""
        stack = self._stack
        model = load(stack, version, probed=True, seconds=self._probe_seconds)
        return scorer_of(stack, model, self._guard), stack.registry.fetch(version)
