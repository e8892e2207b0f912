"""Bentos: a project and the application that serves it, in one folder that BentoML runs or puts into an image."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path
from typing import Any, Final

from stackwright_bentoml.orders import Orders
from stackwright_bentoml.plugin import BentoMLConfig
from stackwright_interfaces.errors import ServerError
from stackwright_interfaces.server import App

PROJECT: Final = "project"
"""Folder of a bento's source that holds the project."""

SKIPPED: Final = (".git", ".venv", "__pycache__", "*.pyc")
"""Patterns of files that no bento takes along."""

WHEELS: Final = "wheels"
"""Folder in which BentoML finds wheels, and lays them beside the requirements."""

_METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"
_CARGO: Final = "cargo.json"
_SERVICE: Final = '''"""Serves the project that lies beside this file."""

from pathlib import Path

from stackwright_bentoml.bento import unpack

service = unpack(Path(__file__).parent)
'''
_RUN: Final = "import sys; from stackwright_bentoml.bento import make; make(*sys.argv[1:])"


def build(
    app: App,
    project: Path,
    folder: Path,
    *,
    config: BentoMLConfig | None = None,
    name: str = "stackwright",
    requirements: Sequence[str] | None = None,
    wheels: Sequence[Path] = (),
    skipped: Iterable[str] = (),
) -> Path:
    """Build a bento offline.

    The project is copied as it is; wherever plan or environment of the application name its folder, the bento names the
    copy. What lies outside of the project, a database say, is not taken along.

    Args:
        app: the application.
        project: the project folder.
        folder: the bento; must not exist yet.
        config: options of the server; address and times of the start are BentoML's own in a bento.
        name: of the bento, lower case.
        requirements: what ``pip`` installs when the bento is containerized; without it the installed versions of this
            distribution, of the application's, and of all that offer stackwright adapters.
        wheels: of what no index has; the bento holds them.
        skipped: more patterns of files to leave out.

    Returns:
        the folder.

    Raises:
        ServerError: the folder exists, or BentoML cannot build.
    """
    if folder.exists():
        raise ServerError(str(folder), "exists already", "Remove it, or name another folder.")
    chosen = config or BentoMLConfig()
    orders = Orders(
        factory=app.factory,
        environment=dict(app.environment),
        workers=chosen.workers,
        timeout=chosen.timeout,
        batch=chosen.batch,
        batch_size=chosen.batch_size,
        batch_latency=chosen.batch_latency,
    )
    with tempfile.TemporaryDirectory(prefix="stackwright-bento-") as made:
        source, home = Path(made) / "source", Path(made) / "home"
        inside = folder.resolve().is_relative_to(project.resolve())
        kept_out = (*SKIPPED, *skipped, *([folder.name] if inside else []))
        shutil.copytree(project, source / PROJECT, ignore=shutil.ignore_patterns(*kept_out))
        cargo = {
            "orders": orders.to_json(),
            "project": str(project.resolve()),
            "plan": str(app.plan),
            "text": app.plan.read_text(encoding="utf-8"),
        }
        (source / _CARGO).write_text(json.dumps(cargo), encoding="utf-8")
        (source / "service.py").write_text(_SERVICE, encoding="utf-8")
        needs = list(requirements) if requirements is not None else _installed(app)
        shutil.copytree(_made(source, home, name, needs, wheels), folder)
    return folder


def _installed(app: App) -> list[str]:
    """Return ``name==version`` of what a bento of an application needs; what these need follows from them."""
    offered = {point.dist.name for point in entry_points(group="stackwright") if point.dist is not None}
    package = app.factory.partition(":")[0].partition(".")[0]
    application = packages_distributions().get(package, [package.replace("_", "-")])  # editable ones are not listed
    versions = {name: _version(name) for name in {*offered, *application, "stackwright-bentoml"}}
    return [f"{name}=={version}" for name, version in sorted(versions.items()) if version]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _made(source: Path, home: Path, name: str, requirements: Sequence[str], wheels: Sequence[Path]) -> Path:
    """Have BentoML build in a process of its own, with a store of its own; return the bento there."""
    home.mkdir()
    environment = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    (source / WHEELS).mkdir()
    for wheel in wheels:
        shutil.copy2(wheel, source / WHEELS)
    held = {path.name.partition("-")[0].replace("_", "-").lower(): path for path in wheels}
    python = {
        "packages": [line for line in requirements if line.partition("==")[0] not in held]
        + [f"./{WHEELS}/{path.name}" for path in held.values()],
        "wheels": [f"{WHEELS}/{path.name}" for path in held.values()],
        "lock_packages": False,
    }
    command = [sys.executable, "-P", "-c", _RUN, str(source), name, json.dumps(python)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=source)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
        raise ServerError("bento", f"BentoML cannot build it: {last}", "Mend that, then build again.")
    return Path(done.stdout.splitlines()[-1])


def make(source: str, name: str, python: str) -> None:
    """Build with BentoML, and print where the bento is; runs in a process of its own."""
    import bentoml

    bento = bentoml.build(
        "service:service",
        name=name,
        build_ctx=source,
        include=["*"],
        exclude=[f"{WHEELS}/"],
        python=json.loads(python),
    )
    sys.stdout.write(f"\n{bento.path}\n")


def unpack(source: Path) -> Any:
    """Return the service (a ``bentoml.Service``) of a bento.

    Args:
        source: the folder of the bento's source, wherever it lies now.
    """
    from stackwright_bentoml.making import make_service

    cargo: Mapping[str, str] = json.loads((source / _CARGO).read_text(encoding="utf-8"))
    project = str(source.resolve() / PROJECT)
    plan = Path(tempfile.mkdtemp(prefix="stackwright-plan-")) / Path(cargo["plan"]).name
    atexit.register(shutil.rmtree, plan.parent, ignore_errors=True)
    before, now = (json.dumps(path)[1:-1] for path in (cargo["project"], project))
    plan.write_text(cargo["text"].replace(before, now), encoding="utf-8")
    orders = Orders.from_json(cargo["orders"])
    environment = {
        name: value.replace(cargo["plan"], str(plan)).replace(cargo["project"], project)
        for name, value in orders.environment.items()
        if name != _METRICS  # BentoML has a folder for its own
    }
    return make_service(Orders(**{**_fields(orders), "environment": environment, "folder": project}))


def _fields(orders: Orders) -> dict[str, Any]:
    return {**asdict(orders), "channel": None}
