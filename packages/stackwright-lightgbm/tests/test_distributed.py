"""Fits on the workers of a Dask cluster of this machine, one of which may be killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster, Lock
from distributed.comm import CommClosedError

from stackwright_interfaces.compute import Inline
from stackwright_interfaces.errors import DataError, PluginError, TrainingError
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.testing.trainer_tasks import Referred
from stackwright_interfaces.trainer import FittedModel, Task, TaskKind, TrainingParts
from stackwright_lightgbm import placing, spread
from stackwright_lightgbm.native import parameter_aliases
from stackwright_lightgbm.plugin import LightGBMConfig
from stackwright_lightgbm.settings import resolve
from stackwright_lightgbm.trainer import LightGBMTrainer

Fit = Callable[..., FittedModel]
HOMES = Homes.make(4000, seed=1)


class Slot(Inline):
    """A compute slot over a cluster that is there."""

    library = "distributed"

    def __init__(self, cluster: LocalCluster) -> None:
        super().__init__()
        self.cluster = cluster

    def client(self) -> Client:
        return Client(self.cluster.scheduler_address, set_as_default=False)


class Elsewhere(Slot):
    """Workers that have another LightGBM."""

    def __init__(self, cluster: LocalCluster, theirs: Any) -> None:
        super().__init__(cluster)
        self.theirs = theirs

    def client(self) -> Client:
        client = super().client()
        client.run = lambda *_, workers, **__: dict.fromkeys(workers, self.theirs)
        return client


@pytest.fixture(scope="module")
def slot() -> Iterator[Slot]:
    patient = dask.config.set(
        {"distributed.deploy.lost-worker-timeout": "120s"}
    )  # else a slow machine loses its nannies
    address = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with patient, LocalCluster(n_workers=2, threads_per_worker=1, **address) as cluster:
        yield Slot(cluster)


@pytest.fixture(scope="module")
def near() -> Iterator[Slot]:
    """One worker, of this process."""
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        yield Slot(cluster)


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    def run(
        slot: Inline | None,
        kind: TaskKind = TaskKind.REGRESSION,
        parts: TrainingParts | None = None,
        **options: Any,
    ) -> FittedModel:
        config = LightGBMConfig(distributed=slot is not None, **{"num_iterations": 60, **options})
        context = make_context(tmp_path)
        trainer = LightGBMTrainer(config, context if slot is None else _with(context, slot))
        task = Task(kind=kind, signature=SIGNATURE)
        if parts is not None:
            return trainer.fit_parts(task, parts, {}, seed=3, threads=1)
        return trainer.fit(task, HOMES.data(kind, "matrix"), None, {}, seed=3, threads=1)

    return run


def _with(context: Any, slot: Inline) -> Any:
    return replace(context, executor=lambda: slot)


def error(fitted: FittedModel) -> float:
    newer = Homes.make(2000, seed=2)
    answers = fitted.predictor().predict(newer.inputs("matrix"))
    return float(np.abs(answers - newer.price).mean())


def text_of(fitted: FittedModel, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    fitted.save(folder)
    return (folder / "model.txt").read_text()


def test_two_workers_find_what_one_process_finds(
    fit: Fit, slot: Slot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone, spread_ = fit(None), fit(slot)
    assert capsys.readouterr().out == ""
    assert error(spread_) == pytest.approx(error(alone), rel=0.05)
    assert spread_.parameters == {**alone.parameters, "dask_workers": 2}
    text = text_of(spread_, tmp_path / "saved")
    assert "[tree_learner: data]" in text
    assert "127.0.0.1" not in text
    assert "[num_machines: 1]" in text


def test_as_many_workers_grow_the_same_trees_again(fit: Fit, slot: Slot, tmp_path: Path) -> None:
    texts = [text_of(fit(slot, bagging_fraction=0.7), tmp_path / name) for name in ("first", "again")]
    assert texts[0] == texts[1]


def test_on_as_many_workers_as_are_asked_for_where_there_are_more(fit: Fit, slot: Slot) -> None:
    found = fit(slot, num_iterations=5, params={"dask_workers": 1})
    assert found.parameters["dask_workers"] == 1
    with pytest.raises(TrainingError, match="parameter 'dask_workers': 0"):
        fit(slot, params={"dask_workers": 0})


def test_on_one_worker_the_trees_are_those_of_a_fit_here(fit: Fit, near: Slot, tmp_path: Path) -> None:
    found = text_of(fit(near, bagging_fraction=0.8), tmp_path / "cluster")
    here = text_of(fit(None, bagging_fraction=0.8), tmp_path / "here")
    trees = [text[text.index("\nTree=0") : text.index("\nparameters:")] for text in (found, here)]
    assert trees[0] == trees[1]


def by_reference(kind: TaskKind = TaskKind.REGRESSION, ends: int | None = None) -> Referred:
    return Referred(HOMES.data(kind, "matrix"), ends)


@pytest.mark.parametrize("kind", [TaskKind.REGRESSION, TaskKind.CLASSIFICATION])
def test_rows_that_the_workers_read_grow_the_trees_of_rows_that_are_sent_to_them(
    fit: Fit, slot: Slot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: TaskKind
) -> None:
    monkeypatch.setattr(placing, "_PART_BYTES", 30_000)  # several parts on each worker
    sent, read = fit(slot, kind, num_iterations=20), fit(slot, kind, by_reference(kind), num_iterations=20)
    assert text_of(read, tmp_path / "read") == text_of(sent, tmp_path / "sent")
    assert read.parameters == sent.parameters


def test_a_worker_may_read_rows_of_one_class_as_long_as_another_reads_the_other(fit: Fit, slot: Slot) -> None:
    halves = replace(HOMES.data(TaskKind.CLASSIFICATION, "matrix"), target=np.repeat([1.0, 0.0], len(HOMES) // 2))
    found = fit(slot, TaskKind.CLASSIFICATION, Referred(halves), num_iterations=2)
    assert found.parameters["dask_workers"] == 2


def test_what_is_wrong_with_rows_that_workers_read_is_told_as_it_is(fit: Fit, slot: Slot) -> None:
    with pytest.raises(DataError, match="homes: the rows from 3000 on are lost"):
        fit(slot, parts=by_reference(ends=3000))
    with pytest.raises(TrainingError, match="training rows: there are none"):
        fit(slot, parts=Referred(HOMES.take(slice(0)).data(TaskKind.REGRESSION, "matrix")))
    alike = Referred(Homes(HOMES.columns, np.ones(len(HOMES))).data(TaskKind.CLASSIFICATION, "matrix"))
    with pytest.raises(TrainingError, match="every target is 0"):
        fit(slot, TaskKind.CLASSIFICATION, alike)


def test_classes_are_learned_too(fit: Fit, slot: Slot) -> None:
    alone, spread_ = (
        fit(where, TaskKind.CLASSIFICATION).predictor().predict(HOMES.inputs("matrix")) for where in (None, slot)
    )
    assert np.abs(alone - spread_).mean() < 0.03


def test_what_cannot_be_spread_is_told(fit: Fit, slot: Slot) -> None:
    with pytest.raises(TrainingError, match="the compute slot holds no Dask cluster"):
        fit(Inline())
    with pytest.raises(TrainingError, match="lists are not spread over workers"):
        fit(slot, TaskKind.RANKING)
    with pytest.raises(TrainingError, match="each worker would stop by its own rows"):
        fit(slot, early_stopping_round=5)
    with pytest.raises(TrainingError, match="parameter 'max_bin'"):
        fit(slot, params={"max_bin": -1})


def test_a_scheduler_that_goes_away_is_told(fit: Fit, slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Any) -> None:
        raise CommClosedError("in <TCP>: closed")

    monkeypatch.setattr(spread, "_LOOK", 0.1)
    monkeypatch.setattr(spread._Fit, "_check_workers", gone)
    with pytest.raises(TrainingError, match="the Dask cluster: its scheduler cannot be reached any more"):
        fit(slot, num_iterations=200)


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ("4.0.0", f"runs lightgbm 4.0.0 .here {version('lightgbm')}."),
        (PackageNotFoundError("lightgbm"), "not installed"),
    ],
)
def test_workers_without_this_lightgbm_are_refused_before_rows_are_sent(
    fit: Fit, near: Slot, monkeypatch: pytest.MonkeyPatch, theirs: Any, told: str
) -> None:
    monkeypatch.delattr(spread._Fit, "_on_workers")
    with pytest.raises(PluginError, match=told):
        fit(Elsewhere(near.cluster, theirs))


@pytest.mark.parametrize("error", [OSError("No space left on device"), AttributeError("no params"), CancelledError()])
def test_an_error_of_the_fit_is_told_as_such(
    fit: Fit, near: Slot, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(_: Any) -> None:
        raise error

    monkeypatch.setattr(spread, "_TOLD", 0.0)
    monkeypatch.setattr(spread._Fit, "_on_workers", fails)
    with pytest.raises(TrainingError, match=f"the fit failed there .{type(error).__name__}: {error}"):
        fit(near)


def test_a_fit_waits_until_another_on_the_cluster_is_done(fit: Fit, near: Slot) -> None:
    with near.client() as client, client.as_current():
        other = Lock("stackwright-lightgbm")
        other.acquire()
        done = threading.Thread(target=fit, args=[near], kwargs={"num_iterations": 2}, daemon=True)
        done.start()
        done.join(1.5)
        assert done.is_alive()
        other.release()
        done.join(30)
        assert not done.is_alive()


@contextmanager
def looking(
    monkeypatch: pytest.MonkeyPatch, fitted: Callable[[Any], Any], look: Callable[[Any], None]
) -> Iterator[None]:
    """Exchange what a fit does after its beginning, and the look at its workers; nobody is started anew."""
    with monkeypatch.context() as patch:
        patch.setattr(spread, "_LOOK", 0.05)
        patch.setattr(spread, "_free_the_others", lambda *_: None)
        patch.setattr(spread._Fit, "_on_workers", fitted)
        patch.setattr(spread._Fit, "_check_workers", look)
        yield


def lost(_: Any) -> None:
    raise spread._WorkerLostError("tcp://127.0.0.1:1")


def test_fits_that_are_left_behind_change_nothing_of_the_process(
    fit: Fit, near: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, ended = (sys.stdout, dask.config.get("scheduler", None)), threading.Event()
    with looking(monkeypatch, lambda _: ended.wait(20), lost):
        with pytest.raises(TrainingError, match=f"in each of {spread.TRIES} tries a worker died"):
            fit(near)
        now = sys.stdout, dask.config.get("scheduler", None)
        ended.set()
        for left in [thread for thread in threading.enumerate() if thread.name == "lightgbm.dask"]:
            left.join(20)
    assert now == before
    assert dask.config.get("scheduler", None) == before[1]


def test_a_worker_that_came_back_under_its_old_address_is_missed(near: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    task, data = Task(kind=TaskKind.REGRESSION, signature=SIGNATURE), HOMES.data(TaskKind.REGRESSION, "matrix")
    with near.client() as client:
        there = client.scheduler_info()["workers"]
        lives = {address: worker["local_directory"] for address, worker in there.items()}
        settings = resolve(LightGBMConfig(), task, {}, parameter_aliases())
        fit = spread._Fit(client, lives, task, data, settings, 3)
        fit._check_workers()
        fit = spread._Fit(client, dict.fromkeys(lives, "/tmp/of-its-life-before"), task, data, settings, 3)
        with pytest.raises(spread._WorkerLostError):
            fit._check_workers()


def test_a_fit_that_is_done_is_kept_though_a_worker_dies_after_it(near: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    task, data = Task(kind=TaskKind.REGRESSION, signature=SIGNATURE), HOMES.data(TaskKind.REGRESSION, "matrix")
    settings = resolve(LightGBMConfig(), task, {}, parameter_aliases())
    monkeypatch.setattr(spread._Fit, "_fitted", lambda _: "tree")
    monkeypatch.setattr(spread._Fit, "_check_workers", lost)
    with near.client() as client:
        fit = spread._Fit(client, {"tcp://127.0.0.1:1": "/tmp/worker"}, task, data, settings, 3)
        assert fit.result() == spread.Grown("tree", 1)


def kill_at_every_fourth_look(slot: Slot, patch: pytest.MonkeyPatch, kills: int) -> list[int]:
    """Kill a worker two seconds into a fit, so often; give those that were killed."""
    look, looks, killed = spread._Fit._check_workers, [0], list[int]()

    def killing(fit: Any) -> None:
        looks[0] += 1
        if looks[0] % 4 == 0 and len(killed) < kills:
            with slot.client() as client:
                killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[-1], signal.SIGKILL)
        look(fit)

    patch.setattr(spread._Fit, "_check_workers", killing)
    return killed


@pytest.mark.nightly
def test_a_fit_whose_worker_is_killed_begins_again(fit: Fit, slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = kill_at_every_fourth_look(slot, monkeypatch, kills=1)
    found = fit(slot, num_iterations=1500)
    assert len(killed) == 1
    assert error(found) == pytest.approx(error(fit(None, num_iterations=600)), rel=0.05)


@pytest.mark.nightly
def test_a_worker_that_is_killed_changes_nothing_in_what_rows_by_reference_come_to(
    fit: Fit, slot: Slot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = text_of(fit(slot, num_iterations=1500), tmp_path / "whole")
    killed = kill_at_every_fourth_look(slot, monkeypatch, kills=1)
    found = fit(slot, parts=by_reference(), num_iterations=1500)
    assert len(killed) == 1
    assert text_of(found, tmp_path / "again") == whole


@pytest.mark.nightly
def test_a_fit_whose_workers_die_each_time_says_so(fit: Fit, slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = kill_at_every_fourth_look(slot, monkeypatch, kills=spread.TRIES)
    with pytest.raises(TrainingError, match=f"in each of {spread.TRIES} tries a worker died"):
        fit(slot, num_iterations=3000)
    assert len(set(killed)) == spread.TRIES
