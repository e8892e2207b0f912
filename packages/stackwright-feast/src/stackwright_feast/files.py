"""The files of new views: whole histories, and what Feast reads of them.

A view has a folder with three files. ``history.parquet`` holds every row, with its order token and the ingestion it
came with. ``newest.parquet`` is the Feast source of the view: of rows with one key and event time it holds the one
that counts, so that Feast never meets a tie. ``ingested.json`` says when each ingestion took place.
``deleted.json`` beside the folders says for each entity which keys were deleted, and when.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from stackwright_feast.history import POSITION, History, schema
from stackwright_features.arrow import microseconds
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import FeatureStoreError, UnknownName, VersionRequired
from stackwright_interfaces.feature_store import EVENT
from stackwright_parquet import durable

AT: Final = "__at"
"""Column of ``newest.parquet``: the event time in microseconds, as Feast hands back only features."""

_HISTORY: Final = "history.parquet"
_NEWEST: Final = "newest.parquet"
_INGESTED: Final = "ingested.json"
_DELETED: Final = "deleted.json"
_STATE: Final = b"stackwright.state"


@dataclass(frozen=True)
class _Loaded:
    state: tuple[int, int, int]
    history: History


class Files:
    """The files of the views of one repository.

    Args:
        folder: where they lie.
        timeout: seconds that a change waits for one of another process.
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        self._folder = folder
        self._timeout = timeout
        self._lock = RLock()
        self._held = 0
        self._loaded: dict[str, _Loaded] = {}

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Be the only one that changes files."""
        with self._lock:
            if self._held:
                yield
                return
            durable.make_folder(self._folder)
            with durable.locked(self._folder / "lock", self._timeout):
                self._held += 1
                try:
                    yield
                finally:
                    self._held -= 1

    def newest_path(self, name: str) -> Path:
        """The Feast source of the view of this Feast name."""
        return self._folder / name / _NEWEST

    def prepare(self, name: str, view: FeatureView) -> None:
        """Make the files of a view, or give them the fields that it gained.

        Raises:
            VersionRequired: it lost or changed one.
        """
        path = self._folder / name / _HISTORY
        before = _schema_of(path)
        wanted = schema(view)
        if before is not None:
            _check_kept(view, before, wanted)
        if before is None or not before.equals(wanted) or self._lags(name):
            history = History(view, wanted.empty_table()) if before is None else self.history(name, view)
            self.replace(name, history)

    def history(self, name: str, view: FeatureView) -> History:
        """Return every row of a view.

        Raises:
            UnknownName: the view was never applied.
            FeatureStoreError: its file is damaged.
        """
        path = self._folder / name / _HISTORY
        try:
            found = path.stat()
        except FileNotFoundError as exc:
            raise UnknownName.of("view", view.ref, ()) from exc
        state = (found.st_mtime_ns, found.st_ino, found.st_size)
        loaded = self._loaded.get(name)
        if loaded is None or loaded.state != state or loaded.history.view != view:
            loaded = _Loaded(state, History(view, _widened(_read(path), view)))
            self._loaded[name] = loaded
        return loaded.history

    def replace(self, name: str, history: History) -> None:
        """Make these the rows of a view."""
        state = {_STATE: uuid4().hex}
        newest = history.sorted.newest_of_events().table.drop_columns([POSITION])
        newest = newest.append_column(AT, pa.array(microseconds(newest.column(EVENT)), pa.int64()))
        durable.make_folder(self._folder / name)
        for path, rows in ((self._folder / name / _HISTORY, history.table), (self.newest_path(name), newest)):
            with durable.replacing(path) as temporary:
                pq.write_table(rows.replace_schema_metadata(state), temporary)

    def ingested(self, name: str) -> list[int]:
        """Return when each ingestion of a view took place, in microseconds."""
        found: list[int] = self._json(self._folder / name / _INGESTED, [])
        return found

    def note_ingestion(self, name: str, at_us: int) -> int:
        """Note one more ingestion of a view, and return its number."""
        every = [*self.ingested(name), at_us]
        durable.write(self._folder / name / _INGESTED, json.dumps(every).encode())
        return len(every)

    def deleted(self, entity: str) -> dict[bytes, int]:
        """Return when each deleted key of an entity was deleted, in microseconds."""
        every = self._json(self._folder / _DELETED, {})
        return {bytes.fromhex(key): at for key, at in every.get(entity, {}).items()}

    def note_deletion(self, entity: str, keys: Mapping[bytes, int]) -> None:
        """Remember that keys were deleted; of several deletions of one the latest counts."""
        every = self._json(self._folder / _DELETED, {})
        known: dict[str, int] = every.setdefault(entity, {})
        for key, at in keys.items():
            known[key.hex()] = max(at, known.get(key.hex(), at))
        durable.write(self._folder / _DELETED, json.dumps(every).encode())

    def _lags(self, name: str) -> bool:
        """Whether a crash left Feast's source of a view behind its history."""
        history, newest = _schema_of(self._folder / name / _HISTORY), _schema_of(self.newest_path(name))
        return newest is None or (newest.metadata or {}).get(_STATE) != (history.metadata or {}).get(_STATE)

    def _json(self, path: Path, default: Any) -> Any:
        with suppress(FileNotFoundError):
            try:
                return json.loads(path.read_bytes())
            except ValueError as exc:
                raise FeatureStoreError(str(path), f"the file is damaged ({exc})", "Restore it.") from exc
        return default


def _read(path: Path) -> Any:
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as exc:
        raise FeatureStoreError(str(path), f"the file is damaged ({exc})", "Restore it.") from exc


def _schema_of(path: Path) -> Any:
    try:
        return pq.read_schema(path)
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException) as exc:
        raise FeatureStoreError(str(path), f"the file is damaged ({exc})", "Restore it.") from exc


def _check_kept(view: FeatureView, before: Any, wanted: Any) -> None:
    for field in before:
        if field.name not in wanted.names or wanted.field(field.name).type != field.type:
            found = f"column {field.name!r} was a {field.type} and is lost or changed"
            raise VersionRequired(f"view {view.ref!r}", found, "Raise the view's version.")


def _widened(table: Any, view: FeatureView) -> Any:
    columns = {
        field.name: table.column(field.name) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema(view)
    }
    return pa.table(columns, schema=schema(view)).combine_chunks()
