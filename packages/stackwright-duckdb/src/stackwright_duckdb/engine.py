"""DuckDB in memory: one instance a store, one cursor a call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

import duckdb

from stackwright_duckdb.plugin import DuckDBConfig
from stackwright_duckdb.scan import one_file
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.plugin import Context
from stackwright_parquet.durable import Scratch, fresh_folder
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import HistoryFile, Manifest

_SETTINGS: Final = {
    "TimeZone": "'UTC'",
    "python_enable_replacements": "false",
    "parquet_metadata_cache": "true",
    # Joins of up to as many keys or rows skip the parts of files that hold none of them.
    "dynamic_or_filter_threshold": "1000",
}

_SORTING_THREADS: Final = 4
"""What sorts in little memory holds some of it in each thread."""


class Session:
    """One call's cursor. What is registered or created in it is seen by no other."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._cursor.execute("SET enable_progress_bar = false")  # it would be drawn into the answer of a verb

    def register(self, name: str, table: Any) -> None:
        """Make an Arrow table known under a name."""
        self._cursor.register(name, table)

    def run(self, sql: str) -> None:
        """Run a statement for its effect."""
        self._cursor.sql(sql)

    def one(self, sql: str) -> tuple[Any, ...]:
        """Return the one row of a query."""
        (row,) = self._cursor.sql(sql).fetchall()
        found: tuple[Any, ...] = row
        return found

    def table(self, sql: str) -> Any:
        """Return the result of a query as an Arrow table."""
        return self._cursor.sql(sql).to_arrow_table()

    def reader(self, sql: str, rows: int) -> Any:
        """Return the result of a query as Arrow record batches of so many rows."""
        return self._cursor.sql(sql).to_arrow_reader(rows)

    def close(self) -> None:
        """Give up the cursor."""
        self._cursor.close()


class Engine:
    """The DuckDB instance of a store. It loads no extension, and names in SQL never mean Python variables.

    Args:
        config: limits.
        context: its cache holds what does not fit in memory.

    Raises:
        FeatureStoreError: a limit is not understood, or the temporary folder cannot be made.
    """

    def __init__(self, config: DuckDBConfig, context: Context) -> None:
        base = config.temp or context.cache / "duckdb"
        try:
            self._scratch = Scratch(base, "duckdb")
        except OSError as error:
            raise FeatureStoreError(str(base), f"cannot be written: {error.strerror}", "Set temp.") from error
        self._config = config
        self._lock = Lock()
        self._closed = False
        self._settings: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "temp_directory": str(self._scratch.path),
        }
        if config.memory_limit is not None:
            self._settings["memory_limit"] = config.memory_limit
        if config.threads is not None:
            self._settings["threads"] = config.threads
        try:
            self._instance = self._connect()
        except duckdb.Error as error:
            self._scratch.close()
            raise FeatureStoreError("duckdb", str(error), "Check memory_limit and threads.") from error

    @property
    def scratch(self) -> Path:
        """Where what does not fit in memory goes."""
        return self._scratch.path

    def _connect(self, **settings: str | int) -> Any:
        instance = duckdb.connect(":memory:", config=self._settings | settings)
        for name, value in _SETTINGS.items():
            instance.sql(f"SET GLOBAL {name} = {value}")
        return instance

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a cursor for one call.

        Raises:
            FeatureStoreError: the store is closed.
        """
        session = self.open_session()
        try:
            yield session
        finally:
            session.close()

    def staging(self) -> AbstractContextManager[Path]:
        """Give a fresh folder for rows on their way.

        Raises:
            FeatureStoreError: the store is closed.
        """
        self._check_open()
        return fresh_folder(self._scratch.path)

    @contextmanager
    def frugal_session(self) -> Iterator[Session]:
        """Give a cursor of an instance of its own, which holds no more than ``sort_memory``.

        Raises:
            FeatureStoreError: the store is closed, or the limit is not understood.
        """
        self._check_open()
        threads = min(self._config.threads or os.cpu_count() or 1, _SORTING_THREADS)
        try:
            instance = self._connect(memory_limit=self._config.sort_memory, threads=threads)
        except duckdb.Error as error:
            raise FeatureStoreError("duckdb", str(error), "Check sort_memory.") from error
        try:
            yield Session(instance)
        finally:
            instance.close()

    def open_session(self) -> Session:
        """Give a cursor that the caller closes.

        Raises:
            FeatureStoreError: the store is closed.
        """
        with self._lock:
            self._check_open()
            return Session(self._instance.cursor())

    def _check_open(self) -> None:
        if self._closed:
            raise FeatureStoreError("duckdb", "the store is closed", "Open it again.")

    def recover(self, error: duckdb.Error) -> None:
        """Start anew after an error that leaves the instance unusable; calls under way fail."""
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            with self._lock:
                if not self._closed:
                    self._instance = self._connect()

    def explain(self, error: duckdb.Error, folder: ViewFolder, manifest: Manifest | None) -> FeatureStoreError:
        """Translate an error of DuckDB, naming the file of the history that is to blame, if one is."""
        self.recover(error)
        if isinstance(error, duckdb.OutOfMemoryException):
            todo = "Raise memory_limit, lower batch_rows, or give temp more room."
            return FeatureStoreError(str(folder.path), f"ran out of memory: {error}", todo)
        for file in manifest.files if manifest else ():
            damage = self._damage(folder.file(file), file)
            if damage:
                todo = "Restore it from a backup, or remove the view's folder and ingest again."
                return FeatureStoreError(str(folder.file(file)), damage, todo)
        return FeatureStoreError(str(folder.path), str(error))

    def _damage(self, path: Path, file: HistoryFile) -> str:
        try:
            size = path.stat().st_size
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        if size != file.size:
            return f"is damaged: it holds {size} bytes, {file.size} were written"
        try:
            with self.session() as session:
                session.one(f"SELECT bit_xor(hash(f)) FROM read_parquet([{one_file(path)}]) f")
        except duckdb.Error as error:
            self.recover(error)
            return f"is damaged: {error}"
        return ""

    def close(self) -> None:
        """Release memory, threads and temporary files. Closing twice is allowed."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._instance.close()
                self._scratch.close()
