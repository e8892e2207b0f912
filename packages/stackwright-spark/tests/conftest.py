"""One Spark application for all tests, as if the user had started it; stores over folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import Asked, IngestReport, Watermark
from stackwright_interfaces.testing.context import NOON, SettableClock, make_context
from stackwright_interfaces.testing.half_cases import PLAIN
from stackwright_interfaces.testing.oracle import Fact
from stackwright_interfaces.testing.tables import asked, normalised, rows_of
from stackwright_spark.offline import SparkOfflineStore
from stackwright_spark.plugin import SparkConfig
from stackwright_spark.session import INSTALL_JAVA, find_java

FEW_ROWS = {
    # A few rows are answered sooner by plans that are interpreted, and by a Java that compiles little.
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.files.minPartitionNum": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.log.level": "OFF",
}


@pytest.fixture(scope="session", autouse=True)
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The application that stores find running. Without Java tests are skipped, but in CI they fail."""
    if find_java() is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"java is not installed; run: {INSTALL_JAVA}")
    builder = SparkSession.builder.master("local[2]").appName("tests")
    builder = builder.config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
    for name, value in FEW_ROWS.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


@dataclass
class Desk:
    """A folder, and stores over it."""

    folder: Path
    clock: SettableClock = field(default_factory=SettableClock)
    opened: list[SparkOfflineStore] = field(default_factory=list)

    def open(self, **config: Any) -> SparkOfflineStore:
        """Open a store over the folder, closed at the end of the test."""
        given = {"path": self.folder / "history", "shuffle_partitions": 2} | config
        self.opened.append(SparkOfflineStore(SparkConfig(**given), make_context(self.folder, self.clock)))
        return self.opened[-1]

    def files(self, view: FeatureView = PLAIN) -> list[Path]:
        """The data files of a view."""
        return sorted((self.folder / "history" / view.ref).glob("*.parquet"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for store in made.opened:
        store.close()


@pytest.fixture
def store(desk: Desk) -> SparkOfflineStore:
    store = desk.open()
    store.apply([PLAIN])
    return store


Ingest = Callable[..., IngestReport]
Ask = Callable[..., list[Mapping[str, Any]]]


@pytest.fixture
def ingest() -> Ingest:
    """Hand rows over in one ingestion."""

    def ingest(store: SparkOfflineStore, *facts: Fact, view: FeatureView = PLAIN) -> IngestReport:
        return store.ingest(view, normalised(view, facts))

    return ingest


@pytest.fixture
def ask() -> Ask:
    """Return every feature of a view for each (key, instant), the key bare where it has one part."""

    def ask(
        store: SparkOfflineStore, *labels: tuple[Any, datetime], view: FeatureView = PLAIN, **options: Any
    ) -> list[Mapping[str, Any]]:
        rows = [(key if isinstance(key, tuple) else (key,), at) for key, at in labels]
        names = [feature.name for feature in view.features]
        as_of: Watermark | None = options.pop("as_of", None)
        wanted = Asked(
            view=view,
            keys={name: name for name in view.entity.key_names},
            features={name: name for name in names},
            as_of=as_of,
        )
        answers = rows_of(store.join(asked(view.entity.keys, rows), [wanted], **options))
        return [{name: row[name] for name in names} for row in answers]

    return ask


@pytest.fixture
def everything() -> Callable[[SparkOfflineStore], Sequence[Any]]:
    """Return the column ``x`` of all rows that a store holds, sorted."""

    def everything(store: SparkOfflineStore, view: FeatureView = PLAIN) -> Sequence[Any]:
        until = Watermark(store.watermark(view).position, NOON.replace(year=2100))
        return sorted(value for chunk in store.changes(view, None, until) for value in pa.table(chunk)["x"].to_pylist())

    return everything
