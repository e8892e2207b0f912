"""The rows of history that some labels could see.

Where a row lies is one number: the place of its file among the files that are read, and its number in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stackwright_duckdb.engine import Session
from stackwright_duckdb.scan import FILE, PLACE, instant, relation, same_key
from stackwright_duckdb.search import ascending_order, order_within
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import CREATED, EVENT, ROW
from stackwright_numerics.columns import Column
from stackwright_parquet.columns import arrow_type, integers, one_piece, pick, to_column
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import CONTENT, EARLIEST, POSITION, HistoryFile, Manifest
from stackwright_parquet.search import Integers

NOWHERE: Final = -1
"""Stands for no key, no row and no place."""

_FILE_SHIFT: Final = 40


@dataclass(frozen=True)
class Candidates:
    """Rows of a range of keys, sorted by key, then by order token.

    Args:
        key: number of the key, counted from the first of the range.
        event: event times, microseconds since 1970.
        created: created times, where they were asked for.
        place: where each row lies.
        columns: number of a value column → its values, for those that were asked for.
        offsets: where each key's rows start, and the end.
    """

    key: Integers
    event: Integers
    created: Integers | None
    place: Integers
    columns: Mapping[int, Column]
    offsets: Integers


@dataclass(frozen=True, kw_only=True)
class CandidateReader:
    """Finds the candidates of one view for the keys of some labels.

    Args:
        session: where queries run.
        folder: the view's folder.
        manifest: its history.
        files: those of its files that may hold candidates, of like columns together.
        oldest: the least event time that matters, microseconds since 1970.
        newest: the greatest.
        position: the last ingestion that counts, ``None`` for all.
    """

    session: Session
    folder: ViewFolder
    manifest: Manifest
    files: Sequence[HistoryFile]
    oldest: int
    newest: int
    position: int | None

    def number_keys(self, labels: Any, sources: Mapping[str, str]) -> tuple[Integers, int]:
        """Number the labels' keys in their order.

        Args:
            labels: table of labels.
            sources: key → column of the table.

        Returns:
            Each label's key number, -1 where a part is null, and how many keys there are.

        Raises:
            DataError: a column is missing or of another type.
        """
        names = self.manifest.key_names
        table = {ROW: pa.array(np.arange(len(labels)))}
        for name, stored in zip(names, self.manifest.keys, strict=True):
            table[name] = pick(labels, sources[stored.name], arrow_type(stored.type), "labels")
        self.session.register("labels", pa.table(table))
        listed = ", ".join(names)
        there = " AND ".join(f"{name} IS NOT NULL" for name in names)
        self.session.run(
            f"CREATE OR REPLACE TEMP TABLE ids AS SELECT {listed}, row_number() OVER (ORDER BY {listed}) - 1 AS id"
            f" FROM (SELECT DISTINCT {listed} FROM labels WHERE {there})"
        )
        numbered = self.session.table(f"SELECT l.{ROW}, i.id FROM labels l JOIN ids i USING ({listed})")
        numbers = np.full(len(labels), NOWHERE)
        numbers[integers(numbered[ROW])] = integers(numbered["id"])
        return numbers, int(numbers.max(initial=NOWHERE)) + 1

    def ranges(self, keys: int, batch_rows: int) -> Iterator[tuple[int, int]]:
        """Split the numbers of keys into ranges with about as many candidates each as a batch holds, or fewer."""
        edges = [0, keys] if keys else []
        if sum(file.rows for file in self.files) > batch_rows:
            counted = self.session.table(f"SELECT id, count(*) AS rows {self._from('ids', ())} GROUP BY id")
            counts = np.zeros(keys, np.int64)
            counts[integers(counted["id"])] = integers(counted["rows"])
            batch = (np.cumsum(counts) - counts) // batch_rows
            edges[1:1] = (np.flatnonzero(np.diff(batch)) + 1).tolist()
        return pairwise(edges)

    def read(self, first: int, stop: int, fields: Collection[int], *, created: bool) -> Candidates:
        """Read the candidates of the keys numbered ``first`` to ``stop`` (exclusive).

        Args:
            first: number of the first key.
            stop: number after the last key.
            fields: numbers of the value columns to read.
            created: whether to read created times.
        """
        selected = [
            f"i.id - {first} AS key",
            f"epoch_us(r.{EVENT}) AS event",
            f"r.{FILE} * {1 << _FILE_SHIFT} + r.{PLACE} AS place",
            *([f"epoch_us(r.{CREATED}) AS created"] if created else []),
            *(f"r.c{field}" for field in fields),
        ]
        ids = f"(SELECT * FROM ids WHERE id >= {first} AND id < {stop})"
        table = self.session.table(f"SELECT {', '.join(selected)} {self._from(ids, fields)}")
        order = self._order(*(integers(table[name]) for name in ("key", "event", "place")))
        key = integers(table["key"])[order]
        columns = {field: to_column(table[f"c{field}"], self.manifest.fields[field].type) for field in fields}
        return Candidates(
            key=key,
            event=integers(table["event"])[order],
            created=integers(table["created"])[order] if created else None,
            place=integers(table["place"])[order],
            columns={field: Column(values[order], valid[order]) for field, (values, valid) in columns.items()},
            offsets=np.searchsorted(key, np.arange(stop - first + 1)),
        )

    def fetch(self, places: Integers, expressions: Collection[str], fields: Collection[int] = ()) -> Any:
        """Fetch rows from where they lie, each once.

        Args:
            places: where.
            expressions: what to select of ``r``, the rows' relation.
            fields: numbers of the value columns that they need.

        Returns:
            A table of the expressions and ``slot``, the place among ``places``; its rows are in any order.

        Raises:
            FeatureStoreError: a row is not there.
        """
        numbers, files = np.unique(places >> _FILE_SHIFT, return_inverse=True)
        wanted = {"slot": np.arange(len(places)), "file": files, "place": places & ((1 << _FILE_SHIFT) - 1)}
        self.session.register("wanted", pa.table(wanted))
        rows = relation(self.folder, self.manifest, [self.files[number] for number in numbers], fields)
        table = self.session.table(
            f"SELECT w.slot, {', '.join(expressions)} FROM ({rows}) r"
            f" JOIN wanted w ON r.{FILE} = w.file AND r.{PLACE} = w.place"
        )
        if len(table) != len(places):
            found = f"{len(places)} rows were found, {len(table)} could be read"
            raise FeatureStoreError(str(self.folder.path), found, "Restore the folder from a backup.")
        return table

    def _from(self, ids: str, fields: Collection[int]) -> str:
        conditions = [f"r.{EVENT} <= {instant(self.newest)}"]
        if self.oldest > EARLIEST:
            conditions.append(f"r.{EVENT} >= {instant(self.oldest)}")
        if self.position is not None:
            conditions.append(f"r.{POSITION} <= {self.position}")
        rows = relation(self.folder, self.manifest, self.files, fields)
        return f"FROM ({rows}) r JOIN {ids} i ON {same_key(self.manifest, 'r', 'i')} WHERE {' AND '.join(conditions)}"

    def _order(self, key: Integers, event: Integers, place: Integers) -> Integers:
        """Order by key and token: in one file rows lie so; of several, only equal times need the tokens themselves."""
        order = ascending_order(place)
        order = order[order_within(key[order], event[order])]
        if len(self.files) <= 1:
            return order
        key, event = key[order], event[order]
        alike = (key[1:] == key[:-1]) & (event[1:] == event[:-1])
        tied = np.flatnonzero(np.concatenate([alike, [False]]) | np.concatenate([[False], alike]))
        if len(tied):
            run = np.concatenate([[0], np.cumsum(~alike)])[tied]
            tokens = self.fetch(place[order[tied]], [f"epoch_us(r.{CREATED}) AS created", f"r.{CONTENT} AS content"])
            slots = integers(tokens["slot"])
            created, content = integers(tokens["created"]), one_piece(tokens["content"]).to_numpy()
            order[tied] = order[tied][slots[np.lexsort((content, created, run[slots]))]]
        return order
