"""What can be chosen, and what is said of a choice that cannot be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import UsageError
from stackwright_market import plugin
from stackwright_market.options import MarketOptions
from stackwright_market.sample import generate


def test_the_plugin_is_found_by_its_entry_point_and_offers_all_options() -> None:
    (entry,) = [found for found in entry_points(group="stackwright") if found.name == "market"]
    assert entry.load() is plugin
    (spec,) = plugin.stackwright_samples()
    assert spec.factory == "stackwright_market.sample:generate"
    assert MarketOptions.read(spec.options) == MarketOptions()


def test_the_plugin_imports_neither_numpy_nor_pyarrow() -> None:
    code = "import sys, stackwright_market.plugin; sys.exit(any(name in sys.modules for name in ('numpy', 'pyarrow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_values_may_come_as_texts_of_a_command_line() -> None:
    read = MarketOptions.read({"listings": "500", "dirt": "0.1", "split": "2026-01-01", "shift": 1})
    assert (read.listings, read.dirt, read.split, read.shift) == (500, 0.1, "2026-01-01", 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"listing": 500}, "no option 'listing'. Did you mean 'listings'?"),
        ({"listings": "many"}, "'many' is not a whole number"),
        ({"listings": 500.5}, "500.5 is not a whole number"),
        ({"events": 10}, "10 is out of range. Give a number from 1000 to 1e"),
        ({"dirt": True}, "True is not a number"),
        ({"dirt": "nan"}, "'nan' is out of range"),
        ({"split": "soon"}, "'soon' is not a date. Write it as YYYY-MM-DD."),
        ({"months": 9, "live_months": 8}, "Leave at least three months of history."),
        ({"shift_month": 8}, "Let the shift strike a day or more before the sample ends."),
        ({"shift_month": 7.99}, "shift_month is 7.99, live_months 8."),
    ],
)
def test_an_option_that_cannot_be_used_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        MarketOptions.read(options)
    assert message in str(raised.value)


def test_an_unknown_blueprint_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'realtme'\. Did you mean 'realtime'"):
        generate(tmp_path, "realtme", {}, lambda *_: None)
    assert list(tmp_path.iterdir()) == []


def test_split_and_months_lay_the_time_axis(make: Callable[..., Any]) -> None:
    made = make("realtime", listings=300, events=1_000, months=12, live_months=3, split="2026-03-01")
    assert made.sample.split.isoformat() == "2026-03-01T00:00:00+00:00"
    assert (made.split - made.start) // np.timedelta64(1, "D") == pytest.approx(9 * 30.44, abs=1)
    assert (made.end - made.split) // np.timedelta64(1, "D") == pytest.approx(3 * 30.44, abs=1)
