"""The search for parameters: what is tried, what is kept, and what survives a killed process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright.assembly.blueprint import ModelPart, Part, TunePart
from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.shaping import Shaper
from stackwright.workflows.training import tuning
from stackwright.workflows.training.fitting import Fitter
from stackwright.workflows.training.trial_log import TrialLog
from stackwright.workflows.training.trials import Here, Judge, Question, run
from stackwright.workflows.training.tuning import Tuned
from stackwright_interfaces.compute import Inline
from stackwright_interfaces.errors import PluginError, TrainingError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.trainer import Distribution, StopFit
from stackwright_interfaces.types import FLOAT64, Field

QUICK = dict.fromkeys(GATE_OPTIONS, False)
PART = ModelPart(name="m", place="here", service="s@1", target="y", trainer=Part("here", "odd"), transform="log")
SIGNATURE = Signature(inputs=(Field("x", FLOAT64),), outputs=(Field("y", FLOAT64),))
SPACE = {
    "penalty": Distribution(low=1e-6, high=1e3, log=True, default=1e-6),
    "kind": Distribution(choices=("a", "b"), default="a"),
    "depth": Distribution(low=2, high=9, integer=True),
}


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """A target that doubles from 1 to e with x, with errors of 10 %."""
    random = np.random.default_rng(3)
    asked = np.datetime64("2024-01-01", "us") + np.arange(400) * np.timedelta64(1, "D")
    x = random.uniform(0, 1, 400)
    return Dataset({"x": x}, np.exp(x + random.normal(0, 0.1, 400)), asked, asked + np.timedelta64(2, "D"), {})


@pytest.fixture
def fitter(odd: Any) -> Fitter:
    import odd_trainer

    trainer = odd_trainer.OddTrainer(odd_trainer.OddConfig(), None)
    return Fitter(Shaper.of(trainer, PART, SIGNATURE), seed=7, threads=1)


Tune = Callable[..., Tuned]


@pytest.fixture
def tune(fitter: Fitter, rows: Dataset, tmp_path: Path) -> Tune:
    """Searches; every search has a log of its own unless one is given."""
    logs = iter(range(100))

    def search(trials: int, **given: Any) -> Tuned:
        settings = TunePart(trials=trials, **given.pop("settings", {}))
        options: dict[str, Any] = {
            "space": SPACE,
            "judge": Judge("regression", folds=settings.folds),
            "workshop": Here(fitter, rows),
            "executor": Inline(),
            "workers": 1,
            "seed": 7,
            "log": TrialLog(tmp_path / f"{next(logs)}.jsonl"),
            "progress": lambda *_: None,
        }
        return tuning.tune(settings, **{**options, **given})

    return search


def shown(found: Tuned) -> list[dict[str, Any]]:
    return [{name: value for name, value in trial.items() if name != "seconds"} for trial in found.trials]


def test_the_defaults_are_tried_first_and_the_best_is_taken(tune: Tune) -> None:
    found = tune(8, settings={"pruning": False})
    assert [trial["number"] for trial in found.trials] == list(range(8))
    assert found.trials[0]["parameters"] | {"depth": 0} == {"penalty": 1e-6, "kind": "a", "depth": 0}
    best = min(found.trials, key=lambda trial: trial["value"])
    assert best["best"]
    assert found.parameters == best["parameters"]
    for trial in found.trials:
        assert (trial["state"], trial["metric"]) == ("complete", "mae")
        assert trial["seconds"] > 0
        assert 1e-6 <= trial["parameters"]["penalty"] <= 1e3
        assert trial["parameters"]["depth"] in range(2, 10)
        assert trial["parameters"]["kind"] in ("a", "b")


def test_the_search_is_the_same_for_the_same_seed_and_another_for_another(tune: Tune) -> None:
    first = tune(12)
    assert shown(tune(12)) == shown(first)
    assert shown(tune(12, seed=8))[1:] != shown(first)[1:]


def test_a_default_beyond_its_range_is_tried_all_the_same(tune: Tune) -> None:
    found = tune(2, space={"penalty": Distribution(low=1.0, high=2.0, default=1e-6)})
    assert found.trials[0]["parameters"] == {"penalty": 1e-6}


def test_a_value_without_a_logarithm_is_refused_where_that_is_searched(tune: Tune) -> None:
    with pytest.raises(TrainingError, match="parameter 'penalty': it is searched by its logarithm, and 0 has none"):
        tune(2, space={"penalty": Distribution(low=1.0, high=2.0, log=True, default=0.0)})


def test_without_trials_or_anything_to_tune_nothing_is_searched(tune: Tune) -> None:
    assert tune(0) == Tuned()
    assert tune(5, space={}) == Tuned()


def test_a_search_that_was_cut_off_goes_on_and_ends_as_if_it_had_not_been(tune: Tune, tmp_path: Path) -> None:
    whole = tune(14)
    log = TrialLog(tmp_path / "log.jsonl")
    begun: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        tune(14, log=log, executor=_stopping(begun, after=9))
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"number": 9, "dra')  # the line that was being written
    resumed = tune(14, log=log, executor=_stopping(begun, after=99))
    assert begun == [*range(10), *range(9, 14)]
    assert shown(resumed) == shown(whole)
    assert resumed.parameters == whole.parameters


class Begun(ThreadPoolExecutor):
    """Threads; a piece of work that was handed over has begun."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        begun = threading.Event()

        def work() -> Any:
            begun.set()
            return fn(*args, **kwargs)

        future = super().submit(work)
        begun.wait()
        return future


def test_an_interrupted_search_says_that_it_lets_trials_end_and_keeps_them(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        monkeypatch.undo()
        raise KeyboardInterrupt

    log, told = TrialLog(tmp_path / "log.jsonl"), []
    monkeypatch.setattr(tuning, "wait", interrupted)
    with Begun(2) as pool, pytest.raises(KeyboardInterrupt):
        tune(6, log=log, executor=pool, workers=2, progress=lambda *what: told.append(what))
    assert told == [("tune", 0, 6), ("tune", 0, 6), ("letting 2 trials end", 0, 6)]
    assert sorted(entry["number"] for entry in log.read()) == [0, 1]


def _stopping(begun: list[int], after: int) -> Executor:
    class Stopping(Inline):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            begun.append(args[-1].number)
            if len(begun) > after:
                raise KeyboardInterrupt
            return super().submit(fn, *args, **kwargs)

    return Stopping()


def test_more_trials_go_on_where_fewer_ended(tune: Tune, tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "log.jsonl")
    first = tune(5, log=log)
    begun: list[int] = []
    more = tune(8, log=log, executor=_stopping(begun, after=99))
    assert begun == [5, 6, 7]
    assert [trial["value"] for trial in more.trials[:5]] == [trial["value"] for trial in first.trials]


def test_fewer_trials_than_are_finished_give_what_so_many_give(tune: Tune, tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "log.jsonl")
    tune(9, log=log)
    begun: list[int] = []
    fewer = tune(6, log=log, executor=_stopping(begun, after=99))
    assert begun == []
    assert shown(fewer) == shown(tune(6))


def test_a_search_that_is_stopped_leaves_no_trial_waiting(tune: Tune) -> None:
    futures: list[Future[Any]] = []

    class Stopped(Inline):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            if len(futures) == 2:
                raise KeyboardInterrupt
            futures.append(Future())
            return futures[-1]

    with pytest.raises(KeyboardInterrupt):
        tune(5, executor=Stopped(), workers=3)
    assert [future.cancelled() for future in futures] == [True, True]


def test_a_trial_whose_process_is_killed_is_tried_again_and_then_counts_as_failed(tune: Tune) -> None:
    attempts: list[int] = []

    class Deadly(Inline):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            attempts.append(args[-1].number)
            dies = {1: attempts.count(1) == 1, 3: True}
            if not dies.get(attempts[-1], False):
                return super().submit(fn, *args, **kwargs)
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("killed"))
            return future

    found = tune(5, executor=Deadly())
    assert attempts == [0, 1, 1, 2, 3, 3, 4]
    assert [trial["state"] for trial in found.trials] == ["complete"] * 3 + ["failed", "complete"]
    assert "was killed; give [compute] fewer workers" in found.trials[3]["error"]


class Beside(Inline):
    """Runs three trials at once; the one of number 2 takes with it all that run beside it, whenever it is begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.waiting: list[tuple[Future[Any], Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.begun.append(args[-1].number)
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        if self.begun[-1] == 2:
            for other, _ in self.waiting:
                other.set_exception(BrokenProcessPool("killed"))
            self.waiting = []
        elif len(self.begun) > 3:
            future.set_result(self.waiting.pop()[1]())
        return future


def test_a_trial_that_kills_its_process_takes_none_with_it_that_ran_beside_it(tune: Tune, tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "log.jsonl")
    deadly = Beside()
    found = tune(4, executor=deadly, workers=3, log=log)
    assert deadly.begun == [0, 1, 2, 0, 1, 2, 3]
    assert [trial["state"] for trial in found.trials] == ["complete", "complete", "failed", "complete"]
    assert [entry["number"] for entry in log.read()] == [0, 1, 3], "with fewer workers, 2 may be fitted"


def test_where_no_trial_can_be_finished_the_first_error_is_told(tune: Tune, fitter: Fitter, rows: Dataset) -> None:
    def fit(*_: Any, **__: Any) -> Any:
        raise TrainingError("odd", "it does not fit", "Choose another.")

    fitter.shaper.trainer.fit = fit  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"none of 3 trials could be finished; the first: odd: it does not fit"):
        tune(3)


def test_answers_that_are_no_numbers_fail_a_trial(tune: Tune, odd: Any, rows: Dataset) -> None:
    import odd_trainer

    trainer = odd_trainer.OddTrainer(odd_trainer.OddConfig(vice="mute"), None)
    blank = replace(rows, columns={"x": np.where(np.arange(400) > 395, np.nan, rows.columns["x"])})
    with pytest.raises(TrainingError, match="its answers are not finite"):
        tune(1, workshop=Here(Fitter(Shaper.of(trainer, PART, SIGNATURE), seed=7, threads=1), blank))


def test_a_metric_that_is_better_when_higher_is_searched_upward(tune: Tune) -> None:
    found = tune(8, judge=Judge("regression", metric="ppe10"), settings={"pruning": False})
    assert [trial["best"] for trial in found.trials].count(True) == 1
    best = next(trial for trial in found.trials if trial["best"])
    assert best["value"] == max(trial["value"] for trial in found.trials) > 0.3


def test_every_fold_learns_from_what_was_known_before_it(fitter: Fitter, rows: Dataset) -> None:
    late = replace(rows, observed=rows.asked + np.timedelta64(30, "D"))
    for folds, gap, days in ((3, 0.0, 30), (1, 50.0, 50)):
        split = list(Judge("regression", folds=folds, gap=gap).split(late))
        assert len(split) == folds
        assert sum(len(newer) for _, newer in split) == pytest.approx(400 * 0.15 * folds, abs=2)
        for older, newer in split:
            assert (older.observed <= newer.asked[0]).all()
            assert newer.asked[0] - older.asked[-1] >= np.timedelta64(days, "D")


def test_rows_of_too_few_times_say_what_to_change(fitter: Fitter, rows: Dataset) -> None:
    alike = replace(rows, asked=rows.asked[:1].repeat(400))
    with pytest.raises(TrainingError, match=r"do not make 3 folds. .*tune = \{ folds = ..., gap = ... \} lower"):
        list(Judge("regression").split(alike))


class Slow:
    """Steps down to a loss of its own, and says so at each of 40 steps."""

    input = "matrix"
    higher_is_better = frozenset({"f1"})

    def __init__(self, metric: str = "l2") -> None:
        self.steps: list[int] = []
        self.metric = metric

    def fit(self, task: Any, train: Any, valid: Any, params: Any, *, seed: int, threads: int, report: Any) -> Any:
        assert valid is not None
        self.steps.append(0)
        for step in range(1, 41):
            self.steps[-1] = step
            try:
                report(step, 40, {f"train_{self.metric}": 9.0, f"valid_{self.metric}": params["loss"] + 1 / step})
            except StopFit:
                break
        return Constant(params["loss"], float(np.mean(train.target)))


class Constant:
    def __init__(self, loss: float, mean: float) -> None:
        self.parameters = {"loss": loss, "stopped_at": 40}
        self.value = mean + loss

    def predictor(self) -> Constant:
        return self

    def predict(self, inputs: Any) -> Any:
        return np.full(len(inputs), self.value)


@pytest.fixture
def slow(fitter: Fitter) -> Fitter:
    trainer: Any = Slow()
    return replace(fitter, shaper=replace(fitter.shaper, trainer=trainer))


def test_a_trial_worse_than_its_bar_ends_at_that_step(slow: Fitter, rows: Dataset) -> None:
    steps = slow.shaper.trainer.steps  # type: ignore[attr-defined]
    answer = run(Here(slow, rows), Judge("regression"), Question(0, {"loss": 1.0}, {1: 0.5}))
    assert (answer.state, answer.loss, steps) == ("pruned", None, [20])
    assert list(answer.seen) == [0, 1]
    answer = run(Here(slow, rows), Judge("regression"), Question(0, {"loss": 1.0}, {3: 0.5}))
    assert (answer.state, steps) == ("pruned", [20, 40])
    answer = run(Here(slow, rows), Judge("regression"), Question(0, {"loss": 1.0}, {1: 5.0, 11: 0.5}))
    assert (answer.state, steps) == ("complete", [20, 40, 40, 40, 40])
    assert answer.chosen == {"loss": 1.0, "stopped_at": 40}


@pytest.mark.parametrize(
    ("metric", "state"),
    [
        ("l2", "pruned"),
        ("gauchy_auction", "pruned"),
        ("f1", "complete"),
        ("f1@5", "complete"),
        ("recall@5", "complete"),
    ],
)
def test_a_trial_is_not_ended_by_a_value_that_is_declared_better_when_higher(
    slow: Fitter, rows: Dataset, metric: str, state: str
) -> None:
    slow.shaper.trainer.metric = metric  # type: ignore[attr-defined]
    answer = run(Here(slow, rows), Judge("regression"), Question(0, {"loss": 1.0}, {0: 0.5}))
    assert answer.state == state


def test_worse_trials_end_early_once_five_have_run_to_their_end(tune: Tune, slow: Fitter, rows: Dataset) -> None:
    space = {"loss": Distribution(low=0.1, high=2.0, default=0.1)}
    found = tune(20, space=space, workshop=Here(slow, rows))
    states = [trial["state"] for trial in found.trials]
    assert states[:5] == ["complete"] * 5
    assert states.count("pruned") >= 3
    assert all(trial["value"] is None for trial in found.trials if trial["state"] == "pruned")
    unpruned = tune(20, space=space, workshop=Here(slow, rows), settings={"pruning": False})
    assert {trial["state"] for trial in unpruned.trials} == {"complete"}
    assert sum(slow.shaper.trainer.steps[:40]) < sum(slow.shaper.trainer.steps[-60:])  # type: ignore[attr-defined]


def test_no_trial_begins_after_the_time_is_up_but_the_first_always_ends(tune: Tune, tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "log.jsonl")
    found = tune(50, settings={"timeout": 1e-9}, log=log)
    assert [trial["state"] for trial in found.trials] == ["complete"]
    assert [trial["state"] for trial in tune(4, log=log).trials] == ["complete"] * 4


def test_a_trial_that_is_out_of_time_ends_at_its_next_step(slow: Fitter, rows: Dataset) -> None:
    answer = run(Here(slow, rows), Judge("regression"), Question(3, {"loss": 1.0}, seconds=0.0))
    assert answer.state == "pruned"
    assert slow.shaper.trainer.steps == [1]  # type: ignore[attr-defined]


def test_a_trial_that_nobody_waits_for_any_more_ends_at_its_next_step(slow: Fitter, rows: Dataset) -> None:
    class Left(Here):
        def is_open(self) -> bool:
            return False

    answer = run(Left(slow, rows), Judge("regression"), Question(3, {"loss": 1.0}))
    assert answer.state == "pruned"
    assert slow.shaper.trainer.steps == [1]  # type: ignore[attr-defined]


def test_without_optuna_training_says_what_to_install_before_anything_is_done(
    copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with copies.open(trials=3, gates=QUICK) as stack:
        with pytest.raises(PluginError, match=r"needs Optuna. Run: pip install 'stackwright\[tune\]'"):
            stack.train()
        assert stack.runs().data["runs"] == []


def test_trials_are_kept_with_the_version_and_the_run(copies: Any) -> None:
    with copies.open(tune={"trials": 4, "metric": "mape"}, gates=QUICK) as stack:
        stack.train()
        (version,), _ = stack.registry.history()
        (run_,) = stack.registry.runs("valuation")
        shown = stack.runs_show("valuation@1")
        assert not list((stack.project.state / "tuning").glob("*"))
    trials = version.record["trials"]
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3]
    assert {trial["metric"] for trial in trials} == {"mape"}
    assert run_.record["trials"] == trials
    (table,) = (table for table in shown.tables if table.headings[0] == "trial")
    assert [row[0] for row in table.rows] == [
        f"{trial['number']}, the best" if trial["best"] else f"{trial['number']}" for trial in trials
    ]
    assert run_.record["steps"]["tune"] > 0
    best = next(trial for trial in trials if trial["best"])
    assert version.record["parameters"]["penalty"] == best["parameters"]["penalty"]


def test_the_short_form_means_the_same(copies: Any) -> None:
    with copies.open("short", trials=3, gates=QUICK) as stack:
        short = stack.train().data
    with copies.open("long", tune={"trials": 3}, gates=QUICK) as stack:
        assert stack.train().data["digest"] == short["digest"]


KILLED = """
import os, sys
import odd_trainer
import stackwright
from stackwright.assembly.discovery import Plugins

fit, fits = odd_trainer.OddTrainer.fit, []

def counted(self, *given, **named):
    fits.append(1)
    print("fit", flush=True)
    if len(fits) == int(sys.argv[2]):
        os.kill(os.getpid(), 9)
    return fit(self, *given, **named)

odd_trainer.OddTrainer.fit = counted
with stackwright.load(sys.argv[1], plugins=Plugins(extra={"odd": odd_trainer}), progress=lambda *_: None) as stack:
    print("digest", stack.train().data["digest"])
"""


def test_a_training_killed_in_its_search_does_not_run_finished_trials_again(copies: Any) -> None:
    settings = {"tune": {"trials": 6, "folds": 2}, "gates": QUICK}

    def trained(name: str, killed_at: int) -> tuple[int, list[str]]:
        command = [sys.executable, "-c", KILLED, str(copies.copy(name, **settings)), str(killed_at)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
        return done.returncode, done.stdout.splitlines()

    code, lines = trained("killed", 8)
    assert (code, len(lines)) == (-9, 8)
    code, resumed = trained("killed", 99)
    assert code == 0
    assert len(resumed) == 6 * 2 - 3 * 2 + 1 + 1  # three trials of two fits were finished; the fit; the digest
    assert trained("whole", 99)[1][-1] == resumed[-1]
    with copies.load(copies.root / "killed") as stack:
        statuses = {item["status"]: item for item in stack.runs().data["runs"]}
        assert set(statuses) == {"failed", "finished"}
        assert "was killed" in statuses["failed"]["error"]
