"""``/opt/ml/model``: a project with the application that serves it, read-only and wherever SageMaker puts it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.errors import ServerError
from stackwright_interfaces.server import App

CARGO: Final = "stackwright.json"
"""File of a model folder that describes the application."""

PROJECT: Final = "project"
"""Folder in a model folder that holds the project."""

FORMAT: Final = 1

SKIPPED: Final = (".git", ".venv", "__pycache__", "*.pyc")
"""Patterns of files that no model folder takes along."""


def pack(app: App, project: Path, folder: Path, *, options: Mapping[str, Any], skipped: Iterable[str] = ()) -> None:
    """Write a model folder: the project as it is, and the application.

    Args:
        app: the application.
        project: the project folder.
        folder: must not exist yet.
        options: of the server.
        skipped: more patterns of files to leave out.

    Raises:
        ServerError: the folder exists.
    """
    if folder.exists():
        raise ServerError(str(folder), "exists already", "Remove it, or name another folder.")
    out = _top(folder, project)
    patterns = shutil.ignore_patterns(*SKIPPED, *skipped)

    def left_out(where: str, names: list[str]) -> set[str]:
        mine = {out} if out and Path(where).resolve() == project.resolve() else set()
        return patterns(where, names) | mine

    entries = [entry for entry in project.iterdir() if entry.name not in left_out(str(project), [entry.name])]
    (folder / PROJECT).mkdir(parents=True)
    for entry in entries:
        if entry.is_dir():
            shutil.copytree(entry, folder / PROJECT / entry.name, ignore=left_out)
        else:
            shutil.copy2(entry, folder / PROJECT / entry.name)
    cargo = {
        "format": FORMAT,
        "factory": app.factory,
        "environment": dict(app.environment),
        "folders": [name for name, value in app.environment.items() if _is_folder_of(value, project)],
        "plan": str(app.plan),
        "text": app.plan.read_text(encoding="utf-8"),
        "project": str(project.resolve()),
        "options": dict(options),
    }
    (folder / CARGO).write_text(json.dumps(cargo, indent=1) + "\n", encoding="utf-8")


def unpack(folder: Path, work: Path) -> tuple[App, dict[str, Any]]:
    """Copy the project of a model folder to where it may be written to.

    Wherever plan and environment of the application named the project's folder, they name the copy. Folders of the
    project that the environment names are made where they were left out.

    Args:
        folder: the model folder.
        work: an empty folder.

    Returns:
        the application, and the options of its server.

    Raises:
        ServerError: it is no model folder.
    """
    try:
        cargo: dict[str, Any] = json.loads((folder / CARGO).read_text(encoding="utf-8"))
        if cargo["format"] != FORMAT:
            raise ValueError(f"format {cargo['format']!r}, this version reads {FORMAT}")
        shutil.copytree(folder / PROJECT, work / PROJECT)
        return _moved(cargo, work), dict(cargo["options"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        todo = "Deploy a model.tar.gz that was made by stackwright_sagemaker.image, or set SM_MODEL_DIR."
        raise ServerError(str(folder), f"is no model folder of stackwright ({error})", todo) from error


def _moved(cargo: Mapping[str, Any], work: Path) -> App:
    project, plan = str((work / PROJECT).resolve()), work / "plan.json"
    before, now = (json.dumps(path)[1:-1] for path in (cargo["project"], project))
    plan.write_text(cargo["text"].replace(before, now), encoding="utf-8")
    environment = {
        name: value.replace(cargo["plan"], str(plan)).replace(cargo["project"], project)
        for name, value in cargo["environment"].items()
    }
    for name in cargo["folders"]:
        Path(environment[name]).mkdir(parents=True, exist_ok=True)
    return App(factory=cargo["factory"], plan=plan, environment=environment)


def _is_folder_of(value: str, project: Path) -> bool:
    path = Path(value)
    return path.is_absolute() and path.is_dir() and path.resolve().is_relative_to(project.resolve())


def _top(folder: Path, project: Path) -> str:
    """Return the entry of the project that a folder lies in, which is not copied into itself."""
    inside = folder.resolve()
    return inside.relative_to(project.resolve()).parts[0] if inside.is_relative_to(project.resolve()) else ""
