"""What a gate gets and gives, and how the gates of a model are run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.gate_options import configured
from stackwright.assembly.stack import Stack
from stackwright.workflows.dataset import Dataset, Shaper
from stackwright.workflows.outcome import finite
from stackwright_interfaces.errors import StackwrightError
from stackwright_serving.model import LoadedModel


@dataclass(frozen=True)
class Candidate:
    """A staged model and what it was made from.

    Args:
        folder: the staged folder.
        model: the same, loaded.
        train: the rows it learned from.
        holdout: newer rows it has not seen.
        parameters: parameters of the fit.
        threads: threads of the fit.
    """

    stack: Stack
    part: ModelPart
    folder: Path
    model: LoadedModel
    shaper: Shaper
    train: Dataset
    holdout: Dataset
    parameters: Mapping[str, Any]
    threads: int


@dataclass(frozen=True)
class GateResult:
    """What a gate found.

    Args:
        passed: whether it is green.
        detail: one line for people.
        evidence: numbers, JSON values.
    """

    name: str
    passed: bool
    detail: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: finite(getattr(self, name)) for name in self.__dataclass_fields__}


Check = Callable[..., tuple[bool, str, Mapping[str, Any]]]


GATES: dict[str, Check] = {}


def gate(check: Check) -> Check:
    """Register a function as the gate of its name; its keywords are the options of ``GATE_OPTIONS``."""
    GATES[check.__name__] = check
    return check


def run_gates(candidate: Candidate, progress: Callable[[str, int, int], None]) -> Sequence[GateResult]:
    """Run every gate of a model; a gate that fails to run is red."""
    chosen = configured(candidate.part)
    results = []
    for done, (name, options) in enumerate(chosen.items()):
        progress(f"gate {name}", done, len(chosen))
        try:
            passed, detail, evidence = GATES[name](candidate, **options)
        except StackwrightError as error:
            passed, detail, evidence = False, str(error), {}
        except Exception as error:  # noqa: BLE001 -- a model may fail in any way, and the other gates have yet to look
            passed, detail, evidence = False, f"it failed with {type(error).__name__}: {error}", {}
        results.append(GateResult(name, passed, detail, evidence, options))
    progress("gates", len(chosen), len(chosen))
    return results
