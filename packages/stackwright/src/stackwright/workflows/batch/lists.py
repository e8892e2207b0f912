"""The lists of all users, into a file, a folder, a bucket or a table: all of them, or what was there stays."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from stackwright.assembly.stack import Stack
from stackwright.workflows.batch.targets import targets_of
from stackwright.workflows.outcome import Outcome
from stackwright.workflows.recommending.asking import Question, check_alone, request_of
from stackwright.workflows.recommending.loading import load, resolve
from stackwright_interfaces.recommender import Recommendations, Request

_USERS: Final = 2_000
"""Users whose lists are held at once."""


def recommend_all(
    stack: Stack, question: Question, out: str, *, ref: str | None = None, into: str | None = None
) -> Outcome:
    """Write the list of every user that is known, a row an item: user, position, item, score, cold, model, asked_at.

    Args:
        question: what is asked for each.
        out: a ``.parquet``, ``.csv`` or ``.arrow`` file, a folder, ``s3://``, or a database's URL.
        ref: as of :func:`stackwright.workflows.recommending.asking.recommend`.
        into: the table to append to, where ``out`` is a database.

    Raises:
        ModelNotFound: there is no such version.
        UsageError: the request is out of range, or nothing can be written there.
        DataError: it cannot be written.
    """
    check_alone(question)
    version = resolve(stack, ref)
    part = stack.blueprint.recommenders.get(version.name)
    at = question.at or stack.clock()
    _, recommender = load(stack, version)
    stack.project.cache.mkdir(parents=True, exist_ok=True)
    with (
        closing(recommender),
        tempfile.TemporaryDirectory(prefix="lists-", dir=stack.project.cache) as above,
        closing(targets_of(stack, [(out, into)], Path(above))) as target,
    ):
        folder = target.staging(Path(above))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "part-00000.parquet"
        request = request_of(part, replace(question, at=at))
        items = _type([one for when in (at, None) for one in recommender.answer(Request(at=when)).items])
        users, rows = _write(path, recommender.answer_users(None, request), items, version.ref, at, stack)
        job = f"{version.ref}-{at.isoformat()}-{hashlib.sha256(repr(request).encode()).hexdigest()[:16]}"
        about = {"job": job, "model": version.ref, "rows": rows}
        target.finish([path], about)
        place = target.place
    data = {"model": version.ref, "users": users, "rows": rows, "out": place, "at": at.isoformat()}
    return Outcome(f"{version.ref}: lists of {users:,} users, {rows:,} rows, in {place}", data)


def _write(
    path: Path, found: Iterable[tuple[Any, Recommendations]], items: pa.DataType, ref: str, at: datetime, stack: Stack
) -> tuple[int, int]:
    """Write a Parquet file; return users and rows.

    Args:
        items: the type of their identifiers: lists may all be empty.
    """
    users = rows = 0
    writer = None
    try:
        for batch in _batches(found):
            table = _table(batch, items, ref, at)
            writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
            users, rows = users + len(batch), rows + table.num_rows
            stack.progress("users", users, 0)
    finally:
        if writer is not None:
            writer.close()
    return users, rows


def _batches(
    found: Iterable[tuple[Any, Recommendations]],
) -> Iterator[list[tuple[Any, Recommendations]]]:
    some = []
    for one in found:
        some.append(one)
        if len(some) == _USERS:
            yield some
            some = []
    if some:
        yield some


def _type(identifiers: Sequence[Any]) -> pa.DataType:
    """Return the type of identifiers: texts or whole numbers."""
    return pa.int64() if identifiers and isinstance(identifiers[0], int | np.integer) else pa.string()


def _table(batch: list[tuple[Any, Recommendations]], items: pa.DataType, ref: str, at: datetime) -> pa.Table:
    sizes = [len(found) for _, found in batch]
    count = sum(sizes)
    scores = np.concatenate([np.asarray(found.scores, dtype=np.float64) for _, found in batch])
    return pa.table({
        "user": pa.array([user for user, found in batch for _ in found], _type([user for user, _ in batch])),
        "position": pa.array([place for size in sizes for place in range(1, size + 1)], pa.int64()),
        "item": pa.array([item for _, found in batch for item in found], items),
        "score": pa.array(scores, mask=np.isnan(scores)),
        "cold": pa.array(np.concatenate([np.asarray(found.cold, dtype=bool) for _, found in batch])),
        "model": pa.array([ref] * count, pa.string()),
        "asked_at": pa.array([at] * count, pa.timestamp("us", "UTC")),
    })  # fmt: skip
