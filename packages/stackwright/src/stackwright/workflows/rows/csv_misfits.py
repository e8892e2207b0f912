"""Values of a CSV that are read later than its numbers, as its view or target says: times and decimals.

What reads them sees rows of a table, and knows no lines. Where it refuses one, the files are looked through again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from stackwright.workflows.rows.csv_rows import File, first_bad, line_of, read_csv
from stackwright_features.casts import cast
from stackwright_features.times import Clock
from stackwright_interfaces.definitions import Source
from stackwright_interfaces.errors import WrongType
from stackwright_interfaces.types import Kind, Type

_LATER: Final = (Kind.TIMESTAMP, Kind.DECIMAL)


@contextmanager
def by_line(files: Sequence[File], declared: Mapping[str, Type], source: Source | None = None) -> Iterator[None]:
    """Name file and line of a value of a CSV that is refused while its rows are consumed.

    Args:
        files: where the rows come from; others than CSV are passed over.
        declared: column of the files → type.
        source: how times are read.

    Raises:
        WrongType: a value is not what it is declared to be.
    """
    try:
        yield
    except WrongType:
        for file in files:
            if file.path.suffix.lower() == ".csv" and file.path.exists():
                _look_through(file, declared, source or Source())
        raise


def _look_through(file: File, declared: Mapping[str, Type], source: Source) -> None:
    later = {name: type_ for name, type_ in declared.items() if type_.kind in _LATER}
    clock, begin = Clock.of(source), 0
    for batch in read_csv(file, later, source.nulls).batches:
        for name in [name for name in batch.schema.names if name in later]:
            column = batch.column(name)
            read = partial(cast, type=later[name], where=file.shown, name=name, clock=clock, first=None)
            try:
                read(column)
            except WrongType:
                row = first_bad(column, read)
                read = partial(read, where=f"{file.shown} line {line_of(file, begin + row)}")
                read(column.slice(row, 1))
        begin += len(batch)
