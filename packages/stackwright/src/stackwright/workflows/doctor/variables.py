"""Environment variables and secrets that a blueprint names: are they there? No value is shown."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stackwright.assembly.environments import overlaid
from stackwright.assembly.project import Project
from stackwright.assembly.reading import VARIABLE
from stackwright.assembly.secrets import Secret
from stackwright.workflows.doctor.finding import Finding


def variables(project: Project) -> Iterator[Finding]:
    """Look for everything that the blueprint of the project's environment takes from outside."""
    try:
        document = tomllib.loads(project.blueprint.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # told as a problem of the blueprint
        return
    if not project.env or project.env in document.get("env", {}):
        for place in sorted({*_named(overlaid(document, project.env))}, key=lambda secret: (secret.env, secret.file)):
            yield _variable(place.env) if place.env else _file(project.folder / Path(place.file).expanduser())


def _named(value: Any) -> Iterator[Secret]:
    secret = Secret.parse(value)
    if secret is not None:
        yield secret
    elif isinstance(value, str):
        yield from (Secret(env=name) for name in VARIABLE.findall(value))
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _named(item)


def _variable(name: str) -> Finding:
    subject = f"variable {name}"
    if name not in os.environ:
        return Finding(subject, f"environment variable {name} is not set", f"Run: export {name}=...")
    return Finding(subject, "is set") if os.environ[name] else Finding(subject, "is empty", f"Run: export {name}=...")


def _file(path: Path) -> Finding:
    subject = f"secret {path}"
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        return Finding(
            subject, f"cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})", "Write it there."
        )
    return Finding(subject, "can be read") if text else Finding(subject, "is empty", "Write the secret there.")
