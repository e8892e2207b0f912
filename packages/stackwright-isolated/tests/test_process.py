"""A process of its own: what it prints, how it ends, and what whoever called is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import PluginError, TrainingError
from stackwright_interfaces.plugin import Capability
from stackwright_interfaces.testing.adapters import PROTOCOLS, load_factory, spec_of
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import StopFit, Task, TaskKind, Trainer
from stackwright_isolated.testing import build_apart
from stackwright_lightgbm import plugin as lightgbm
from stackwright_python import plugin as python

Make = Callable[[str], Any]

TASK = Task(kind=TaskKind.REGRESSION, signature=SIGNATURE)
ROWS = Homes.make(50, seed=1)

MEAN = """
    import os, sys, time
    from pathlib import Path

    class Model:
        def get_parameters(self):
            return {"do": ""}

        def train(self, inputs, target, params):
            exec(params["do"])
            self.mean = float(target.mean())
            return self

        def predict(self, inputs):
            return [self.mean] * len(inputs)
"""


def fit(trainer: Trainer, do: str = "", **options: Any) -> Any:
    data = ROWS.data(TASK.kind, trainer.input)
    return trainer.fit(TASK, data, None, {"do": do}, seed=1, threads=1, **options)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A trainer apart whose process no test ends."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "project_model.py").write_text(textwrap.dedent(MEAN))
    apart = build_apart(spec_of(python, Trainer), make_context(folder), **{"class": "project_model:Model"})
    yield apart
    apart.close()


def process_of(trainer: Any) -> int:
    number: int = trainer._apart.calls.process.number
    return number


def ended(number: int, *, within: float = 10.0) -> bool:
    """Whether a process ends in time; one that nobody waits for is over as well."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_process_killed_in_a_call_is_told_and_the_next_call_has_another(trainer: Make, tmp_path: Path) -> None:
    apart = trainer(MEAN)
    first = process_of(apart)
    with pytest.raises(TrainingError) as told:
        fit(apart, "print('so far', flush=True); os.kill(os.getpid(), 9)")
    assert "was killed (SIGKILL); the last it said: so far" in told.value.found
    assert "python.log" in told.value.todo
    fitted = fit(apart)
    assert process_of(apart) != first
    assert fitted.predictor().predict(ROWS.inputs("columns")) == pytest.approx(np.full(50, ROWS.price.mean()))


def test_a_process_that_died_between_two_calls_is_not_missed(trainer: Make) -> None:
    apart = trainer(MEAN)
    kept = fit(apart)
    process = apart._apart.calls.process
    os.kill(process.number, signal.SIGKILL)
    while process.usable:  # its threads end one by one
        time.sleep(0.01)
    fit(apart)
    with pytest.raises(TrainingError, match="what it had fitted or loaded with it"):
        kept.predictor()


def test_what_it_prints_goes_into_its_log_and_not_to_us(shared: Any, capfd: pytest.CaptureFixture[str]) -> None:
    fit(shared, "print('progress of the vendor'); sys.stdout.flush(); os.write(2, b'a warning')")
    assert capfd.readouterr() == ("", "")
    log = shared._apart.calls.process.log.read_text()
    assert "progress of the vendor" in log
    assert "a warning" in log


def test_a_fitted_model_outlives_its_trainer_and_the_process_ends_with_it(trainer: Make, tmp_path: Path) -> None:
    apart = trainer(MEAN)
    number = process_of(apart)
    fitted = fit(apart)
    apart.close()
    with pytest.raises(TrainingError, match="was closed"):
        fit(apart)
    (tmp_path / "model").mkdir()
    fitted.save(tmp_path / "model")
    assert list((tmp_path / "model").iterdir())
    assert not ended(number, within=0.2)
    del fitted
    assert ended(number)


def test_a_call_is_answered_while_another_goes_on(shared: Any, tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    wait = f"Path({str(begun)!r}).touch()\nwhile not Path({str(go)!r}).exists(): time.sleep(0.01)"
    fitting = threading.Thread(target=fit, args=(shared, wait))
    fitting.start()
    while not begun.exists():
        time.sleep(0.01)
    assert shared.code()
    assert fitting.is_alive()
    go.touch()
    fitting.join(30)
    assert not fitting.is_alive()


PARENT = """
import sys
from pathlib import Path
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import Task, TaskKind, Trainer
from stackwright_isolated.testing import build_apart
from stackwright_python import plugin

folder = Path(sys.argv[1])
trainer = build_apart(spec_of(plugin, Trainer), make_context(folder), **{"class": "project_model:Model"})

def fit(do):
    data = Homes.make(50, seed=1).data(TaskKind.REGRESSION, trainer.input)
    task = Task(kind=TaskKind.REGRESSION, signature=SIGNATURE)
    return trainer.fit(task, data, None, {"do": do}, seed=1, threads=1)

print(trainer._apart.calls.process.number, flush=True)
try:
    fit("time.sleep(100)")
except KeyboardInterrupt:
    fit("")
    print("stopped, and fitted again", flush=True)
"""


@pytest.fixture
def parent(tmp_path: Path) -> Any:
    """A process that fits for long, apart; and the number of the process that does."""
    (tmp_path / "project_model.py").write_text(textwrap.dedent(MEAN))
    code = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        number = int(parent.stdout.readline())
        time.sleep(0.5)  # into the fit
        yield parent, number
        parent.kill()


def test_a_process_ends_with_whoever_started_it_even_in_a_call(parent: Any) -> None:
    process, number = parent
    process.kill()
    assert ended(number)


@pytest.mark.nightly
def test_an_interrupt_ends_the_call_at_once_and_the_next_call_works(parent: Any) -> None:
    process, number = parent
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "stopped, and fitted again\n"
    assert ended(number)


def test_an_adapters_bug_is_told_with_its_traceback_in_the_log(shared: Any) -> None:
    with pytest.raises(PluginError, match="there is no '__init__'"):
        shared._apart.call("__init__")
    with pytest.raises(PluginError, match=r"the adapter failed: AttributeError.*log"):
        shared._apart.call("no_such_method")
    assert "Traceback" in shared._apart.calls.process.log.read_text()


def test_another_version_of_the_contract_is_refused_when_it_says_hello(tmp_path: Path) -> None:
    spec = replace(spec_of(lightgbm, Trainer), contract=2)
    with pytest.raises(PluginError, match="the adapter was written to version 2 of its contract, this is 1"):
        build_apart(spec, make_context(tmp_path))


def test_options_that_the_adapter_refuses_are_told_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"the isolated 'lightgbm': the options are refused .*num_leavs"):
        build_apart(spec_of(lightgbm, Trainer), make_context(tmp_path), num_leavs=3)


@pytest.fixture(scope="module")
def boosting(tmp_path_factory: pytest.TempPathFactory) -> Any:
    apart = build_apart(spec_of(lightgbm, Trainer), make_context(tmp_path_factory.mktemp("boosting")))
    yield apart
    apart.close()


def boosted(trainer: Trainer, report: Any) -> Any:
    data = ROWS.data(TASK.kind, trainer.input)
    return trainer.fit(TASK, data, data, {"num_iterations": 60}, seed=1, threads=1, report=report)


def test_a_report_is_called_in_the_thread_of_the_caller_and_may_stop_the_fit(boosting: Trainer) -> None:
    seen: list[tuple[int, int, str]] = []

    def report(step: int, steps: int, metrics: Any, /) -> None:
        seen.append((step, steps, threading.current_thread().name))
        if step >= 20:
            raise StopFit

    fitted = boosted(boosting, report)
    assert {name for _, _, name in seen} == {threading.current_thread().name}
    assert fitted.parameters["num_iterations"] < 60


def test_an_error_of_a_report_comes_out_of_the_fit_and_the_adapter_goes_on(boosting: Trainer) -> None:
    class Pruned(Exception):
        pass

    def report(*_: Any) -> None:
        raise Pruned

    number = process_of(boosting)
    with pytest.raises(Pruned):
        boosted(boosting, report)
    assert boosted(boosting, None).metrics is not None
    assert process_of(boosting) == number


def test_a_fit_apart_gives_the_bits_of_a_fit_here(boosting: Trainer, tmp_path: Path) -> None:
    here = load_factory(spec_of(lightgbm, Trainer))(lightgbm.LightGBMConfig(), make_context(tmp_path))
    models = [boosted(trainer, None) for trainer in (boosting, here)]
    for name, model in zip(("apart", "here"), models, strict=True):
        (tmp_path / name).mkdir()
        model.save(tmp_path / name)
    apart, in_process = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("apart", "here")
    )
    assert apart == in_process
    predictions = [model.predictor().predict(ROWS.inputs("matrix")) for model in models]
    assert np.array_equal(*predictions)
    assert models[0].metrics == models[1].metrics


def test_abilities_are_those_that_are_found(boosting: Trainer, shared: Trainer) -> None:
    def found(part: Any) -> set[Capability]:
        return {capability for capability, protocol in PROTOCOLS.items() if isinstance(part, protocol)}

    assert found(boosting) == {
        Capability.PARTS, Capability.QUANTILES, Capability.RANKING, Capability.TIME_TO_EVENT,
    }  # fmt: skip
    assert found(shared) == {Capability.RANKING, Capability.TIME_TO_EVENT}
    assert "ndcg" in boosting.higher_is_better
    assert not shared.higher_is_better
