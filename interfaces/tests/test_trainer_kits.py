"""The kits for rankings and times to an event, tried on trainers that are right and on ones that are wrong."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.plugin import AdapterSpec, Capability
from stackwright_interfaces.testing.broken_trainers import RANKING_FAULTS, TIME_FAULTS, Lines, LinesFormat, specs
from stackwright_interfaces.testing.trainer import RankingCases, TimeToEventCases, TrainerCases
from stackwright_interfaces.testing.trainer_fits import Fitting
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData


def names_of(cases: type[Fitting]) -> Iterator[str]:
    return (name for name in vars(cases) if name.startswith("test_"))


def run(cases: type[Fitting], trainer: type[Lines], name: str, folder: Path) -> None:
    """Run one test of a kit on a trainer."""
    spec, format_spec = specs(trainer)
    kit = type(f"Test{trainer.__name__}", (cases,), {"spec": spec, "format_spec": format_spec})()
    given: dict[str, Any] = {"trainer": trainer(spec.config(), None), "model_format": LinesFormat(spec.config(), None)}
    given |= {"tmp_path": folder, "size": 7}
    method = getattr(kit, name)
    method(**{parameter: given[parameter] for parameter in inspect.signature(method).parameters})


@pytest.mark.parametrize(
    ("cases", "name"), [(cases, name) for cases in (RankingCases, TimeToEventCases) for name in names_of(cases)]
)
def test_a_right_trainer_passes_every_case(cases: type[Fitting], name: str, tmp_path: Path) -> None:
    run(cases, Lines, name, tmp_path)


@pytest.mark.parametrize(
    ("cases", "trainer", "name"),
    [
        (cases, trainer, name)
        for cases, faults in ((RankingCases, RANKING_FAULTS), (TimeToEventCases, TIME_FAULTS))
        for trainer, names in faults.items()
        for name in names
    ],
)
def test_a_wrong_trainer_is_found_out(cases: type[Fitting], trainer: type[Lines], name: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run(cases, trainer, name, tmp_path)


def kit(spec: AdapterSpec, format_spec: AdapterSpec, *cases: type[Fitting]) -> TrainerCases:
    made: TrainerCases = type("TestLines", (*cases, TrainerCases), {"spec": spec, "format_spec": format_spec})()
    return made


class OnlyLines(Lines):
    """Refuses what it does not declare."""

    def fit(self, task: Task, train: TrainingData, *given: Any, **named: Any) -> Any:
        if task.kind in (TaskKind.RANKING, TaskKind.TIME_TO_EVENT):
            raise TrainingError("trainer lines", f"it does no {task.kind.value}")
        return super().fit(task, train, *given, **named)


def test_a_task_that_is_declared_and_has_no_cases_or_the_other_way_round_is_found() -> None:
    name = "test_a_task_that_is_not_declared_is_refused_and_has_no_cases"
    every, some = specs(), specs(capabilities=frozenset({Capability.RANKING}))
    none = specs(capabilities=frozenset())
    both = (RankingCases, TimeToEventCases)
    getattr(kit(*every, *both), name)(Lines(None, None))  # type: ignore[arg-type]
    getattr(kit(*none), name)(OnlyLines(None, None))  # type: ignore[arg-type]
    for wrong, trainer in (
        (kit(*every, RankingCases), Lines),
        (kit(*some, *both), Lines),
        (kit(*none), Lines),
    ):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            getattr(wrong, name)(trainer(None, None))  # type: ignore[arg-type]


def test_lines_come_out_of_their_file_as_they_went_in(tmp_path: Path) -> None:
    assert issubclass(LinesFormat, ModelFormat)
    fitted = Lines(None, None).fit(  # type: ignore[arg-type]
        Task(kind=TaskKind.REGRESSION, signature=None),  # type: ignore[arg-type]
        TrainingData(inputs=np.ones((3, 4)), target=np.ones(3)),
        None,
        {},
        seed=1,
        threads=1,
    )
    assert fitted.predictor().predict(np.ones((1, 4))) == pytest.approx([1.0])
