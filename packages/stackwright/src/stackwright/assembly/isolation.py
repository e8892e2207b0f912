"""Isolated parts: their adapters are found, and run, in environments of their own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from stackwright.assembly.project import Project
from stackwright.assembly.reading import Part
from stackwright_interfaces.contracts import in_force, older, refusal
from stackwright_interfaces.errors import BlueprintError, PluginError
from stackwright_interfaces.plugin import AdapterSpec, Progress

if TYPE_CHECKING:
    from stackwright_isolated.environments import Environment, Environments
    from stackwright_isolated.installing import Versions

SLOTS: Final = ("offline", "trainer", "monitor")
"""The slots whose parts may be isolated: those of the batch path."""

_LIVE: Final = "it is asked row by row, or by processes of their own"
_WHOLE: Final = (
    "a whole feature store answers online reads in the process that serves, and calls the functions of the project,"
    " so its vendor must be beside the engine, whatever of it ran apart"
)
_HALVES: Final = (
    "Take out isolated, and set it for the part that does not go with the store, a trainer or a reporter;"
    " or name halves instead of a whole store: offline, which may be isolated, and online."
)

FACTORY: Final = "stackwright_isolated.parts:build"
FACTORY_FROM_TEXT: Final = "stackwright_isolated.parts:build_from_text"


def _silent(_what: str, _done: int, _total: int) -> None:
    return None


class Isolation:
    """The environments of a project's isolated parts.

    Args:
        make: make an environment that is not there yet.
        progress: told about making one.

    Attributes:
        upgrade: resolve requirements anew, whatever is locked, when an environment is asked for first.
    """

    def __init__(self, project: Project, *, make: bool, progress: Progress = _silent) -> None:
        self.upgrade = False
        self._project = project
        self._make = make
        self._progress = progress
        self._asked: dict[tuple[str, tuple[str, ...]], Environment] = {}

    def adapter(self, slot: str, part: Part, provides: type) -> AdapterSpec:
        """Return the adapter of an isolated part.

        Raises:
            BlueprintError: parts of this slot cannot be isolated.
            PluginError: its environment is not made, or offers no such adapter, or one written to another contract.
        """
        if slot.partition(":")[0] not in SLOTS:
            why, todo = _LIVE, f"Take out isolated, and set it where it can be said: {', '.join(SLOTS)}."
            if slot == "feature_store":
                why, todo = _WHOLE, _HALVES
            raise BlueprintError(part.where, f"a part of this slot cannot be isolated: {why}", todo)
        spec = self.offered(slot, part, provides, part.adapter)
        if spec is None:
            problems = self.environment(slot, part).description["problems"]
            broken = f": its plugin is broken, {problems[part.adapter]}" if part.adapter in problems else ""
            found = f"its environment offers no {provides.__name__} named {part.adapter!r}{broken}"
            raise PluginError(part.where, found, 'Name the distribution that does: isolated = ["..."].')
        if refused := refusal(spec.contract, in_force(provides), older(provides)):
            found = f"adapter {part.adapter!r} of its environment {refused}"
            raise PluginError(part.where, found, "Run: stackwright lock --upgrade")
        return spec

    def offered(self, slot: str, part: Part, provides: type, name: str) -> AdapterSpec | None:
        """Return what the environment of an isolated part offers under a name; ``None`` where there is none.

        Raises:
            PluginError: its environment is not made.
        """
        from stackwright_isolated.description import specs_of

        environment = self.environment(slot, part)
        logs = self._environments.folder / "logs"
        specs = specs_of(environment.description, environment.python, part.where, logs)
        return next((spec for spec in specs if (spec.name, spec.provides) == (name, provides)), None)

    def environment(self, slot: str, part: Part) -> Environment:
        """Return the environment of an isolated part.

        Raises:
            PluginError: it is not there, and is not to be made or cannot be.
        """
        asked = part.isolated or ()
        key = (part.adapter, asked)
        if key not in self._asked:
            self._asked[key] = self._environment(slot, part, asked)
        return self._asked[key]

    def _environment(self, slot: str, part: Part, asked: tuple[str, ...]) -> Environment:
        from stackwright_isolated.environments import requirements_of

        requirements, locked = requirements_of(part.adapter, asked), self._locked_of(slot, part, asked)
        if self._make:
            return self._environments.made(part.where, requirements, locked, upgrade=self.upgrade)
        found = self._environments.found(requirements, locked)
        subject = f"the environment of the isolated {part.adapter!r}"
        todo = "Run: stackwright lock, which makes it; so does any verb that needs it."
        if found is None:
            raise PluginError(part.where, f"{subject} is not made here", todo)
        if found.altered:
            changes = (
                f"{name} was {then or 'not there'}, is {now or 'gone'}" for name, (then, now) in found.altered.items()
            )
            raise PluginError(
                part.where, f"{subject} was altered: {', '.join(changes)}", todo.replace("it;", "it anew;")
            )
        return found

    @cached_property
    def _environments(self) -> Environments:
        from stackwright_isolated.environments import Environments

        return Environments(
            folder=self._project.cache / "isolated", project=self._project.folder, progress=self._progress
        )

    @cached_property
    def _locked(self) -> Mapping[str, Any]:
        from stackwright.assembly import lock

        section = lock.locked(self._project)
        return {} if section is None else section["parts"]

    def _locked_of(self, slot: str, part: Part, asked: tuple[str, ...]) -> Versions | None:
        """Return the versions that the lock holds for what a part asks for."""
        was = self._locked.get(slot, {})
        held: Mapping[str, Any] = was.get("isolated", {})
        fits = was.get("adapter") == part.adapter and held.get("requirements") == list(asked)
        return held["versions"] if fits else None
