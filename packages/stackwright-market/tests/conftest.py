"""Samples made once for all tests, and short ways to read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stackwright_interfaces.plugin import Sample
from stackwright_market.sample import generate

DAY = np.timedelta64(1, "D")


class Made:
    """A sample and the folder it lies in."""

    def __init__(self, folder: Path, blueprint: str, **options: Any) -> None:
        self.folder = folder
        self.told: list[tuple[str, int, int]] = []
        self.sample: Sample = generate(folder, blueprint, options, lambda *told: self.told.append(told))
        self.truth = self.sample.truth
        self.start, self.split, self.end = (
            np.datetime64(self.truth[name].replace("+00:00", ""), "us") for name in ("start", "split", "end")
        )
        self._tables: dict[str, pa.Table] = {}

    def table(self, name: str) -> pa.Table:
        """A table by name."""
        if name not in self._tables:
            self._tables[name] = pq.read_table(self.folder / f"{name}.parquet")
        return self._tables[name]

    def column(self, table: str, name: str) -> Any:
        """A column as numpy: times as datetime64[us] (NaT for null), texts as objects, numbers with NaN for null."""
        values = self.table(table)[name]
        if pa.types.is_timestamp(values.type):
            return values.cast(pa.timestamp("us")).to_numpy()
        return values.to_numpy()

    def by(self, table: str, key: str, name: str) -> dict[Any, Any]:
        """Key → value of a column."""
        return dict(zip(self.column(table, key).tolist(), self.column(table, name), strict=True))


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    def made(blueprint: str, **options: Any) -> Made:
        return Made(tmp_path_factory.mktemp(blueprint), blueprint, **options)

    return made


@pytest.fixture(scope="session")
def market(make: Callable[..., Made]) -> Made:
    """The realtime sample, a third of its usual size."""
    return make("realtime", listings=6_000, events=90_000, persons=1_500)


@pytest.fixture(scope="session")
def clicks(make: Callable[..., Made]) -> Made:
    """The recommender's sample."""
    return make("recommender", listings=6_000, events=150_000, persons=800)


@pytest.fixture(scope="session")
def months(make: Callable[..., Made]) -> Made:
    """The batch sample."""
    return make("batch", listings=2_000, events=5_000, persons=300)
