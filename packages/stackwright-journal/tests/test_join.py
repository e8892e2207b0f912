"""Which label answers which prediction, cohorts, the delay of labels, and for whom they come."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackwright_features.arrow import arrow_type
from stackwright_interfaces.definitions import Entity
from stackwright_interfaces.errors import MissingColumn
from stackwright_interfaces.types import INT64, STRING, Field
from stackwright_journal.cohorts import cohorts, delay_curve, selection
from stackwright_journal.join import join
from stackwright_journal.label_columns import LabelNames
from stackwright_journal.label_rows import fields

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
UTC_MICROS = pa.timestamp("us", "UTC")


def at(number):
    return START + timedelta(days=number)


def made(*rows):
    """Predictions of (id, listing, day), and what is given besides."""
    columns = {
        "prediction_id": pa.string(),
        "request_id": pa.string(),
        "model": pa.string(),
        "version": pa.int64(),
        "arm": pa.string(),
        "asked_at": UTC_MICROS,
        "predicted_at": UTC_MICROS,
        "prediction": pa.float64(),
        "key.listing_id": pa.int64(),
    }
    defaults = {"request_id": "", "model": "avm", "version": 1, "arm": "live", "prediction": 100.0}
    full = [
        {**defaults, "prediction_id": name, "key.listing_id": key, "asked_at": at(day), "predicted_at": at(day), **more}
        for name, key, day, more in rows
    ]
    return pa.Table.from_pylist(full, pa.schema(columns.items()))


def told(target, *rows):
    """Labels in the form that the label log gives."""
    names = LabelNames.of(target)
    types = {item.name.removeprefix("key_").removeprefix("request_"): arrow_type(item.type) for item in fields(target)}
    types |= {names.asked: UTC_MICROS, names.happened: UTC_MICROS, names.observed: UTC_MICROS}
    types |= {names.value: types["value"], names.censored: pa.bool_()}
    full = [
        {names.censored: False, "label_id": f"label{place}", names.observed: row[names.happened], **row}
        for place, row in enumerate({names.happened: None, **row} for row in rows)
    ]
    return pa.Table.from_pylist(full, pa.schema(types.items()))


def sold(listing, day, price=100.0, **more):
    return {"listing_id": listing, "sold_at": at(day), "observed_at": at(day), "price": price, **more}


def statuses(joined):
    table = joined.table
    return dict(zip(table.column("prediction_id").to_pylist(), table.column("status").to_pylist(), strict=True))


def answered(joined):
    table = joined.table
    pairs = zip(table.column("prediction_id").to_pylist(), table.column("label_id").to_pylist(), strict=True)
    return {prediction: label for prediction, label in pairs if label is not None}


def test_a_label_answers_the_latest_prediction_of_its_entity_before_it_happened(target):
    predictions = made(("a", 1, 0, {}), ("b", 1, 5, {}), ("c", 1, 9, {}), ("d", 2, 5, {}))
    joined = join(predictions, told(target, sold(1, 7, 123.0)), target, at=at(20))
    assert answered(joined) == {"b": "label0"}
    assert statuses(joined) == {"a": "superseded", "b": "matured", "c": "pending", "d": "pending"}
    row = joined.table.slice(1, 1).to_pylist()[0]
    assert (row["target"], row["happened_at"], row["observed_at"], row["delay_days"]) == (123.0, at(7), at(7), 2.0)


def test_a_label_of_a_list_says_which_and_answers_it_where_predictions_tell_theirs(target):
    lists = replace(target, request=(Field("search", STRING),), group="search")
    predictions = made(("a", 1, 5, {}), ("b", 1, 6, {}))
    labels = told(lists, sold(1, 7, search="one"))
    blind = join(predictions, labels, lists, at=at(20))
    assert answered(blind) == {"b": "label0"}
    assert blind.table.column("group").to_pylist() == [None, "one"]
    told_apart = predictions.append_column("key.search", pa.array(["one", "two"]))
    assert answered(join(told_apart, labels, lists, at=at(20))) == {"a": "label0"}


def test_a_prediction_made_when_the_truth_happened_is_too_late(target):
    joined = join(made(("a", 1, 7, {})), told(target, sold(1, 7)), target, at=at(20))
    assert statuses(joined) == {"a": "pending"}
    assert joined.unmatched == 1


def test_the_horizon_counts_to_the_microsecond(target):
    edge = told(target, sold(1, 90))
    assert statuses(join(made(("a", 1, 0, {})), edge, target, at=at(90))) == {"a": "matured"}
    beyond = told(target, {**sold(1, 90), "sold_at": at(90) + timedelta(microseconds=1), "observed_at": at(91)})
    assert statuses(join(made(("a", 1, 0, {})), beyond, target, at=at(91))) == {"a": "lapsed"}


def test_without_a_horizon_nothing_lapses(target):
    target = replace(target, horizon=None)
    joined = join(made(("a", 1, 0, {}), ("b", 2, 0, {})), told(target, sold(1, 900)), target, at=at(1000))
    assert statuses(joined) == {"a": "matured", "b": "pending"}


def test_a_label_that_was_observed_after_the_report_is_not_known(target):
    labels = told(target, {**sold(1, 5), "observed_at": at(8)})
    assert statuses(join(made(("a", 1, 0, {})), labels, target, at=at(7))) == {"a": "pending"}
    assert statuses(join(made(("a", 1, 0, {})), labels, target, at=at(8))) == {"a": "matured"}


def test_a_label_that_names_a_prediction_answers_that_one(target):
    predictions = made(("a", 1, 0, {}), ("b", 1, 5, {}))
    named = {**sold(None, 7), "prediction_id": "a"}
    joined = join(predictions, told(target, named), target, at=at(20))
    assert answered(joined) == {"a": "label0"}


def test_a_named_prediction_may_lie_beyond_the_horizon(target):
    named = {**sold(None, 300), "prediction_id": "a"}
    assert answered(join(made(("a", 1, 0, {})), told(target, named), target, at=at(400))) == {"a": "label0"}


def test_a_label_answers_every_version_and_arm(target):
    predictions = made(
        ("live", 1, 5, {"request_id": "r"}),
        ("shadow", 1, 5, {"request_id": "r", "arm": "shadow", "version": 2}),
        ("old", 1, 2, {"version": 0}),
    )
    named = {**sold(None, 7), "prediction_id": "live"}
    for labels in (told(target, named), told(target, sold(1, 7))):
        assert set(answered(join(predictions, labels, target, at=at(20)))) == {"live", "shadow", "old"}


def test_a_label_that_names_no_known_prediction_is_counted_and_answers_none(target):
    named = {**sold(1, 7), "prediction_id": "elsewhere"}
    joined = join(made(("a", 1, 0, {})), told(target, named), target, at=at(20))
    assert (joined.unknown, joined.unmatched, answered(joined)) == (1, 0, {})


def test_a_label_from_before_the_prediction_it_names_is_counted_and_answers_none(target):
    named = {**sold(1, 3), "prediction_id": "a"}
    joined = join(made(("a", 1, 5, {}), ("b", 1, 0, {})), told(target, named), target, at=at(20))
    assert (joined.early, joined.unmatched, answered(joined)) == (1, 0, {})


def test_of_two_truths_a_prediction_is_compared_with_the_first(target):
    joined = join(made(("a", 1, 0, {})), told(target, sold(1, 9, 2.0), sold(1, 7, 1.0)), target, at=at(20))
    assert joined.table.column("target").to_pylist() == [1.0]


def test_a_label_that_names_the_prediction_goes_before_one_that_does_not(target):
    labels = told(target, sold(1, 7, 1.0), {**sold(1, 9, 2.0), "prediction_id": "a"})
    assert join(made(("a", 1, 0, {})), labels, target, at=at(20)).table.column("target").to_pylist() == [2.0]


def test_a_censored_label_says_so(target):
    unsold = {"listing_id": 1, "observed_at": at(50), "unsold": True, "price": None}
    joined = join(made(("a", 1, 0, {}), ("b", 1, 20, {}), ("c", 1, 60, {})), told(target, unsold), target, at=at(70))
    assert statuses(joined) == {"a": "pending", "b": "censored", "c": "pending"}


def test_a_null_key_joins_nothing(target):
    joined = join(made(("a", None, 0, {})), told(target, sold(None, 7)), target, at=at(20))
    assert statuses(joined) == {"a": "pending"}


def test_the_asked_time_may_be_the_predictions_time(target):
    predictions = made(("a", 1, 0, {"predicted_at": at(300)}))
    assert statuses(join(predictions, told(target, sold(1, 7)), target, at=at(400))) == {"a": "lapsed"}
    asked = join(predictions, told(target, sold(1, 7)), target, at=at(400), time="asked_at")
    assert statuses(asked) == {"a": "matured"}
    assert cohorts(asked)[0]["start"] == "2026-01-01T00:00:00+00:00"
    assert delay_curve(asked, [5, 6])[0] == {"days": 5, "known": 0.0, "at_risk": 1}


def test_predictions_without_an_arm_are_one_group(target):
    predictions = made(("a", 1, 0, {"arm": None}), ("b", 1, 2, {"arm": None}))
    named = {**sold(None, 7), "prediction_id": "a"}
    assert set(answered(join(predictions, told(target, named), target, at=at(20)))) == {"a"}
    assert set(answered(join(predictions, told(target, sold(1, 7)), target, at=at(20)))) == {"b"}


def test_composite_keys_join_by_all_parts_under_their_names_in_the_predictions(target):
    entity = Entity(name="room", keys=(Field("house", STRING), Field("room", INT64)))
    own = replace(target, entity=entity, request=())
    predictions = made(("a", 1, 0, {}), ("b", 2, 0, {})).append_column("key.home", pa.array(["x", "x"]))
    labels = told(own, {"house": "x", "room": 2, "sold_at": at(3), "price": 1.0})
    assert set(answered(join(predictions, labels, own, at=at(9), keys={"house": "home", "room": "listing_id"}))) == {
        "b"
    }
    with pytest.raises(MissingColumn, match=r"key\.house"):
        join(predictions, labels, own, at=at(9))


def test_no_predictions_and_no_labels_are_no_error(target):
    assert join(made(), told(target, sold(1, 7)), target, at=at(20)).unmatched == 1
    empty = join(made(("a", 1, 0, {})), told(target), target, at=at(20))
    assert statuses(empty) == {"a": "pending"}
    assert join(made(), told(target), target, at=at(20)).table.num_rows == 0


predictions_drawn = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 1)), max_size=10)
labels_drawn = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 14), st.integers(0, 3), st.sampled_from([None, 0, 3, 99])), max_size=8
)


@given(predictions_drawn, labels_drawn)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_join_agrees_with_its_definition(target, drawn, events):
    target = replace(target, horizon=6 * DAY)
    predictions = made(*((f"p{n}", key, day, {"version": version}) for n, (key, day, version) in enumerate(drawn)))
    labels = told(
        target,
        *(
            {**sold(key, day), "observed_at": at(day + late), "prediction_id": None if named is None else f"p{named}"}
            for key, day, late, named in events
        ),
    )
    found = answered(join(predictions, labels, target, at=at(13)))
    assert found == _by_definition(drawn, events)


def _by_definition(drawn, events):
    offers = {}
    for place, (key, day, late, named) in enumerate(events):
        if day + late > 13 or (named is not None and (named >= len(drawn) or drawn[named][1] >= day)):
            continue
        for version in (0, 1):
            if named is not None and drawn[named][2] == version:
                offers.setdefault(named, []).append((0, day, place))
                continue
            before = [
                (other[1], number)
                for number, other in enumerate(drawn)
                if other[0] == key and other[2] == version and other[1] < day <= other[1] + 6
            ]
            if before:
                offers.setdefault(max(before)[1], []).append((1, day, place))
    return {f"p{number}": f"label{min(found)[2]}" for number, found in offers.items()}


def test_cohorts_count_what_became_of_the_predictions_of_a_month(target):
    predictions = made(("a", 1, 0, {}), ("b", 1, 5, {}), ("c", 2, 6, {}), ("d", 3, 40, {}))
    joined = join(predictions, told(target, sold(1, 7)), target, at=at(100))
    one, two = cohorts(joined, maturity=30 * DAY)
    assert one == {
        "start": "2026-01-01T00:00:00+00:00",
        "n": 3,
        "matured": 1,
        "censored": 0,
        "superseded": 1,
        "lapsed": 1,
        "pending": 0,
        "coverage": 0.5,
        "mature": True,
    }
    assert (two["start"], two["pending"], two["coverage"], two["mature"]) == ("2026-02-01T00:00:00+00:00", 1, 0.0, True)
    assert cohorts(join(predictions, told(target), target, at=at(45)), maturity=30 * DAY)[0]["mature"] is False
    json.dumps(cohorts(joined))


@pytest.mark.parametrize(("period", "starts"), [("day", 3), ("week", 2), ("month", 1)])
def test_cohorts_come_by_day_week_or_month(target, period, starts):
    predictions = made(("a", 1, 4, {}), ("b", 2, 10, {}), ("c", 3, 11, {}))
    assert len(cohorts(join(predictions, told(target), target, at=at(20)), period=period)) == starts


def test_cohorts_follow_the_calendar_of_their_zone(target):
    late = made(("a", 1, 0, {"predicted_at": datetime(2026, 1, 31, 23, 30, tzinfo=UTC)}))
    joined = join(late, told(target), target, at=at(60))
    assert cohorts(joined, zone="Europe/Berlin")[0]["start"] == "2026-02-01T00:00:00+01:00"


def test_a_cohort_of_superseded_predictions_has_no_coverage(target):
    predictions = made(("a", 1, 0, {}), ("b", 1, 32, {}))
    joined = join(predictions, told(target, sold(1, 40)), target, at=at(100))
    assert [cohort["coverage"] for cohort in cohorts(joined)] == [None, 1.0]


def test_the_delay_curve_is_the_share_known_by_then_where_all_are_old_enough(target):
    predictions = made(*((f"p{n}", n, 0, {}) for n in range(10)))
    labels = told(target, *(sold(n, 5 + n) for n in range(4)))
    curve = {point["days"]: point["known"] for point in delay_curve(join(predictions, labels, target, at=at(80)))}
    assert curve == pytest.approx({1: 0, 3: 0, 7: 0.3, 14: 0.4, 30: 0.4, 60: 0.4})


def test_the_delay_curve_is_not_bent_by_predictions_that_are_still_young(target):
    """Half of all sell after 10 days; nine tenths of the predictions are younger than that."""
    old = [(f"o{n}", n, 0, {}) for n in range(20)]
    young = [(f"y{n}", 100 + n, 95, {}) for n in range(180)]
    labels = told(target, *(sold(n, 10) for n in range(10)))
    curve = {point["days"]: point for point in delay_curve(join(made(*old, *young), labels, target, at=at(100)))}
    assert curve[14]["known"] == pytest.approx(0.5)
    assert (curve[3]["at_risk"], curve[14]["at_risk"]) == (200, 10)


def test_the_delay_curve_of_nothing_is_empty(target):
    assert delay_curve(join(made(), told(target), target, at=at(1))) == []


def test_a_selection_is_flagged_where_only_cheap_listings_sell(target):
    random = np.random.default_rng(0)
    prices = random.lognormal(12, 0.5, 2000)
    predictions = made(*((f"p{n}", n, 0, {"prediction": price}) for n, price in enumerate(prices)))
    cheap = told(target, *(sold(n, 9) for n in np.flatnonzero(prices < np.median(prices)).tolist()))
    chance = told(target, *(sold(n, 9) for n in range(1000)))
    flagged = selection(join(predictions, cheap, target, at=at(80)))
    assert (flagged["state"], flagged["coverage"]) == ("alarm", 0.5)
    assert selection(join(predictions, chance, target, at=at(80)))["state"] == "ok"
    assert selection(join(predictions, told(target), target, at=at(80)))["state"] == "insufficient"
    json.dumps(flagged, allow_nan=False)
