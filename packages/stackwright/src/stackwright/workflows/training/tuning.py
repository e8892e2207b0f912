"""The search for parameters: Optuna proposes, the compute slot runs the trials, and what is finished stays finished.

Every proposal depends on the seed, its number and the trials before it alone: with one worker, the same data and
settings give the same search, whether or not it was interrupted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import numpy as np

from stackwright.assembly.blueprint import TunePart
from stackwright.workflows.training import trials
from stackwright.workflows.training.trial_log import TrialLog
from stackwright.workflows.training.trials import CHECKS, Answer, Judge, Question, Workshop
from stackwright_interfaces.errors import PluginError, TrainingError
from stackwright_interfaces.trainer import Distribution

Progress = Callable[[str, int, int], None]

STARTUP: Final = 5
"""Trials that run to their end before any is ended early."""

_KILLED: Final = "the process that ran it was killed; give [compute] fewer workers where memory ran out"


def check_installed() -> None:
    """See that parameters can be searched for.

    Raises:
        PluginError: Optuna is not installed.
    """
    _optuna()


def _optuna() -> ModuleType:
    try:
        return import_module("optuna")
    except ImportError as error:
        todo = "Run: pip install 'stackwright[tune]', or remove tune and trials from the blueprint."
        raise PluginError("blueprint.toml tune", "a search for parameters needs Optuna", todo) from error


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Args:
        parameters: of the best trial; empty where nothing was searched.
        trials: every trial, JSON values, by number.
        cpu_elsewhere: CPU seconds of trials in other processes.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)
    cpu_elsewhere: float = 0.0


def tune(
    settings: TunePart,
    space: Mapping[str, Distribution],
    judge: Judge,
    workshop: Workshop,
    executor: Executor,
    *,
    workers: int,
    seed: int,
    log: TrialLog,
    progress: Progress,
) -> Tuned:
    """Try the defaults, then what Optuna proposes; return the best parameters and every trial.

    Args:
        workshop: where trials find the rows and what to fit.
        executor: runs trials.
        workers: how many run at once.
        log: the trials that are finished already, and where those of this search go.

    Raises:
        PluginError: Optuna is not installed.
        TrainingError: a parameter cannot be searched, or no trial could be finished.
    """
    if not settings.trials or not space:
        return Tuned()
    search = _Search(settings, space, judge, seed, log)
    try:
        while (question := search.next(workers)) or search.running:
            if question:
                progress("tune", len(search.done), settings.trials)
                search.running[executor.submit(trials.run, workshop, judge, question)] = question
                continue
            finished, _ = wait(search.running, return_when=FIRST_COMPLETED)
            for future in sorted(finished, key=lambda item: search.running[item].number):
                search.take(search.running.pop(future), _answer(future))
    except KeyboardInterrupt:
        search.drain(progress)
        raise
    finally:
        for future in search.running:
            future.cancel()
    progress("tune", settings.trials, settings.trials)
    return search.result()


def _answer(future: Future[Answer]) -> Answer | None:
    """Return a trial's answer, or ``None`` where its process died."""
    try:
        return future.result()
    except BrokenExecutor:
        return None


class _Search:
    """The state of a search."""

    def __init__(
        self, settings: TunePart, space: Mapping[str, Distribution], judge: Judge, seed: int, log: TrialLog
    ) -> None:
        self._optuna = _optuna()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self._settings, self._judge, self._seed, self._log = settings, judge, seed, log
        self._space = {name: _Dimension(name, item, self._optuna) for name, item in space.items()}
        self._distributions = {name: item.distribution for name, item in self._space.items()}
        self._study = self._optuna.create_study(sampler=self._sampler(0))
        self._asked: dict[int, Any] = {}
        self._struck: list[Question] = []
        self._alone: Question | None = None
        self._began = time.monotonic()
        self._cpu = 0.0
        self.running: dict[Future[Answer], Question] = {}
        self.done: dict[int, Mapping[str, Any]] = {}
        wanted = (entry for entry in log.read() if entry["number"] < settings.trials)
        for entry in wanted:
            with suppress(ValueError, KeyError, TypeError):  # of a trial that no longer fits, nothing is taken over
                self._study.add_trial(self._trial(entry))
                self.done[entry["number"]] = entry

    def next(self, workers: int) -> Question | None:
        """Return the trial to begin now; ``None`` where one has to end first, or none is left.

        Trials whose process was killed are begun again one after the other, with no other beside them: a process takes
        with it what runs beside it, and alone it shows which trial it was.
        """
        left = self._left()
        if self._struck:
            if self.running:
                return None
            self._alone = replace(self._struck.pop(0), seconds=left)
            return self._alone
        full = len(self.running) >= (1 if self._alone else workers)
        whole = len(self.done) + len(self.running) >= self._settings.trials
        return None if full or whole or (left is not None and left <= 0) else self._ask()

    def _left(self) -> float | None:
        """Return the seconds left, ``None`` without a limit; the first trial always runs to its end."""
        if not self._settings.timeout or not self.done:
            return None
        return self._settings.timeout - (time.monotonic() - self._began)

    def _sampler(self, number: int) -> Any:
        seed = np.random.SeedSequence([self._seed, number]).generate_state(1)[0]
        return self._optuna.samplers.TPESampler(seed=int(seed))

    def _ask(self) -> Question:
        """Return the next trial: the lowest number that is neither done nor under way."""
        taken = {*self.done, *(question.number for question in self.running.values())}
        number = next(number for number in range(self._settings.trials) if number not in taken)
        self._study.sampler = self._sampler(number)
        if number == 0:
            self._study.enqueue_trial(
                {name: item.first for name, item in self._space.items() if item.first is not None}
            )
        trial = self._study.ask(self._distributions)
        self._asked[number] = trial
        return Question(number, self._values(trial.params), self._bars(), self._left())

    def _values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        return {name: item.value(drawn[name]) for name, item in self._space.items()}

    def _bars(self) -> dict[int, float]:
        """Return the median loss of complete trials at each check (the median stopping rule, Golovin et al. 2017)."""
        complete = [entry["seen"] for entry in self.done.values() if entry["state"] == "complete"]
        if not self._settings.pruning or len(complete) < STARTUP:
            return {}
        checks = range(CHECKS * self._judge.folds - 1)
        seen = {check: [item[str(check)] for item in complete if str(check) in item] for check in checks}
        return {check: float(np.median(losses)) for check, losses in seen.items() if len(losses) >= STARTUP}

    def take(self, question: Question, answer: Answer | None) -> None:
        """Take note of a trial that ended.

        Args:
            answer: ``None`` where its process died.
        """
        alone, self._alone = self._alone is question, None
        if answer is not None:
            kept = answer.state != "pruned" or question.seconds is None  # what ended for want of time is tried anew
            self._tell(question, answer, kept=kept)
        elif alone:
            self._tell(question, Answer("failed", error=_KILLED), kept=False)  # with more memory it may be fitted
        else:
            self._struck.append(question)

    def drain(self, progress: Progress) -> None:
        """Begin no more, let the trials that are under way end, and keep what they found."""
        under_way = {future: question for future, question in self.running.items() if not future.cancel()}
        self.running.clear()
        if not under_way:
            return
        count = len(under_way)
        progress(f"letting {count} trial{'s' if count > 1 else ''} end", len(self.done), self._settings.trials)
        wait(under_way)
        for future, question in sorted(under_way.items(), key=lambda item: item[1].number):
            if future.exception() is None:
                self.take(question, future.result())

    def _tell(self, question: Question, answer: Answer, *, kept: bool) -> None:
        trial = self._asked.pop(question.number)
        entry = {
            "number": question.number,
            "drawn": dict(trial.params),
            "state": answer.state,
            "loss": answer.loss,
            "chosen": dict(answer.chosen),
            "seen": {str(check): loss for check, loss in sorted(answer.seen.items())},
            "seconds": answer.seconds,
            "error": answer.error,
        }
        for check, loss in sorted(answer.seen.items()):
            trial.report(loss, check)
        self._study.tell(trial, answer.loss, state=self._state(answer.state))
        self.done[question.number] = entry
        self._cpu += answer.cpu if answer.process != os.getpid() else 0.0
        if kept:
            self._log.append(entry)

    def _state(self, name: str) -> Any:
        states = self._optuna.trial.TrialState
        return {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[name]

    def _trial(self, entry: Mapping[str, Any]) -> Any:
        return self._optuna.trial.create_trial(
            state=self._state(entry["state"]),
            value=entry["loss"],
            params=dict(entry["drawn"]),
            distributions=self._distributions,
            intermediate_values={int(check): loss for check, loss in entry["seen"].items()},
        )

    def result(self) -> Tuned:
        """Return the best trial's parameters and all trials.

        Raises:
            TrainingError: none was finished.
        """
        entries = [self.done[number] for number in sorted(self.done)]
        complete = [entry for entry in entries if entry["state"] == "complete"]
        if not complete:
            errors = [entry["error"] for entry in entries if entry["error"]]
            found = (
                f"none of {len(entries)} trials could be finished; the first: {errors[0] if errors else 'ended early'}"
            )
            raise TrainingError("tune", found, "Mend what it names, or train without tune first.")
        best = min(complete, key=lambda entry: (entry["loss"], entry["number"]))
        return Tuned(dict(best["chosen"]), [self._shown(entry, best) for entry in entries], self._cpu)

    def _shown(self, entry: Mapping[str, Any], best: Mapping[str, Any]) -> dict[str, Any]:
        loss = entry["loss"]
        return {
            "number": entry["number"],
            "parameters": self._values(entry["drawn"]),
            "state": entry["state"],
            "metric": self._judge.compared,
            "value": None if loss is None else self._judge.sign * loss,
            "seconds": entry["seconds"],
            "best": entry is best,
            **({"error": entry["error"]} if entry["error"] else {}),
        }


class _Dimension:
    """A parameter as Optuna draws it: choices by their place.

    Raises:
        TrainingError: the logarithm of a range is searched that is not above 0.
    """

    def __init__(self, name: str, item: Distribution, optuna: ModuleType) -> None:
        self._choices: Sequence[Any] = item.choices
        self.first = item.default
        if item.choices:
            self.distribution = optuna.distributions.CategoricalDistribution(list(range(len(item.choices))))
            self.first = item.choices.index(item.default) if item.default in item.choices else None
            return
        known = [item.low, item.high, *([] if item.default is None else [item.default])]
        low, high = min(known), max(known)
        if item.log and low <= 0:
            found = f"it is searched by its logarithm, and {low:g} has none"
            raise TrainingError(f"parameter {name!r}", found, "Give it a value above 0.")
        if item.integer:
            self.distribution = optuna.distributions.IntDistribution(int(low), int(high), log=item.log)
        else:
            self.distribution = optuna.distributions.FloatDistribution(float(low), float(high), log=item.log)

    def value(self, drawn: Any) -> Any:
        """Return the parameter that a draw stands for."""
        return self._choices[drawn] if self._choices else drawn
