"""Machine-learning stacks, built from parts.

In a feature file: :class:`Entity`, :class:`FeatureView`, :class:`Window`, :func:`transform`, :class:`FeatureService`,
:class:`Target`, :func:`imported`. In a notebook: ``stack = stackwright.load("avm")``, then ``stack.train()`` and every
other verb.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from stackwright.notebook import NotebookStack
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

_HOMES: Final = {
    "stackwright_interfaces.definitions": (
        "Aggregate", "Computation", "Entity", "Expectation", "FeatureService", "FeatureView", "Schedule", "Source",
        "Target", "Window", "computed", "transform",
    ),
    "stackwright_interfaces.imports": ("imported",),
    "stackwright_interfaces.types": (
        "BOOL", "BYTES", "FLOAT64", "INT64", "STRING", "TIMESTAMP", "Field", "decimal", "list_of", "vector",
    ),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what a feature file asks for when it does, so that the command line starts without it."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
