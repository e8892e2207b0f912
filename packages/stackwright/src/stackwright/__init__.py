"""Machine-learning stacks, built from parts.

In a feature file: :class:`Entity`, :class:`FeatureView`, :class:`Window`, :func:`transform`, :class:`FeatureService`,
:class:`Target`, :func:`imported`. In a notebook: ``stack = stackwright.load("avm")``, then ``stack.train()`` and every
other verb.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackwright_interfaces.definitions import (
    Aggregate,
    Entity,
    FeatureService,
    FeatureView,
    Source,
    Target,
    Window,
    transform,
)
from stackwright_interfaces.imports import imported
from stackwright_interfaces.types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    STRING,
    TIMESTAMP,
    Field,
    decimal,
    list_of,
    vector,
)

if TYPE_CHECKING:
    from stackwright.notebook import NotebookStack

__all__ = [
    "BOOL",
    "BYTES",
    "FLOAT64",
    "INT64",
    "STRING",
    "TIMESTAMP",
    "Aggregate",
    "Entity",
    "FeatureService",
    "FeatureView",
    "Field",
    "Source",
    "Target",
    "Window",
    "decimal",
    "imported",
    "list_of",
    "load",
    "transform",
    "vector",
]


def load(folder: Path | str = ".", **options: Any) -> NotebookStack:
    """Open a project; every verb of the command line is a method.

    Args:
        folder: the project folder.
        options: see :class:`stackwright.assembly.stack.Stack`.

    Raises:
        ProjectError: the folder holds no blueprint.
    """
    from stackwright.notebook import NotebookStack

    return NotebookStack(folder, **options)
