"""NannyML's California set: labels that come late, an AUC that falls, and what chance alone raises.

Answers and truths of the set's own model: none is trained here. Answers go into a prediction log, truths into a label
log 30 days late; windows of four weeks are judged by the usual rules, as ``watch`` judges them. What chance does is
measured on the reference alone: shuffled, one half is taken for the training, the other for a window.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from stackwright_interfaces.definitions import Entity, Target
from stackwright_interfaces.types import FLOAT64, INT64, Field
from stackwright_journal.alert_rules import DEFAULTS, WindowData, evaluate
from stackwright_journal.counting import ColumnCounts
from stackwright_journal.join import join
from stackwright_journal.labels import LabelLog
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.reading import PredictionReader, Span
from stackwright_journal.rows import PredictionRows
from stackwright_journal.tabulating import BASE, FALLBACKS, Wanted
from stackwright_numerics import metrics
from stackwright_numerics.drift import Histogram
from stackwright_storage import open_storage

LATE: Final = timedelta(days=30)
WINDOW: Final = timedelta(days=28)
INPUTS: Final = ("MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude")
PLACE: Final = ("Latitude", "Longitude")
FIELDS: Final = tuple(Field(name, FLOAT64) for name in INPUTS)
BLOCK: Final = Entity(name="block", keys=(Field("id", INT64),))
TARGET: Final = Target(name="dear", entity=BLOCK, value=Field("clf_target", FLOAT64), observed="observed_at")
LOSS, DRIFT = DEFAULTS[0], DEFAULTS[1]


@dataclass(frozen=True)
class Sets:
    """Reference and analysis, each with answers and truths."""

    reference: pd.DataFrame
    analysis: pd.DataFrame


def read(folder: Path) -> Sets:
    """Read the three files."""
    parts = [
        pd.read_csv(folder / f"california_housing_{name}.csv") for name in ("reference", "analysis", "analysis_gt")
    ]
    frames = [parts[0], parts[1].merge(parts[2], on="id")]
    return Sets(*(frame.assign(timestamp=pd.to_datetime(frame["timestamp"], utc=True)) for frame in frames))


def learned(rows: pd.DataFrame) -> tuple[dict[str, Any], dict[int, dict[str, float]]]:
    """Return reference histograms, and metrics at training, of rows."""
    histograms = {name: Histogram.of(rows[name].to_numpy()).to_json() for name in (*INPUTS, "y_pred_proba")}
    histograms["prediction"] = histograms.pop("y_pred_proba")
    return histograms, {1: metrics.score("classification", rows["clf_target"], rows["y_pred_proba"])}


def judged(rows: pd.DataFrame, before: pd.DataFrame) -> list[dict[str, Any]]:
    """Log answers and late truths, and judge every window that truths came in."""
    histograms, expected = learned(before)
    last = rows["timestamp"].max().to_pydatetime()
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(folder)
        with PredictionLog(Path(folder), limit=len(rows) + 1) as log:
            for row in rows.itertuples():
                moment = row.timestamp.to_pydatetime()
                log.append(
                    PredictionRows(
                        prediction_ids=[str(row.id)],
                        prediction=np.array([row.y_pred_proba]),
                        model="m",
                        version=1,
                        predicted_at=last,  # as one batch: a day of its own for each would be a file of its own
                        asked_at=moment,
                        columns={name: np.array([getattr(row, name)]) for name in INPUTS},
                        keys={"id": [row.id]},
                    )
                )
        end = last + LATE + WINDOW
        labels = LabelLog(storage, TARGET, clock=lambda: end)
        happened = rows["timestamp"] + timedelta(hours=1)
        labels.ingest(
            pa.table(
                {
                    "id": rows["id"].to_numpy(),
                    "asked_at": pa.array(rows["timestamp"]),
                    "happened_at": pa.array(happened),
                    "observed_at": pa.array(rows["timestamp"] + LATE),
                    "clf_target": rows["clf_target"].astype(float).to_numpy(),
                }
            )
        )
        wanted = Wanted(BLOCK.keys, FIELDS, tuple(BASE), (FALLBACKS,))
        reader = PredictionReader(storage)
        table = pa.concat_tables([batch.table for batch in reader.batches(wanted, model="m")])
        reader.close()
        found, start = [], rows["timestamp"].min().to_pydatetime()
        while start < end - WINDOW:
            found.append(window(table, labels, start, start + WINDOW, histograms, expected))
            start += WINDOW
    return found


def window(
    table: Any,
    labels: LabelLog,
    start: datetime,
    end: datetime,
    histograms: dict[str, Any],
    expected: dict[int, dict[str, float]],
) -> dict[str, Any]:
    """Judge a window by the usual rules, as its labels were known at its end."""
    known = table.filter(pa.array(Span(None, end, "asked_at").mask(table)))
    joined = join(known, labels.read(known_at=end), TARGET, at=end, time="asked_at")
    counted = ColumnCounts(histograms)
    counted.add(known.filter(pa.array(Span(start, end, "asked_at").mask(known))))
    data = WindowData(
        joined=joined, counted=counted, start=start, end=end, task="classification", version=1, expected=expected
    )
    return {"start": start, **{rule.name: evaluate(rule, data) for rule in (LOSS, DRIFT)}}


def halves(rows: pd.DataFrame, resamples: int, seed: int = 7) -> dict[str, int]:
    """Shuffle rows and hold one half against the other; return how many of so many resamples alarm, and warn."""
    random = np.random.default_rng(seed)
    begin = datetime(2021, 1, 1, tzinfo=UTC)
    found = {"resamples": resamples, "loss alarms": 0, "loss warns": 0, "drift alarms": 0, "drift warns": 0}
    for _ in range(resamples):
        order = random.permutation(len(rows))
        one, two = (rows.iloc[part] for part in np.array_split(order, 2))
        histograms, expected = learned(one)
        table = _known(two, begin)
        counted = ColumnCounts(histograms)
        counted.add(table)
        joined = replace(_EMPTY, table=table, at=begin + WINDOW)
        data = WindowData(
            joined=joined,
            counted=counted,
            start=begin,
            end=begin + WINDOW,
            task="classification",
            version=1,
            expected=expected,
        )
        for rule in (LOSS, DRIFT):
            state = evaluate(rule, data)["state"]
            if state in ("alarm", "warn"):
                found[f"{rule.name} {state}s"] += 1
    return found


def _known(rows: pd.DataFrame, begin: datetime) -> Any:
    """Return answers whose truths came the same day, as a joined table."""
    n = len(rows)
    moment = pa.array([begin + timedelta(days=1)] * n, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "version": np.ones(n, np.int64),
            "arm": pa.array(["live"] * n),
            "asked_at": moment,
            "observed_at": moment,
            "status": pa.array(["matured"] * n),
            "target": rows["clf_target"].astype(float).to_numpy(),
            "prediction": rows["y_pred_proba"].to_numpy(),
            "lower": np.full(n, np.nan),
            "upper": np.full(n, np.nan),
            **{f"feature.{name}": rows[name].to_numpy() for name in INPUTS},
        }
    )


def _empty() -> Any:
    from stackwright_journal.join import Joined

    return Joined(
        table=None, at=datetime(2021, 1, 1, tzinfo=UTC), time="asked_at", labels=0, unmatched=0, unknown=0, early=0
    )


_EMPTY: Final = _empty()
