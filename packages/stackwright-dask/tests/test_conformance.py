"""The kit's cases on worker processes of this machine, and on a cluster that was there before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import ClassVar

import pytest
from distributed import LocalCluster

from stackwright_dask import plugin
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.executor import ExecutorCases
from stackwright_interfaces.testing.kits import cases_of

TestDaskExecutor = cases_of(spec_of(plugin, Executor))


class TestDaskExecutorOfAnAddress(ExecutorCases):
    spec = spec_of(plugin, Executor)
    starts_processes = False
    address: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def cluster(cls) -> Iterator[None]:
        with LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"allowed_failures": 0},
        ) as cluster:
            cls.address = cluster.scheduler_address
            yield

    def config(self, folder: Path) -> plugin.DaskConfig:
        return plugin.DaskConfig(address=self.address)
