"""Trainers that are wrong in one way each, and the tests that must find it out: the proof of the trainers' kits.

All are made of :class:`Lines`, a trainer of straight lines in numpy that ranks and learns times to an event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.model import CONTRACT as MODEL_CONTRACT
from stackwright_interfaces.model import Manifest, ModelFormat, Predictor
from stackwright_interfaces.plugin import AdapterSpec, Capability
from stackwright_interfaces.trainer import (
    CONTRACT,
    Distribution,
    FittedModel,
    Report,
    Task,
    TaskKind,
    Trainer,
    TrainingData,
)

_PAYLOAD: Final = "lines.json"

Floats = NDArray[np.float64]


class LinesConfig:
    """The trainer has no options."""


def _columns(inputs: Any) -> Floats:
    rows = np.asarray(inputs, dtype=np.float64)
    places = np.column_stack([rows[:, 2] == code for code in range(3)])
    filled = np.where(np.isnan(rows), np.array([120.0, 4.0, 0.0, 0.0]), rows)
    return np.column_stack([np.ones(len(rows)), filled[:, [0, 1, 3]], places])


class LinesPredictor(Predictor):
    """Predicts by a line; of times, a line through their logarithm, with the chances of an exponential."""

    def __init__(self, form: Mapping[str, Any]) -> None:
        self._form = form

    def predict(self, inputs: Any) -> Any:
        """Return n answers, or n × outputs."""
        answer = np.sum(_columns(inputs) * np.array(self._form["slopes"]), axis=1)
        if not self._form["times"]:
            return answer
        expected = np.exp(answer)
        further = [1 - np.exp(-horizon / expected) for horizon in self._form["horizons"]]
        return np.column_stack([expected, *further]) if further else expected


class LinesModel(FittedModel):
    """What a fit found."""

    flavour: ClassVar[str] = "lines"

    def __init__(self, form: Mapping[str, Any]) -> None:
        self._form = form
        self.parameters: Mapping[str, Any] = {}
        self.metrics: Mapping[str, float] = {}

    def predictor(self) -> Predictor:
        """Return a predictor."""
        return LinesPredictor(self._form)

    def save(self, folder: Path) -> None:
        """Write ``lines.json``."""
        (folder / _PAYLOAD).write_text(json.dumps(self._form))


class LinesFormat(ModelFormat):
    """Loads ``lines.json``."""

    flavour: ClassVar[str] = "lines"

    def __init__(self, config: LinesConfig, context: Any) -> None:
        del config, context

    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Predictor:
        """Load a folder."""
        del manifest, threads
        return LinesPredictor(json.loads((folder / _PAYLOAD).read_text()))


class Lines(Trainer):
    """Least squares: of a ranking, of grades less the mean of their list; of times, of their logarithm."""

    input: ClassVar[Literal["matrix", "columns"]] = "matrix"
    ranks = True
    takes_censored = True

    def __init__(self, config: LinesConfig, context: Any) -> None:
        del config, context

    def space(self, task: Task) -> Mapping[str, Distribution]:
        """Return nothing."""
        del task
        return {}

    def fit(
        self,
        task: Task,
        train: TrainingData,
        valid: TrainingData | None,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        """Fit."""
        del valid, params, seed, threads, report
        times = task.kind is TaskKind.TIME_TO_EVENT
        truth = np.asarray(train.target, dtype=np.float64)
        event = np.ones(len(truth), dtype=bool) if train.event is None else np.asarray(train.event)
        self.check(task, train, truth, event)
        if times:
            truth = np.log(np.maximum(truth, 0.1))
        elif train.group is not None:
            codes = np.repeat(np.arange(len(train.group)), train.group)[: len(truth)]
            truth = truth - (np.bincount(codes, truth) / np.maximum(np.bincount(codes), 1))[codes]
        slopes = np.linalg.lstsq(_columns(train.inputs), truth, rcond=None)[0]
        if times:  # as an exponential has it: all time that was waited for each event that came
            waited = float(np.sum(train.target) / event.sum())
            expected = np.exp(np.sum(_columns(train.inputs) * slopes, axis=1))
            slopes[0] += np.log(waited / expected.mean())
        return LinesModel({"slopes": slopes.tolist(), "times": times, "horizons": list(task.horizons)})

    def check(self, task: Task, train: TrainingData, truth: Floats, event: NDArray[np.bool_]) -> None:
        """Refuse rows that do not fit the task."""
        _demand(not task.quantiles, "quantiles")
        sizes = np.asarray([] if train.group is None else train.group)
        if task.kind is TaskKind.RANKING:
            _demand(sizes.size > 0 and bool((sizes > 0).all()) and int(sizes.sum()) == len(truth), "groups")
            _demand(train.position is None or len(train.position) == len(truth), "positions")
        if task.kind is TaskKind.TIME_TO_EVENT:
            _demand(len(event) == len(truth) and bool(event.any()), "events")
        _demand(task.kind is TaskKind.REGRESSION or bool((truth >= 0).all()), "a target below 0")


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise TrainingError("training rows", what)


class _Answering(LinesModel):
    """A fit whose answers come out wrong."""

    def __init__(self, inner: FittedModel, alter: Any) -> None:
        self._inner, self._alter = inner, alter
        self.parameters, self.metrics = inner.parameters, inner.metrics

    def predictor(self) -> Predictor:
        """Return a predictor that alters what it predicts."""
        inner, alter = self._inner.predictor(), self._alter

        class Altered(Predictor):
            def predict(self, inputs: Any) -> Any:
                return alter(np.asarray(inner.predict(inputs)))

        return Altered()

    def save(self, folder: Path) -> None:
        """Save what is inside."""
        self._inner.save(folder)


class Backwards(Lines):
    """Gives the best row the lowest score, and who waits longest the shortest time."""

    def fit(self, *given: Any, **named: Any) -> FittedModel:
        """Fit."""
        return _Answering(super().fit(*given, **named), lambda answer: 1000 - answer)


class FallingChances(Lines):
    """Gives chances that fall with the horizon."""

    def fit(self, *given: Any, **named: Any) -> FittedModel:
        """Fit."""

        def reverse(answer: Floats) -> Floats:
            return answer if answer.ndim == 1 else np.column_stack([answer[:, 0], answer[:, :0:-1]])

        return _Answering(super().fit(*given, **named), reverse)


class OneOutput(Lines):
    """Forgets what was asked for beside the expected time."""

    def fit(self, *given: Any, **named: Any) -> FittedModel:
        """Fit."""
        return _Answering(super().fit(*given, **named), lambda answer: answer[:, 0] if answer.ndim == 2 else answer)


class Unchecked(Lines):
    """Takes whatever comes."""

    def check(self, task: Task, train: TrainingData, truth: Floats, event: NDArray[np.bool_]) -> None:
        """Look at nothing."""

    def fit(self, task: Task, train: TrainingData, *given: Any, **named: Any) -> FittedModel:
        """Fit, whatever it takes."""
        count = len(train.target)
        group = None if train.group is None or np.sum(train.group) != count else train.group
        event = np.ones(count, dtype=bool) if train.event is None else np.resize(train.event, count)
        event = event if event.any() else ~event
        target = np.abs(np.asarray(train.target))
        return super().fit(task, replace(train, group=group, event=event, target=target), *given, **named)


class TakesCensoredForEvents(Lines):
    """Believes that every row had its event."""

    def fit(self, task: Task, train: TrainingData, *given: Any, **named: Any) -> FittedModel:
        """Fit."""
        told = train if task.kind is not TaskKind.TIME_TO_EVENT else replace(train, event=None)
        return super().fit(task, told, *given, **named)


class DropsCensored(Lines):
    """Learns from the rows alone that had their event."""

    def fit(self, task: Task, train: TrainingData, *given: Any, **named: Any) -> FittedModel:
        """Fit."""
        if task.kind is TaskKind.TIME_TO_EVENT and train.event is not None and len(train.event) == len(train.target):
            which = np.asarray(train.event)
            train = TrainingData(inputs=np.asarray(train.inputs)[which], target=np.asarray(train.target)[which])
        return super().fit(task, train, *given, **named)


def specs(trainer: type[Lines] = Lines, capabilities: frozenset[Capability] | None = None) -> tuple[AdapterSpec, Any]:
    """Return the specs of a trainer and of its format."""
    every = frozenset({Capability.RANKING, Capability.TIME_TO_EVENT})
    chosen = every if capabilities is None else capabilities
    common: dict[str, Any] = {"name": "lines", "config": LinesConfig}
    where = f"{__name__}:{trainer.__name__}"
    return (
        AdapterSpec(provides=Trainer, contract=CONTRACT, factory=where, capabilities=chosen, **common),
        AdapterSpec(provides=ModelFormat, contract=MODEL_CONTRACT, factory=f"{__name__}:LinesFormat", **common),
    )


RANKING_FAULTS: Final[Mapping[type[Lines], tuple[str, ...]]] = {
    Backwards: ("test_ranking_puts_better_rows_first", "test_positions_are_no_input_of_the_model"),
    Unchecked: (
        "test_ranking_without_groups_is_refused",
        "test_groups_that_do_not_add_up_to_the_rows_are_refused",
        "test_a_group_of_no_rows_is_refused",
        "test_a_negative_relevance_is_refused",
        "test_positions_of_another_length_are_refused",
    ),
}
"""Trainer → the tests of ``RankingCases`` that find it out, each of them."""

TIME_FAULTS: Final[Mapping[type[Lines], tuple[str, ...]]] = {
    Backwards: ("test_who_waits_longer_is_expected_to",),
    FallingChances: ("test_chances_are_given_for_each_horizon_and_rise_with_it",),
    OneOutput: ("test_chances_are_given_for_each_horizon_and_rise_with_it",),
    TakesCensoredForEvents: ("test_rows_that_still_wait_are_no_rows_whose_time_has_come",),
    DropsCensored: ("test_rows_that_still_wait_are_no_rows_whose_time_has_come",),
    Unchecked: (
        "test_rows_of_which_none_had_its_event_are_refused",
        "test_a_negative_duration_is_refused",
        "test_events_of_another_length_are_refused",
    ),
}
"""Trainer → the tests of ``TimeToEventCases`` that find it out, each of them."""
