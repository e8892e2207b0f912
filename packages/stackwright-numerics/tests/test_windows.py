"""Windows: edges, aggregates, revisions."""

import math
import statistics
from datetime import UTC, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.definitions import Aggregate, Window
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.types import BOOL, BYTES, FLOAT64, INT64, STRING, TIMESTAMP, list_of, vector
from stackwright_numerics.columns import Column
from stackwright_numerics.windows import aggregate, compute, latest_revisions, lower_edge

NUMBERS = (Aggregate.SUM, Aggregate.MEAN, Aggregate.STD)
ORDERED = (Aggregate.MIN, Aggregate.MAX)
EVERY = (Aggregate.COUNT, Aggregate.DISTINCT, Aggregate.LAST)
WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
REAL = st.floats() | st.floats(-1e3, 1e3) | st.sampled_from([0.1, 0.2, 0.5, -0.0, 1e308, 5e-324, 2.0**53])
COLUMNS = {
    FLOAT64: (REAL, (*EVERY, *ORDERED, *NUMBERS)),
    INT64: (WHOLE, (*EVERY, *ORDERED, *NUMBERS)),
    BOOL: (st.booleans(), (*EVERY, *ORDERED, *NUMBERS)),
    TIMESTAMP: (st.integers(-5, 5).map(lambda us: np.datetime64(us, "us")), (*EVERY, *ORDERED)),
    STRING: (st.sampled_from(["a", "b", "c"]), EVERY),
    BYTES: (st.binary(max_size=1), EVERY),
}
MANY = 5000


@st.composite
def histories(draw, types=tuple(COLUMNS)):
    """(type, values, segments)."""
    chosen = draw(st.sampled_from(types))
    values = draw(st.lists(st.none() | COLUMNS[chosen][0], max_size=30))
    edge = st.integers(0, len(values))
    segments = draw(st.lists(st.tuples(edge, edge).map(sorted).map(tuple), max_size=8))
    return chosen, values, segments


def brute_force(kind, items):
    """One aggregate of plain values, by exact fractions."""
    there = [item for item in items if item is not None]
    if kind is Aggregate.COUNT:
        return len(there)
    if kind is Aggregate.DISTINCT:
        return len({"nan" if item != item else item for item in there})
    if len(there) < (2 if kind is Aggregate.STD else 1):
        return None
    if kind is Aggregate.LAST:
        return there[-1]
    if any(item != item for item in there):
        return math.nan
    if kind in ORDERED:
        return min(there) if kind is Aggregate.MIN else max(there)
    return {Aggregate.SUM: total, Aggregate.MEAN: mean, Aggregate.STD: deviation}[kind](there)


def total(items):
    endless = {item for item in items if abs(item) == math.inf}
    if endless:
        return math.nan if len(endless) > 1 else endless.pop()
    exact = sum(map(Fraction, items))
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def mean(items):
    return total(items) / len(items)


def deviation(items):
    if any(abs(item) == math.inf for item in items):
        return math.nan
    try:
        return statistics.stdev(items)
    except OverflowError:
        return math.inf


def bounds(segments):
    pairs = np.array(segments, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def read(column):
    """Values as plain Python, ``None`` being null, NaN as a word."""
    pairs = zip(column.values.tolist(), column.valid.tolist(), strict=True)
    return [None if not there else "nan" if value != value else value for value, there in pairs]


def expected(values):
    plain = [value.item() if isinstance(value, np.datetime64) else value for value in values]
    return ["nan" if value != value else value for value in plain]


# --- edges ---


@given(st.integers(-(2**60), 2**60), st.integers(1, 10**9), st.integers(1, 60))
def test_the_edge_lies_one_length_back_rounded_down_to_a_tick(at, slide, ticks):
    length = timedelta(microseconds=slide * ticks)
    plain = Window(name="w", aggregate=Aggregate.COUNT, length=length)
    ticking = Window(name="w", aggregate=Aggregate.COUNT, length=length, slide=timedelta(microseconds=slide))
    assert lower_edge(np.array([at]), plain).tolist() == [at - slide * ticks]
    (edge,) = lower_edge(np.array([at]), ticking).tolist()
    assert edge % slide == 0
    assert 0 <= at - slide * ticks - edge < slide


# --- aggregates ---


@given(st.data(), histories())
def test_every_aggregate_is_what_brute_force_finds(column_of, data, history):
    chosen, values, segments = history
    kind = data.draw(st.sampled_from(COLUMNS[chosen][1]))
    found = aggregate(kind, column_of(values, chosen), *bounds(segments))
    right = [brute_force(kind, values[start:stop]) for start, stop in segments]
    assert read(found) == expected(right)


@given(st.data(), histories())
def test_many_segments_give_the_same_bits_as_each_alone(column_of, seen, data, history):
    chosen, values, segments = history
    kind = data.draw(st.sampled_from(COLUMNS[chosen][1]))
    column = column_of(values, chosen)
    alone = [seen(aggregate(kind, column, *bounds([segment])))[0] for segment in segments]
    often = MANY if segments else 0
    assert seen(aggregate(kind, column, *bounds(segments * often))) == alone * often


@given(st.data(), histories())
def test_other_rows_in_the_array_change_no_bit(column_of, seen, data, history):
    chosen, values, segments = history
    kind = data.draw(st.sampled_from(COLUMNS[chosen][1]))
    before, after = (data.draw(st.lists(st.none() | COLUMNS[chosen][0], max_size=10)) for _ in range(2))
    shifted = [(start + len(before), stop + len(before)) for start, stop in segments]
    alone = aggregate(kind, column_of(values, chosen), *bounds(segments))
    among = aggregate(kind, column_of([*before, *values, *after], chosen), *bounds(shifted))
    assert seen(alone) == seen(among)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40))
def test_sum_mean_and_std_are_those_of_the_standard_library(column_of, values):
    column, segment = column_of(values, FLOAT64), bounds([(0, len(values))])
    assert aggregate(Aggregate.SUM, column, *segment).values.tolist() == [math.fsum(values)]
    assert aggregate(Aggregate.MEAN, column, *segment).values.tolist() == [statistics.fmean(values)]
    assert aggregate(Aggregate.STD, column, *segment).values.tolist() == [statistics.stdev(values)]


def test_sums_of_many_numbers_of_any_size_are_exact():
    rng = np.random.default_rng(7)
    values = rng.standard_normal(3000) * 10.0 ** rng.uniform(-300, 300, 3000)
    starts = rng.integers(0, 2700, 60)
    stops = starts + rng.integers(2, 300, 60)
    column = Column(values, np.ones(3000, np.bool_))
    segments = [values[start:stop].tolist() for start, stop in zip(starts, stops, strict=True)]
    assert aggregate(Aggregate.SUM, column, starts, stops).values.tolist() == list(map(math.fsum, segments))
    assert aggregate(Aggregate.STD, column, starts, stops).values.tolist() == list(map(statistics.stdev, segments))


def test_int64_sums_do_not_wrap(column_of):
    column = column_of([2**63 - 1] * 3 + [-(2**63)], INT64)
    found = aggregate(Aggregate.SUM, column, np.array([0, 3, 0]), np.array([3, 4, 4]))
    assert found.values.tolist() == [3.0 * 2**63, -(2.0**63), 2.0**64]


def test_a_constant_has_no_deviation(column_of):
    column = column_of([0.1] * 3, FLOAT64)
    assert aggregate(Aggregate.STD, column, *bounds([(0, 3)])).values.tolist() == [0.0]


def test_the_results_have_the_types_of_the_contract(column_of):
    for chosen, (_, kinds) in COLUMNS.items():
        column = column_of([None], chosen)
        for kind in kinds:
            found = aggregate(kind, column, *bounds([(0, 1), (0, 0)]))
            counts = kind in {Aggregate.COUNT, Aggregate.DISTINCT}
            kept = kind in {Aggregate.MIN, Aggregate.MAX, Aggregate.LAST}
            assert found.values.dtype == (np.int64 if counts else column.values.dtype if kept else np.float64)
            assert found.valid.tolist() == [counts, counts]


def test_an_empty_window_counts_nothing_and_is_else_null(column_of):
    column = column_of([1.0], FLOAT64)
    for kind in set(Aggregate) - {Aggregate.LAST_N, Aggregate.RATIO}:
        found = aggregate(kind, column, *bounds([(1, 1)]))
        if kind in {Aggregate.COUNT, Aggregate.DISTINCT}:
            assert (found.values.tolist(), found.valid.tolist()) == ([0], [True])
        else:
            assert found.valid.tolist() == [False]
            assert np.isnan(found.values).all()


def test_without_a_column_rows_are_counted():
    assert aggregate(Aggregate.COUNT, None, *bounds([(0, 3), (2, 2)])).values.tolist() == [3, 0]


def test_lists_and_vectors_have_a_last_value(column_of, seen):
    for chosen, value in [(list_of(INT64), [1, None]), (vector(2), [1.0, 2.0])]:
        column = column_of([value, None], chosen)
        found = aggregate(Aggregate.LAST, column, *bounds([(0, 2), (1, 2), (0, 0)]))
        assert seen(found) == [repr(value), None, None]


@pytest.mark.parametrize(
    ("kind", "chosen"), [(Aggregate.SUM, STRING), (Aggregate.MIN, BYTES), (Aggregate.MAX, vector(1))]
)
def test_an_aggregate_that_the_type_has_not_is_refused(column_of, kind, chosen):
    with pytest.raises(DefinitionError, match=kind):
        aggregate(kind, column_of([None], chosen), *bounds([(0, 1)]))


def test_only_rows_can_be_counted_without_a_column():
    with pytest.raises(DefinitionError, match="sum of no column"):
        aggregate(Aggregate.SUM, None, *bounds([(0, 1)]))


# --- revisions ---


@given(st.data())
def test_of_the_revisions_of_an_event_only_the_last_counts(column_of, data):
    small = st.integers(0, 2)
    rows = data.draw(st.lists(st.tuples(small, small, st.none() | st.sampled_from(["a", "b"])), max_size=15))
    rows.sort(key=lambda row: row[:2])
    keys, times = (np.array([row[place] for row in rows], np.int64) for place in range(2))
    with_id = latest_revisions(keys, times, column_of([row[2] for row in rows], STRING))
    assert with_id.tolist() == [row not in rows[place + 1 :] for place, row in enumerate(rows)]
    without = latest_revisions(keys, times)
    short = [row[:2] for row in rows]
    assert without.tolist() == [row not in short[place + 1 :] for place, row in enumerate(short)]


def test_event_ids_may_be_numbers(column_of):
    keys = times = np.zeros(4, np.int64)
    counts = latest_revisions(keys, times, column_of([7, 0, 7, None], INT64))
    assert counts.tolist() == [False, True, True, True]


def window(kind, **options):
    return Window(name="w", aggregate=kind, length=timedelta(hours=1), **options)


@given(history=histories(types=(FLOAT64, INT64, BOOL, STRING, TIMESTAMP)), n=st.integers(1, 4))
def test_last_n_are_the_newest_values_that_are_not_null_oldest_first(column_of, history, n):
    type_, values, segments = history
    found = run(window(Aggregate.LAST_N, column="x", n=n), segments, x=column_of(values, type_))
    for (start, stop), answer in zip(segments, found, strict=True):
        there = [value for value in values[start:stop] if value is not None][-n:]
        assert repr(answer) == repr([plain_value(value, type_) for value in there] or None)


@pytest.mark.parametrize("infinity", [math.inf, -math.inf])
def test_an_infinity_beside_a_sum_beyond_the_greatest_float_is_the_sum(column_of, infinity):
    x = column_of([infinity, 1e308, 1e308], FLOAT64)
    assert run(window(Aggregate.SUM, column="x"), [(0, 3), (1, 3)], x=x) == [infinity, math.inf]


@given(rows=st.lists(st.tuples(st.none() | REAL, st.none() | REAL), max_size=12), over_rows=st.booleans())
def test_a_ratio_is_one_sum_by_another_or_by_the_number_of_rows(column_of, rows, over_rows):
    above, below = zip(*rows, strict=True) if rows else ((), ())
    options = {} if over_rows else {"over": "y"}
    columns = {"x": column_of(above, FLOAT64), "y": column_of(below, FLOAT64)}
    (found,) = run(window(Aggregate.RATIO, column="x", **options), [(0, len(rows))], **columns)
    top = brute_force(Aggregate.SUM, above)
    bottom = float(len(rows)) if over_rows else brute_force(Aggregate.SUM, below)
    if top is None or not bottom:
        assert found is None
    else:
        with np.errstate(all="ignore"):
            expected = float(np.float64(top) / np.float64(bottom)) + 0.0
        assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_what_takes_more_than_a_column_is_refused_by_aggregate(column_of):
    column = column_of([1.0], FLOAT64)
    for kind in (Aggregate.LAST_N, Aggregate.RATIO):
        with pytest.raises(DefinitionError, match="takes a window to compute"):
            aggregate(kind, column, np.array([0]), np.array([1]))


def run(window, segments, **columns):
    values, valid = compute(window, columns, *bounds(segments))
    return [value if there else None for value, there in zip(values.tolist(), valid.tolist(), strict=True)]


def plain_value(value, type_):
    return value.item().replace(tzinfo=UTC) if type_ is TIMESTAMP else value
