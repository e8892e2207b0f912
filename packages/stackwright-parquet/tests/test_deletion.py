"""Deleted keys are remembered for their entity, whichever version wrote them down."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stackwright_interfaces.errors import FeatureStoreError, UnknownName, WrongType
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.half_cases import BLOCKS, PLACE, PLAIN
from stackwright_interfaces.testing.half_history_cases import places
from stackwright_interfaces.testing.histories import US
from stackwright_interfaces.types import STRING
from stackwright_parquet.columns import STAMP
from stackwright_parquet.deletion import DELETED, Deletions
from stackwright_parquet.histories import Histories


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    made = Histories(tmp_path, 1.0, lambda: NOON)
    made.prepare([PLAIN])
    return made


def remembered(histories: Histories) -> dict[int, datetime]:
    table = histories.deletions(PLACE).read()
    return dict(zip(table["k0"].to_pylist(), table[DELETED].to_pylist(), strict=True))


def test_of_two_deletions_of_one_key_the_later_counts(histories: Histories) -> None:
    assert histories.deletions(PLACE).read() is None
    histories.remember_deletion([PLAIN], pa.table(places(1, 2)), NOON + US)
    histories.remember_deletion([PLAIN], pa.table(places(2, 3)), NOON)
    assert remembered(histories) == {1: NOON + US, 2: NOON + US, 3: NOON}


@pytest.mark.parametrize("column", ["deleted", "__deleted"])
def test_what_earlier_versions_wrote_down_is_read_and_added_to(histories: Histories, column: str) -> None:
    path = histories.root / "_deleted" / "place.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"k0": [1], column: pa.array([NOON], STAMP)}), path)
    assert remembered(histories) == {1: NOON}
    histories.remember_deletion([PLAIN], pa.table(places(2)), NOON)
    assert remembered(histories) == {1: NOON, 2: NOON}
    assert pq.read_schema(path).names == ["k0", "__deleted"]


@pytest.mark.parametrize("damage", [b"PAR1", b"", None])
def test_a_damaged_memory_is_named(histories: Histories, damage: bytes | None) -> None:
    histories.remember_deletion([PLAIN], pa.table(places(1)), NOON)
    path = histories.deletions(PLACE).path
    if damage is None:
        pq.write_table(pa.table({"k0": [1]}), path)
    else:
        path.write_bytes(damage)
    with pytest.raises(FeatureStoreError, match=r"place\.parquet"):
        histories.deletions(PLACE).read()


def test_keys_without_a_part_are_nobodys_and_those_of_another_type_are_refused(tmp_path: Path) -> None:
    blocks = Deletions(tmp_path, BLOCKS.entity)
    some: Any = pa.table({"street": ["High", None], "number": ["1", "2"]})
    assert blocks.named(some).to_pydict() == {"k0": ["1"], "k1": ["High"]}
    with pytest.raises(WrongType, match="entity 'block'"):
        blocks.named(pa.table({"street": [1], "number": ["1"]}))


def test_keys_that_became_others_are_told_of_before_what_was_deleted_could_come_back(histories: Histories) -> None:
    histories.remember_deletion([PLAIN], pa.table(places(1)), NOON)
    texts = replace(PLACE, keys=(replace(PLACE.keys[0], type=STRING),))
    with pytest.raises(
        FeatureStoreError, match=r"place\.parquet: remembers deleted keys of int64, .*'place' are string"
    ):
        histories.deletions(texts).read()


def test_nothing_is_remembered_where_a_view_is_unknown(histories: Histories) -> None:
    with pytest.raises(UnknownName):
        histories.remember_deletion([PLAIN, BLOCKS], pa.table(places(1)), NOON)
    assert histories.deletions(PLACE).read() is None
