"""Lists of a shadow held against those that were shown: the numbers are those of the definitions."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_journal.list_overlap import overlaps
from stackwright_journal.list_reading import ListReader
from stackwright_journal.list_records import FOLDER, ClickRecord, ListRecord
from stackwright_journal.predictions import PredictionLog
from stackwright_storage import FileStorage

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def listed(list_id: str, items: str, **more: Any) -> ListRecord:
    """Return a list whose items are single letters."""
    n = len(items)
    given = {"version": 1, **more}
    return ListRecord(
        list_id=list_id,
        predicted_at=NOW,
        model="homes",
        digest="sha256:1",
        items=list(items),
        scores=np.zeros(n),
        propensities=np.ones(n),
        cold=np.zeros(n, bool),
        **given,
    )


def shadow(of: str, items: str, version: int = 2) -> ListRecord:
    return listed(f"{of}-{version}", items, version=version, arm="shadow", beside=of)


def click(list_id: str, item: str) -> ClickRecord:
    return ClickRecord(list_id=list_id, item=item, value=1.0, observed=NOW, predicted_at=NOW)


def told(folder: Path, *records: Any, k: int = 3) -> list[dict[str, Any]]:
    with PredictionLog(folder, name=FOLDER) as log:
        assert all(log.append(record) for record in records)
    return overlaps(ListReader(FileStorage(folder)).read("homes"), k=k)


def test_what_both_hold_in_the_first_places_is_shared(tmp_path: Path) -> None:
    (found,) = told(
        tmp_path,
        listed("A", "abcd"),
        shadow("A", "cbxa"),  # b and c of three
        listed("B", "ab"),
        shadow("B", "a"),  # a of two
        listed("C", ""),
        shadow("C", ""),  # nothing to share
    )
    assert (found["version"], found["lists"], found["k"]) == (2, 3, 3)
    assert found["overlap"]["value"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert (found["judged"], found["ndcg"], found["shown_ndcg"], found["gain"]) == (0, None, None, None)


def test_what_was_clicked_counts_by_its_places_in_the_list_of_the_shadow(tmp_path: Path) -> None:
    (found,) = told(
        tmp_path,
        listed("A", "abcd"),
        shadow("A", "cxab"),
        click("A", "a"),
        click("A", "d"),  # which the shadow leaves out
        listed("B", "ab"),
        shadow("B", "ba"),
        listed("C", "ab"),
        click("C", "a"),  # beside which the shadow was dropped
    )
    perfect = 1 + 1 / math.log2(3)
    assert found["judged"] == 1
    assert found["ndcg"]["value"] == pytest.approx((1 / math.log2(4)) / perfect)
    assert found["shown_ndcg"]["value"] == pytest.approx(1 / perfect)
    assert found["gain"]["value"] == pytest.approx(found["ndcg"]["value"] - found["shown_ndcg"]["value"])


def test_each_version_is_told_apart_and_none_without_its_shown_list(tmp_path: Path) -> None:
    found = told(
        tmp_path,
        listed("A", "abc"),
        shadow("A", "abc", 2),
        shadow("A", "xyz", 3),
        shadow("lost", "abc", 4),
        listed("old", "abc", arm="shadow"),
    )
    assert [(one["version"], one["lists"], one["overlap"]["value"]) for one in found] == [(2, 1, 1.0), (3, 1, 0.0)]
