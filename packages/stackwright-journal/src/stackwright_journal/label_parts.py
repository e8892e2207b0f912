"""The labels in force in order of time, some at a time, out of segments that are larger than memory.

Which row of a label counts is known only when all are seen: a byte a row says it in the end, found for a share of the
labels at a time. Then every row goes to the file of its time, and one such file after the other is put in order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stackwright_features.arrow import INSTANT
from stackwright_interfaces.errors import StorageError
from stackwright_journal.label_rows import accepted

AT_ONCE: Final = 1_000_000
"""Rows of the log among which those in force are found at once."""

_BATCH: Final = 65_536
_SAMPLE: Final = 1_000_000
_DECIDING: Final = ("identity", "observed", "revision", "retracted", "reason", "position")
_NEVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True)
class LabelParts:
    """Labels in order of the time asked, as :meth:`~stackwright_journal.labels.LabelLog.read` gives them.

    Args:
        rows: how many there are.
        files: in order of time; each is read once.
        named: name that the target gives a column → its name in the files.
    """

    rows: int
    files: Sequence[Path]
    named: Mapping[str, str]

    def __iter__(self) -> Iterator[Any]:
        for path in self.files:
            with _kept(path):
                with pa.ipc.open_stream(path) as stream:
                    rows = stream.read_all().combine_chunks()
                path.unlink()
            order = np.lexsort((rows.column("identity").to_numpy(), micros(rows, "asked", missing=_NEVER)))
            rows = rows.take(pa.array(order))
            yield pa.table({name: rows.column(column) for name, column in self.named.items()})


def parted(
    segments: Sequence[Path],
    folder: Path,
    named: Mapping[str, str],
    *,
    size: int,
    most: int,
    known_at: datetime | None,
    position: int | None,
) -> LabelParts:
    """Lay the labels in force down in files by the time asked.

    Args:
        segments: Parquet files of the log in the order of ingestion.
        folder: where the files go.
        named: name that the target gives a wanted column → its name in the log.
        size: rows of a file, about; those of one instant are in one file.
        most: files; of more rows each holds more.
        known_at: pass over what was observed after it.
        position: pass over what was ingested after it.

    Raises:
        StorageError: a segment is damaged, or the folder cannot be written.
    """
    kept = _in_force(segments, known_at, position)
    count = int(np.count_nonzero(kept))
    edges = _edges(segments, kept, min(most, -(-count // size)))
    stored = list(dict.fromkeys(["identity", "asked", *named.values()]))
    with ExitStack() as opened:
        writers: dict[int, Any] = {}
        for start, batch in _batches(segments, stored):
            rows = batch.filter(pa.array(kept[start : start + len(batch)]))
            place = edges.searchsorted(micros(rows, "asked", missing=_NEVER), "right")
            for number in np.unique(place).tolist():
                if number not in writers:
                    path = folder / f"labels-{number:06}.arrow"
                    with _kept(path):
                        writers[number] = opened.enter_context(pa.ipc.new_stream(path, rows.schema))
                with _kept(folder):
                    writers[number].write_table(rows.filter(pa.array(place == number)))
    return LabelParts(count, [folder / f"labels-{number:06}.arrow" for number in sorted(writers)], named)


def in_force(identity: NDArray[Any], revision: NDArray[Any], observed: NDArray[Any]) -> NDArray[np.intp]:
    """Return places of the rows that count: of each label the last by revision, then by observed time, then as told."""
    order = np.lexsort((observed, revision, identity))
    last: NDArray[np.intp] = order[np.append(identity[order][1:] != identity[order][:-1], True)[: order.size]]
    return last


def micros(rows: Any, name: str, *, missing: int = 0) -> NDArray[np.int64]:
    """Return instants of a column as microseconds."""
    values: NDArray[np.int64] = rows.column(name).cast(pa.int64()).fill_null(missing).to_numpy()
    return values


def _in_force(segments: Sequence[Path], known_at: datetime | None, position: int | None) -> NDArray[np.bool_]:
    """Return of each row of the log whether it counts, and is no retraction."""
    total = sum(_rows(path) for path in segments)
    kept = np.zeros(total, np.bool_)
    shares = -(-total // AT_ONCE)
    for share in range(shares):
        found: list[tuple[NDArray[Any], ...]] = [(np.zeros(0, np.int64), *(np.zeros(0, np.uint64),) * 4)]
        for start, batch in _batches(segments, _DECIDING):
            identity = batch.column("identity").to_numpy()
            wanted = accepted(batch) & (identity % np.uint64(shares) == share)
            if position is not None:
                wanted &= batch.column("position").to_numpy() <= position
            if known_at is not None:
                early = pc.less_equal(batch.column("observed"), pa.scalar(known_at, INSTANT))
                wanted &= early.fill_null(fill_value=False).to_numpy()
            revision = batch.column("revision").fill_null(0).to_numpy()
            retracted = batch.column("retracted").to_numpy()
            columns = (identity, revision, micros(batch, "observed"), retracted)
            found.append((start + np.flatnonzero(wanted), *(column[wanted] for column in columns)))
        place, identity, revision, observed, retracted = map(np.concatenate, zip(*found[1:] or found, strict=True))
        last = in_force(identity, revision, observed)
        kept[place[last]] = ~retracted[last].astype(np.bool_)
    return kept


def _edges(segments: Sequence[Path], kept: NDArray[np.bool_], parts: int) -> NDArray[np.int64]:
    """Return the instants at which parts begin, but the first, by a sample of the rows."""
    if parts < 2:
        return np.zeros(0, np.int64)
    step = -(-int(np.count_nonzero(kept)) // _SAMPLE)
    begun, found = 0, []
    for start, batch in _batches(segments, ["asked"]):
        asked = micros(batch, "asked", missing=_NEVER)[kept[start : start + len(batch)]]
        found.append(asked[-begun % step :: step])
        begun += asked.size
    sample = np.sort(np.concatenate(found))
    return np.unique(sample[np.arange(1, parts) * sample.size // parts])


def _rows(path: Path) -> int:
    with _whole(path):
        return int(pq.read_metadata(path).num_rows)


def _batches(segments: Sequence[Path], columns: Collection[str]) -> Iterator[tuple[int, Any]]:
    """Give columns of all segments as tables, each behind the place of its first row."""
    start = 0
    for path in segments:
        with _whole(path), pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH, columns=list(columns), use_threads=False):
                yield start, pa.Table.from_batches([batch])
                start += batch.num_rows


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise StorageError(path.name, f"not a segment of labels ({error})", "Restore it from a backup.") from error


@contextmanager
def _kept(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        found = f"labels cannot be kept there for a while ({error})"
        raise StorageError(str(path), found, "Free space or allow writing there.") from error
