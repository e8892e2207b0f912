"""One fit on several processes of a cluster, begun by ``train``: rows by reference from any store, a worker killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.datasets import building
from stackwright_interfaces.registry import ModelVersion
from stackwright_lightgbm.trainer import LightGBMTrainer
from stackwright_storage import open_storage

QUICK = dict.fromkeys(GATE_OPTIONS, False)
GROWN = {"adapter": "lightgbm", "num_iterations": 20, "min_data_in_leaf": 5}

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "PART_ROWS", 41)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two processes, which nannies start again."""
    patient = dask.config.set({"distributed.deploy.lost-worker-timeout": "120s"})
    address = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with patient, LocalCluster(n_workers=2, threads_per_worker=1, **address) as started:
        yield started.scheduler_address


def trained(
    copies: Any, name: str, cluster: str = "", market: Any = None, grown: Any = None, compute: str = "", **options: Any
) -> ModelVersion:
    """Train on a cluster, or in this process.

    Args:
        cluster: its address; else there is none, or the one that ``compute`` says.
        market: where a history on Spark is to come from; else it is the one on DuckDB.
        grown: options of the trainer.
        options: of the model.
    """
    compute = f'address = "{cluster}"' if cluster else compute
    folder = copies.copy(name, gates=QUICK, trainer={**GROWN, **(grown or {}), "distributed": bool(compute)}, **options)
    blueprint = folder / "blueprint.toml"
    text = blueprint.read_text() + (f'\n[compute]\nadapter = "dask"\n{compute}\n' if compute else "")
    if market is not None:
        before, after = 'adapter = "duckdb", path = "data"', 'adapter = "spark", path = "spark", driver_memory = "1g"'
        assert before in text
        text = text.replace(before, after)
    blueprint.write_text(text)
    with copies.load(folder) as stack:
        if market is not None:
            stack.apply()
            stack.ingest("homes", market.homes)
            stack.ingest("visits", market.visits)
        stack.train()
        (version,), _ = stack.registry.history()
    return version


def test_rows_that_spark_joins_in_parts_come_to_the_model_of_rows_that_duckdb_joined(
    copies: Any, market: Any, cluster: str
) -> None:
    here = trained(copies, "here")
    duckdb, spark = trained(copies, "duckdb", cluster), trained(copies, "spark", cluster, market)
    assert spark.record["data"] == duckdb.record["data"] == here.record["data"]
    assert spark.digest == duckdb.digest
    assert spark.record["metrics"]["mae"] == pytest.approx(here.record["metrics"]["mae"], rel=0.1)


def kill_in_the_middle(client: Client) -> bool:
    """Kill a worker a while after it began to grow trees; return whether the workers began again."""
    pids = client.run(os.getpid)
    (worker, grown), *_ = _growing(client, lambda _: True)
    time.sleep(1)
    assert grown & set(client.processing().get(worker, ()))
    os.kill(pids[worker], signal.SIGKILL)
    return bool(_growing(client, lambda keys: not keys & grown))


def _growing(client: Client, wanted: Callable[[set[str]], bool]) -> list[tuple[str, set[str]]]:
    """Wait until workers grow trees; return who grows what."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        there = {worker: {key for key in keys if "_train_part" in key} for worker, keys in client.processing().items()}
        found = [(worker, keys) for worker, keys in there.items() if keys and wanted(keys)]
        if found:
            return found
        time.sleep(0.05)
    return []


def test_a_worker_that_is_killed_during_a_training_changes_nothing_in_what_is_published(
    copies: Any, cluster: str
) -> None:
    long = {"num_iterations": 3000}
    whole = trained(copies, "whole", cluster, grown=long)
    with Client(cluster, set_as_default=False) as client, ThreadPoolExecutor(1) as beside:
        killing = beside.submit(kill_in_the_middle, client)
        found = trained(copies, "killed", cluster, grown=long)
        assert killing.result()
    assert found.digest == whole.digest
    here = trained(copies, "here", grown=long)
    assert found.record["data"] == here.record["data"]
    assert found.record["metrics"]["mae"] == pytest.approx(here.record["metrics"]["mae"], rel=0.1)


def test_workers_read_their_rows_from_a_bucket(
    copies: Any, cluster: str, s3: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, url = trained(copies, "seen", cluster), s3()
    fit_parts = LightGBMTrainer.fit_parts

    def apart(*given: Any, **more: Any) -> Any:
        (folder,) = (path for path in (copies.root / "apart").rglob("rows-*") if path.is_dir())
        away = folder.rename(copies.root / "away")
        try:
            return fit_parts(*given, **more)
        finally:
            away.rename(folder)

    monkeypatch.setattr(LightGBMTrainer, "fit_parts", apart)
    assert trained(copies, "apart", compute=f'workers = 2\nshare = "{url}"').digest == seen.digest
    assert not list(open_storage(url).list())


@pytest.mark.parametrize(
    "model",
    [{}, {"trials": 2}, {"task": "time_to_event", "transform": "none"}],
    ids=["rows by reference", "after a search", "times to an event"],
)
def test_what_a_cluster_grew_it_grows_again(copies: Any, cluster: str, model: dict[str, Any]) -> None:
    version = trained(copies, "grown", cluster, **model)
    assert version.record["parameters"]["dask_workers"] == 2
    with copies.load(copies.root / "grown") as stack:
        found = stack.reproduce(version.ref)
    assert found.ok, str(found)
