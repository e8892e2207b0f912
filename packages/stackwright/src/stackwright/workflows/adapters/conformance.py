"""An installed adapter, put through the conformance kit of its slot, without a test file of its author's.

The kit runs in a process of its own: what it imports, starts and breaks does not touch this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from stackwright.assembly import options as adapter_options
from stackwright.assembly.blueprint import BlueprintProblems, Part
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.plan import SLOTS
from stackwright.workflows.adapters.kit_run import FAILED, NOT_RUN, PASSED, PATIENCE, RESULTS, Case, run_kit
from stackwright.workflows.adapters.package import COMPOSER
from stackwright.workflows.outcome import Outcome, Table
from stackwright_interfaces import storage
from stackwright_interfaces.errors import AdapterNotInstalled, PluginError, UsageError, did_you_mean
from stackwright_interfaces.plugin import AdapterSpec, Progress
from stackwright_interfaces.storage import Storage

_NEEDS: Final = ("pytest", "hypothesis", "numpy", "pyarrow")


@dataclass(frozen=True, kw_only=True)
class StorageConfig:
    """Which storage is tested.

    Args:
        url: a URL or path; ``{name}`` in it keeps tests apart.
    """

    url: str = ""


STORAGE: Final = AdapterSpec(
    name="storage",
    provides=Storage,
    contract=storage.CONTRACT,
    config=StorageConfig,
    factory="stackwright_storage:open_storage",
    description="What a URL names: files, or objects on a server",
)
"""No adapter, but opened by URL: what is tested is the server behind it."""


@dataclass(frozen=True)
class Conformance:
    """What the kit found of an adapter.

    Args:
        adapter: its name.
        slot: the slot it fills.
        contract: the version of its contract that it was written to.
        cases: what became of each test.
        matrix: of the feature store's specification, a case each: its number, what it says, and whether a whole store
            meets it that is the adapter or stands on it.
        notes: why cases of it are not met, a line each.
    """

    adapter: str
    slot: str
    contract: int
    cases: tuple[Case, ...] = field(repr=False)
    matrix: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        """Whether every case that applies was run, and passed or failed as expected."""
        return bool(self.cases) and not any(case.result in (FAILED, NOT_RUN) for case in self.cases)

    @property
    def counts(self) -> Mapping[str, int]:
        """Result → tests that had it, what matters most first."""
        found = Counter(case.result for case in self.cases)
        return {result: found[result] for result in RESULTS if result in found}

    @property
    def outcome(self) -> Outcome:
        """The matrix of cases, to be printed."""
        told = ", ".join(f"{count} {result}" for result, count in self.counts.items()) or "no case was run"
        title = f"{self.adapter} ({self.slot}): {'conforms' if self.ok else 'does not conform'}; {told}"
        data = {
            "adapter": self.adapter,
            "slot": self.slot,
            "contract": self.contract,
            "counts": self.counts,
            "cases": [vars(case) for case in self.cases],
            "matrix": [{"case": int(number), "says": says, "met": met} for number, says, met in self.matrix],
        }
        listed = [case for case in self.cases if not (self.matrix and case.numbers and case.result == PASSED)]
        rows = [_row(list(cases)) for _, cases in groupby(listed, lambda case: case.title)]
        tables = (
            Table(("case", "result", "reason"), rows),
            Table(("case of a whole store", "", self.adapter), self.matrix),
        )
        return Outcome(title, data, tables, self.notes, ok=self.ok)


def conform(
    spec: AdapterSpec,
    options: Mapping[str, Any] | None = None,
    *,
    only: str = "",
    patience: float = PATIENCE,
    progress: Progress = lambda *_: None,
) -> Conformance:
    """Put an installed adapter through the kit of its slot; half of a feature store also through that of a whole one.

    The kit writes and deletes. Paths that are not absolute lie in folders that it makes and removes; on a server it
    shares with others, tests are kept apart by what the adapter declares (``AdapterSpec.conformance``), or by
    ``{name}`` in an option, which stands for a word that no other test has. Give it no place that holds data.

    Args:
        spec: the adapter.
        options: as a blueprint writes them, secrets by their place; laid over those that the adapter declares.
        only: run the cases alone whose names contain this.
        patience: seconds that one case may take; one that takes longer has failed, and ends the run.
        progress: told how many cases are done.

    Raises:
        PluginError: the kit is not installed, there is none for this contract, or it cannot be started.
        BlueprintProblems: options are unknown, or of another type.
        BlueprintError: a secret cannot be read.
        UsageError: an option is missing, or would let tests share what must be kept apart.
    """
    _installed()
    part = Part(f"the options of {spec.name}", spec.name, options or {})
    if problems := adapter_options.wrong(part, spec):
        raise BlueprintProblems(problems)
    attributes = {"options": adapter_options.given(part, spec, Path.cwd()), "opener": STORAGE.factory}
    request = {"spec": spec, "attributes": attributes, "only": only, "composer": ":".join(COMPOSER)}
    ran = run_kit(request, patience, progress)
    slot = next((slot for slot, contract in SLOTS.items() if contract is spec.provides), spec.name)
    return Conformance(spec.name, slot, spec.contract, ran.cases, ran.matrix, ran.notes)


def find(name: str, slot: str | None = None, plugins: Plugins | None = None) -> AdapterSpec:
    """Return the installed adapter of a name; ``storage`` is what a URL names.

    Args:
        slot: the slot it is to fill; needed where the name stands for several adapters.

    Raises:
        AdapterNotInstalled: there is none of this name, or none for this slot.
        PluginError: its plugin is broken, or was written to a contract that is not served.
        UsageError: there is no such slot, or the name stands for adapters of several.
    """
    plugins = plugins or Plugins()
    if name == STORAGE.name and slot in (None, STORAGE.name):
        return STORAGE
    if slot is not None and slot not in SLOTS:
        raise UsageError(f"--slot {slot}", "there is no such slot", did_you_mean(slot, SLOTS) or _one_of(SLOTS))
    offered = {spec.provides for plugin in plugins.load(name) for spec in plugin.adapters if spec.name == name}
    slots = [known for known, contract in SLOTS.items() if contract in offered and slot in (None, known)]
    if len(slots) > 1:
        raise UsageError(name, f"fills the slots {' and '.join(slots)}", f"Add: --slot {slots[0]}")
    if slots or slot is not None:
        return plugins.adapter(name, name, SLOTS[slot or slots[0]])
    for plugin in plugins.load(name):
        if plugin.problem:
            raise PluginError(
                name, f"the plugin of {plugin.origin} is broken: {plugin.problem}", "Mend or reinstall it."
            )
    raise AdapterNotInstalled.named(name, name, {spec.name for plugin in plugins.all() for spec in plugin.adapters})


def _one_of(slots: Mapping[str, type]) -> str:
    return f"Choose from: {', '.join(slots)}."


def _installed() -> None:
    absent = [name for name in _NEEDS if find_spec(name) is None]
    if absent:
        found = f"needs {' and '.join(absent)}, which is not installed"
        raise PluginError("stackwright conform", found, "Run: pip install 'stackwright-interfaces[testing]'")


def _row(cases: Sequence[Case]) -> tuple[str, str, str]:
    """Return the line of a test, whatever parameters it was run with."""
    worst = next((case for result in (FAILED, NOT_RUN) for case in cases if case.result == result), cases[0])
    same = sum(case.result == worst.result for case in cases)
    result = worst.result if same == len(cases) else f"{worst.result} ({same} of {len(cases)})"
    return worst.title, result, worst.reason
