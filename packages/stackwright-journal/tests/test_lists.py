"""The log of lists: what is written is read with what became of it, and the numbers are those of the definitions."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from stackwright_interfaces.errors import DataError
from stackwright_journal.list_numbers import describe, logged_of
from stackwright_journal.list_reading import ListReader
from stackwright_journal.list_records import FOLDER, ClickRecord, ListRecord
from stackwright_journal.places import open_lists
from stackwright_journal.predictions import PredictionLog
from stackwright_numerics.counterfactual import DEEPEST, Logged, chosen_by, examination, replay
from stackwright_storage import FileStorage

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shown(list_id: str, *items: Any, minutes: int = 0, **more: Any) -> ListRecord:
    n = len(items)
    given = {"scores": np.linspace(1, 0, n), "propensities": np.ones(n), "cold": np.zeros(n, bool), **more}
    return ListRecord(
        list_id=list_id,
        predicted_at=NOW + timedelta(minutes=minutes),
        model=given.pop("model", "homes"),
        version=given.pop("version", 1),
        digest="sha256:1",
        items=items,
        **given,
    )


def click(list_id: str, item: Any, value: float = 1.0, *, minutes: int = 0, told: int = 0) -> ClickRecord:
    observed = NOW + timedelta(minutes=minutes)
    return ClickRecord(
        list_id=list_id, item=item, value=value, observed=observed, predicted_at=observed + timedelta(minutes=told)
    )


def write(folder: Path, *records: Any) -> ListReader:
    with PredictionLog(folder, name=FOLDER) as log:
        assert all(log.append(record) for record in records)
    assert log.counts.written == len(records), log.counts
    return ListReader(FileStorage(folder))


def test_lists_are_read_in_the_order_of_time_with_what_became_of_their_items(tmp_path: Path) -> None:
    scores = np.array([[0.5, 1.0], [np.nan, 2.0]])[:, 0]  # a column, as a recommender may give it
    late = shown("B", "h2", 7, minutes=5, user="ann", asked={"session": ["h9"]}, flags=["cold_user"], scores=scores)
    reader = write(tmp_path, late, shown("A", "h1"), click("B", 7), shown("C", "f1", model="films"))
    found = reader.read("homes")
    assert [one["list_id"] for one in found.lists] == ["A", "B"]
    assert found.lists[1]["scores"] == [0.5, None]
    assert found.lists[1]["asked"] == {"session": ["h9"]}
    assert found.item.tolist() == ["h1", "h2", 7]
    assert found.number.tolist() == [0, 1, 1]
    assert found.position.tolist() == [1, 1, 2]
    assert found.clicked.tolist() == [0, 0, 1]
    assert found.some(np.array([False, True])).number.tolist() == [0, 0]


def test_a_window_takes_lists_by_when_they_were_made_and_clicks_whenever_they_came(tmp_path: Path) -> None:
    reader = write(
        tmp_path, shown("A", "h1"), shown("B", "h1", minutes=10), click("A", "h1", minutes=60 * 48), click("B", "h1")
    )
    found = reader.read("homes", start=NOW, end=NOW + timedelta(minutes=10))
    assert ([one["list_id"] for one in found.lists], found.clicked.tolist(), found.strays) == (["A"], [1], 0)
    assert reader.read("homes", known_at=NOW + timedelta(hours=1)).clicked.tolist() == [0, 1]


def test_of_several_clicks_the_last_observed_counts_and_then_the_one_told_last(tmp_path: Path) -> None:
    reader = write(
        tmp_path,
        shown("A", "h1", "h2"),
        click("A", "h1", 0, minutes=9),
        click("A", "h1", 1, minutes=2, told=30),
        click("A", "h2", 1, minutes=2),
        click("A", "h2", 3, minutes=2, told=5),
    )
    assert reader.read("homes").clicked.tolist() == [0, 3]


def test_what_tells_of_no_list_is_counted_apart(tmp_path: Path) -> None:
    reader = write(tmp_path, shown("A", "h1"), click("Z", "h1"), click("A", "h8"))
    assert reader.read("homes").strays == 2


def test_clicks_on_lists_of_other_recommenders_and_other_times_are_no_strays(tmp_path: Path) -> None:
    films = shown("F", "f1", model="films")
    reader = write(
        tmp_path,
        click("F", "f1", minutes=1),
        click("B", "h1", minutes=11),
        shown("A", "h1"),
        shown("B", "h1", minutes=10),
        films,
        click("F", "f1", minutes=2),
        click("A", "h9"),
        click("X", "h1"),
    )
    assert reader.read("homes").strays == 2
    assert reader.read("films").strays == 1
    assert reader.read("homes", end=NOW + timedelta(minutes=5)).strays == 2
    assert reader.read("homes", start=NOW + timedelta(minutes=5)).strays == 1


def test_a_click_on_a_list_of_a_day_before_the_window_is_no_stray(tmp_path: Path) -> None:
    def made(moment: datetime) -> str:
        return str(UUID(int=int(moment.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62))

    old, lost = made(NOW - timedelta(days=2)), made(NOW + timedelta(minutes=1))
    write(tmp_path, shown(old, "h1", minutes=-2 * 24 * 60))
    reader = write(tmp_path, shown("A", "h1"), click(old, "h1"), click(lost, "h1", minutes=2))
    found = reader.read("homes", start=NOW - timedelta(hours=1))
    assert ([one["list_id"] for one in found.lists], found.strays) == (["A"], 1)


def test_torn_damaged_and_repeated_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    write(tmp_path, shown("A", "h1"))
    (segment,) = (tmp_path / FOLDER).rglob("*.jsonl")
    line = segment.read_bytes()
    other = json.loads(line) | {"schema": 9}
    segment.write_bytes(line + line + b"{}\n" + json.dumps(other).encode() + b"\n" + line[:20])
    counts = open_lists(str(tmp_path), spool=tmp_path / "spool").read("homes").counts
    assert (counts.duplicates, counts.damaged, counts.unknown_schema, counts.torn) == (1, 1, 1, 1)


def test_numbers_of_a_few_lists_are_those_of_their_definitions(tmp_path: Path) -> None:
    cold = np.array([False, True])
    reader = write(
        tmp_path,
        shown("A", "h1", "h2", cold=cold),
        shown("B", "h2", "h3", minutes=1, flags=["cold_user"]),
        shown("C", "h2", "h4", minutes=2, version=2),
        shown("D", minutes=3),
        click("A", "h2"),
        click("B", "h2"),
    )
    found = describe(reader.read("homes"), k=5, catalogue=8)
    assert (found["lists"], found["items"], found["clicks"], found["empty"]) == (4, 6, 2, 1)
    assert found["ctr"]["value"] == pytest.approx(2 / 6)
    places = {place: (one["n"], one["value"]) for place, one in found["ctr_by_position"].items()}
    assert places == {"1": (3, pytest.approx(1 / 3)), "2": (3, pytest.approx(1 / 3))}
    assert found["ctr_by_position"]["1"]["low"] < 1 / 3 < found["ctr_by_position"]["1"]["high"]
    assert found["judged"] == 2
    assert found["ndcg"]["value"] == pytest.approx((1 / math.log2(3) + 1) / 2)
    assert found["mrr"]["value"] == pytest.approx(0.75)
    assert found["coverage"] == {"items": 4, "catalogue": 8, "share": 0.5}
    novelty = (3 * -math.log2(3 / 4) + 3 * -math.log2(1 / 4)) / 6
    assert found["novelty"] == pytest.approx(novelty)
    assert found["cold_items"] == pytest.approx(1 / 6)
    assert found["flags"] == {"cold_user": 0.25}
    assert found["by_version"] == {"1": 3, "2": 1}
    assert found["examination"] is None
    json.dumps(found, allow_nan=False)


def test_nothing_shown_has_numbers_that_say_so(tmp_path: Path) -> None:
    found = describe(ListReader(FileStorage(tmp_path)).read("homes"))
    assert (found["lists"], found["ctr"]["value"], found["ndcg"], found["novelty"]) == (0, None, None, None)
    with pytest.raises(DataError):
        logged_of(ListReader(FileStorage(tmp_path)).read("homes"))


def test_a_replay_of_logged_lists_finds_what_the_challenger_would_have_earned(tmp_path: Path) -> None:
    """Places are looked at with known chances, items liked with known ones; the challenger turns lists round."""
    random = np.random.default_rng(5)
    looked, liked, items = np.array([1.0, 0.6, 0.3]), np.array([0.1, 0.3, 0.6]), np.array(["a", "b", "c"])
    records: list[Any] = []
    for number in range(4000):
        shuffled = random.random() < 0.5
        order = random.permutation(3) if shuffled else np.arange(3)
        chances = np.where(order == np.arange(3), 0.5, 0.0) + 0.5 / 3
        flags = ["shuffled"] if shuffled else []
        records.append(shown(f"L{number}", *items[order].tolist(), propensities=chances, flags=flags))
        hits = random.random(3) < looked * liked[order]
        records += [click(f"L{number}", items[order[place]]) for place in np.flatnonzero(hits)]
    found = write(tmp_path, *records).read("homes")
    logged = logged_of(found)
    score = np.array([{"a": 0, "b": 1, "c": 2}[item] for item in found.item.tolist()])
    judged = replay(logged, chosen_by(logged, score), draws=500, level=0.999)
    truth, before = float(looked @ liked[::-1]), float(looked @ liked) * 0.5 + 0.5 * looked.mean() * liked.sum()
    assert judged.self_normalised.low < truth < judged.self_normalised.high
    assert judged.logged.low < before < judged.logged.high
    assert judged.gain.low > 0
    numbers = describe(found)
    seen = [numbers["examination"][place]["value"] for place in ("1", "2", "3")]
    np.testing.assert_allclose(seen, looked, atol=0.1)


def test_one_long_list_costs_a_replay_no_memory_for_all_others() -> None:
    """The first hundred places count; rows behind them are told of, and change nothing."""
    short = Logged(np.arange(3), np.ones(3, np.int64), np.ones(3), np.array([1.0, 0, 1]), np.array(["a", "b", "c"]))
    places = np.arange(1, DEEPEST + 1)
    hundred = many(short, places)
    longer = many(short, np.arange(1, 1_001))
    found = replay(longer, np.ones(longer.position.size), draws=50)
    assert found.beyond == 900
    assert replace(found, beyond=0) == replay(hundred, np.ones(hundred.position.size), draws=50)
    assert len(examination(longer, draws=50)) == DEEPEST
    far = Logged(np.arange(3), np.array([1, 1, 10**12]), np.ones(3), np.ones(3), np.array(["a", "b", "c"]))
    assert replay(far, np.ones(3), draws=50).beyond == 1


def many(logged: Logged, places: Any) -> Logged:
    """Return a log with one list more, of so many places of which none was clicked."""
    n = len(places)
    return Logged(
        np.concatenate([logged.number, np.full(n, logged.lists)]),
        np.concatenate([logged.position, places]),
        np.concatenate([logged.propensity, np.ones(n)]),
        np.concatenate([logged.clicked, np.zeros(n)]),
        np.concatenate([logged.item, np.array([f"i{place}" for place in places])]),
    )
