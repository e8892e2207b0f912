"""The folder of a view's history: Parquet files, and a manifest that says which of them count.

::

    <path>/pricing/listing@2/
        manifest.json            replaced atomically: what it does not name is not there
        00000001.parquet         rows of ingestion 1; an engine that writes several files numbers them
        00000002-00000041.7.parquet    merged or rewritten (for the 7th time): rows of ingestions 2 to 41
        .lock                    held by whoever writes
        .tmp-...                 what is being written

Each file holds the key and value columns under their own names (a suffix tells apart those that differ in case alone),
``__event`` and ``__created`` (UTC, microseconds), ``__position`` (number of the ingestion), and what with the times
makes the order token: the token itself (``__order``), or the hash of the content in it (``__content``, uint64).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import FeatureStoreError, UnknownName
from stackwright_interfaces.writer_lock import WriterLock
from stackwright_parquet import durable
from stackwright_parquet.manifest import HistoryFile, Manifest

MANIFEST: Final = "manifest.json"

_OUR_FILE: Final = re.compile(r"\d{8,}(-\d{8,}\.\d+(\.\d+)?)?\.parquet")


@dataclass(frozen=True)
class ViewFolder:
    """The folder of one view's history.

    Args:
        root: the folder of all views.
        ref: ``name@version``.
        lock_timeout: seconds to wait for another writer.
    """

    root: Path
    ref: str
    lock_timeout: float = 300.0
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.root / self.ref)

    def file(self, file: HistoryFile) -> Path:
        """Where a file lies."""
        return self.path / file.name

    def find(self) -> Manifest | None:
        """Return the manifest, or ``None`` where the view has never been applied.

        Raises:
            FeatureStoreError: it cannot be read.
        """
        path = self.path / MANIFEST
        try:
            return Manifest.from_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            todo = "Restore it from a backup; the Parquet files beside it hold the rows."
            raise FeatureStoreError(str(path), f"cannot be read: {error}", todo) from error

    def manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            UnknownName: the view has never been applied.
            FeatureStoreError: it cannot be read.
        """
        found = self.find()
        if found is None:
            applied = [str(path.parent.relative_to(self.root)) for path in self.root.rglob(MANIFEST)]
            raise UnknownName.of("view", self.ref, applied)
        return found

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to change the history, and remove what a crashed writer left.

        Raises:
            FeatureStoreError: the folder cannot be written, or another process holds it too long.
        """
        with writing_errors(self.path):
            durable.make_folder(self.path)
            with WriterLock(self.path / ".lock").hold(self.lock_timeout):
                self._sweep()
                yield

    def staging(self) -> AbstractContextManager[Path]:
        """Give a fresh folder for files that are being written, removed at the end. The lock must be held."""
        return durable.fresh_folder(self.path, durable.TEMPORARY)

    def publish(self, manifest: Manifest) -> None:
        """Make this the history from now on. The lock must be held."""
        durable.write(self.path / MANIFEST, manifest.to_json())

    def replace_files(self, manifest: Manifest, old: Sequence[HistoryFile], new: Sequence[HistoryFile]) -> Manifest:
        """Publish a history with some files replaced by others, and remove those; return it. The lock must be held."""
        kept = [file for file in manifest.files if file not in old]
        files = sorted([*kept, *new], key=lambda file: (file.first, file.last, file.name))
        after = replace(manifest, files=tuple(files), rewrites=manifest.rewrites + 1)
        self.publish(after)
        for file in old:
            self.file(file).unlink(missing_ok=True)
        return after

    def _sweep(self) -> None:
        manifest = self.find()
        ours = [path for path in self.path.iterdir() if _OUR_FILE.fullmatch(path.name)]
        if manifest is None and ours:
            found = f"is missing, though {len(ours)} files of history lie beside it"
            raise FeatureStoreError(str(self.path / MANIFEST), found, "Restore it from a backup.")
        kept = {file.name for file in manifest.files} if manifest else set()
        strays = [path for path in ours if path.name not in kept]
        for path in (*strays, *self.path.glob(f"{durable.TEMPORARY}*")):
            durable.remove(path)


@contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Say of a failed write what it means: nothing of it counts.

    Raises:
        FeatureStoreError: an ``OSError`` came up inside.
    """
    try:
        yield
    except OSError as error:
        todo = "Nothing was changed. Check that the folder can be written and has room."
        raise FeatureStoreError(str(path), f"cannot be written: {error.strerror or error}", todo) from error
