"""What a gate gets and gives, and how the gates of a model are run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.gate_options import LEVEL, REFUSE, WARN, configured
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset, even
from stackwright.workflows.datasets.measures import Measure, measure_of
from stackwright.workflows.datasets.shaping import Shaper
from stackwright.workflows.gates.champions import Champion, Rival, champion_of, rival_of
from stackwright.workflows.outcome import finite
from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.gates import Verdict
from stackwright_serving.model import LoadedModel, Prediction

GREEN: Final = "green"
RED: Final = "red"
WARNING: Final = "warning"
INAPPLICABLE: Final = "not applicable"

SUPERVISED: Final = ("regression", "classification")


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
        measured: what its trainer measured.
        whole: whether ``train`` is all that it learned from; of a great many rows it is some of them, spread evenly.
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
    measured: Mapping[str, float] = field(default_factory=dict)
    whole: bool = True

    @cached_property
    def champion(self) -> Champion | None:
        """The promoted version of the model; ``None`` where there is none."""
        return champion_of(self.stack, self.part.name)

    @cached_property
    def answer(self) -> Prediction:
        """The model's answers for the newer rows."""
        return self.model.predict(self.holdout.columns)

    @cached_property
    def rival(self) -> Rival:
        """The champion's answers for them."""
        return rival_of(self.stack, self.champion, self.model, self.holdout, self.part.service)

    @cached_property
    def measure(self) -> Measure:
        """What its answers are measured by."""
        return measure_of(self.task, self.part.k)

    @property
    def task(self) -> str:
        """What is predicted."""
        return self.model.manifest.task

    def close(self) -> None:
        """Release the champion, where a gate has loaded it."""
        champion = self.__dict__.get("champion")
        if champion is not None and champion.model is not None:
            champion.model.close()


@dataclass(frozen=True)
class GateResult:
    """What a gate found.

    Args:
        passed: whether it allows promotion: it is green or not applicable, or only warns.
        detail: one line for people.
        evidence: numbers, JSON values.
        options: what it was run with.
        state: ``green``, ``red``, ``warning`` or ``not applicable``.
        level: ``refuse`` or ``warn``: what it does where it is not green.
        seconds: how long it took.
    """

    name: str
    passed: bool
    detail: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    state: str = ""
    level: str = REFUSE
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.state:
            object.__setattr__(self, "state", GREEN if self.passed else RED)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: finite(getattr(self, name)) for name in self.__dataclass_fields__}


Check = Callable[..., Verdict]


@dataclass(frozen=True)
class Gate:
    """A gate of the engine.

    Args:
        check: judges a candidate; its keywords are the options of ``GATE_OPTIONS``.
        tasks: the tasks it judges; of none named, all.
        refits: whether it fits the model anew, or needs what was measured in the fit.
        behaviour: whether it judges what a model does rather than how good its answers are, so that one which learned
            from the newer rows as well can be judged by it.
        why: why it has nothing to judge in a model of another task.
    """

    check: Check
    tasks: Sequence[str] = ()
    refits: bool = False
    behaviour: bool = False
    why: str = ""


GATES: dict[str, Gate] = {}


def gate(
    *, tasks: Sequence[str] = (), refits: bool = False, behaviour: bool = False, why: str = ""
) -> Callable[[Check], Check]:
    """Register a function as the gate of its name (a decorator)."""

    def register(check: Check) -> Check:
        GATES[check.__name__] = Gate(check, tasks, refits, behaviour, why)
        return check

    return register


def run_gates(candidate: Candidate, progress: Callable[[str, int, int], None]) -> Sequence[GateResult]:
    """Run every gate of a model; a gate that fails to run is red."""
    chosen = configured(candidate.part, candidate.stack.plugins)
    results = []
    try:
        for done, (name, settings) in enumerate(chosen.items()):
            progress(f"gate {name}", done, len(chosen))
            results.append(run_gate(candidate, name, settings))
    finally:
        candidate.close()
    progress("gates", len(chosen), len(chosen))
    return results


def run_again(candidate: Candidate, judged: Sequence[GateResult], digest: str) -> Sequence[GateResult]:
    """Run the gates that judge what a model does on a fit of all rows; of the others, return what was found before.

    Args:
        candidate: the fit of all rows; its newer rows are among those that it learned from.
        judged: what the gates found of the fit that was judged by the newer rows.
        digest: of that fit; the evidence of what it was judged by names it.
    """
    results = []
    try:
        for before in judged:
            known = GATES.get(before.name)
            if known is not None and known.behaviour:
                results.append(run_gate(candidate, before.name, {**before.options, LEVEL: before.level}))
            else:
                results.append(replace(before, evidence={**before.evidence, "judged": digest}))
    finally:
        candidate.close()
    return results


def run_gate(candidate: Candidate, name: str, settings: Mapping[str, Any]) -> GateResult:
    """Run one gate.

    Args:
        settings: its options and its level, as ``configured`` gives them.
    """
    options = {option: value for option, value in settings.items() if option != LEVEL}
    started = time.perf_counter()
    verdict = _judge(candidate, name, options)
    return result_of(name, verdict, settings, round(time.perf_counter() - started, 4))


def result_of(name: str, verdict: Verdict, settings: Mapping[str, Any], seconds: float = 0.0) -> GateResult:
    """Return what a verdict comes to at the level of its gate.

    Args:
        settings: as of :func:`run_gate`.
    """
    options = {option: value for option, value in settings.items() if option != LEVEL}
    level = str(settings[LEVEL])
    state = INAPPLICABLE if not verdict.applies else GREEN if verdict.passed else WARNING if level == WARN else RED
    return GateResult(name, state != RED, verdict.detail, verdict.evidence, options, state, level, seconds)


def _judge(candidate: Candidate, name: str, options: Mapping[str, Any]) -> Verdict:
    from stackwright.workflows.gates.foreign import judge

    try:
        if name not in GATES:
            verdict = judge(candidate, name, options)
        elif GATES[name].tasks and candidate.task not in GATES[name].tasks:
            return Verdict.inapplicable(
                GATES[name].why or f"a {candidate.task.replace('_', ' ')} model has nothing to be judged by it"
            )
        else:
            verdict = GATES[name].check(candidate, **options)
        evidence = json.loads(json.dumps(verdict.evidence, default=_plain))
        return Verdict(bool(verdict.passed), str(verdict.detail), evidence, bool(verdict.applies))
    except StackwrightError as error:
        return Verdict(passed=False, detail=str(error))
    except Exception as error:  # noqa: BLE001 -- a model may fail in any way, and the other gates have yet to look
        return Verdict(passed=False, detail=f"it failed with {type(error).__name__}: {error}")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def spread(rows: Dataset, number: int) -> Dataset:
    """Return at most so many rows, spread evenly."""
    return rows.take(even(len(rows), number))


def newest(rows: Dataset, number: int) -> Dataset:
    """Return at most so many rows, the last ones; of lists whole ones, one at least."""
    start = max(0, len(rows) - number)
    if rows.group is not None and len(rows):
        whole = rows.starts[rows.starts >= start]
        start = int(whole[0]) if whole.size else int(rows.starts[-1])
    return rows.take(np.arange(start, len(rows)))


def some(rows: Dataset, number: int) -> Dataset:
    """Return at most so many rows, spread over the range of the target so that few hold both classes, in their order.

    Of lists whole ones, spread over the time: as many as hold so many rows, one at least.
    """
    if rows.group is None:
        order = np.argsort(rows.target, kind="stable")
        return rows.take(np.sort(order[even(len(order), number)]))
    relevant = np.add.reduceat((rows.target > 0).astype(np.int64), rows.starts) % rows.sizes > 0
    worth = np.flatnonzero(relevant) if relevant.any() else np.arange(rows.starts.size)
    chosen = worth[even(worth.size, max(1, round(number / float(rows.sizes.mean()))))]
    return rows.take(
        np.concatenate([np.arange(rows.starts[one], rows.starts[one] + rows.sizes[one]) for one in chosen])
    )


def repeated(rows: Dataset, times: int) -> Dataset:
    """Return the rows so many times over; lists stay lists."""
    every = rows.take(np.tile(np.arange(len(rows)), times))
    if rows.group is None:
        return every
    number = np.repeat(np.arange(rows.starts.size), rows.sizes)
    apart = np.concatenate([number + turn * rows.starts.size for turn in range(times)])
    return replace(every, group=apart)


def relative_difference(before: Any, after: Any) -> float:
    """Return the greatest difference of two answers in proportion to the first; 0 of no rows."""
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    return float(np.max(np.abs(after - before) / np.maximum(np.abs(before), 1e-12), initial=0.0))
