"""Looking before leaping: what is installed, and what is wrong with a blueprint. Imports no vendor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stackwright.assembly.blueprint import BlueprintProblems
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.plan import SLOTS
from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome, Table
from stackwright_interfaces.errors import StackwrightError


def plugins(installed: Plugins | None = None) -> Outcome:
    """List adapters by slot, blueprints and samples, with where each comes from; broken plugins with the reason."""
    rows: list[dict[str, Any]] = []
    slots = {contract: slot for slot, contract in SLOTS.items()}
    for plugin in (installed or Plugins()).all():
        origin = {"distribution": plugin.distribution, "version": plugin.version}
        for adapter in plugin.adapters:
            slot = slots.get(adapter.provides, "?")
            state = "ready" if slot != "?" else f"broken: there is no slot for a {adapter.provides.__name__}"
            abilities = sorted(capability.value for capability in adapter.capabilities)
            rows.append({"slot": slot, "name": adapter.name, **origin, "capabilities": abilities, "state": state})
        for kind, offers in (("blueprint", plugin.blueprints), ("sample", plugin.samples)):
            rows += [
                {"slot": kind, "name": offer.name, **origin, "capabilities": [], "state": "ready"} for offer in offers
            ]
        if plugin.problem:
            rows.append(
                {"slot": "?", "name": plugin.name, **origin, "capabilities": [], "state": f"broken: {plugin.problem}"}
            )
    rows.sort(key=lambda row: ([*SLOTS, "blueprint", "sample", "?"].index(row["slot"]), row["name"]))
    headings = ("slot", "name", "distribution", "version", "capabilities", "state")
    table = Table(headings, [[row[heading] for heading in headings] for row in rows])
    broken = sum(row["slot"] == "?" for row in rows)
    title = f"{len(rows) - broken} parts installed" + (f", {broken} broken" if broken else "")
    return Outcome(title, {"plugins": rows}, (table,))


def check(folder: Path, env: str | None = None) -> Outcome:
    """Plan a project's stack, building nothing; report every problem."""
    stack = Stack(folder, env=env)
    try:
        plan = stack.plan
    except BlueprintProblems as error:
        found = [vars(problem) for problem in error.problems]
        return Outcome(f"{len(found)} problems\n{error}", {"problems": found}, ok=False)
    except StackwrightError as error:
        return Outcome(
            str(error), {"problems": [{"where": error.where, "found": error.found, "todo": error.todo}]}, ok=False
        )
    rows = [(slot, choice.spec.name, choice.spec.description) for slot, choice in plan.choices.items()]
    data = {
        "problems": [],
        "env": stack.project.env,
        "plan": {slot: name for slot, name, _ in rows},
        "digest": plan.digest,
    }
    return Outcome("No problem found", data, (Table(("slot", "adapter", "what it is"), rows),))
