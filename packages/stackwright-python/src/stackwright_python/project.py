"""A class of the project, by ``module:Class``."""

from __future__ import annotations

from typing import Any

from stackwright_interfaces.errors import ProjectError, did_you_mean
from stackwright_interfaces.project.modules import Project


def load(project: Project, reference: str) -> Any:
    """Import a module of the project anew, and return what ``module:name`` names in it.

    Raises:
        ProjectError: the reference is none, the module is not there or fails, or has no such name.
    """
    module, _, name = reference.partition(":")
    if not module or not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise ProjectError(f"class {reference!r}", "not of the form module:Class", 'Write "my_model:MyModel".')
    found: Any = project.load(module)
    for part in name.split("."):
        if not hasattr(found, part):
            known = [key for key, value in vars(found).items() if isinstance(value, type)]
            todo = did_you_mean(part, known) or f"Classes there: {', '.join(known) or 'none'}."
            raise ProjectError(project.shown(project.file_of(module)), f"there is no {part!r}", todo)
        found = getattr(found, part)
    return found


def loaded(project: Project, reference: str) -> Any:
    """Return what ``module:name`` names among the modules that a project has imported, or ``None``."""
    module, _, name = reference.partition(":")
    found: Any = project.loaded(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
