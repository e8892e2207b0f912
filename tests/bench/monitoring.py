"""``monitoring``: what the numbers that decide cost: drift beside Evidently and numpy, the log, a report of millions.

Drift is of 30 columns of numbers, as many rows a side as it says; NaN in two of a hundred. Ours is what a report and a
server do: a histogram that lies in the model's manifest, counts against it, and every measure judged. Where it says so,
building the histogram counts too. The numpy script bins by the reference's quantiles and adds up the index, no more.

The journal's rows are written as seals, as ``report`` and ``watch`` make them of lines; how long that takes has a row
of its own. A report is read from there, joined with labels of one prediction in twenty, and decided.

``--rows``, ``--logged`` and ``--rounds`` make it smaller; ``--only drift``, ``log`` or ``report`` runs a part.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from harness import Measured, Row, in_turn, report

from stackwright_interfaces.catalogue import canonical
from stackwright_interfaces.definitions import Entity, Target
from stackwright_interfaces.feature_store import FeatureRows
from stackwright_interfaces.types import FLOAT64, INT64, Field
from stackwright_journal import sealing
from stackwright_journal.counting import ColumnCounts
from stackwright_journal.deciding import decide
from stackwright_journal.join import join
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.reading import PredictionReader, Span
from stackwright_journal.rows import PredictionRows
from stackwright_journal.tabulating import IDENTITY, Wanted
from stackwright_numerics.drift import Histogram, Limits, compare
from stackwright_storage import open_storage

COLUMNS: Final = 30
FEATURES: Final = 26
BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAYS: Final = 30
CHUNK: Final = 250_000

Columns = dict[str, Any]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--logged", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("drift", "log", "report"))
    options = parser.parse_args()
    rows: list[Row] = []
    notes: list[str] = []
    if options.only in (None, "drift"):
        for number in options.rows:
            rows += drift(number, options.rounds)
    if options.only in (None, "log"):
        rows += log(options.rounds)
    if options.only in (None, "report"):
        found, said = reading(options.logged, options.rounds)
        rows, notes = [*rows, *found], [*notes, *said]
    report("monitoring", rows, notes)


def table(rows: int, seed: int) -> Columns:
    random = np.random.default_rng(seed)
    columns = {f"x{place}": random.normal(place, 1 + place / 10, rows) for place in range(COLUMNS)}
    for column in columns.values():
        column[random.integers(0, rows, rows // 50)] = np.nan
    return columns


def timed(work: Callable[[], Any]) -> Callable[[], float]:
    def run() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return run


def drift(rows: int, rounds: int) -> list[Row]:
    """Measure the deciding numbers beside Evidently's preset and a plain script."""
    before, now = table(rows, 1), table(rows, 2)
    stored = {name: Histogram.of(column) for name, column in before.items()}

    def ours() -> None:
        for name, histogram in stored.items():
            compare(histogram, histogram.count(now[name]), Limits())

    def whole() -> None:
        for name, column in before.items():
            histogram = Histogram.of(column)
            compare(histogram, histogram.count(now[name]), Limits())

    works: dict[str, Callable[[], float]] = {
        "ours": timed(ours),
        "whole": timed(whole),
        "numpy": timed(lambda: [numpy_psi(before[name], now[name]) for name in before]),
    }
    found = in_turn(works, rounds)
    few = {name: column[:1000] for name, column in before.items()}
    evidently_preset(few, few)  # what it imports and prepares at its first call does not count
    evidently = Measured.of([evidently_preset(before, now)])  # once: a million rows take minutes
    peer, plain = f"Evidently {version('evidently')}, preset", f"numpy {version('numpy')}, PSI alone"
    name = f"drift of {COLUMNS} x {rows:,} rows a side"
    return [
        Row(
            f"{name}, stored reference",
            "s",
            found["ours"],
            peer,
            evidently,
            ratio_bar=1 / 60,
            bar=1.0 if rows == 1_000_000 else None,
        ),
        Row(f"{name}, reference built too", "s", found["whole"], peer, evidently, ratio_bar=1 / 60),
        Row(f"{name}, reference built too", "s", found["whole"], plain, found["numpy"], ratio_bar=2.0),
    ]


def numpy_psi(before: Any, now: Any) -> float:
    one, two = before[~np.isnan(before)], now[~np.isnan(now)]
    edges = np.concatenate([[-np.inf], np.quantile(one, np.arange(1, 20) / 20), [np.inf]])
    first = (np.histogram(one, edges)[0] + 0.5) / (one.size + 10)
    second = (np.histogram(two, edges)[0] + 0.5) / (two.size + 10)
    return float(((second - first) * np.log(second / first)).sum())


def evidently_preset(before: Columns, now: Columns) -> float:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    frames = [pd.DataFrame(columns) for columns in (now, before)]
    definition = DataDefinition(numerical_columns=list(before))
    started = time.perf_counter()
    datasets = [Dataset.from_pandas(frame, data_definition=definition) for frame in frames]
    Report([DataDriftPreset()]).run(*datasets).dict()
    return time.perf_counter() - started


def log(rounds: int) -> list[Row]:
    """Measure what a logged prediction costs: all CPU of the process, the queueing and the writing thread's."""
    names = [f"feature_{place}" for place in range(FEATURES)]
    found = []
    for number in (1, 100):
        columns = {name: np.random.default_rng(1).random(number) for name in names}
        read = FeatureRows(
            names=tuple(names),
            columns=columns,
            at=BEGIN,
            statuses={name: np.zeros(number, np.int8) for name in names},
            events={"a@1": np.full(number, np.datetime64("2026-01-01", "us"))},
        )
        costs = [logged(read, number, 40_000) for _ in range(rounds)]
        name = f"log a prediction of {FEATURES} features, {number} a request"
        found.append(Row(name, "us CPU", Measured.of(costs), bar=50.0))
    return found


def logged(read: FeatureRows, number: int, total: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        values = np.random.default_rng(2).random(number)
        started = time.process_time()
        with PredictionLog(Path(folder), limit=total + 1) as writer:
            for place in range(total // number):
                writer.append(
                    PredictionRows(
                        prediction_ids=[f"{place:026x}{row:06x}" for row in range(number)],
                        model="m",
                        prediction=values,
                        lower=values,
                        upper=values,
                        version=1,
                        predicted_at=BEGIN,
                        features=read,
                        keys={"home": [place] * number},
                        request_ids=["r"] * number,
                    )
                )
        spent = time.process_time() - started
        assert writer.counts.written == total, writer.counts
        return spent / total * 1e6


LISTING: Final = Entity(name="home", keys=(Field("home", INT64),))
TARGET: Final = Target(
    name="price", entity=LISTING, value=Field("price", FLOAT64), observed="observed_at", horizon=timedelta(days=90)
)
INPUTS: Final = tuple(Field(f"f{place}", FLOAT64) for place in range(FEATURES))


def reading(rows: int, rounds: int) -> tuple[list[Row], list[str]]:
    """Measure a window over so many logged predictions, from the files to the decision, and what a seal costs."""
    with tempfile.TemporaryDirectory() as folder:
        reference = fill(Path(folder), rows)
        labels = truths(rows)
        works = {"window": timed(lambda: window(folder, reference, labels))}
        found = in_turn(works, rounds, warm=0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    name = f"a window over {rows:,} logged predictions, read, joined, decided"
    bar = 10.0 if rows == 10_000_000 else None
    notes = [f"Peak memory of the process: {peak:,.0f} MB."]
    return [Row(name, "s", found["window"], bar=bar), Row("seal a prediction", "us", sealed(rounds))], notes


def fill(folder: Path, rows: int) -> dict[str, Any]:
    """Write seals as they are made of lines; return the reference histograms."""
    storage, histograms = open_storage(str(folder)), dict[str, Any]()
    for number, begin in enumerate(range(0, rows, CHUNK)):
        wide = chunk(number, min(CHUNK, rows - begin), begin, rows)
        day = (BEGIN + timedelta(days=DAYS * begin / rows)).date().isoformat()
        key = f"{sealing.FOLDER}/{day}/{number:016x}-0-m.parquet"
        storage.put_if_absent(key, sealing.to_parquet(wide))
        low, high = (int(wide.column("asked_at")[place].value) for place in (0, -1))
        file = sealing.SealedFile("m", key, len(wide), (low, high), (low, high))
        name = f"{sealing.FOLDER}/{day}/{number + 1:06d}.json"
        storage.put_if_absent(name, canonical(sealing.Seal(day, number + 1, (file,), {f"s{number}": (0, 1)}).to_json()))
        if not number:
            histograms = {
                item.name: Histogram.of(wide.column(f"feature.{item.name}").to_numpy()).to_json() for item in INPUTS
            }
    return histograms


def chunk(number: int, rows: int, begin: int, total: int) -> pa.Table:
    random = np.random.default_rng(number)
    micros = (BEGIN.timestamp() + np.sort(random.random(rows) + begin / CHUNK) * 86_400 * DAYS * CHUNK / total) * 1e6
    asked = pa.array(micros.astype(np.int64)).cast(pa.timestamp("us", "UTC"))
    same = {"model": "m", "arm": "live", "digest": "sha256:0", "blueprint": "b"}
    return pa.table(
        {
            IDENTITY: random.integers(1, 2**63, rows).astype(np.uint64),
            "prediction_id": pa.array([f"{begin + row:032x}" for row in range(rows)]),
            **{
                name: pa.array([text]).dictionary_encode().take(pa.array(np.zeros(rows, np.int32)))
                for name, text in same.items()
            },
            "request_id": pa.nulls(rows, pa.string()),
            "version": np.ones(rows, np.int64),
            "asked_at": asked,
            "predicted_at": asked,
            **{name: random.lognormal(12, 0.5, rows) for name in ("prediction", "lower", "upper")},
            "fallbacks": pa.array(np.zeros(rows, np.int16)),
            "key.home": random.integers(0, total // 2, rows),
            **{f"feature.{item.name}": random.normal(size=rows) for item in INPUTS},
        }
    )


def truths(rows: int) -> pa.Table:
    random = np.random.default_rng(9)
    number = rows // 20
    days = (random.random(number) * 40 * 86_400e6).astype("timedelta64[us]")
    happened = np.datetime64(BEGIN.replace(tzinfo=None), "us") + days
    times = {
        name: pa.array(happened).cast(pa.timestamp("us", "UTC")) for name in ("asked_at", "happened_at", "observed_at")
    }
    return pa.table(
        {
            "home": random.permutation(rows // 2)[:number],
            **times,
            "price": random.lognormal(12, 0.5, number),
            "censored": np.zeros(number, np.bool_),
            "label_id": pa.array(np.arange(number)).cast(pa.string()),
            "prediction_id": pa.nulls(number, pa.string()),
        }
    )


def window(folder: str, histograms: dict[str, Any], labels: pa.Table) -> None:
    """Do what a report does between the files and the page."""
    reader, at = PredictionReader(open_storage(folder)), BEGIN + timedelta(days=45)
    span = Span(BEGIN, at, "asked_at")
    counted = ColumnCounts(histograms)
    for batch in reader.batches(Wanted((), INPUTS, ("version",), compact=True), model="m", span=span):
        counted.add(batch.table)
    base = ("model", "version", "arm", "asked_at", "predicted_at", "prediction", "lower", "upper")
    slim = Wanted(LISTING.keys, (), base, (IDENTITY,), compact=True)
    tables = [batch.table for batch in reader.batches(slim, model="m", span=span)]
    joined = join(pa.concat_tables(tables).unify_dictionaries(), labels, TARGET, at=at, time="asked_at")
    found = decide(
        joined,
        model="m",
        version=1,
        task="regression",
        histograms={},
        expected={1: {"mdape": 0.4}},
        start=BEGIN,
        end=at,
        counted=counted,
    )
    assert found["data"]["n"] == len(joined.table)
    assert found["performance"]["groups"]


def sealed(rounds: int) -> Measured:
    """Measure how long it takes to make columns of lines."""
    number, costs = 20_000, []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            names = {f"f{place}": np.random.default_rng(1).random(number) for place in range(FEATURES)}
            with PredictionLog(Path(folder), limit=number + 1) as writer:
                writer.append(
                    PredictionRows(
                        prediction_ids=[f"{row:032x}" for row in range(number)],
                        model="m",
                        version=1,
                        prediction=names["f0"],
                        predicted_at=BEGIN,
                        columns=names,
                    )
                )
            started = time.perf_counter()
            assert sealing.seal_all(open_storage(folder), today="2027-01-01") == number
            costs.append((time.perf_counter() - started) / number * 1e6)
    return Measured.of(costs)


if __name__ == "__main__":
    main()
