"""Rows that were set aside: kept as they came, with the reason, until somebody mends them or lets them go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from stackwright.assembly.replacing import replacing
from stackwright.assembly.stack import Stack
from stackwright.workflows.features.events import EVENT, is_of
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.rows.files import first_line
from stackwright.workflows.rows.fingerprint import Fingerprint
from stackwright.workflows.rows.spool import spool
from stackwright.workflows.rows.tables import write_tables
from stackwright_features.expectations import REASON, counted
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import DataError, UsageError
from stackwright_interfaces.types import Field

_ABOUT: Final = b"stackwright"
_TOGETHER: Final = 65_536
"""Rows that are held at a time."""


class Aside:
    """Rows of one ingestion that are set aside as they come, and kept at the end. The same rows again are kept once.

    Args:
        stack: the project.
        view: whose rows they are.
        origin: where they come from.

    Attributes:
        path: the file that keeps them; nothing as long as none does.
    """

    def __init__(self, stack: Stack, view: FeatureView, origin: str) -> None:
        self.path = ""
        self._about = {"view": view.ref, "origin": origin, "at": stack.clock().isoformat()}
        self._folder = _folder(stack, view.ref)
        self._cache = stack.context.cache
        self._open = ExitStack()
        self._writer: Any = None
        self._spool = Path()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, rows: Any) -> None:
        """Set rows aside.

        Args:
            rows: ``pyarrow.Table`` with ``__reason``.

        Raises:
            DataError: they cannot be written.
        """
        if not len(rows):
            return
        with self._told():
            if self._writer is None:
                self._spool = self._open.enter_context(spool(self._cache, "aside")) / "rows.parquet"
                self._writer = pyarrow.parquet.ParquetWriter(self._spool, rows.schema.remove_metadata())
                self._fingerprint = Fingerprint(rows.schema)
            self._writer.write_table(rows.replace_schema_metadata())
            self._fingerprint.add(rows)

    def keep(self, reasons: Mapping[str, int]) -> None:
        """Keep what was set aside.

        Args:
            reasons: reason → rows it applies to.

        Raises:
            DataError: it cannot be written.
        """
        if self._writer is None:
            return
        with self._told():
            self._writer.add_key_value_metadata({_ABOUT: json.dumps({**self._about, "reasons": reasons}).encode()})
            self._writer.close()
            path = self._folder / f"{self._fingerprint.finish()[:16]}.parquet"
            if not path.exists():
                with replacing(path) as temporary:
                    shutil.copyfile(self._spool, temporary)
            self.path = str(path)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            found = f"rows cannot be set aside ({first_line(error)})"
            raise DataError(str(self._folder), found, "Free space or allow writing there.") from error


def put(stack: Stack, view: FeatureView, rows: Any, origin: str) -> None:
    """Keep rows that were set aside, a ``pyarrow.Table`` with ``__reason``."""
    with Aside(stack, view, origin) as aside:
        aside.add(rows)
        aside.keep(counted(rows))


def quarantine(
    stack: Stack, view: FeatureView | None = None, *, export: Path | None = None, clear: bool = False, yes: bool = False
) -> Outcome:
    """List what was set aside, of one view or all; write it into one file; let it go.

    Args:
        export: a ``.parquet`` or ``.csv`` file for a view's rows and their reasons.
        clear: let a view's rows go, after they were written where ``export`` is given.
        yes: that it is meant.

    Raises:
        UsageError: no view is named to export or clear, or it is not said that clearing is meant.
        DataError: a file cannot be read or written.
    """
    if (export or clear) and view is None:
        raise UsageError("quarantine", "which view is meant is not said", "Name it: stackwright quarantine VIEW ...")
    if clear and not yes:
        raise UsageError("quarantine", "rows that are let go cannot be brought back", "Add --yes if it is meant.")
    files = list(_files(stack, None if view is None else view.ref))
    found = [_described(path) for path in files]
    notes = []
    if export is not None:
        _export(files, export)
        notes.append(f"Written to {export}. Mend it, drop the column {REASON}, and ingest it.")
    if clear:
        for path in files:
            path.unlink()
        notes.append("They were let go.")
    headings = ("view", "at", "origin", "rows", "reasons")
    shown = [[_reasons(item[key]) if key == "reasons" else item[key] for key in headings] for item in found]
    rows = sum(item["rows"] for item in found)
    return Outcome(
        f"{rows:,} rows are set aside", {"rows": rows, "files": found}, (Table(headings, shown),), tuple(notes)
    )


class Forgotten(NamedTuple):
    """What became of an entity's rows in the quarantine.

    Attributes:
        removed: rows and events that were removed.
        unknown: events that stay, because whose they are cannot be told.
    """

    removed: int = 0
    unknown: int = 0


def forget(stack: Stack, views: Sequence[FeatureView], keys: Mapping[str, Any]) -> Forgotten:
    """Remove one entity's rows from the quarantine of its views, and its events, as far as they can be told."""
    found = []
    for view in views:
        in_file = {field: column for column, field in view.source.rename.items()}
        named = {in_file.get(key.name, key.name): (key, keys[key.name]) for key in view.entity.keys}
        found += [_forget(path, named) for path in _files(stack, view.ref)]
    return Forgotten(sum(one.removed for one in found), sum(one.unknown for one in found))


def _forget(path: Path, keys: Mapping[str, tuple[Field, Any]]) -> Forgotten:
    """Remove what is of these keys from a file."""
    with _opened(path) as file:
        here = [name for name in (*keys, EVENT) if name in file.schema_arrow.names]
        told = [_of(some, keys) for some in _tables(file, here)]
        removed: int = sum(pc.sum(of).as_py() or 0 for of in told)
        if removed == file.metadata.num_rows:
            path.unlink()
        elif removed:
            schema = file.schema_arrow.with_metadata({_ABOUT: (file.metadata.metadata or {}).get(_ABOUT, b"")})
            others = (
                some.filter(pc.invert(pc.fill_null(of, fill_value=False))).cast(schema)
                for some, of in zip(_tables(file), told, strict=True)
            )
            write_tables(schema, others, path)
    return Forgotten(removed, sum(of.null_count for of in told))


def _export(paths: Sequence[Path], to: Path) -> None:
    """Write the rows of several files into one; its columns are theirs together."""
    with ExitStack() as stack:
        files = [stack.enter_context(_opened(path)) for path in paths]
        schemas = [file.schema_arrow.remove_metadata() for file in files]
        schema = pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([])
        empty = schema.empty_table()
        rows = (
            pa.concat_tables([empty, some], promote_options="permissive") for file in files for some in _tables(file)
        )
        write_tables(schema, rows, to)


def _of(table: Any, keys: Mapping[str, tuple[Field, Any]]) -> Any:
    """Tell which rows are of these keys; null where it cannot be told. Keys are compared as texts, as they came."""
    if EVENT in table.column_names:
        return pa.array([is_of(text, keys) for text in table.column(EVENT).to_pylist()], pa.bool_())
    found = pa.array([True] * len(table))
    for name, (_, value) in keys.items():
        column = (
            table.column(name).cast(pa.string()) if name in table.column_names else pa.nulls(len(table), pa.string())
        )
        found = pc.and_(found, pc.fill_null(pc.equal(column, str(value)), fill_value=False))
    return found


def _folder(stack: Stack, ref: str) -> Path:
    return stack.project.state / "quarantine" / ref


def _files(stack: Stack, ref: str | None) -> Iterator[Path]:
    folder = stack.project.state / "quarantine" if ref is None else _folder(stack, ref)
    yield from sorted(folder.rglob("*.parquet"))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DataError(str(path), f"cannot be read ({error})", "Restore it, or delete it.") from error


def _tables(file: Any, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Give a file's rows, some thousand at a time."""
    for batch in file.iter_batches(_TOGETHER, columns=columns):
        yield pa.Table.from_batches([batch])


def _described(path: Path) -> dict[str, Any]:
    """Tell what a file holds, without reading its rows."""
    about: dict[str, Any] = {"view": "", "origin": "", "at": "", "reasons": {}}
    with _opened(path) as file:
        with suppress(KeyError, TypeError, ValueError):
            about = json.loads(file.metadata.metadata[_ABOUT])
        return {**about, "rows": file.metadata.num_rows, "file": str(path)}


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
