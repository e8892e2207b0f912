"""What the rows of a scoring become: lines of one prediction and of many, which read alike."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_interfaces.feature_store import FeatureRows, Watermark
from stackwright_journal.lines import records_of
from stackwright_journal.reading import ReadCounts
from stackwright_journal.rows import PredictionRows


def written(rows):
    """The records of the lines that rows become."""
    return list(records_of(b"".join(line.data for line in rows.lines()), ReadCounts()))


def test_further_outputs_are_written_by_their_names(day):
    rows = PredictionRows(
        prediction_ids=["a", "b"],
        prediction=np.array([1.0, 2.0]),
        outputs={"within_30": np.array([0.25, np.nan])},
        model="days",
        version=1,
        predicted_at=day(0),
    )
    assert [record["outputs"] for record in written(rows)] == [{"within_30": 0.25}, {"within_30": None}]
    assert not any("outputs" in record for record in written(replace(rows, outputs={})))


def rows(day, n=2, **more):
    at = day(1)
    features = FeatureRows(
        names=("area", "zip"),
        columns={"area": np.array([70.0, np.nan])[:n], "zip": np.array(["98178", None], dtype=object)[:n]},
        statuses={"area": np.array([0, 2])[:n], "zip": np.array([0, 3])[:n]},
        events={"home@1": np.array(["2026-01-01T12:00:00", "NaT"], dtype="datetime64[us]")[:n]},
        watermarks={"home@1": Watermark(3, at)},
        at=at,
    )
    given = {
        "prediction_ids": ["a", "b"][:n],
        "prediction": np.array([1.0, 2.0])[:n],
        "lower": np.array([0.5, 1.5])[:n],
        "upper": np.array([1.5, 2.5])[:n],
        "model": "avm",
        "version": 3,
        "digest": "sha256:0",
        "blueprint": "b0",
        "request_ids": ["r1", "r2"][:n],
        "predicted_at": day(2),
        "keys": {"listing_id": [7, 8][:n]},
        "request": {"asking": np.array([5.0, 6.0])[:n]},
        "features": features,
        "fallbacks": {1: ("default",)},
    }
    return PredictionRows(**{**given, **more})


TIMES = np.full(300, np.datetime64("2026-01-01", "us"))


def test_the_rows_of_a_scoring_become_a_record_each(write, reader, day):
    counts = write(rows(day))
    one, two = reader.records()
    assert counts.taken == counts.written == 2
    assert one == {
        "schema": 1,
        "prediction_id": "a",
        "request_id": "r1",
        "model": "avm",
        "version": 3,
        "digest": "sha256:0",
        "blueprint": "b0",
        "arm": "live",
        "asked_at": "2026-01-02T00:00:00.000000Z",
        "predicted_at": "2026-01-03T00:00:00.000000Z",
        "watermarks": {"home@1": {"position": 3, "due": "2026-01-02T00:00:00.000000Z"}},
        "keys": {"listing_id": 7},
        "request": {"asking": 5.0},
        "features": {"area": 70.0, "zip": "98178"},
        "statuses": {},
        "ages": {"home@1": 43200.0},
        "prediction": 1.0,
        "lower": 0.5,
        "upper": 1.5,
        "fallbacks": [],
    }
    assert two["request_id"] == "r2"
    assert two["features"] == {"area": None, "zip": None}
    assert two["statuses"] == {"area": 2, "zip": 3}
    assert two["ages"] == {"home@1": None}
    assert two["fallbacks"] == ["default"]


@pytest.mark.parametrize("row", [0, 1])
def test_a_row_that_comes_alone_is_written_as_it_is_among_others(day, row):
    both = rows(
        day,
        outputs={"within_30": np.array([0.25, np.nan])},
        keys={"listing_id": [7, 8], "place": np.array([[1, 2], [3, 4]])},
    )
    read, one = both.features, slice(row, row + 1)
    alone = replace(
        both,
        **{
            name: getattr(both, name)[one] for name in ("prediction_ids", "request_ids", "prediction", "lower", "upper")
        },
        **{
            name: {key: column[one] for key, column in getattr(both, name).items()}
            for name in ("keys", "request", "outputs")
        },
        fallbacks={number - row: said for number, said in both.fallbacks.items()},
        features=replace(
            read,
            **{
                name: {key: column[one] for key, column in getattr(read, name).items()}
                for name in ("columns", "statuses", "events")
            },
        ),
    )
    (record,) = written(alone)
    assert record == written(both)[row]


COLUMNS = st.sampled_from(
    [
        lambda n: np.linspace(-1, 1e300, n),
        lambda n: np.where(np.arange(n) % 3, np.pi, np.nan),
        lambda n: np.linspace(0, 1, n, dtype=np.float32),
        lambda n: np.arange(n) - 2**62,
        lambda n: np.arange(n, dtype=np.int16),
        lambda n: np.arange(n) % 2 == 0,
        lambda n: np.arange(2 * n, dtype=np.float64)[::2],
        lambda n: np.arange(2.0 * n).reshape(n, 2),
        lambda n: np.array(["98178", None, 3, b"\x00\xff"] * n, dtype=object)[:n],
        lambda n: np.datetime64("2026-01-01", "us") + np.arange(n),
        lambda n: [Decimal(row) for row in range(n)],
        range,
    ]
)


NAMED = st.dictionaries(st.sampled_from("abc"), COLUMNS, max_size=3)


@settings(deadline=None)
@given(
    n=st.sampled_from([2, 3, 127, 128, 129, 300]),
    named=st.fixed_dictionaries(dict.fromkeys(("keys", "request", "outputs", "columns"), NAMED)),
    bare=st.booleans(),
    shared=st.booleans(),
    odd=st.sets(st.integers(0, 299)),
)
def test_rows_that_are_written_together_are_read_as_if_each_was_written_alone(n, named, bare, shared, odd):
    now = datetime(2026, 1, 2, tzinfo=UTC)
    given = {name: {column: of(n) for column, of in columns.items()} for name, columns in named.items()}
    read = FeatureRows(
        names=("area", "zip"),
        columns=given["columns"],
        statuses={"area": np.isin(np.arange(n), list(odd)) * 2, "zip": np.zeros(n, np.int8)},
        events={"home@1": np.datetime64("2026-01-01", "us") + np.where(np.arange(n) % 2, np.timedelta64("NaT"), 7)},
        watermarks={"home@1": Watermark(3, now)},
        at=now,
    )

    def some(begin, end):
        part = slice(begin, end)
        cut = {name: {column: values[part] for column, values in columns.items()} for name, columns in given.items()}
        features = replace(
            read,
            columns=cut["columns"],
            statuses={name: codes[part] for name, codes in read.statuses.items()},
            events={view: times[part] for view, times in read.events.items()},
        )
        return PredictionRows(
            prediction_ids=[f"p{row}" for row in range(n)][part],
            prediction=np.arange(n)[part] / 7,
            request_ids=[] if bare else [f"r{row // n if shared else row // 2}" for row in range(n)][part],
            model="avm",
            version=1,
            predicted_at=now + timedelta(days=1),
            features=None if bare else features,
            fallbacks={row - begin: ("default",) for row in odd if begin <= row < end},
            **({} if bare else {"upper": np.where(np.arange(n) % 5, 1.0, np.nan)[part]}),
            **cut,
        )

    assert written(some(0, n)) == [record for row in range(n) for record in written(some(row, row + 1))]


def test_a_row_that_has_no_json_form_is_rejected_by_itself(write, reader, day):
    ids = [f"p{number}" for number in range(300)]
    odd = [object() if number in (0, 130, 299) else number for number in range(300)]
    counts = write(
        PredictionRows(
            prediction_ids=ids,
            prediction=np.zeros(300),
            keys={"listing_id": odd},
            model="avm",
            version=1,
            predicted_at=day(1),
        )
    )
    assert (counts.taken, counts.written, counts.rejected) == (300, 297, 3)
    assert "not JSON serializable: object" in counts.last_error
    assert {record["prediction_id"] for record in reader.records()} == set(ids) - {"p0", "p130", "p299"}


def test_a_line_holds_no_more_predictions_than_a_torn_one_may_cost(many):
    lines = list(many(300).lines())
    assert [line.predictions for line in lines] == [128, 128, 44]
    assert not list(many(0).lines())


@pytest.mark.parametrize("n", [2, 300])
@pytest.mark.parametrize(
    "short", ["keys", "request", "outputs", "lower", "request_ids", "columns", "statuses", "events"]
)
def test_rows_of_which_anything_has_another_length_are_rejected_whole(write, reader, day, n, short, many):
    read = {"columns": {"area": np.zeros(n)}, "statuses": {"area": np.zeros(n, int)}, "events": {"home@1": TIMES[:n]}}
    if short in read:
        read[short] = {name: values[:-1] for name, values in read[short].items()}
        more = {"features": FeatureRows(names=("area",), at=day(1), **read)}
    elif short in ("lower", "request_ids"):
        more = {short: ["x"] * (n - 1)}
    else:
        more = {short: {"x": [1] * (n - 1)}}
    counts = write(many(n, **more))
    assert (counts.taken, counts.rejected, counts.written) == (n, n, 0)
    assert list(reader.records()) == []


def test_rows_of_one_answer_take_little_more_than_their_values(write, day, segments):
    names = [f"a_feature_of_a_long_name_{number}" for number in range(40)]
    write(
        PredictionRows(
            prediction_ids=[f"p{number}" for number in range(500)],
            prediction=np.zeros(500),
            columns={name: np.zeros(500) for name in names},
            model="avm",
            version=1,
            predicted_at=day(1),
        )
    )
    assert sum(path.stat().st_size for path in segments()) < 2 * len(b"0.0,") * 500 * 41


@pytest.mark.parametrize(
    "damage",
    [
        lambda block: block["features"]["area"].pop(),
        lambda block: block["prediction_id"].pop(),
        lambda block: block.pop("model"),
        lambda block: block.update(keys=None),
        lambda block: block.update(fallbacks=[]),
        lambda block: block.update(prediction=3.0),
    ],
)
def test_a_block_that_does_not_fit_together_is_passed_over_whole_and_counted(write, reader, day, damage, segments):
    write(rows(day))
    (path,) = segments()
    block = orjson.loads(path.read_bytes())
    damage(block)
    path.write_bytes(orjson.dumps(block) + b"\n")
    counts = ReadCounts()
    assert list(reader.records(counts=counts)) == []
    assert (counts.damaged, counts.torn, counts.unknown_schema) == (1, 0, 0)


def test_callers_may_bring_the_features_themselves(write, reader, day):
    write(rows(day, features=None, columns={"area": np.array([1.0, 2.0])}, lower=None, upper=None))
    one, _ = reader.records()
    assert one["features"] == {"area": 1.0}
    assert one["asked_at"] == one["predicted_at"]
    assert "lower" not in one


def test_rows_with_a_column_of_another_length_are_rejected_whole(write, reader, day):
    counts = write(rows(day, keys={"listing_id": [7]}))
    assert counts.rejected == 2
    assert "1 rows, there are 2" in counts.last_error


@pytest.mark.parametrize("column", [[7, 8], np.array([7, 8]), []])
def test_a_row_alone_with_a_column_of_another_length_is_rejected(write, day, column):
    counts = write(rows(day, n=1, keys={"listing_id": column}))
    assert counts.rejected == 1
    assert f"'listing_id' has {len(column)} rows, there are 1" in counts.last_error
