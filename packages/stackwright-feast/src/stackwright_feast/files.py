"""The files of new views: whole histories, and what Feast reads of them.

A view has a folder with three files. ``history.parquet`` holds every row, with its order token and the ingestion it
came with. ``newest.parquet`` is the Feast source of the view: of rows with one key and event time it holds the one
that counts, so that Feast never meets a tie. ``ingested.json`` says when each ingestion took place.
``_deleted`` beside the folders says for each entity which keys were deleted, and when.

A change writes the first two anew, sorted, while few rows are held: files are read without ``pre_buffer``, which would
hold all of one until it is closed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from stackwright_feast.history import POSITION, History, schema
from stackwright_feast.ordering import BATCH, Sorter, newest_of_events
from stackwright_features.arrow import microseconds
from stackwright_interfaces.definitions import Entity, FeatureView
from stackwright_interfaces.errors import FeatureStoreError, UnknownName, VersionRequired
from stackwright_interfaces.feature_store import EVENT
from stackwright_interfaces.writer_lock import WriterLock
from stackwright_parquet import durable
from stackwright_parquet.deletion import Deletions

AT: Final = "__at"
"""Column of ``newest.parquet``: the event time in microseconds, as Feast hands back only features."""

_HISTORY: Final = "history.parquet"
_NEWEST: Final = "newest.parquet"
_INGESTED: Final = "ingested.json"
_STATE: Final = b"stackwright.state"


@dataclass(frozen=True)
class _Loaded:
    state: tuple[int, int, int]
    history: History


class Files:
    """The files of the views of one repository.

    Args:
        folder: where they lie.
        cache: folder for rows on their way.
        timeout: seconds that a change waits for one of another process.
        sort_memory: what may be held while rows are sorted, ``"256MB"`` say.
    """

    def __init__(self, folder: Path, cache: Path, *, timeout: float, sort_memory: str) -> None:
        self._folder = folder
        self._cache = cache
        self._timeout = timeout
        self._sort_memory = sort_memory
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
            with WriterLock(self._folder / "lock").hold(self._timeout):
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
            self.replace(name, view, () if before is None else self.tables(name, view))

    def history(self, name: str, view: FeatureView) -> History:
        """Return every row of a view.

        Raises:
            UnknownName: the view was never applied.
            FeatureStoreError: its file is damaged.
        """
        path = self._folder / name / _HISTORY
        with _named(path, view):
            found = path.stat()
        state = (found.st_mtime_ns, found.st_ino, found.st_size)
        loaded = self._loaded.get(name)
        if loaded is None or loaded.state != state or loaded.history.view != view:
            with _opened(path, view) as file:
                loaded = _Loaded(state, History(view, _widened(file.read(), view)))
            self._loaded[name] = loaded
        return loaded.history

    def tables(self, name: str, view: FeatureView) -> Iterator[Any]:
        """Give every row of a view, in tables of which one is held.

        Raises:
            UnknownName: the view was never applied.
            FeatureStoreError: its file is damaged.
        """
        with _opened(self._folder / name / _HISTORY, view) as file:
            for batch in file.iter_batches(BATCH):
                yield _widened(pa.Table.from_batches([batch]), view)

    def count(self, name: str, view: FeatureView) -> int:
        """Return how many rows a view has.

        Raises:
            UnknownName: the view was never applied.
            FeatureStoreError: its file is damaged.
        """
        with _opened(self._folder / name / _HISTORY, view) as file:
            rows: int = file.metadata.num_rows
            return rows

    def replace(self, name: str, view: FeatureView, tables: Iterable[Any]) -> None:
        """Make these the rows of a view, each once.

        Args:
            name: its Feast name.
            view: the view.
            tables: ``pyarrow.Table`` of :func:`~stackwright_feast.history.schema`, in any order.

        Raises:
            FeatureStoreError: they cannot be sorted; the rows are those from before.
        """
        wanted, state = schema(view), {_STATE: uuid4().hex}
        shown = wanted.remove(wanted.get_field_index(POSITION)).append(pa.field(AT, pa.int64()))
        path = self._folder / name / _HISTORY
        durable.make_folder(path.parent)
        with durable.replacing(self.newest_path(name)) as newest, durable.replacing(path) as history:
            sorter = Sorter(self._sort_memory, self._scratch.path)
            _write(history, wanted.with_metadata(state), sorter.distinct(view, tables))
            with pq.ParquetFile(history, pre_buffer=False) as file:
                sorted_rows = (pa.Table.from_batches([batch]) for batch in file.iter_batches(BATCH))
                _write(newest, shown.with_metadata(state), map(_shown, newest_of_events(view, sorted_rows)))

    def arriving(self) -> AbstractContextManager[Path]:
        """Give a fresh folder for rows on their way."""
        return durable.fresh_folder(self._scratch.path)

    def ingested(self, name: str) -> list[int]:
        """Return when each ingestion of a view took place, in microseconds."""
        found: list[int] = self._json(self._folder / name / _INGESTED, [])
        return found

    def note_ingestion(self, name: str, at_us: int) -> int:
        """Note one more ingestion of a view, and return its number."""
        every = [*self.ingested(name), at_us]
        durable.write(self._folder / name / _INGESTED, json.dumps(every).encode())
        return len(every)

    def deletions(self, entity: Entity) -> Deletions:
        """The deleted keys of an entity."""
        return Deletions(self._folder, entity)

    def remember_deletion(self, entity: Entity, keys: Any, at_us: int) -> None:
        """Remember that keys were deleted; of several deletions of one the latest counts."""
        deletions = self.deletions(entity)
        deletions.remember(deletions.named(keys), at_us, self._timeout)

    def close(self) -> None:
        """Remove what was on its way."""
        scratch: durable.Scratch | None = vars(self).pop("_scratch", None)
        if scratch is not None:
            scratch.close()

    @cached_property
    def _scratch(self) -> durable.Scratch:
        return durable.Scratch(self._cache, "feast")

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


def _shown(rows: Any) -> Any:
    """Return rows as Feast reads them."""
    return rows.drop_columns([POSITION]).append_column(AT, pa.array(microseconds(rows.column(EVENT)), pa.int64()))


def _write(path: Path, schema: Any, tables: Iterable[Any]) -> None:
    with pq.ParquetWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table)


@contextmanager
def _opened(path: Path, view: FeatureView) -> Iterator[Any]:
    with _named(path, view), pq.ParquetFile(path, pre_buffer=False) as file:
        yield file


@contextmanager
def _named(path: Path, view: FeatureView) -> Iterator[None]:
    """Raise what goes wrong with the file of a view as what it means."""
    try:
        yield
    except FileNotFoundError as exc:
        raise UnknownName.of("view", view.ref, ()) from exc
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
