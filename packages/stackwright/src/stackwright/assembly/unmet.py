"""Whether what the chosen adapters need is installed in the versions that they need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stackwright.assembly.blueprint import Problem
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.plan import Plan
from stackwright.assembly.vendors import misfits


def unmet(plan: Plan, plugins: Plugins) -> Iterator[Problem]:
    """Give what parts that run in this process need in other versions than are installed."""
    for choice in plan.choices.values():
        if choice.part.isolated is None:
            for problem in misfits(choice.part.where, plugins.offering(choice.spec).distribution):
                yield replace(problem, todo=f"{problem.todo}, or set isolated = true where others need what is there.")
