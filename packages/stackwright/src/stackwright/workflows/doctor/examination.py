"""``stackwright doctor``: every look at the machine and, where there is one, at the project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stackwright.assembly.discovery import Plugins
from stackwright.assembly.plan import problems_of
from stackwright.assembly.project import Project
from stackwright.assembly.stack import Stack
from stackwright.workflows.doctor import installed, machine, network, state
from stackwright.workflows.doctor.finding import Finding
from stackwright.workflows.doctor.places import Places
from stackwright.workflows.doctor.variables import variables
from stackwright.workflows.inspection import drifted
from stackwright.workflows.outcome import Outcome, Table, counted
from stackwright_interfaces.errors import ProjectError, StackwrightError
from stackwright_interfaces.plugin import Progress


def doctor(
    folder: Path,
    env: str | None = None,
    plugins: Plugins | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> Outcome:
    """Look at the machine and at the project in a folder, if there is one; change nothing.

    Adapters of the blueprint are imported, each in a process of its own; servers that it names are connected to, and
    asked for something that is not there.
    """
    plugins = plugins or Plugins()
    findings = [*machine.machine(), installed.engine(), *installed.plugins(plugins)]
    try:
        project = Project.find(folder, env)
    except ProjectError:
        findings += [*machine.disks([folder]), machine.clock([Path(__file__)])]
        findings.append(Finding("project", f"{folder.absolute()} is none: the machine alone was looked at"))
    else:
        with Stack(folder, env=env, plugins=plugins, progress=progress, make=False) as stack:
            findings += [*variables(project), machine.clock([project.blueprint, *project.state.glob("*.json")])]
            findings += _new(_blueprint(stack), findings)
            findings += _parts(stack)
    return _outcome(findings)


def _outcome(findings: list[Finding]) -> Outcome:
    problems = [finding for finding in findings if not finding.ok]
    rows = [("ok" if each.ok else "PROBLEM", each.subject, each.found, each.todo) for each in findings]
    table = Table(("", "what", "found", "to do"), rows)
    well = len(findings) - len(problems)
    title = f"{counted(len(problems), 'problem')}, {well} well" if problems else "No problem found"
    return Outcome(title, {"findings": [each.to_json() for each in findings]}, (table,), ok=not problems)


def _new(found: list[Finding], told: list[Finding]) -> list[Finding]:
    """Return what was not told before: an unset variable is a problem of the blueprint too."""
    known = {each.found for each in told}
    return [each for each in found if each.found not in known]


def _blueprint(stack: Stack) -> list[Finding]:
    try:
        slots = len(stack.plan.choices)
        problems = drifted(stack, explain=True)
    except StackwrightError as error:
        return Finding.of(problems_of(error))
    locked = "as it was locked" if stack.project.lock.exists() else "not locked"
    return Finding.of(problems) or [Finding("blueprint", f"{slots} parts that fit, {locked}")]


def _parts(stack: Stack) -> Iterator[Finding]:
    """Look at everything that the parts of a blueprint stand on, so far as it can be read."""
    try:
        places = Places(stack)
    except StackwrightError:  # told as a problem of the blueprint
        places = None
    folders = places.folders if places else [stack.project.folder]
    yield from machine.disks(folders)
    yield from state.folders(folders)
    yield from state.documents(stack.project)
    yield from state.files(folders[1:])
    yield from state.locks(folders[1:])
    if places is not None:
        yield from installed.parts(places.choices.values(), stack.plugins, stack.progress)
        yield from (network.port(stack.project, *port) for port in places.ports)
        yield from map(network.reached, places.remotes)
