"""What monitoring must find, and what it must not: on markets with a planted shift, and on real data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import california
import market_shift
import pytest
import rising_market

Data = Callable[[str], Path]
SET = "nannyml_california"


@pytest.mark.nightly
def test_a_planted_shift_is_found_and_answered_by_a_training(tmp_path: Path) -> None:
    found = market_shift.play(2, tmp_path / "project", quiet_months=1, months_after=5, listings=5_000)
    assert found.detected is not None
    assert found.detected <= market_shift.WITHIN
    assert found.false == 0
    assert found.promoted or found.refused
    assert abs(found.errors["after"]) > abs(found.errors["before"])


def test_a_falling_auc_raises_an_alarm_though_truths_come_a_month_late(data: Data) -> None:
    sets = california.read(data(SET))
    found = california.judged(sets.analysis.iloc[:2800], sets.reference)
    states = [window["loss"]["state"] for window in found]
    assert states[:2] == ["insufficient", "ok"]
    assert states[2:5] == ["alarm"] * 3
    assert "auc 0.742" in found[2]["loss"]["words"]


def test_halves_of_one_set_raise_no_alarm(data: Data) -> None:
    found = california.halves(california.read(data(SET)).reference, 10)
    assert (found["loss alarms"], found["drift alarms"]) == (0, 0)


@pytest.mark.nightly
def test_two_hundred_pairs_of_halves_raise_no_more_alarms_than_is_stated(data: Data) -> None:
    found = california.halves(california.read(data(SET)).reference, 200)
    assert found["loss alarms"] + found["drift alarms"] <= 2


@pytest.mark.nightly
def test_a_rising_market_is_found_and_named(data: Data, tmp_path: Path) -> None:
    found = rising_market.play(data("king_county"), tmp_path / "project", trees=60, every=3)
    assert found.trained > 4000
    (opened,) = found.opened
    assert "below the truths" in opened[1]
    assert [state for _, state, _ in found.windows].count("alarm") >= 2


@pytest.mark.nightly
def test_a_rising_market_is_found_among_all_sales(data: Data, tmp_path: Path) -> None:
    found = rising_market.play(data("king_county"), tmp_path / "project")
    assert found.trained > 13_000
    assert any("below the truths" in words for _, words in found.opened)
