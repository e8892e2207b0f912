"""Predictions of a job on their way into the journal: laid down part by part, there once the output is."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright_interfaces.errors import DataError, PreconditionFailed
from stackwright_journal.predictions import FOLDER, ROTATE_ROWS, SUFFIX
from stackwright_journal.records import Line, utc_day
from stackwright_journal.rows import PredictionRows

ARM: Final = "batch"
SEGMENT_BYTES: Final = 32_000_000
"""Size from which another file is begun: each is read whole when it enters the journal."""


class Staged:
    """Lines of a part; those of an earlier try are replaced.

    Args:
        home: where the job keeps what is no output.
        part: number of the part.
    """

    def __init__(self, home: Path, part: int) -> None:
        self._folder, self._part = _folder(home), part
        self._file: IO[bytes] | None = None
        self._files = self._size = self._rows = 0
        for file in self._folder.glob(f"{part:05}-*{SUFFIX}"):
            file.unlink()

    def add(self, rows: PredictionRows) -> None:
        """Lay some rows down.

        Raises:
            DataError: a value has no JSON form.
            OSError: the disk cannot take them.
        """
        for line in rows.lines():
            if line.refused:
                todo = "Leave out the column that holds it, or say journal = false in the job."
                raise DataError(
                    "journal of the job", f"a prediction that cannot be written down ({line.refused})", todo
                )
            if self._file is None or self._is_full(line):
                self._next()
            assert self._file is not None
            self._file.write(line.data)
            self._size += len(line.data)
            self._rows += line.predictions

    def _is_full(self, line: Line) -> bool:
        return self._size + len(line.data) > SEGMENT_BYTES or self._rows + line.predictions > ROTATE_ROWS

    def _next(self) -> None:
        self._close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = (self._folder / f"{self._part:05}-{self._files:04}{SUFFIX}").open("wb")
        self._files, self._size, self._rows = self._files + 1, 0, 0

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._close()


def enter(stack: Stack, home: Path, run: str, begun: datetime) -> None:
    """Bring what was laid down into the journal, each file once, however often this is begun.

    Args:
        run: names the job, its instant and what was known: what entered under it before is passed over.
        begun: when the job was begun: the day that its predictions stand under.

    Raises:
        StorageError: the journal cannot take it.
    """
    files = sorted(_folder(home).glob(f"*{SUFFIX}"))
    if not files:
        return
    with closing(journal.storage(stack)) as storage:
        there = {key.rpartition("-")[2] for key in storage.list(f"{FOLDER}/")}
        for file in files:
            name = hashlib.sha256(f"{run} {file.name}".encode()).hexdigest()[:16] + SUFFIX
            if name not in there:
                key = f"{FOLDER}/{utc_day(begun)}/{begun.astimezone(UTC):%Y%m%dT%H%M%S.%f}-{name}"
                with suppress(PreconditionFailed):
                    storage.put_if_absent(key, file.read_bytes())
    shutil.rmtree(_folder(home), ignore_errors=True)


def _folder(home: Path) -> Path:
    return home / "journal"
