"""The modules of the interfaces, which Sphinx fills from their docstrings."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator

import stackwright_interfaces


def interfaces() -> Iterator[str]:
    """Give the page of the interfaces' modules."""
    yield "# The interfaces\n"
    yield "What `stackwright-interfaces` holds, from its docstrings.\n"
    modules = (found.name for found in pkgutil.iter_modules(stackwright_interfaces.__path__) if not found.ispkg)
    for name in sorted(modules):
        yield f"## `stackwright_interfaces.{name}`\n"
        yield f"```{{eval-rst}}\n.. automodule:: stackwright_interfaces.{name}\n```\n"
