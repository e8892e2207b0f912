"""Serving: the plan of an application that crosses into worker processes, and what each worker makes of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stackwright.assembly.project import Project, write_json
from stackwright.assembly.stack import Stack
from stackwright.workflows.live.scoring import load, model_names, scorer_of
from stackwright.workflows.live.worker import Guard, Worker, identity, log_as
from stackwright.workflows.versions.challengers import challenger_of
from stackwright_interfaces.errors import ModelNotFound
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.server import App

if TYPE_CHECKING:
    from stackwright_serving.app import Application
    from stackwright_serving.arms import Challenger
    from stackwright_serving.metrics import Metrics
    from stackwright_serving.scorer import Scorer
    from stackwright_serving.state import State

PLAN: Final = "STACKWRIGHT_PLAN"
ENDS_WITH_STDIN: Final = "STACKWRIGHT_ENDS_WITH_STDIN"
METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"


def address_file(project: Project) -> Path:
    """Return the file that holds the address of the running server."""
    return project.state / "address.json"


def serve(stack: Stack) -> None:
    """Serve the promoted models until SIGTERM or SIGINT; say where, also in ``address.json``.

    Raises:
        ModelNotFound: no model of the blueprint is promoted.
        ServerError: the server cannot start.
    """
    if not promoted(stack):
        todo = "Run: stackwright train, then: stackwright promote NAME"
        raise ModelNotFound("registry", "no model of this blueprint is promoted", todo)
    plan = stack.project.state / "server.json"
    project = stack.project
    write_json(plan, {"project": str(project.folder), "env": project.env, "blueprint": stack.plan.digest})
    metrics = stack.project.state / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(parents=True)
    app = App(
        factory="stackwright.workflows.live.serve:application",
        plan=plan,
        environment={PLAN: str(plan), METRICS: str(metrics)},
    )
    address = address_file(stack.project)

    def ready(url: str) -> None:
        write_json(address, {"url": url, "pid": os.getpid()})
        sys.stderr.write(f"Serving on {url} (stop with Ctrl-C)\n")

    options = {} if stack.blueprint.serving is None else stack.blueprint.serving.options
    log_as(identity(stack, options.get("service", ""), stack.plan.digest), options.get("log_level", "info"))
    if ENDS_WITH_STDIN in os.environ:
        threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    try:
        stack.server.serve(app, ready)
    finally:
        address.unlink(missing_ok=True)


def _end_with_stdin() -> None:
    """Stop as on SIGTERM when standard input is closed, which the death of a parent does."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def promoted(stack: Stack) -> dict[str, ModelVersion]:
    """Return the champion of each model that has one: those of the blueprint, or all where it names none."""
    found = {}
    for name in model_names(stack):
        try:
            found[name] = stack.registry.resolve(ModelRef(name, alias=stack.champion))
        except ModelNotFound:
            continue
    return found


class RegistrySource:
    """Where a worker's models come from: the champions in the registry, each probed in a child process first.

    Args:
        guard: makes of the stack's features what requests read; without it they read them as they are.
        probe_seconds: seconds that a version may take to be loaded in the child process.
    """

    def __init__(self, stack: Stack, guard: Guard | None = None, *, probe_seconds: float = 60.0) -> None:
        self._stack = stack
        self._guard = guard
        self._probe_seconds = probe_seconds

    def generation(self) -> str:
        """Return the registry's generation."""
        return self._stack.registry.generation()

    def promoted(self) -> Mapping[str, ModelVersion]:
        """Return the champions."""
        return promoted(self._stack)

    def challengers(self) -> Mapping[str, Challenger]:
        """Return the versions on trial."""
        found = ((name, challenger_of(self._stack, name)) for name in model_names(self._stack))
        return {name: challenger for name, challenger in found if challenger is not None}

    def open(self, version: ModelVersion) -> tuple[Scorer, Path]:
        """Probe and load a version."""
        stack = self._stack
        model = load(stack, version, probed=True, seconds=self._probe_seconds)
        return scorer_of(stack, model, self._guard), stack.registry.fetch(version)


def application() -> Application:
    """Return the application of the plan that the environment names. Opens nothing until its lifespan starts."""
    from stackwright_serving.app import create_app

    return create_app(_open)


def _open(opened: AsyncExitStack, metrics: Metrics) -> State:
    plan: dict[str, Any] = json.loads(Path(os.environ[PLAN]).read_text(encoding="utf-8"))
    stack = opened.enter_context(Stack(plan["project"], env=plan["env"], read_only=True))
    worker = Worker(stack, plan["blueprint"], opened, metrics)
    return worker.state(RegistrySource(stack, worker.guarded, probe_seconds=worker.settings.probe))
