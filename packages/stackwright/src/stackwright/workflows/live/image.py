"""The context of a container image: the project as far as it serves, its champions, and what it needs, pinned.

No container engine is needed to write it; ``docker build OUT`` makes the image.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import sys
import tempfile
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from stackwright.assembly import plan as plans
from stackwright.assembly.blueprint import FILE
from stackwright.assembly.lock import ROOMS
from stackwright.assembly.plan import Choice
from stackwright.assembly.project import write_json
from stackwright.assembly.requirements import pinned, unpublished
from stackwright.assembly.stack import Stack
from stackwright.workflows.live.imaged import APPLICATION, CONTENT, FORMAT, MODELS, PORT, serving
from stackwright.workflows.live.serve import METRICS, PLAN
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions.champions import champions, promoted
from stackwright_interfaces.errors import BlueprintError, ModelNotFound, ProjectError, UsageError
from stackwright_interfaces.model import Manifest, ModelFormat
from stackwright_interfaces.plugin import AdapterSpec, Capability
from stackwright_interfaces.recommender import TASK
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.server import App, Cargo, SupportsImages

REQUIREMENTS: Final = "requirements.txt"
WHEELS: Final = "wheels"
PROJECT: Final = "project"
DOCKER: Final = "docker"
"""The kind of image that any container engine makes of a Dockerfile."""

_BESIDE: Final = ("", "-wal", "-shm")
"""Endings of the files in which a database keeps what was written last."""

_NOT_CODE: Final = {"__pycache__", "node_modules", "reports", "sample"}
_DOCKERFILE: Final = """\
FROM python:{python}-slim
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
COPY {requirements} {wheels} /opt/stackwright/
RUN pip install --no-cache-dir --no-deps --find-links /opt/stackwright -r /opt/stackwright/{requirements}
RUN useradd --create-home stackwright
COPY --chown=stackwright {project} /srv/{project}
USER stackwright
WORKDIR /srv/{project}
EXPOSE {port}
ENTRYPOINT ["python", "-m", "stackwright.workflows.live.imaged"]
CMD ["serve"]
"""


def image(
    stack: Stack, out: Path, *, kind: str = DOCKER, wheels: Path | None = None, include: Sequence[str] = ()
) -> Outcome:
    """Write the context of an image that serves the promoted models.

    Args:
        out: a folder that does not exist yet.
        kind: ``docker``, or the adapter of a server that writes images of its own.
        wheels: a folder of wheels that no index has.
        include: patterns of more files of the project to take along.

    Raises:
        UsageError: the folder exists, there are no such wheels, or the adapter writes no images.
        BlueprintError: the blueprint has no server.
        ModelNotFound: no model is promoted.
    """
    if stack.blueprint.server is None:
        raise BlueprintError(f"{FILE} [server]", "the slot is empty", 'Add [server] with adapter = "uvicorn".')
    if out.exists():
        raise UsageError(str(out), "exists already", "Remove it, or name another folder.")
    if wheels is not None and not list(wheels.glob("*.whl")):
        raise UsageError(f"--wheels {wheels}", "holds no wheels", "Run: uv build --all-packages --wheel --out-dir DIR")
    versions = {**promoted(stack), **champions(stack, stack.blueprint.recommenders)}
    if not versions:
        todo = "Run: stackwright train, then: stackwright promote NAME"
        raise ModelNotFound("registry", "no model of this blueprint is promoted", todo)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".image-", dir=out.parent) as made:
            folder = Path(made) / "context"
            if kind == DOCKER:
                outcome = _written(stack, folder, out, versions, wheels, include)
            else:
                work = _Work(Path(made) / PROJECT, out, versions, include)
                outcome = _of_kind(stack, kind, work, folder, sorted(wheels.glob("*.whl")) if wheels else [])
            folder.rename(out)
    except OSError as error:
        raise ProjectError(str(out), f"cannot be written ({error})", "Free space or allow writing there.") from error
    return outcome


def _written(
    stack: Stack,
    folder: Path,
    out: Path,
    versions: dict[str, ModelVersion],
    wheels: Path | None,
    include: Sequence[str],
) -> Outcome:
    project = folder / PROJECT
    content, left_out, specs = _project(stack, project, out, versions, include)
    models = content["models"]
    needed = pinned({*ROOMS, *(_distribution(stack, spec) for spec in specs)})
    (folder / REQUIREMENTS).write_text("".join(f"{name}=={version}\n" for name, version in needed.items()))
    (folder / WHEELS).mkdir()
    (folder / WHEELS / ".keep").touch()
    for wheel in sorted(wheels.glob("*.whl")) if wheels else ():
        shutil.copy2(wheel, folder / WHEELS)
    held = {path.name for path in (folder / WHEELS).glob("*.whl")}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "Dockerfile").write_text(
        _DOCKERFILE.format(python=python, requirements=REQUIREMENTS, wheels=f"{WHEELS}/", project=PROJECT, port=PORT)
    )
    return Outcome(
        title=f"Wrote the context of an image to {out}: {len(models)} models, {len(needed)} distributions.",
        data={"folder": str(out), "models": models, "requirements": needed, "left_out": left_out},
        tables=(Table(("model", "version", "digest"), [(m["name"], m["version"], m["digest"][:19]) for m in models]),),
        notes=(*_notes(needed, held, left_out), f"Run: docker build -t {stack.blueprint.name} {out}"),
    )


@dataclasses.dataclass(frozen=True)
class _Work:
    """What is written for a kind of image: the project, where it goes, and what it holds."""

    project: Path
    out: Path
    versions: dict[str, ModelVersion]
    include: Sequence[str]


def _of_kind(stack: Stack, kind: str, work: _Work, folder: Path, wheels: Sequence[Path]) -> Outcome:
    """Have a server adapter write an image of its kind."""
    spec = stack.plugins.adapter(f"--for {kind}", kind, plans.SLOTS["server"])
    server = stack.server_named(kind)
    if Capability.IMAGES not in spec.capabilities or not isinstance(server, SupportsImages):
        raise UsageError(f"--for {kind}", "this server writes no images of its own", f"Use --for {DOCKER}.")
    content, left_out, specs = _project(stack, work.project, work.out, work.versions, work.include)
    needed = pinned({*ROOMS, *(_distribution(stack, item) for item in [*specs, spec])})
    state = work.project / ".stackwright"
    (state / "metrics").mkdir(parents=True, exist_ok=True)
    write_json(state / "server.json", {"project": str(work.project)})
    environment = {PLAN: str(state / "server.json"), METRICS: str(state / "metrics")}
    app = App(factory=APPLICATION, plan=state / "server.json", environment=environment)
    name = re.sub(r"[^a-z0-9_]+", "_", stack.blueprint.name.lower())
    lines = [f"{item}=={version}" for item, version in needed.items()]
    command = server.image(Cargo(app=app, project=work.project, name=name, requirements=lines, wheels=wheels), folder)
    models = content["models"]
    return Outcome(
        title=f"Wrote an image for {kind} to {work.out}: {len(models)} models, {len(needed)} distributions.",
        data={"folder": str(work.out), "for": kind, "models": models, "requirements": needed, "left_out": left_out},
        tables=(Table(("model", "version", "digest"), [(m["name"], m["version"], m["digest"][:19]) for m in models]),),
        notes=(
            *_notes(needed, {path.name for path in wheels}, left_out),
            f"Run: {command.replace(str(folder), str(work.out))}",
        ),
    )


def _project(
    stack: Stack, project: Path, out: Path, versions: dict[str, ModelVersion], include: Sequence[str]
) -> tuple[dict[str, Any], list[str], list[AdapterSpec]]:
    """Write the project as far as it serves; return its content, what was left out, and the parts that it needs."""
    models = [_bake(stack, version, project) for version in versions.values()]
    choices = plans.plan(serving(stack.blueprint), stack.plugins, stack.definitions).choices
    left_out = [*_copy_data(stack, choices, project)]
    _copy_code(stack, project, out, include)
    content = {"format": FORMAT, "env": stack.project.env, "blueprint": stack.plan.digest, "models": models}
    write_json(project / CONTENT, content)
    formats = [stack.plugins.adapter(item["name"], item["flavour"], _format(item["task"])) for item in models]
    return content, left_out, [*(choice.spec for choice in choices.values()), *formats]


def _format(task: str) -> type:
    return plans.SLOTS["recommender_format"] if task == TASK else ModelFormat


def _bake(stack: Stack, version: ModelVersion, project: Path) -> dict[str, Any]:
    """Copy a model, fetched and verified by its digest."""
    fetched = stack.registry.fetch(version)
    manifest = Manifest.read(fetched)
    shutil.copytree(fetched, project / MODELS / version.name)
    return {
        "name": version.name,
        "version": version.version,
        "digest": version.digest,
        "created": version.created.isoformat(),
        "aliases": list(version.aliases),
        "flavour": manifest.flavour,
        "task": manifest.task,
    }


def _copy_data(stack: Stack, choices: typing.Mapping[str, Choice], project: Path) -> Iterator[str]:
    """Copy what the serving parts keep in the project; give what lies elsewhere."""
    for slot, choice in choices.items():
        if slot == "server":
            continue
        for path in _paths(stack, choice):
            if not path.is_relative_to(stack.project.folder):
                yield str(path)
                continue
            for ending in _BESIDE:
                _copy(path.with_name(path.name + ending), stack.project.folder, project)


def _paths(stack: Stack, choice: Choice) -> Iterator[Path]:
    """Give the paths among the options of a part."""
    config = choice.spec.config
    hints = typing.get_type_hints(config)
    for item in dataclasses.fields(config):
        value = choice.part.options.get(item.name, item.default)
        if Path in (hints[item.name], *typing.get_args(hints[item.name])) and isinstance(value, str | Path):
            yield Path(os.path.normpath(stack.path(str(value))))


def _copy_code(stack: Stack, project: Path, out: Path, include: Sequence[str]) -> None:
    """Copy the blueprint, the applied definitions and the project's modules."""
    root = stack.project.folder
    for path in (stack.project.blueprint, stack.project.catalogue):
        _copy(path, root, project)
    for pattern in ("*.py", *include):
        for path in sorted(root.rglob(pattern)):
            folders = path.relative_to(root).parts[:-1]
            hidden = any(name.startswith(".") or name in _NOT_CODE for name in folders)
            other = path.is_relative_to(out.resolve()) or any(
                (parent / "pyvenv.cfg").exists() for parent in path.parents if parent.is_relative_to(root)
            )
            if not hidden and not other:
                _copy(path, root, project)


def _copy(path: Path, root: Path, project: Path) -> None:
    target = project / path.relative_to(root)
    if path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
    elif path.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def _distribution(stack: Stack, spec: AdapterSpec) -> str:
    return next(plugin.distribution for plugin in stack.plugins.load(spec.name) if spec in plugin.adapters)


def _notes(needed: dict[str, str], wheels: set[str], left_out: Sequence[str]) -> Iterator[str]:
    present = {name.partition("-")[0].replace("_", "-") for name in wheels}
    absent = [name for name in unpublished(needed) if name not in present]
    if absent:
        yield (
            f"{len(absent)} distributions were not installed from an index, and no wheel was given: "
            f"{', '.join(absent)}. Build them and give the folder as --wheels."
        )
    for path in left_out:
        yield f"{path} lies outside of the project and was not taken along; the container must reach it."
