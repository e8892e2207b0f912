"""The kits of the contracts on adapters that run apart: by night whole, by day what crosses in a way of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from stackwright_duckdb import plugin as duckdb
from stackwright_evidently import plugin as evidently
from stackwright_interfaces.feature_store import OfflineStore
from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.monitor import Monitor
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.monitor import MonitorCases
from stackwright_interfaces.testing.offline_store import OfflineStoreCases, SQLCases
from stackwright_interfaces.testing.trainer import (
    ClassificationCases,
    PartsCases,
    QuantileCases,
    RankingCases,
    TimeToEventCases,
    TrainerCases,
)
from stackwright_interfaces.trainer import Trainer
from stackwright_isolated.testing import Isolated
from stackwright_lightgbm import plugin as lightgbm
from stackwright_sklearn import plugin as sklearn


@pytest.mark.nightly
@pytest.mark.timeout(1200)
class TestIsolatedDuckDB(Isolated, SQLCases, OfflineStoreCases):
    spec = spec_of(duckdb, OfflineStore)

    def config(self, folder: Path) -> duckdb.DuckDBConfig:
        return duckdb.DuckDBConfig(path=folder / "history")


@pytest.mark.nightly
class TestIsolatedLightGBM(
    Isolated, PartsCases, QuantileCases, TimeToEventCases, RankingCases, ClassificationCases, TrainerCases
):
    spec = spec_of(lightgbm, Trainer)
    format_spec = spec_of(lightgbm, ModelFormat)
    quick: ClassVar[dict[str, Any]] = {"num_iterations": 100}
    overfit: ClassVar[dict[str, Any]] = {"min_data_in_leaf": 1, "learning_rate": 0.2, "num_iterations": 200}
    nonsense = ({"num_leaves": -1}, {"num_leavs": 31}, {"monotone": {"place": 1}})


@pytest.mark.nightly
class TestIsolatedSklearn(Isolated, ClassificationCases, TrainerCases):
    """A trainer that takes columns: texts, nulls and numbers cross as they are."""

    spec = spec_of(sklearn, Trainer)
    format_spec = spec_of(sklearn, ModelFormat)
    quick: ClassVar[dict[str, Any]] = {"max_iter": 40}
    overfit: ClassVar[dict[str, Any]] = {"min_samples_leaf": 1, "learning_rate": 0.3}
    nonsense = ({"max_iter": -1}, {"max_itr": 100}, {"estimator": "sklearn.linear_model.Rigde"})


@pytest.mark.nightly
class TestIsolatedEvidently(Isolated, MonitorCases):
    spec = spec_of(evidently, Monitor)

    def config(self, folder: Path) -> evidently.EvidentlyConfig:
        return evidently.EvidentlyConfig(summary=False)
