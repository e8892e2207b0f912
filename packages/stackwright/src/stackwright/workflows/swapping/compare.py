"""One recorded workload on two adapters of a slot: which values differ, how long each takes, what a change costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.swapping import trainer_trial
from stackwright.workflows.swapping.answers import Answers, Difference, differences
from stackwright.workflows.swapping.candidates import Candidate, Place, candidate, find_place, present
from stackwright.workflows.swapping.cost import Cost, cost_of
from stackwright.workflows.swapping.scratch import Scratch, scratch
from stackwright.workflows.swapping.trial import TrialFailed, Workload, run_apart
from stackwright_interfaces.errors import UsageError

SHOWN: Final = 50
"""Differences that are told one by one."""

WORSE: Final = 0.05
"""Share by which the error of a trainer may be greater than that of the one it replaces."""


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Args:
        slot: ``online``, or ``trainer:valuation`` say.
        a: adapter and options of the first.
        b: of the second.
        workload: where the workload comes from.
        differing: how many values differ.
        differences: the first of them.
        problems: what else speaks against the second.
        answers: of each; of one that failed, those until then.
        cost: what the change would cost.
        stays: what a trial wrote on a server and could not be removed.
    """

    slot: str
    a: Candidate
    b: Candidate
    workload: str
    differing: int
    differences: list[Difference]
    problems: list[str]
    answers: Mapping[str, Answers]
    cost: Cost
    asked: int = field(default=0)
    stays: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the second may stand in the place of the first."""
        return not self.differing and not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        sides = (("a", self.a), ("b", self.b))
        return {
            "slot": self.slot,
            **{side: {"adapter": item.name, "options": dict(item.options)} for side, item in sides},
            "workload": self.workload,
            "values": self.asked,
            "differing": self.differing,
            "differences": [item.to_json() for item in self.differences],
            "problems": self.problems,
            "stays": self.stays,
            "latency": {
                operation: {side: _latency(found, operation) for side, found in self.answers.items()}
                for operation in self._operations()
            },
            "memory": {side: found.memory for side, found in self.answers.items()},
            "measures": {side: dict(found.told) for side, found in self.answers.items()},
            "cost": self.cost.to_json(),
        }

    def _operations(self) -> list[str]:
        return list(dict.fromkeys(name for found in self.answers.values() for name in found.seconds))

    def tables(self) -> tuple[Table, ...]:
        """Return what is worth showing."""
        a, b = self.a.name, self.b.name if self.b.name != self.a.name else f"{self.b.name} (new)"
        sides = [self.answers.get(side, Answers()) for side in ("a", "b")]
        differing = [(item.case, item.key, item.column, _short(item.a), _short(item.b)) for item in self.differences]
        times = [
            (name, *(f"{1000 * found.quantile(name, share):.3g}" for found in sides for share in (0.5, 0.99)))
            for name in self._operations()
        ]
        memory = [("memory, MB", *(f"{found.memory / 1e6:.1f}" for found in sides))]
        measures = [
            (name, *(found.told.get(name) for found in sides))
            for name in dict.fromkeys(name for found in sides for name in found.told)
            if not name.startswith("answer for ") and name not in ("rows ingested", "lines lived")
        ]
        return (
            Table(("case", "key", "column", a, b), differing),
            Table(("milliseconds", f"{a} p50", f"{a} p99", f"{b} p50", f"{b} p99"), times),
            Table(("measure", a, b), [*memory, *measures]),
            Table(("a change", "costs"), self.cost.rows()),
        )


def compare(stack: Stack, slot: str, adapters: list[str], options: Mapping[str, str] | None = None) -> Outcome:
    """Run the project's own recorded workload on two adapters of a slot, in places of their own.

    Args:
        slot: ``online``, ``offline``, ``registry``, ``trainer``, ``monitor`` or ``server``; ``trainer:MODEL`` where
            there are several models.
        adapters: names of both; one name alone is compared with what the blueprint names.
        options: of the second: option → text.

    Returns:
        An outcome that is not ok where a value differs, or the second fails.

    Raises:
        UsageError: no such slot can be compared.
        BlueprintError: the slot is empty, or the blueprint could not name the adapter.
        ModelNotFound: nothing is promoted that servers could answer with.
        TrialFailed: the first adapter fails.
    """
    place = find_place(stack, slot)
    now = present(stack, place)
    if len(adapters) > 2:
        raise UsageError("ADAPTER", f"{len(adapters)} are named", "Name two, or one for the blueprint's and that one.")
    first = now if len(adapters) < 2 or adapters[0] == now.name else candidate(stack, place, adapters[0], {})
    second = candidate(stack, place, adapters[-1], options or {})
    found = compared(stack, first, second)
    said = f"{found.asked:,} values asked of {first.name} and {second.name}: "
    said += f"{found.differing:,} differ" if found.differing else "none differs"
    more = found.differing - len(found.differences)
    notes = [*found.problems, *([f"{more:,} more values differ."] if more > 0 else []), f"Asked: {found.workload}."]
    notes += found.stays
    return Outcome(said, found.to_json(), found.tables(), tuple(notes), ok=found.ok)


def compared(stack: Stack, first: Candidate, second: Candidate) -> Comparison:
    """Compare two parts; everything happens in a place that is gone in the end.

    Raises:
        TrialFailed: the first adapter fails.
    """
    with scratch(stack) as place:
        workload = _record(stack, first.place, place)
        answers = {"a": run_apart(workload, place.side("a"), first.choice, stack.progress)}
        problems: list[str] = []
        try:
            answers["b"] = run_apart(workload, place.side("b"), second.choice, stack.progress)
        except TrialFailed as error:
            problems.append(str(error))
            answers["b"] = error.answers
        unlike = differences(answers["a"], answers["b"], whole=not problems)
        told = list(islice(unlike, SHOWN))
        differing = len(told) + sum(1 for _ in unlike)
    problems += _worse(answers["a"], answers["b"])
    return Comparison(
        slot=first.place.key,
        a=first,
        b=second,
        workload=workload.origin,
        differing=differing,
        differences=told,
        problems=problems,
        answers=answers,
        cost=cost_of(stack, first, second, answers["b"]),
        asked=sum(len(values) for values in answers["a"].values.values()),
        stays=place.stays,
    )


def _record(stack: Stack, place: Place, scratch: Scratch) -> Workload:
    folder = scratch.folder / "recorded"
    if place.slot == "online":
        from stackwright.workflows.swapping import online_trial

        return online_trial.record(stack, folder)
    if place.slot == "offline":
        from stackwright.workflows.swapping import offline_trial

        return offline_trial.record(stack, folder)
    if place.slot == "registry":
        from stackwright.workflows.swapping import registry_trial

        return registry_trial.record(stack, folder)
    if place.slot == "trainer":
        return trainer_trial.record(stack, stack.model(place.keys[1]))
    if place.slot == "monitor":
        from stackwright.workflows.swapping import monitor_trial

        return monitor_trial.record(stack)
    from stackwright.workflows.swapping import server_trial

    return server_trial.record(stack)


def _worse(a: Answers, b: Answers) -> list[str]:
    """Return why the second is not as good as the first, where quality and not equality is asked for."""
    before, after = (found.told.get(trainer_trial.ERROR) for found in (a, b))
    if before is None or after is None or after <= before * (1 + WORSE):
        return []
    return [f"The {trainer_trial.ERROR} is {after:.4g}, and {before:.4g} of the trainer it would replace."]


def _latency(answers: Answers, operation: str) -> dict[str, float]:
    return {
        "count": len(answers.seconds.get(operation, ())),
        **{f"p{share * 100:g}_ms": 1000 * answers.quantile(operation, share) for share in (0.5, 0.99)},
    }


def _short(value: Any) -> str:
    from stackwright.workflows.swapping.answers import shown

    text = str(shown(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
