"""Serving: the plan of an application that crosses into worker processes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from typing import Final

from stackwright.assembly import serving_part
from stackwright.assembly.project import write_json
from stackwright.assembly.stack import Stack
from stackwright.workflows.live.logs import identity, log_as
from stackwright.workflows.versions.champions import champions, promoted, recommender_names
from stackwright_interfaces.errors import ModelNotFound, ProjectError
from stackwright_interfaces.server import App

FACTORY: Final = "stackwright.workflows.live.application:application"
PLAN: Final = "STACKWRIGHT_PLAN"
ENDS_WITH_STDIN: Final = "STACKWRIGHT_ENDS_WITH_STDIN"
METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"


def serve(stack: Stack) -> None:
    """Serve the promoted models until SIGTERM or SIGINT; say where, also in ``address.json``.

    Raises:
        ModelNotFound: no model of the blueprint is promoted.
        ServerError: the server cannot start.
        ProjectError: the project cannot be written.
        BlueprintError: a token cannot be read.
    """
    if not promoted(stack) and not champions(stack, recommender_names(stack)):
        todo = "Run: stackwright train, then: stackwright promote NAME"
        raise ModelNotFound("registry", "no model of this blueprint is promoted", todo)
    settings = serving_part.settings(stack.blueprint.serving, stack.project.folder)
    app = _planned(stack)
    address = stack.project.address

    def ready(url: str) -> None:
        write_json(address, {"url": url, "pid": os.getpid()})
        sys.stderr.write(f"Serving on {url} (stop with Ctrl-C)\n")

    log_as(identity(stack, settings.service, stack.plan.digest), settings.log_level)
    if ENDS_WITH_STDIN in os.environ:
        threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    try:
        stack.server.serve(app, ready)
    finally:
        address.unlink(missing_ok=True)


def _planned(stack: Stack) -> App:
    """Write down what the workers need, and return the application as they find it.

    Raises:
        ProjectError: the project cannot be written.
    """
    project = stack.project
    plan, metrics = project.state / "server.json", project.state / "metrics"
    try:
        write_json(plan, {"project": str(project.folder), "env": project.env, "blueprint": stack.plan.digest})
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(parents=True)
    except OSError as error:
        found = f"cannot be written ({error.strerror})"
        raise ProjectError(str(project.state), found, "Free space, or allow writing there.") from error
    return App(factory=FACTORY, plan=plan, environment={PLAN: str(plan), METRICS: str(metrics)})


def _end_with_stdin() -> None:
    """Stop as on SIGTERM when standard input is closed, which the death of a parent does."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
