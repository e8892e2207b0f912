"""Where predictions go: a file, a folder of parts, a bucket, a table. Each takes all of a job, or is tried again."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stackwright.assembly.project import write_json
from stackwright.assembly.replacing import replacing
from stackwright.assembly.stack import Stack
from stackwright.workflows.rows.files import first_line
from stackwright.workflows.rows.sources import database, revealed
from stackwright_interfaces.errors import DataError, ObjectNotFound, PreconditionFailed, UsageError
from stackwright_interfaces.storage import Storage

SUCCESS: Final = "_SUCCESS"
"""What is written last into a folder or below a prefix: its parts are whole, and belong together."""

FINISHED: Final = "finished.json"
"""Of a job: which of several outputs have it."""

_PENDING: Final = "_pending"
"""What is being put there, and what of before is to go; as long as it is there, the output is not whole."""

_STAGED: Final = "_scoring"


class Target(ABC):
    """Takes the output of a job.

    Attributes:
        place: what it is called; holds no secret.
        cut: it can be cut by columns.
        sparse: the column ``incomplete`` is left out where nothing is.
    """

    place: str
    cut = False
    sparse = False

    def staging(self, folder: Path) -> Path:
        """Return where parts are laid down: the job's folder, unless renaming them into place needs another."""
        return folder

    @abstractmethod
    def finish(self, parts: Sequence[Path], about: Mapping[str, Any]) -> None:
        """Take all parts. Done again after it was cut off, it ends as if it had not been.

        Args:
            parts: files, or folders where the output is cut by columns, in order.
            about: what is said of them as JSON.

        Raises:
            StackwrightError: it cannot take them.
        """

    def close(self) -> None:
        """Release what is held."""


class FileTarget(Target):
    """One file, replaced at the end."""

    sparse = True

    def __init__(self, path: Path) -> None:
        self._path, self.place = path, str(path)
        self._writer: Callable[[Path, pa.Schema], Any] = _WRITERS[path.suffix.lower()]

    def finish(self, parts: Sequence[Path], about: Mapping[str, Any]) -> None:
        """Join the parts."""
        schema = pyarrow.parquet.read_schema(parts[0])
        if "incomplete" in schema.names and not about["incomplete"]:
            schema = schema.remove(schema.get_field_index("incomplete"))
        with _told(self.place), replacing(self._path) as temporary, self._writer(temporary, schema) as out:
            for part in parts:
                with pyarrow.parquet.ParquetFile(part, pre_buffer=False) as file:
                    for batch in file.iter_batches(columns=schema.names):
                        out.write_batch(batch)


class FolderTarget(Target):
    """A folder of Parquet files, which are renamed into place; ``_SUCCESS`` names them."""

    cut = True

    def __init__(self, path: Path) -> None:
        self._path, self.place = path, str(path)

    def staging(self, folder: Path) -> Path:
        """Lay parts down below the folder itself, on the same disk; names that begin with ``_`` are passed over."""
        return self._path / _STAGED / folder.name

    def finish(self, parts: Sequence[Path], about: Mapping[str, Any]) -> None:
        """Rename the files, remove those of the output before, then say that it is whole."""
        with _told(self.place):
            files = _files(parts)
            old, begun = self._read(SUCCESS), self._read(_PENDING)
            stale = {*old.get("files", ()), *begun.get("stale", ())}
            if begun.get("job") == about["job"]:
                names = sorted({*begun["files"], *files})
            else:
                names, stale = sorted(files), {*stale, *begun.get("files", ())}
            self._say({"job": about["job"], "files": names, "stale": sorted(stale)}, _PENDING)
            (self._path / SUCCESS).unlink(missing_ok=True)
            for name, file in files.items():
                target = self._path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
            for name in stale - {*names}:
                _remove(self._path, name)
            self._say({**about, "files": names}, SUCCESS)
            (self._path / _PENDING).unlink(missing_ok=True)
            shutil.rmtree(self._path / _STAGED, ignore_errors=True)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self._path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def _say(self, document: Mapping[str, Any], name: str) -> None:
        with replacing(self._path / name) as temporary:
            temporary.write_text(json.dumps(document, indent=1, sort_keys=True, default=str) + "\n", encoding="utf-8")


class BucketTarget(Target):
    """Objects below a prefix, ``_SUCCESS`` last."""

    cut = True

    def __init__(self, storage: Storage, place: str) -> None:
        self._storage, self.place = storage, place

    def finish(self, parts: Sequence[Path], about: Mapping[str, Any]) -> None:
        """Upload the parts, remove those of the output before, then say that it is whole."""
        files = _files(parts)
        stale = {*self._named(SUCCESS), *self._named(_PENDING)} - {*files}
        self._say({"job": about["job"], "files": sorted({*files, *stale})}, _PENDING)
        self._storage.delete(SUCCESS)
        for name, file in files.items():
            _put(self._storage, name, file.read_bytes())
        for name in stale:
            self._storage.delete(name)
        self._say({**about, "files": sorted(files)}, SUCCESS)
        self._storage.delete(_PENDING)

    def _named(self, key: str) -> Sequence[str]:
        try:
            found: Sequence[str] = json.loads(self._storage.get(key).data)["files"]
        except (ObjectNotFound, ValueError, KeyError, TypeError):
            return ()
        return found

    def _say(self, document: Mapping[str, Any], key: str) -> None:
        _put(self._storage, key, json.dumps(document, default=str).encode())

    def close(self) -> None:
        """End the connections."""
        self._storage.close()


class ObjectTarget(Target):
    """One object of a bucket, replaced at the end."""

    sparse = True

    def __init__(self, storage: Storage, key: str, place: str, folder: Path) -> None:
        self._storage, self._key, self.place = storage, key, place
        self._file = FileTarget(folder / key)

    def finish(self, parts: Sequence[Path], about: Mapping[str, Any]) -> None:
        """Join the parts, and upload the file."""
        self._file.finish(parts, about)
        path = Path(self._file.place)
        _put(self._storage, self._key, path.read_bytes())
        path.unlink()

    def close(self) -> None:
        """End the connections."""
        self._storage.close()


class TableOutput(Target):
    """A table of a database; each part is appended in one transaction, once."""

    def __init__(self, stack: Stack, url: str, table: str) -> None:
        where, self._database = database(stack, url)
        self._table, self.place = table, f"{where} {table}"

    def finish(self, parts: Sequence[Path], about: Mapping[str, Any]) -> None:
        """Append part after part; those that were appended before are passed over."""
        for number, part in enumerate(parts):
            with pyarrow.parquet.ParquetFile(part, pre_buffer=False) as file:
                batches = file.iter_batches()
                rows = pa.RecordBatchReader.from_batches(file.schema_arrow, batches)
                self._database.append(self._table, rows, batch=f"{about['job']}-{number}")

    def close(self) -> None:
        """End the connections."""
        self._database.close()


class Several(Target):
    """Several outputs of one job. Which of them have it is noted, so that none takes it twice.

    Args:
        targets: a folder, which takes the parts away, at most once.
        note: the file that holds which have it.
    """

    def __init__(self, targets: Sequence[Target], note: Path) -> None:
        self._targets = sorted(targets, key=lambda target: isinstance(target, FolderTarget))
        self._note, self.place = note, ", ".join(target.place for target in targets)

    def staging(self, folder: Path) -> Path:
        """Return where the last of them, which may be a folder, wants them."""
        return self._targets[-1].staging(folder)

    def finish(self, parts: Sequence[Path], about: Mapping[str, Any]) -> None:
        """Hand the parts to each that has not had them."""
        try:
            done = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            done = []
        for target in self._targets:
            mark = [about["job"], target.place]
            if mark not in done:
                target.finish(parts, about)
                done.append(mark)
                write_json(self._note, done)

    def close(self) -> None:
        """End the connections."""
        for target in self._targets:
            target.close()


def targets_of(stack: Stack, places: Sequence[tuple[str, str | None]], folder: Path) -> Target:
    """Return where predictions go: one place, or several.

    Args:
        places: as :func:`target_of` takes them, ``out`` and ``table``.
        folder: for what lies here for a while only.

    Raises:
        UsageError: nothing can be written there, or two are folders.
    """
    found = [target_of(stack, out, table, folder) for out, table in places]
    if len(found) == 1:
        return found[0]
    folders = [target.place for target in found if isinstance(target, FolderTarget)]
    if len(folders) > 1:
        raise UsageError(" and ".join(folders), "two outputs are folders", "Write one folder, and copy it.")
    return Several(found, folder / FINISHED)


def target_of(stack: Stack, out: str, table: str | None, folder: Path) -> Target:
    """Return where predictions go.

    Args:
        out: a file, a folder, ``s3://``, or the URL of a database; or ``env:NAME`` that holds one.
        table: of the database.
        folder: for what lies here for a while only.

    Raises:
        UsageError: nothing can be written there.
    """
    text = revealed(stack, out)
    parts = urlsplit(text)
    if "://" in text and parts.scheme not in ("s3", "file"):
        if not table:
            raise UsageError(f"database {parts.scheme}", "which table to write is not said", "Give --into TABLE.")
        return TableOutput(stack, text, table)
    if table:
        raise UsageError("--into", "the output is no database", "Leave it out, or give a database's URL as OUT.")
    if parts.scheme == "s3":
        return _bucket(stack, text, folder)
    path = Path(parts.path if parts.scheme == "file" else text)
    if not path.suffix or path.is_dir() or text.endswith("/"):
        if path.is_file():
            raise UsageError(out, "it is a file without a suffix", "Give a folder, or a file of a known suffix.")
        return FolderTarget(path)
    _check_suffix(path)
    return FileTarget(path)


def _bucket(stack: Stack, url: str, folder: Path) -> Target:
    parts = urlsplit(url)
    path, place = PurePosixPath(parts.path), f"s3://{parts.netloc}{parts.path}"
    if not path.suffix:
        return BucketTarget(stack.context.storage(url), place)
    _check_suffix(path)
    above = parts._replace(path=str(path.parent)).geturl()
    return ObjectTarget(stack.context.storage(above), path.name, place, folder)


def _check_suffix(path: PurePosixPath | Path) -> None:
    if path.suffix.lower() not in _WRITERS:
        todo = f"Give a file that ends in {', '.join(_WRITERS)}; a folder has no suffix."
        raise UsageError(str(path), f"suffix {path.suffix!r} is not known", todo)


def _files(parts: Sequence[Path]) -> dict[str, Path]:
    """Return the files of all parts by their names in the output."""
    found: dict[str, Path] = {}
    for part in parts:
        if part.is_dir():
            found |= {str(file.relative_to(part)): file for file in sorted(part.rglob("*.parquet"))}
        elif part.exists():
            found[part.name] = part
    return found


def _remove(root: Path, name: str) -> None:
    path = (root / name).resolve()
    if path.is_relative_to(root.resolve()):
        path.unlink(missing_ok=True)


def _put(storage: Storage, key: str, data: bytes) -> None:
    """Store an object, whatever is there."""
    try:
        storage.put_if_absent(key, data)
    except PreconditionFailed:
        storage.put_if_match(key, data, storage.get(key).tag)


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        todo = "Free space or allow writing there, and run the same again: what is scored stays scored."
        raise DataError(place, f"cannot be written ({first_line(error)})", todo) from error


_WRITERS: Final[Mapping[str, Callable[[Path, pa.Schema], Any]]] = {
    ".csv": pyarrow.csv.CSVWriter,
    ".parquet": pyarrow.parquet.ParquetWriter,
    ".arrow": lambda path, schema: pa.ipc.new_file(str(path), schema),
}
