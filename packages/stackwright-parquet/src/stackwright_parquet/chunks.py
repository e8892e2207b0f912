"""Rows that come sorted, in chunks of whole keys, under the names that they were ingested with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER
from stackwright_numerics.order import TOKEN_BYTES
from stackwright_parquet.columns import STAMP, arrow_type
from stackwright_parquet.manifest import Manifest


def whole_keys(parts: Iterable[Any], keys: Sequence[str]) -> Iterator[Any]:
    """Put tables together that are sorted by key, so that each key lies within one; none is empty.

    Args:
        parts: ``pyarrow.Table`` of at least a row each.
        keys: the key columns.
    """
    held: list[Any] = []
    for part in parts:
        goes_on = bool(held) and _last_key(part.slice(0, 1), keys) == _last_key(held[-1], keys)
        start = _last_key_starts(part, keys)
        if start == 0 and goes_on:
            held.append(part)
            continue
        whole = [*held, part.slice(0, start)]
        held = [part.slice(start)]
        if sum(map(len, whole)):
            yield pa.concat_tables(whole).combine_chunks()
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _last_key(table: Any, keys: Sequence[str]) -> list[Any]:
    return [table[key][-1] for key in keys]


def _last_key_starts(table: Any, keys: Sequence[str]) -> int:
    same = [pc.equal(table[key], last) for key, last in zip(keys, _last_key(table, keys), strict=True)]
    return len(table) - int(pc.sum(reduce(pc.and_, same)).as_py())


def as_ingested(rows: Mapping[str, Any], manifest: Manifest, tokens: Any) -> Any:
    """Return rows as they were ingested: declared names, types of the contract.

    Args:
        rows: the columns that the manifest numbers, and the times.
        manifest: the history that they are of.
        tokens: their order tokens, binary.
    """
    columns = {stored.name: rows[name].cast(arrow_type(stored.type)) for name, stored in manifest.columns.items()}
    columns |= {name: rows[name].cast(STAMP) for name in (EVENT, CREATED)}
    columns[ORDER] = tokens.cast(pa.binary(TOKEN_BYTES))
    return pa.table(columns)
