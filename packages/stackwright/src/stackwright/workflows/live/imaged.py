"""What runs in an image: a project's server over baked-in models. ``python -m stackwright.workflows.live.imaged``.

It needs the parts that answer and no others: no trainer, no history, no registry.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import fields, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stackwright.assembly import plan as plans
from stackwright.assembly.blueprint import Blueprint, MonitorPart
from stackwright.assembly.project import write_json
from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows.live.list_source import loaded
from stackwright.workflows.live.scoring import scorer_of
from stackwright.workflows.live.serve import METRICS, PLAN
from stackwright.workflows.live.worker import Guard, Worker, settle
from stackwright_interfaces.errors import ArtifactError, ProjectError, StackwrightError, UsageError
from stackwright_interfaces.model import Manifest, ModelFormat
from stackwright_interfaces.recommender import TASK
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.server import App
from stackwright_serving.model import LoadedModel
from stackwright_serving.probe import probe

if TYPE_CHECKING:
    from stackwright_serving.app import Application
    from stackwright_serving.arms import Challenger
    from stackwright_serving.lists import LoadedLists
    from stackwright_serving.metrics import Metrics
    from stackwright_serving.scorer import Scorer
    from stackwright_serving.settings import Settings
    from stackwright_serving.state import State

CONTENT: Final = "image.json"
"""File of an image's project that says what was baked in."""

MODELS: Final = "models"
"""Folder of an image's project that holds the models."""

APPLICATION: Final = "stackwright.workflows.live.imaged:application"
FORMAT: Final = 1
PORT: Final = 8080


class ServingStack(Stack):
    """The parts of a project that answer."""

    @cached_property
    def plan(self) -> plans.Plan:
        """The blueprint as far as it serves, checked."""
        return plans.plan(serving(self.blueprint), self.plugins, self.definitions)


def serving(blueprint: Blueprint) -> Blueprint:
    """Return a blueprint with the parts alone that a server needs beside its models."""
    return replace(
        blueprint,
        use_case="",
        offline=None,
        registry=None,
        compute=None,
        monitor=MonitorPart(),
        models={},
        recommenders={},
        streams={},
        catalogue=None,
    )


class _Baked:
    """What an image holds of one kind: models, or recommenders."""

    def __init__(self, stack: Stack, content: Mapping[str, Any], guard: Guard, *, lists: bool) -> None:
        self._stack = stack
        self._guard = guard
        chosen = (item for item in content["models"] if (item["task"] == TASK) == lists)
        self._versions = {item["name"]: _version(item) for item in chosen}

    def generation(self) -> str:
        """Return a token that never changes."""
        return "baked"

    def promoted(self) -> Mapping[str, ModelVersion]:
        """Return the models."""
        return self._versions

    def challengers(self) -> Mapping[str, Challenger]:
        """Return none: what an image serves changes with the image."""
        return {}

    def _folder(self, version: ModelVersion) -> Path:
        return self._stack.project.folder / MODELS / version.name


class BakedLists(_Baked):
    """Where a worker's recommenders come from: folders of the image."""

    def __init__(self, stack: Stack, content: Mapping[str, Any], guard: Guard, settings: Settings) -> None:
        super().__init__(stack, content, guard, lists=True)
        self._settings = settings

    def open(self, version: ModelVersion) -> LoadedLists:
        """Probe, load and warm a recommender."""
        probe_seconds, stale = self._settings.probe, self._settings.stale_lists
        folder = self._folder(version)
        return loaded(self._stack, version, folder, self._guard, probe_seconds=probe_seconds, stale=stale)


class Baked(_Baked):
    """Where a worker's models come from: folders of the image."""

    def __init__(self, stack: Stack, content: Mapping[str, Any], guard: Guard) -> None:
        super().__init__(stack, content, guard, lists=False)

    def open(self, version: ModelVersion) -> tuple[Scorer, Path]:
        """Probe and load a model."""
        stack, folder = self._stack, self._folder(version)
        flavour = Manifest.read(folder).flavour
        probe(folder, stack.plugins.adapter(version.ref, flavour, ModelFormat).factory, project=stack.project.folder)
        model = LoadedModel.published(version, folder, stack.model_format(flavour))
        return scorer_of(stack, model, self._guard), folder


def _version(item: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(
        name=item["name"],
        version=item["version"],
        digest=item["digest"],
        created=datetime.fromisoformat(item["created"]),
        aliases=tuple(item["aliases"]),
    )


def content_of(project: Path) -> dict[str, Any]:
    """Return what was baked in, every model verified against its digest.

    Raises:
        ProjectError: the folder is no project of an image.
        ArtifactError: a model is not what was baked in.
    """
    path = project / CONTENT
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}, this version reads {FORMAT}")
        versions = [_version(item) for item in content["models"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProjectError(str(path), f"cannot be read ({error})", "Write it anew: stackwright image OUT") from error
    for version in versions:
        found = Manifest.read(project / MODELS / version.name).digest
        if found != version.digest:
            raise ArtifactError(version.ref, f"has the digest {found}", f"Baked in was {version.digest}.")
    return content


def application() -> Application:
    """Return the application of an image. Opens nothing until its lifespan starts."""
    from stackwright_serving.app import create_app

    return create_app(_open, settle)


def _open(opened: AsyncExitStack, metrics: Metrics) -> State:
    plan: dict[str, Any] = json.loads(Path(os.environ[PLAN]).read_text(encoding="utf-8"))
    content = content_of(Path(plan["project"]))
    stack = opened.enter_context(ServingStack(plan["project"], env=content["env"], read_only=True))
    worker = Worker(stack, content["blueprint"], opened, metrics)
    lists = BakedLists(stack, content, worker.guarded, worker.settings)
    return worker.state(Baked(stack, content, worker.guarded), lists if lists.promoted() else None)


def run(project: Path) -> None:
    """Serve an image's project on all addresses, on port 8080 or that of the variable ``PORT``, until SIGTERM.

    Raises:
        StackwrightError: it cannot be served.
    """
    content = content_of(project)
    with ServingStack(project, env=content["env"], read_only=True) as stack:
        part = stack.blueprint.server
        assert part is not None, "an image without a server is not written"
        spec = stack.plugins.adapter(part.where, part.adapter, plans.SLOTS["server"])
        wanted = {"host": "0.0.0.0", "port": _port(os.environ.get("PORT", ""))}  # noqa: S104  # asked from outside
        known = {item.name for item in fields(spec.config)}
        stack.override("server", **{name: value for name, value in wanted.items() if name in known})
        plan, metrics = stack.project.state / "server.json", stack.project.state / "metrics"
        write_json(plan, {"project": str(stack.project.folder)})
        metrics.mkdir(parents=True, exist_ok=True)
        for left in metrics.iterdir():
            left.unlink()
        environment = {PLAN: str(plan), METRICS: str(metrics)}
        app = App(factory=APPLICATION, plan=plan, environment=environment)
        stack.server.serve(app, lambda url: print(f"Serving on {url}", file=sys.stderr, flush=True))


def _port(text: str) -> int:
    if text and not text.isdecimal():
        raise UsageError("environment PORT", f"is {text!r}, no whole number", "Set a number, or unset it.")
    return int(text or PORT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the project in the working directory; return the exit code. The argument ``serve`` may be given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given not in ([], ["serve"]):
        sys.stderr.write("usage: python -m stackwright.workflows.live.imaged [serve]\n")
        return 2
    try:
        run(Path.cwd())
    except StackwrightError as error:
        sys.stderr.write(redact(f"{error}\n"))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
