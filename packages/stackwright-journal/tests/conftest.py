"""A journal in a temporary folder, a target, and makers of predictions and labels."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from stackwright_interfaces.definitions import Entity, Target
from stackwright_interfaces.types import FLOAT64, INT64, Field
from stackwright_journal.labels import LabelLog
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.reading import PredictionReader
from stackwright_journal.rows import PredictionRows
from stackwright_storage import open_storage

START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = (Field("listing_id", INT64),)


@pytest.fixture
def storage(tmp_path):
    return open_storage(str(tmp_path))


@pytest.fixture
def reader(storage):
    return PredictionReader(storage)


@pytest.fixture
def target():
    return Target(
        name="sale_price",
        entity=Entity(name="listing", keys=KEYS),
        value=Field("price", FLOAT64),
        asked="asked_at",
        happened="sold_at",
        observed="observed_at",
        censored="unsold",
        horizon=timedelta(days=90),
        request=(Field("asking", FLOAT64),),
    )


@pytest.fixture
def labels(storage, target):
    return LabelLog(storage, target, clock=lambda: START)


@pytest.fixture
def day():
    """The instant some days after the start."""
    return lambda number: START + timedelta(days=number)


@pytest.fixture
def record(day):
    """A prediction record; what is given replaces the default."""

    def make(number, **more):
        return {
            "prediction_id": f"p{number}",
            "model": "avm",
            "version": 1,
            "arm": "live",
            "asked_at": day(number),
            "predicted_at": day(number),
            "prediction": 100.0,
            "keys": {"listing_id": number},
            **more,
        }

    return make


@pytest.fixture
def label(day):
    """A label row of a listing that was asked at day 0, sold at day 10 and observed at day 12."""

    def make(listing, price=100.0, **more):
        row = {
            "listing_id": listing,
            "asked_at": day(0),
            "sold_at": day(10),
            "observed_at": day(12),
            "price": price,
            "unsold": False,
            "asking": 90.0,
        }
        return {**row, **more}

    return make


@pytest.fixture
def table():
    """Rows as an Arrow table; what a row does not hold is null."""

    def make(*rows):
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])

    return make


@pytest.fixture
def write(tmp_path):
    """Write records through a log, and close it."""

    def run(*records, **options):
        with PredictionLog(tmp_path, **options) as log:
            for item in records:
                assert log.append(item)
        return log.counts

    return run


@pytest.fixture
def segments(tmp_path):
    """The files of the prediction log, in order."""
    return lambda: sorted((tmp_path / "predictions").rglob("*.jsonl"))


@pytest.fixture
def many(day):
    """The rows of one scoring; what is given replaces the default."""

    def make(n, **more):
        given = {"prediction_ids": [f"p{row}" for row in range(n)], "prediction": np.arange(n) / 7}
        return PredictionRows(**{**given, "model": "avm", "version": 1, "predicted_at": day(1), **more})

    return make
