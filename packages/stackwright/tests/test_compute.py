"""The compute slot: processes of this machine, one of which may die."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.assembly.blueprint import BlueprintProblems
from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.compute import plugin
from stackwright.compute.local import LocalExecutor
from stackwright.compute.plugin import LocalConfig
from stackwright.workflows.datasets.building import build
from stackwright.workflows.datasets.shaping import Shaper
from stackwright.workflows.training.fitting import Fitter
from stackwright.workflows.training.trials import Elsewhere, _read, _write
from stackwright_dask.executor import DaskExecutor
from stackwright_interfaces.compute import Inline, SupportsWorkers, cores
from stackwright_interfaces.model import Signature
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of
from stackwright_interfaces.types import FLOAT64, Field

SIGNATURE = Signature(inputs=(Field("area", FLOAT64),), outputs=(Field("sale_price", FLOAT64),))
QUICK = dict.fromkeys(GATE_OPTIONS, False)


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    context: Any = None
    made = LocalExecutor(LocalConfig(workers=1), context)
    yield made
    made.shutdown()


TestLocalExecutor = cases_of(spec_of(plugin, Executor))


def test_a_process_that_dies_is_replaced_by_one_with_the_same_share_of_threads(executor: LocalExecutor) -> None:
    first = executor.submit(os.getpid).result()
    assert first != os.getpid()
    assert executor.submit(os.getpid).result() == first
    with pytest.raises(BrokenProcessPool):
        executor.submit(os._exit, 1).result()
    assert executor.submit(os.getpid).result() not in (first, os.getpid())
    assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == str(cores())


def test_the_main_module_of_a_process_finds_its_share_of_threads_when_it_is_imported(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        "import os\n"
        "SEEN = os.environ.get('OMP_NUM_THREADS')\n"
        "def seen():\n"
        "    return SEEN\n"
        "if __name__ == '__main__':\n"
        "    from stackwright.compute.local import LocalExecutor\n"
        "    from stackwright.compute.plugin import LocalConfig\n"
        "    with LocalExecutor(LocalConfig(workers=1), None) as executor:\n"
        "        executor.threads = 3\n"
        "        print(executor.submit(seen).result(), os.environ.get('OMP_NUM_THREADS'))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "None"]


def test_workers_share_the_processors_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackwright.compute.local.cores", lambda: 8)
    context: Any = None
    shares = {given: LocalExecutor(LocalConfig(workers=given), context) for given in (0, 1, 3, 8, 16)}
    assert {given: (made.workers, made.threads) for given, made in shares.items()} == {
        0: (8, 1),
        1: (1, 8),
        3: (3, 2),
        8: (8, 1),
        16: (16, 1),
    }
    assert all(isinstance(made, SupportsWorkers) for made in (*shares.values(), Inline()))


def with_compute(copies: Any, name: str, compute: str, **options: Any) -> Any:
    folder = copies.copy(name, gates=QUICK, **options)
    blueprint = folder / "blueprint.toml"
    if "[compute]" not in blueprint.read_text():
        blueprint.write_text(blueprint.read_text() + f"\n[compute]\n{compute}\n")
    return copies.load(folder)


def test_a_stack_without_the_slot_runs_work_in_its_own_thread(copies: Any) -> None:
    with copies.open(gates=QUICK) as stack:
        assert stack.executor.submit(os.getpid).result() == os.getpid()
        assert stack.context.executor() is stack.executor


def test_trials_in_processes_find_what_one_thread_finds(copies: Any) -> None:
    settings = {"trials": 4, "half_life": 50.0, "rules": {"outliers": {"area": {"clip": [50, 150]}}}}
    with copies.open("inline", gates=QUICK, **settings) as stack:
        inline = stack.train().data["digest"]
        (version,), _ = stack.registry.history()
    with with_compute(copies, "local", 'adapter = "local"\nworkers = 1', **settings) as stack:
        outcome = stack.train()
        (again,), _ = stack.registry.history()
        assert not list(stack.project.cache.glob("tune-*"))
    assert outcome.data["digest"] == inline
    values = [[trial["value"] for trial in item.record["trials"]] for item in (version, again)]
    assert values[0] == pytest.approx(values[1])


def test_a_cluster_that_loses_a_worker_in_the_middle_finds_what_one_thread_finds(
    copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"trials": 4, "half_life": 50.0}
    with copies.open("alone", gates=QUICK, **settings) as stack:
        alone = stack.train().data["digest"]
    submit, given = DaskExecutor.submit, []

    def killing(executor: DaskExecutor, fn: Any, /, *args: Any) -> Any:
        given.append(submit(executor, fn, *args))
        if len(given) == 2:
            os.kill(submit(executor, os.getpid).result(), signal.SIGKILL)
        return given[-1]

    monkeypatch.setattr(DaskExecutor, "submit", killing)
    with with_compute(copies, "cluster", 'adapter = "dask"\nworkers = 1', **settings) as stack:
        found = stack.train().data["digest"]
    assert len(given) >= 4
    assert found == alone


@pytest.mark.nightly
def test_one_fit_is_spread_over_the_workers_of_a_cluster_and_finds_what_one_process_finds(copies: Any) -> None:
    trainer = {"adapter": "lightgbm", "num_iterations": 20, "min_data_in_leaf": 5}
    with copies.open("here", gates=QUICK, trainer=trainer) as stack:
        stack.train()
        (here,), _ = stack.registry.history()
    spread = {**trainer, "distributed": True}
    with with_compute(copies, "spread", 'adapter = "dask"\nworkers = 2', trainer=spread, trials=1) as stack:
        stack.train()
        (version,), _ = stack.registry.history()
        text = (stack.registry.fetch(version) / "model.txt").read_text()
    assert "[tree_learner: data]" in text
    assert [trial["state"] for trial in version.record["trials"]] == ["complete"]
    found, wanted = (item.record["metrics"]["mae"] for item in (version, here))
    assert found == pytest.approx(wanted, rel=0.1)


def test_several_trials_run_at_once_and_every_one_is_kept(copies: Any) -> None:
    with with_compute(copies, "two", 'adapter = "local"\nworkers = 2', trials=5) as stack:
        stack.train()
        (version,), _ = stack.registry.history()
    trials = version.record["trials"]
    assert [trial["number"] for trial in trials] == list(range(5))
    assert trials[0]["parameters"]["penalty"] == 1e-6
    assert {trial["state"] for trial in trials} == {"complete"}


def test_a_search_removes_what_a_killed_one_left_behind_and_nothing_of_one_that_runs(copies: Any) -> None:
    with with_compute(copies, "left", 'adapter = "local"\nworkers = 1', trials=1) as stack:
        cache = stack.project.cache
        killed, running = cache / "tune-killed", cache / "tune-running"
        for folder in (killed, running):
            folder.mkdir(parents=True)
            (folder / "rows.arrow").write_bytes(b"rows")
        holder = os.open(running, os.O_RDONLY)
        fcntl.flock(holder, fcntl.LOCK_EX)
        stack.train()
        os.close(holder)
        assert list(cache.glob("tune-*")) == [running]
        assert (running / "rows.arrow").exists()


def test_rows_cross_to_other_processes_as_they_are(filled: Path, tmp_path: Path) -> None:
    with stackwright.load(filled, progress=lambda *_: None) as stack:
        rows = build(stack, stack.model())
    rows.columns["kind"][3] = None
    _write(tmp_path / "rows.arrow", rows)
    found = _read(tmp_path / "rows.arrow")
    assert found.fingerprint() == rows.fingerprint()
    assert {name: column.dtype for name, column in found.columns.items()} == {
        name: column.dtype for name, column in rows.columns.items()
    }


def test_a_workshop_is_open_as_long_as_its_search_lasts(filled: Path, odd: Any) -> None:
    seen = []
    with stackwright.load(filled, progress=lambda *_: None) as stack:
        rows = build(stack, stack.model())
        fitter: Any = Fitter(Shaper.of(None, stack.model(), SIGNATURE), seed=7, threads=1)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            workshop = Elsewhere.furnished(
                Path(folder), fitter, rows, factory="odd_trainer:OddTrainer", config=None, context=stack.context
            )
            seen.append(workshop.is_open())
        seen.append(workshop.is_open())
    assert seen == [True, False]


@pytest.mark.parametrize(
    ("compute", "told"),
    [
        ('adapter = "dsk"', "no adapter named 'dsk'"),
        ('adapter = "local"\nworkers = -1', "the options are refused (workers is -1; give 0 or more)"),
        ('adapter = "local"\nworker = 1', "unknown key 'worker'. Did you mean 'workers'?"),
    ],
)
def test_what_is_wrong_with_the_slot_is_told(copies: Any, compute: str, told: str) -> None:
    with with_compute(copies, "wrong", compute) as stack, pytest.raises(BlueprintProblems) as caught:
        _ = stack.plan
    assert f"blueprint.toml [compute]: {told}" in str(caught.value)
