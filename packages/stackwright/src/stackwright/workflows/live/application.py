"""What a worker process makes of the plan of an application."""

from __future__ import annotations

import json
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackwright.assembly.stack import Stack
from stackwright.workflows.live.list_source import ListsFromRegistry
from stackwright.workflows.live.registry_source import RegistrySource
from stackwright.workflows.live.serve import PLAN
from stackwright.workflows.live.worker import Worker, settle
from stackwright.workflows.versions.champions import recommender_names

if TYPE_CHECKING:
    from stackwright_serving.app import Application
    from stackwright_serving.metrics import Metrics
    from stackwright_serving.state import State


def application() -> Application:
    """Return the application of the plan that the environment names. Opens nothing until its lifespan starts."""
    from stackwright_serving.app import create_app

    return create_app(_open, settle)


def _open(opened: AsyncExitStack, metrics: Metrics) -> State:
    plan: dict[str, Any] = json.loads(Path(os.environ[PLAN]).read_text(encoding="utf-8"))
    stack = opened.enter_context(Stack(plan["project"], env=plan["env"], read_only=True))
    return opened_state(stack, plan["blueprint"], opened, metrics)


def opened_state(stack: Stack, blueprint: str, opened: AsyncExitStack, metrics: Metrics) -> State:
    """Return what a worker answers with: the champions in the registry.

    Args:
        stack: opened for reading.
        blueprint: digest of the plan the server was started with.
        opened: closes what is opened here.
        metrics: of the application.
    """
    worker = Worker(stack, blueprint, opened, metrics)
    settings = worker.settings
    source = RegistrySource(stack, worker.guarded, probe_seconds=settings.probe)
    if not recommender_names(stack):
        return worker.state(source)
    lists = ListsFromRegistry(stack, worker.guarded, probe_seconds=settings.probe, stale=settings.stale_lists)
    return worker.state(source, lists)
