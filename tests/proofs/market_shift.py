"""The planted shift of the sample market: found in time, no false alarm before it, and a loop that mends the model.

Each seed is a market of its own. A project learns from its first year, is asked what is asked there, hears of a sale
months later, and is watched window by window; the clock is the market's. On a day that nobody tells it, homes of one
district lose a fifth of their price.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.live.scoring import load
from stackwright.workflows.monitoring.rules import FIRST
from stackwright.workflows.monitoring.subject import champions
from stackwright.workflows.versions.resolving import find
from stackwright_interfaces.plugin import Sample
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.rows import PredictionRows
from stackwright_market.sample import generate

LISTINGS: Final = 16_000
WINDOW: Final = timedelta(days=56)
STRUCK: Final = "harbour"
WITHIN: Final = 2
"""Whole windows after the shift in which it must be found."""

BLUEPRINT: Final = """\
name = "shift"
use_case = "batch"

[feature_store]
offline = { adapter = "duckdb", path = "data" }

[models.valuation]
service = "valuation@1"
target = "sale_price"
transform = "log"
interval = 0
level = true
half_life = 60
holdout = 0.1
refit = true
trainer = { adapter = "lightgbm", num_iterations = 200, learning_rate = 0.06, min_data_in_leaf = 10 }
gates = { drift = "warn", slices = "warn" }

[registry]
adapter = "files"

[monitor]
window = 56
parity = 0

[monitor.rules.market]
watch = "signed_median_error"
by = ["district"]
against = 0.0
limit = 0.1
min_rows = 50
windows = 1
clear = 1
action = "retrain"
"""

DISTRICT: Final = '''
@transform(inputs=("neighbourhood_id",), type=STRING, owner=OWNER)
def district(neighbourhood_id):
    """The district that a neighbourhood belongs to."""
    names = [None if name is None else name.rpartition("_")[0] for name in neighbourhood_id.tolist()]
    return np.array(names, dtype=object)


# The service:'''
LEVELLESS: Final = '"school_score", "green_share",'
"""What is left of the neighbourhood's figures: by its prices, a model would follow the market, weeks behind it."""


@dataclass
class Found:
    """What became of one market.

    Args:
        seed: of the market.
        windows: of each window whether it alarmed, and how many whole windows after the shift it is (0 holds the shift,
            less lies before it).
        detected: number of the window that found it and named the district; ``None`` where none did.
        false: windows before the shift that alarmed.
        said: what was found in each of these.
        promoted: versions that the loop promoted.
        refused: what it trained and did not promote, and why.
        errors: median relative error of the struck district: ``before`` the shift, ``after`` it by the version of then,
            and where the loop promoted one, of what was asked then on: by the ``old`` version, and by the ``new`` one.
        asked: how many homes each of them is of.
    """

    seed: int
    windows: list[tuple[int, bool]] = field(default_factory=list)
    detected: int | None = None
    false: int = 0
    said: list[str] = field(default_factory=list)
    promoted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)


def play(seed: int, folder: Path, *, quiet_months: int = 12, months_after: int = 14, listings: int = LISTINGS) -> Found:
    """Let a market pass, watched; return what was found.

    Args:
        seed: of the market.
        folder: for its project.
        quiet_months: months after the split in which nothing is planted.
        months_after: months that are watched after the shift.
        listings: homes of the market.
    """
    folder.mkdir(parents=True)
    live = quiet_months + months_after
    options = {
        "seed": seed,
        "listings": listings,
        "events": 2_000,
        "persons": 400,
        "months": live + 12,
        "live_months": live,
        "shift_month": quiet_months,
    }
    sample = generate(folder / "sample", "realtime", options, lambda *_: None)
    return _Life(seed, folder, sample).go()


class _Life:
    def __init__(self, seed: int, folder: Path, sample: Sample) -> None:
        self.folder, self.sample, self.found = folder, sample, Found(seed)
        self.shift = datetime.fromisoformat(sample.truth["shift"]["at"])
        self.end = datetime.fromisoformat(sample.truth["end"])
        self.now = sample.split
        self.labels = pyarrow.parquet.read_table(sample.late_labels["sale_price"])
        self.requests = pyarrow.parquet.read_table(sample.requests).sort_by("asked_at")

    def open(self) -> Any:
        return stackwright.load(self.folder, progress=lambda *_: None, clock=lambda: self.now)

    def go(self) -> Found:
        self._make()
        start = FIRST + ((self.now - FIRST) // WINDOW + 1) * WINDOW
        self._answer(self.now, start)
        while start + WINDOW <= self.end:
            self._answer(start, start + WINDOW)
            self.now = start + WINDOW + timedelta(hours=1)
            self._hear(start + WINDOW)
            self._watch()
            start += WINDOW
        self._judge()
        return self.found

    def _make(self) -> None:
        home = Path(stackwright_blueprint())
        features = (home / "features.py").read_text(encoding="utf-8")
        for old, new in (
            ("\n# The service:", DISTRICT),
            ('"neighbourhood_id", "latitude"', '"district", "neighbourhood_id", "latitude"'),
            ("transforms=(area_m2,", "transforms=(district, area_m2,"),
            ('"median_price_m2", "school_score", "green_share", "sales_90d", "price_m2_90d",', LEVELLESS),
        ):
            assert features.count(old) == 1, old
            features = features.replace(old, new)
        (self.folder / "features.py").write_text(features, encoding="utf-8")
        (self.folder / "blueprint.toml").write_text(BLUEPRINT, encoding="utf-8")
        split, self.now = self.now, self.end  # what lies in the future of the split is held back by its own times
        with self.open() as stack:
            stack.apply()
            for view, path in self.sample.views.items():
                stack.ingest(view, path)
            stack.label(self.sample.labels["sale_price"])
        self.now = split
        with self.open() as stack:
            outcome = stack.train()
            stack.promote("valuation", **({} if outcome.ok else {"force": True, "reason": "the first"}))

    def _answer(self, start: datetime, end: datetime) -> None:
        """Let the champion answer what is asked in a span, with the features of each instant."""
        asked = self.requests.filter(_between(self.requests.column("asked_at"), start, end))
        if not len(asked):
            return
        with self.open() as stack:
            version = find(stack, f"valuation@{champions(stack, 'valuation')[-1][1]}")
            rows = stack.rows("valuation@1", asked, time="asked_at")
            model = load(stack, version)
            answer = model.predict(rows.columns)
            with PredictionLog(journal.segments(stack), limit=len(asked) + 1) as log:
                for row, instant in enumerate(rows.asked.astype(object)):
                    moment = instant.replace(tzinfo=start.tzinfo)
                    one = slice(row, row + 1)
                    log.append(
                        PredictionRows(
                            prediction_ids=[f"{version.version}-{rows.keys['listing_id'][row]}"],
                            prediction=answer.value[one],
                            model="valuation",
                            version=version.version,
                            predicted_at=end,  # as one batch: each day is a file of its own
                            asked_at=moment,
                            columns={name: column[one] for name, column in rows.columns.items()},
                            keys={"listing_id": [rows.keys["listing_id"][row]]},
                        )
                    )
            model.close()

    def _hear(self, until: datetime) -> None:
        """Let the truths come that became known by then."""
        known = pc.less(self.labels.column("observed_at"), pa.scalar(until, self.labels.column("observed_at").type))
        with self.open() as stack:
            log = journal.labels(stack, stack.target("sale_price"))
            log.ingest(self.labels.filter(known))
        self.labels = self.labels.filter(pc.invert(known))

    def _watch(self) -> None:
        with self.open() as stack:
            outcome = stack.watch("valuation")
            verdicts = {
                window["number"]: stack.decisions("valuation", number=window["number"]).data["data"]["verdicts"][
                    "market"
                ]
                for window in outcome.data["windows"]
            }
        for window in outcome.data["windows"]:
            number = (datetime.fromisoformat(window["start"]) - self.shift) // WINDOW + 1
            verdict = verdicts[window["number"]]
            alarmed = verdict["state"] == "alarm"
            named = any(
                part["state"] == "alarm" and part.get("slice") == {"district": STRUCK} for part in verdict["parts"]
            )
            self.found.windows.append((number, alarmed))
            if alarmed and number < 0:
                self.found.false += 1
                self.found.said.append(f"window {number}: {verdict['words']}")
            if named and number >= 0 and self.found.detected is None:
                self.found.detected = number
        for event in outcome.data["events"]:
            if event["kind"] == "result":
                (self.found.promoted if event["ok"] else self.found.refused).append(event["words"])
        assert not outcome.data["problems"], outcome.data["problems"]

    def _judge(self) -> None:
        """Hold answers of the struck district against what was paid, known or not by the end."""
        truth = pyarrow.parquet.read_table(self.folder / "sample" / "sales.parquet").to_pylist()
        paid = {row["listing_id"]: (row["price"], row["agreed_at"]) for row in truth}
        self.now = self.end
        with self.open() as stack:
            rows = stack.rows("valuation@1", self.requests, time="asked_at")
            moves = champions(stack, "valuation")
            answers = {number: load(stack, find(stack, f"valuation@{number}")).predict(rows.columns).value
                       for number in dict.fromkeys(version for _, version in moves)}  # fmt: skip
        homes = rows.keys["listing_id"].tolist()
        mine = (rows.columns["district"] == STRUCK) & np.array([home in paid for home in homes])
        price = np.array([paid[home][0] if home in paid else np.nan for home in homes])
        agreed = np.array([_stamp(paid[home][1]) if home in paid else np.nan for home in homes])
        asked = rows.asked.astype(np.int64) / 1e6
        shift, after = self.shift.timestamp(), [move for move in moves if move[0] >= self.shift]
        first = next(version for _, version in reversed(moves) if _ <= self.shift)
        self._take("before", mine & (agreed < shift), answers[first], price)
        end = after[0][0].timestamp() if after else self.end.timestamp()
        self._take("after", mine & (agreed >= shift) & (asked < end), answers[first], price)
        if after:
            since = mine & (asked >= end)
            self._take("old", since, answers[first], price)
            versions = np.searchsorted([at.timestamp() for at, _ in after], asked, side="right") - 1
            newest = np.array([answers[after[max(place, 0)][1]][row] for row, place in enumerate(versions.tolist())])
            self._take("new", since, newest, price)

    def _take(self, name: str, rows: Any, answer: Any, price: Any) -> None:
        self.found.asked[name] = int(rows.sum())
        self.found.errors[name] = float(np.median(answer[rows] / price[rows] - 1)) if rows.any() else float("nan")


def _stamp(moment: Any) -> float:
    return float(moment.timestamp())


def _between(column: Any, start: datetime, end: datetime) -> Any:
    low, high = (pa.scalar(moment, column.type) for moment in (start, end))
    return pc.and_(pc.greater_equal(column, low), pc.less(column, high))


def stackwright_blueprint() -> Path:
    """Return the folder of the real-time blueprint."""
    from stackwright.assembly.discovery import Plugins

    return Plugins().blueprint("realtime").folder
