"""What is installed: plugins, what their distributions need, and whether it can be imported."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from stackwright.assembly.discovery import Plugins
from stackwright.assembly.plan import SLOTS, Choice
from stackwright.assembly.vendors import misfits, vendors, version
from stackwright.workflows.doctor.finding import Finding
from stackwright_interfaces.plugin import Progress

_IMPORT_SECONDS: Final = 180.0
_TAKES_LONG: Final = f"it takes more than {_IMPORT_SECONDS:.0f} s"
_AT_ONCE: Final = 2


def engine() -> Finding:
    """Look whether the engine has what it needs, and can import it."""
    problems = Finding.of(misfits("stackwright", "stackwright"))
    if problems:
        return problems[0]
    failed = _import("stackwright.notebook", [vendor.name for vendor in vendors("stackwright")])
    if failed:
        return Finding("stackwright", f"cannot be imported: {failed}", "Run: pip install --force-reinstall stackwright")
    return Finding("stackwright", f"{version('stackwright')}, with what it needs")


def plugins(installed: Plugins) -> Iterator[Finding]:
    """Look for plugins that are broken, and for adapters that are offered twice."""
    found = list(installed.all())
    for plugin in found:
        if plugin.problem:
            where = f"plugin {plugin.name}"
            said = f"{plugin.distribution} {plugin.version} is broken: {plugin.problem}"
            yield Finding(where, said, f"Reinstall or uninstall {plugin.origin}.")
    offered = Counter((spec.provides, spec.name) for plugin in found for spec in plugin.adapters)
    slots = {contract: slot for slot, contract in SLOTS.items()}
    for (contract, name), times in offered.items():
        if times > 1:
            both = [p.origin for p in found for s in p.adapters if (s.provides, s.name) == (contract, name)]
            said = f"{slots.get(contract, '?')} {name!r} is offered by {' and '.join(both)}"
            yield Finding("plugins", said, "Uninstall one of them.")
    ready = sum(len(plugin.adapters) for plugin in found)
    yield Finding("plugins", f"{ready} adapters of {len({plugin.origin for plugin in found})} distributions")


def parts(choices: Iterable[Choice], installed: Plugins, progress: Progress) -> Iterator[Finding]:
    """Look at the adapters of a blueprint: are the versions there that each is tested with, can they be imported?"""
    chosen = list({choice.spec.factory: choice for choice in choices}.values())
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        looking = pool.map(lambda choice: list(_part(choice, installed)), chosen)
        for done, choice in enumerate(chosen):
            progress(f"import {choice.spec.name}", done, len(chosen))
            yield from next(looking)
    progress("imports", len(chosen), len(chosen))


def _part(choice: Choice, installed: Plugins) -> Iterator[Finding]:
    spec = choice.spec
    subject = f"{choice.part.where} {spec.name}"
    if choice.part.isolated is not None:
        yield Finding(subject, "isolated; its environment is made")
        return
    plugin = installed.offering(spec)
    problems = Finding.of(misfits(subject, plugin.distribution))
    if problems:
        yield from problems
        return
    needed = vendors(plugin.distribution)
    failed = _import(spec.factory.partition(":")[0], [vendor.name for vendor in needed])
    if failed:
        again = "Look again, for the first import is the longest" if failed == _TAKES_LONG else "Install what it names"
        todo = f"{again}, or run: pip install --force-reinstall {plugin.origin}"
        yield Finding(subject, f"cannot be imported: {failed}", todo)
        return
    ours = [f"{vendor.name} {vendor.installed}" for vendor in needed if not vendor.name.startswith("stackwright")]
    yield Finding(subject, ", ".join([f"{plugin.origin} {plugin.version}".strip(), *ours]))


def _import(module: str, distributions: list[str]) -> str:
    """Import an adapter and its vendors in a process of their own; return what failed."""
    command = [sys.executable, "-m", "stackwright.workflows.doctor.importing", module, *distributions]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_IMPORT_SECONDS)
    except subprocess.TimeoutExpired:
        return _TAKES_LONG
    if done.returncode < 0:
        return f"the process was ended by signal {-done.returncode}"
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
