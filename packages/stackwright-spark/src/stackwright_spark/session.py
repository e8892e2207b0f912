"""The Spark session: one that runs already is used and left alone, another one is started and stopped."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_spark.plugin import SparkConfig

ERRORS: Final = (PySparkException, Py4JError)
"""What Spark raises."""

INSTALL_JAVA: Final = "apt-get install -y openjdk-17-jre-headless"

_START: Final = {
    "spark.app.name": "stackwright",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.maxResultSize": "0",
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
_LOCAL: Final = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}

_SETTINGS: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.caseSensitive": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.writeLegacyFormat": "false",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    # Files are listed by the driver: their names are known, and a job only to list them would cost more.
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000000",
}


@dataclass
class _Started:
    """The session that stores of this process started, and how many of them use it."""

    session: SparkSession | None = None
    users: int = 0


_lock = Lock()
_started = _Started()


class Sparks:
    """A store's hold on a Spark session: one of its own, in the running application or in one that is started.

    Args:
        config: how Spark is started, and further settings.
        cache: folder whose content may be lost at any time.

    Raises:
        FeatureStoreError: there is no Java, Spark does not start, or a setting is not understood.
    """

    def __init__(self, config: SparkConfig, cache: Path) -> None:
        if is_remote():
            found = "the session is one of Spark Connect, which this adapter cannot use"
            raise FeatureStoreError("spark", found, "Unset SPARK_REMOTE, or set master to the cluster's address.")
        self._counted = False
        with _lock:
            parent = self._running() or self._start(config, cache)
        self._parent = parent
        try:
            self.session = _apart(parent, config)
        except ERRORS as error:
            self.release()
            raise FeatureStoreError("spark", first_line(error), "Check conf.") from error

    def _running(self) -> SparkSession | None:
        context = SparkContext._active_spark_context  # noqa: SLF001 - there is no public way to ask without starting one
        if context is None:
            return None
        if _started.session is not None and _started.session.sparkContext is context:
            _started.users += 1
            self._counted = True
            return _started.session
        return SparkSession.builder.getOrCreate()

    def _start(self, config: SparkConfig, cache: Path) -> SparkSession:
        if find_java() is None:
            todo = f"Install Java 17 or later ({INSTALL_JAVA}), or set JAVA_HOME."
            raise FeatureStoreError("spark", "no Java was found, on which Spark runs", todo)
        settings = _START | {
            "spark.driver.memory": config.driver_memory,
            "spark.sql.warehouse.dir": str(cache / "spark-warehouse"),
        }
        settings |= (_LOCAL if _is_local(config.master) else {}) | dict(config.conf)
        try:
            builder = SparkSession.builder.master(config.master)
            for name, value in settings.items():
                builder = builder.config(name, str(value))
            session = builder.getOrCreate()
        except (*ERRORS, OSError, ValueError) as error:
            todo = f"Check master, driver_memory and conf, and that java is 17 or later ({INSTALL_JAVA})."
            raise FeatureStoreError("spark", f"does not start: {first_line(error)}", todo) from error
        _started.session, _started.users, self._counted = session, 1, True
        return session

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped the application."""
        return SparkContext._active_spark_context is not self._parent.sparkContext  # noqa: SLF001 - as above

    def release(self) -> None:
        """Give the session back; the last store stops what stores started. Releasing twice is allowed."""
        with _lock:
            if not self._counted or _started.session is not self._parent:
                return
            self._counted = False
            _started.users -= 1
            if _started.users == 0 and _started.session is not None:
                session, _started.session = _started.session, None
                session.stop()


def _apart(parent: SparkSession, config: SparkConfig) -> SparkSession:
    """A session of the same application whose settings nobody else sees."""
    session = parent.newSession()
    settings: Mapping[str, Any] = _SETTINGS | {"spark.sql.shuffle.partitions": config.shuffle_partitions}
    if _is_local(session.sparkContext.master):
        settings = {**settings, "spark.sql.execution.pyspark.python": sys.executable}
    for name, value in settings.items():
        session.conf.set(name, str(value))
    for name, value in config.conf.items():
        if session.conf.isModifiable(name):
            session.conf.set(name, str(value))
    return session


def _is_local(master: str | None) -> bool:
    return (master or "").startswith("local")


def find_java() -> str | None:
    """Return where the Java is that Spark will run on, if there is one."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which(str(Path(home, "bin", "java"))) if home else shutil.which("java")


def first_line(error: BaseException) -> str:
    """Return what an error says, without the stack traces of Java."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    if isinstance(error, Py4JError) and len(lines) > 1:
        return (causes or lines[1:])[0].removeprefix("Caused by: ").removeprefix(": ")
    return lines[0] if lines else type(error).__name__
