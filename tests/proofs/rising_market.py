"""King County sold until March 2015, watched until May: a market that rises past a model which has no clock.

The project learns from the sales before 2015-03-01, without the day among its inputs and without scaling its answers by
recent errors. Each later sale is valued half a day before it closes, with what the sale's own row says of the home, and
its price is known when it closes. Windows of two weeks are watched; the clock is the market's.
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.live.scoring import load, resolve
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.rows import PredictionRows

CUT: Final = datetime(2015, 3, 1, tzinfo=UTC)
END: Final = datetime(2015, 5, 28, tzinfo=UTC)
PROJECT: Final = Path(__file__).parents[1] / "blueprints" / "king_county"

BLUEPRINT: Final = """\
name = "king_county"
use_case = "realtime"

[feature_store]
offline = {{ adapter = "duckdb", path = "data" }}
online = {{ adapter = "sqlite", path = "data/online.db" }}

[models.valuation]
service = "valuation@1"
target = "sale_price"
transform = "log"
interval = 0
trainer = {{ adapter = "lightgbm", objective = "l1", num_iterations = {trees}, learning_rate = {rate} }}
gates = {{ latency = "warn" }}

[registry]
adapter = "files"

[server]
adapter = "uvicorn"

[monitor]
window = 14
parity = 0
rules.level = {{ watch = "signed_median_error", against = 0.0, limit = 0.04, windows = 2, action = "investigate" }}
"""


@dataclass
class Found:
    """What the watch found.

    Args:
        trained: rows that were learned from.
        gates: red gates of the training.
        windows: of each window its end, state and words.
        opened: what the alert said when it opened, and at the end of which window.
    """

    trained: int = 0
    gates: list[str] = field(default_factory=list)
    windows: list[tuple[str, str, str]] = field(default_factory=list)
    opened: list[tuple[str, str]] = field(default_factory=list)


def play(data: Path, folder: Path, *, trees: int = 400, every: int = 1) -> Found:
    """Let the spring of 2015 pass, watched; return what was found.

    Args:
        data: holds ``kc_house_data.csv``.
        folder: for the project.
        trees: of the model.
        every: take one sale of so many.
    """
    folder.mkdir(parents=True)
    sales = folder / "sales.csv"
    _some(data / "kc_house_data.csv", sales, every)
    features = (PROJECT / "features.py").read_text(encoding="utf-8")
    assert features.count("age, since_work, days,") == 1
    (folder / "features.py").write_text(features.replace("age, since_work, days,", "age, since_work,"))
    (folder / "blueprint.toml").write_text(BLUEPRINT.format(trees=trees, rate=min(0.2, 16 / trees)))
    found = Found()
    with _open(folder, END) as stack:
        stack.apply()
        stack.ingest("homes", sales)
        stack.materialize()
        stack.label(sales)
    with _open(folder, CUT) as stack:
        outcome = stack.train()
        found.gates = [name for name, green in outcome.data["gates"].items() if not green]
        stack.promote("valuation", **({"force": True, "reason": "it is the first"} if found.gates else {}))
        model = load(stack, resolve(stack, "valuation"))
        found.trained = int(model.manifest.data["rows"])
        _answer(stack, model)
    now = CUT
    while now < END + timedelta(days=14):
        now += timedelta(days=1)
        with _open(folder, now) as stack:
            if not _ended(stack, now):
                continue
            outcome = stack.watch("valuation")
            for window in outcome.data["windows"]:
                event = stack.decisions("valuation", number=window["number"]).data["data"]
                verdict = event["verdicts"]["level"]
                found.windows.append((window["end"][:10], verdict["state"], verdict["words"]))
            found.opened += [(now.date().isoformat(), event["words"]) for event in outcome.data["events"]
                             if event["kind"] == "opened"]  # fmt: skip
    return found


def _open(folder: Path, now: datetime) -> Any:
    return stackwright.load(folder, progress=lambda *_: None, clock=lambda: now)


def _ended(stack: Any, now: datetime) -> bool:
    """Return whether a window ended within the last day."""
    from stackwright.workflows.monitoring.rules import ended

    return any(end > now - timedelta(days=1) for _, end in ended(stack, now))


def _some(source: Path, to: Path, every: int) -> None:
    if every == 1:
        shutil.copyfile(source, to)
        return
    with source.open(encoding="utf-8", newline="") as given, to.open("w", encoding="utf-8", newline="") as taken:
        rows = list(csv.reader(given))
        csv.writer(taken, quoting=csv.QUOTE_ALL).writerows([rows[0], *rows[1::every]])


def _answer(stack: Any, model: Any) -> None:
    """Value every later sale half a day before it closes."""
    rows = stack.rows("valuation", known_at=END)
    later = rows.asked >= np.datetime64(CUT.replace(tzinfo=None), "us")
    columns = {name: column[later] for name, column in rows.columns.items()}
    value = model.predict(columns).value
    homes, asked = rows.keys["property_id"][later], rows.asked[later].astype(object)
    with PredictionLog(journal.segments(stack), limit=len(value) + 1) as log:
        for row in range(len(value)):
            moment = asked[row].replace(tzinfo=UTC) - timedelta(hours=12)
            one = slice(row, row + 1)
            log.append(
                PredictionRows(
                    prediction_ids=[f"{homes[row]}-{row}"],
                    prediction=value[one],
                    model="valuation",
                    version=1,
                    predicted_at=END,  # as one batch: a day of its own for each would be a file of its own
                    asked_at=moment,
                    columns={name: column[one] for name, column in columns.items()},
                    keys={"property_id": [homes[row]]},
                )
            )
