"""Looking before leaping: what is installed, and what is wrong with a blueprint. Imports no vendor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stackwright.assembly.blueprint import BlueprintProblems, Problem
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.plan import SLOTS, of_parts
from stackwright.assembly.project import write_atomically
from stackwright.assembly.stack import Stack
from stackwright.assembly.unmet import unmet
from stackwright.workflows.outcome import Outcome, Table, counted
from stackwright_interfaces.contracts import in_force, older, refusal
from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.plugin import AdapterSpec


def plugins(installed: Plugins | None = None) -> Outcome:
    """List adapters by slot, blueprints, samples and gates, with where each is from; broken plugins with the reason."""
    rows: list[dict[str, Any]] = []
    slots = {contract: slot for slot, contract in SLOTS.items()}
    for plugin in (installed or Plugins()).all():
        origin = {"distribution": plugin.distribution, "version": plugin.version}
        for adapter in plugin.adapters:
            slot = slots.get(adapter.provides, "?")
            state = _state(adapter) if slot != "?" else f"broken: there is no slot for a {adapter.provides.__name__}"
            abilities = sorted(capability.value for capability in adapter.capabilities)
            rows.append({"slot": slot, "name": adapter.name, **origin, "capabilities": abilities, "state": state})
        for kind, offers in (("blueprint", plugin.blueprints), ("sample", plugin.samples)):
            rows += [
                {"slot": kind, "name": offer.name, **origin, "capabilities": [], "state": "ready"} for offer in offers
            ]
        rows += [
            {"slot": "gate", "name": gate.name, **origin, "capabilities": [], "state": "ready"} for gate in plugin.gates
        ]
        if plugin.problem:
            rows.append(
                {"slot": "?", "name": plugin.name, **origin, "capabilities": [], "state": f"broken: {plugin.problem}"}
            )
    rows.sort(key=lambda row: ([*SLOTS, "blueprint", "sample", "gate", "?"].index(row["slot"]), row["name"]))
    headings = ("slot", "name", "distribution", "version", "capabilities", "state")
    table = Table(headings, [[row[heading] for heading in headings] for row in rows])
    broken = sum(row["slot"] == "?" for row in rows)
    title = f"{len(rows) - broken} parts installed" + (f", {broken} broken" if broken else "")
    return Outcome(title, {"plugins": rows}, (table,))


def _state(adapter: AdapterSpec) -> str:
    """Return whether an adapter can be used, by the version of its contract."""
    current, served = in_force(adapter.provides), older(adapter.provides)
    if refused := refusal(adapter.contract, current, served):
        return f"not served: {refused}"
    ends = served.get(adapter.contract)
    return "ready" if ends is None else f"ready until stackwright {ends.until}, then its contract is served no more"


def check(folder: Path, env: str | None = None) -> Outcome:
    """Plan a project's stack, building nothing; report every problem."""
    stack = Stack(folder, env=env, make=False)
    try:
        plan = stack.plan
        lacking = list(unmet(plan, stack.plugins))
        if lacking:
            raise BlueprintProblems(lacking)
        problems = [vars(problem) for problem in drifted(stack, explain=True)]
    except BlueprintProblems as error:
        problems = [vars(problem) for problem in error.problems]
        if error.blueprint is not None:
            problems += [vars(problem) for problem in of_parts(error.blueprint, stack.plugins, stack.isolation)]
        text = "\n".join(str(Problem(**problem)) for problem in problems)
        return Outcome(f"{counted(len(problems), 'problem')}\n{text}", {"problems": problems}, ok=False)
    except StackwrightError as error:
        return Outcome(
            str(error), {"problems": [{"where": error.where, "found": error.found, "todo": error.todo}]}, ok=False
        )
    if problems:
        title = f"The stack differs from its lock in {len(problems)} ways"
        text = "\n".join(str(Problem(**problem)) for problem in problems)
        return Outcome(f"{title}\n{text}", {"problems": problems}, ok=False)
    rows = [(slot, choice.spec.name, choice.spec.description) for slot, choice in plan.choices.items()]
    states = {choice.spec.name: _state(choice.spec) for choice in plan.choices.values()}
    notes = tuple(f"Adapter {name!r}: {state}. Upgrade it." for name, state in states.items() if state != "ready")
    data = {
        "problems": [],
        "env": stack.project.env,
        "plan": {slot: name for slot, name, _ in rows},
        "digest": plan.digest,
    }
    return Outcome("No problem found", data, (Table(("slot", "adapter", "what it is"), rows),), notes)


def lock(
    stack: Stack,
    *,
    requirements: Path | None = None,
    pins: Path | None = None,
    wheels: Path | None = None,
    upgrade: bool = False,
) -> Outcome:
    """Record what the stack is built of, beside the blueprint, for its environment.

    Args:
        requirements: a file to write what installs it again, with hashes.
        pins: a file of requirements that bind what is written there.
        wheels: a folder of wheels of what no index has.
        upgrade: resolve the environments of isolated parts anew.

    Raises:
        BlueprintProblems: the blueprint cannot be built, or a vendor is installed that its adapter does not take.
        PluginError: nothing fits the pins, or there is no ``uv`` to resolve them.
        ProjectError: the lock cannot be read or written.
    """
    from stackwright.assembly import lock as locks

    stack.isolation.upgrade = upgrade
    described = locks.describe(stack.plan, stack.plugins, stack.isolation)
    problems = list(locks.unfit(described))
    if problems:
        raise BlueprintProblems(problems)
    if requirements is not None:
        from stackwright.workflows.pinning import resolved

        write_atomically(requirements, resolved(described, pins=pins, wheels=wheels).encode())
    changed = locks.save(stack.project, described)
    rows = [
        (slot, part["adapter"], f"{part['distribution']} {part['version']}", part["contract"], _vendors(part))
        for slot, part in described["parts"].items()
    ]
    title = f"Locked in {stack.project.lock.name}" if changed else "The lock is current"
    table = Table(("slot", "adapter", "distribution", "contract", "with"), rows)
    notes = (f"Installed again by: pip install --require-hashes -r {requirements}",) if requirements else ()
    return Outcome(title, {"changed": changed, "lock": str(stack.project.lock), **described}, (table,), notes)


def _vendors(part: Mapping[str, Any]) -> list[str]:
    return [f"{name} {version}" for name, version in part["requires"].items()]


def drifted(stack: Stack, *, explain: bool = False) -> list[Problem]:
    """Return how the stack differs from its lock; nothing where it is not locked.

    Args:
        explain: look through all that is installed for what holds a vendor at another version.

    Raises:
        BlueprintProblems: the blueprint cannot be built.
        ProjectError: the lock cannot be read.
    """
    if not stack.project.lock.exists():
        return []
    from stackwright.assembly import lock as locks
    from stackwright.assembly.drift import drift, nobody
    from stackwright.assembly.vendors import holders

    was = locks.locked(stack.project)
    if was is None:
        return []

    def held(slot: str, name: str, version: str) -> Iterator[str]:
        choice = stack.plan.choices.get(slot)
        apart = None if choice is None or choice.part.isolated is None else choice.part
        return holders(name, version, None if apart is None else stack.isolation.environment(slot, apart).site)

    return list(drift(was, locks.describe(stack.plan, stack.plugins, stack.isolation), held if explain else nobody))
