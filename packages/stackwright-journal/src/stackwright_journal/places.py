"""From the URL of a journal to what writes and reads its predictions."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from stackwright_interfaces.storage import Storage
from stackwright_journal.list_reading import ListReader
from stackwright_journal.reading import PredictionReader
from stackwright_journal.segments import FolderSegments, Segments
from stackwright_journal.spool import SpooledSegments
from stackwright_storage import FileStorage, open_storage

_ODD: Final = re.compile(r"[^A-Za-z0-9.]+")


def open_segments(url: str, *, spool: Path, rotate_seconds: float = 300.0) -> Segments:
    """Return where a :class:`~stackwright_journal.predictions.PredictionLog` writes to; call it after a fork.

    Args:
        url: the journal, a path or the URL of a storage. In a folder, segments are written where they are read;
            elsewhere they are written below ``spool`` and shipped when they are closed.
        spool: a folder on a local disk that outlives the process. Journals do not mix in it.
        rotate_seconds: age from which a segment is closed and shipped; what a reader on another machine lags behind,
            and what the loss of this machine costs.

    Raises:
        UsageError: no such scheme, or a URL that is none.
        PluginError: what reads the scheme is not installed.
    """
    storage = open_storage(url)
    if isinstance(storage, FileStorage):
        return FolderSegments(storage.folder)
    return SpooledSegments(spool_of(url, spool), storage, rotate_seconds=rotate_seconds)


def open_reader(url: str, *, spool: Path) -> PredictionReader:
    """Return a reader of a journal, which also reads what waits in the spool of this machine.

    Args:
        url: the journal, a path or the URL of a storage.
        spool: the folder given to the writers.

    Raises:
        UsageError: no such scheme, or a URL that is none.
        PluginError: what reads the scheme is not installed.
    """
    storage, waiting = _read_from(url, spool)
    return PredictionReader(storage, spool=waiting)


def open_lists(url: str, *, spool: Path) -> ListReader:
    """Return a reader of a journal's lists, which also reads what waits in the spool of this machine.

    Args:
        url: the journal, a path or the URL of a storage.
        spool: the folder given to the writers.

    Raises:
        UsageError: no such scheme, or a URL that is none.
        PluginError: what reads the scheme is not installed.
    """
    storage, waiting = _read_from(url, spool)
    return ListReader(storage, spool=waiting)


def _read_from(url: str, spool: Path) -> tuple[Storage, FileStorage | None]:
    """Return where a journal lies, and where what was not shipped yet waits."""
    storage = open_storage(url)
    return storage, None if isinstance(storage, FileStorage) else FileStorage(spool_of(url, spool))


def spool_of(url: str, spool: Path) -> Path:
    """Return the part of a spool that belongs to a journal; options of the URL do not count."""
    place = url.partition("?")[0].rstrip("/")
    name = _ODD.sub("-", place)[:80]
    return spool / f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
