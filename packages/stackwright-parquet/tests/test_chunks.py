"""Rows that come sorted leave in chunks of whole keys."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.half_cases import PLAIN, fact
from stackwright_interfaces.testing.tables import normalised
from stackwright_parquet.chunks import as_ingested, whole_keys
from stackwright_parquet.manifest import Manifest

ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), max_size=20).map(sorted)


@given(ROWS, st.lists(st.integers(1, 4), min_size=20))
def test_a_key_lies_within_one_chunk_and_all_rows_keep_their_order(
    rows: list[tuple[int, str]], sizes: list[int]
) -> None:
    whole = pa.table({"k0": [row[0] for row in rows], "k1": [row[1] for row in rows], "at": range(len(rows))})
    parts, start = [], 0
    while start < len(rows):
        parts.append(whole.slice(start, sizes[len(parts)]))
        start += len(parts[-1])
    chunks = [chunk.to_pylist() for chunk in whole_keys(parts, ["k0", "k1"])]
    assert [row for chunk in chunks for row in chunk] == whole.to_pylist()
    assert all(chunks)
    ends = [{(row["k0"], row["k1"]) for row in chunk} for chunk in chunks]
    assert sum(map(len, ends)) == len(set(rows))


def test_rows_get_back_the_names_and_types_they_were_ingested_with() -> None:
    given_ = normalised(PLAIN, [fact(1, NOON, x=1.5, n=2, s="a"), fact(2, NOON)])
    manifest = Manifest.of(PLAIN)
    stored = {name: given_[column.name] for name, column in manifest.columns.items()}
    stored |= {name: given_[name] for name in (EVENT, CREATED)}
    assert as_ingested(stored, manifest, given_[ORDER].cast(pa.binary())).equals(
        given_.select([*(column.name for column in manifest.columns.values()), EVENT, CREATED, ORDER])
    )
