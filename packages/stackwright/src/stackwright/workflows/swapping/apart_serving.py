"""What a server on trial hosts: the project's application, which writes nowhere but in the place of the trial."""

from __future__ import annotations

import json
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stackwright.assembly.blueprint import Blueprint
from stackwright.assembly.project import Project, write_json
from stackwright.assembly.stack import Stack
from stackwright.workflows.live.application import opened_state
from stackwright.workflows.live.serve import METRICS, PLAN
from stackwright.workflows.live.worker import settle
from stackwright_interfaces.server import App

if TYPE_CHECKING:
    from stackwright_serving.app import Application
    from stackwright_serving.metrics import Metrics
    from stackwright_serving.state import State

FACTORY: Final = "stackwright.workflows.swapping.apart_serving:application"

_LEFT_OUT: Final = ("tokens", "admin_tokens", "traces", "trace_headers", "access_log")
"""Settings without which nobody else is told of a trial, and its requests are let in."""


@dataclass(frozen=True)
class ApartProject(Project):
    """A project that is read where it lies, and whose server writes elsewhere.

    Args:
        place: a folder for what the server writes.
    """

    place: Path = Path()

    @property
    def state(self) -> Path:
        """What stackwright writes for itself."""
        return self.place

    @property
    def catalogue(self) -> Path:
        """The applied definitions."""
        return Project(self.folder, self.env).catalogue


class ApartStack(Stack):
    """A stack opened for reading whose journal, drift counts and memory of what is served lie in a folder of their own.

    Args:
        folder: the project folder.
        env: the environment.
        place: the other folder.
    """

    def __init__(self, folder: Path, env: str, place: Path) -> None:
        super().__init__(folder, env=env, read_only=True)
        self.project = ApartProject(self.project.folder, self.project.env, place)

    @cached_property
    def blueprint(self) -> Blueprint:
        """The blueprint, with a journal of its own, and without jobs and tokens."""
        found = super().blueprint
        journal = str(self.project.state / "journal")
        return replace(found, journal=journal, jobs={}, serving=_quiet(found))


def _quiet(blueprint: Blueprint) -> Any:
    part = blueprint.serving
    if part is None:
        return None
    return replace(part, options={name: value for name, value in part.options.items() if name not in _LEFT_OUT})


def planned(folder: Path, env: str, blueprint: str, place: Path) -> App:
    """Write down what the workers need, and return the application as they find it.

    Args:
        folder: the project folder.
        env: the environment.
        blueprint: digest of the project's plan.
        place: a folder for what the application writes.

    Raises:
        ProjectError: it cannot be written.
    """
    plan, metrics = place / "server.json", place / "metrics"
    write_json(plan, {"project": str(folder), "env": env, "blueprint": blueprint, "place": str(place)})
    metrics.mkdir()
    return App(factory=FACTORY, plan=plan, environment={PLAN: str(plan), METRICS: str(metrics)})


def application() -> Application:
    """Return the application of the plan that the environment names. Opens nothing until its lifespan starts."""
    from stackwright_serving.app import create_app

    return create_app(_open, settle)


def _open(opened: AsyncExitStack, metrics: Metrics) -> State:
    plan: dict[str, Any] = json.loads(Path(os.environ[PLAN]).read_text(encoding="utf-8"))
    stack = opened.enter_context(ApartStack(Path(plan["project"]), plan["env"], Path(plan["place"])))
    return opened_state(stack, plan["blueprint"], opened, metrics)
