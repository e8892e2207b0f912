"""Which Spark a store uses, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import Watermark
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.half_cases import PLAIN, fact
from stackwright_spark.session import INSTALL_JAVA


def test_an_application_that_runs_is_used_and_left_alive(spark, desk, store, ingest, ask) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    assert ask(store, (1, NOON))[0]["x"] == 1.0
    assert store._session().sparkContext is spark.sparkContext
    store.close()
    assert SparkSession.builder.getOrCreate() is spark
    assert SparkSession.getActiveSession() is spark
    assert spark.range(3).count() == 3


def test_the_settings_and_tables_of_the_application_s_own_session_stay_as_they_are(spark, desk, ingest, ask) -> None:
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kathmandu")
    spark.conf.set("spark.sql.caseSensitive", "false")
    try:
        store = desk.open(shuffle_partitions=1, conf={"spark.sql.sources.ignoreDataLocality": "true"})
        store.apply([PLAIN])
        ingest(store, fact(1, NOON, x=1.0))
        assert ask(store, (1, NOON))[0]["x"] == 1.0
        assert spark.conf.get("spark.sql.session.timeZone") == "Asia/Kathmandu"
        assert spark.conf.get("spark.sql.caseSensitive") == "false"
        assert spark.conf.get("spark.sql.shuffle.partitions") != "1"
        assert store._session().conf.get("spark.sql.sources.ignoreDataLocality") == "true"
        assert spark.catalog.listTables() == []
    finally:
        spark.conf.unset("spark.sql.session.timeZone")
        spark.conf.unset("spark.sql.caseSensitive")


def test_a_setting_that_makes_no_sense_is_refused(desk, ingest) -> None:
    store = desk.open(shuffle_partitions=0)
    store.apply([PLAIN])
    with pytest.raises(FeatureStoreError, match=r"shuffle.partitions.*Check conf"):
        ingest(store, fact(1, NOON, x=1.0))


def test_without_a_change_or_a_question_no_spark_is_asked_for(desk) -> None:
    store = desk.open(shuffle_partitions=0)
    store.apply([PLAIN])
    assert store.watermark(PLAIN) == Watermark(0, NOON)


def test_a_closed_store_says_so(store, ingest) -> None:
    store.close()
    with pytest.raises(FeatureStoreError, match="closed"):
        ingest(store, fact(1, NOON, x=1.0))


def test_temporary_folders_go_when_the_store_closes(desk, ingest, ask) -> None:
    store = desk.open(temp=desk.folder / "spill")
    store.apply([PLAIN])
    ingest(store, fact(1, NOON, x=1.0))
    ask(store, (1, NOON))
    (scratch,) = [path for path in (desk.folder / "spill").iterdir() if path.is_dir()]
    assert list(scratch.iterdir()) == []
    store.close()
    assert list((desk.folder / "spill").iterdir()) == []


ALONE = """
import sys
from pathlib import Path

from pyspark import SparkContext
from pyspark.sql import SparkSession

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.testing.context import NOON, make_context
from stackwright_interfaces.testing.half_cases import PLAIN, fact
from stackwright_interfaces.testing.tables import normalised
from stackwright_spark.offline import SparkOfflineStore
from stackwright_spark.plugin import SparkConfig

folder = Path(sys.argv[1])
conf = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
config = SparkConfig(path=folder / "history", driver_memory="600m", shuffle_partitions=1, conf=conf)
stores = [SparkOfflineStore(config, make_context(folder)) for _ in "ab"]
stores[0].apply([PLAIN])
try:
    for number, store in enumerate([stores[0], *stores]):
        store.ingest(PLAIN, normalised(PLAIN, [fact(number, NOON, x=1.0)]))
        if number == 0:
            SparkSession.builder.getOrCreate().stop()
except FeatureStoreError as error:
    print(error)
    sys.exit()
conf = SparkContext._active_spark_context.getConf()
names = ("spark.master", "spark.driver.memory", "spark.ui.enabled", "spark.driver.bindAddress")
print([conf.get(name) for name in names])
stores[0].close()
print(SparkContext._active_spark_context is not None)
stores[1].close()
print(SparkContext._active_spark_context is None)
"""


def _alone(folder: Path, **environment: str) -> list[str]:
    command = [sys.executable, "-c", ALONE, str(folder)]
    child = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
    return child.stdout.splitlines()


@pytest.mark.nightly
def test_where_none_runs_one_is_started_on_this_machine_alone_and_stopped_with_the_last_store(tmp_path) -> None:
    # The child stops the first one behind the store's back, which then starts another.
    assert _alone(tmp_path) == ["['local[2]', '600m', 'false', '127.0.0.1']", "True", "True"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".cache", "history"]


@pytest.mark.parametrize("where", [{"PATH": "/nowhere", "JAVA_HOME": ""}, {"JAVA_HOME": "/nowhere"}], ids=str)
def test_without_java_the_line_that_installs_it_is_said(tmp_path, where: dict[str, str]) -> None:
    (message,) = _alone(tmp_path, **where)
    assert message.startswith("spark: no Java was found")
    assert INSTALL_JAVA in message


def test_a_session_of_spark_connect_is_refused(tmp_path) -> None:
    (message,) = _alone(tmp_path, SPARK_REMOTE="sc://127.0.0.1:1")
    assert "Spark Connect" in message


def test_a_java_that_does_not_run_is_said(tmp_path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    (message,) = _alone(tmp_path, JAVA_HOME=str(tmp_path))
    assert message.startswith("spark: does not start")
