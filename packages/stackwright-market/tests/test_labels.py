"""Truth comes late, some of it never, and nothing of it can be known too soon."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

LABELS = ("labels_sale_price", "late_labels_sale_price")
DAY = np.timedelta64(1, "D")


def rows(market: Any, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = market.table(table).to_pylist()
    return found


@pytest.mark.parametrize("table", LABELS)
def test_a_price_is_asked_for_then_paid_then_observed(market: Any, table: str) -> None:
    known = ~market.column(table, "censored").astype(bool)
    asked, happened, observed = (
        market.column(table, name)[known] for name in ("asked_at", "happened_at", "observed_at")
    )
    assert (asked < happened).all()
    assert (happened < observed).all()


@pytest.mark.parametrize("table", LABELS)
def test_a_censored_label_has_neither_price_nor_date(market: Any, table: str) -> None:
    censored = market.column(table, "censored").astype(bool)
    assert 0 < censored.sum() < len(censored)
    assert np.array_equal(np.isnan(market.column(table, "sale_price")), censored)
    assert np.array_equal(np.isnat(market.column(table, "happened_at")), censored)
    assert (market.column(table, "asked_at") < market.column(table, "observed_at")).all()


def test_prices_become_known_months_after_they_were_asked_for(market: Any) -> None:
    known = ~market.column("labels_sale_price", "censored").astype(bool)
    delay = (market.column("labels_sale_price", "observed_at") - market.column("labels_sale_price", "asked_at"))[known]
    assert np.median(delay) > 50 * DAY
    assert delay.min() > 14 * DAY


def test_the_split_separates_what_was_known_from_what_comes_later(market: Any) -> None:
    before, after = (market.column(table, "observed_at") for table in LABELS)
    assert before.max() < market.split
    assert market.split <= after.min()
    assert after.max() < market.end
    assert market.column("labels_sale_price", "asked_at").min() >= market.start


def test_labels_come_in_the_order_in_which_they_became_known(market: Any) -> None:
    for table in LABELS:
        assert (np.diff(market.column(table, "observed_at").astype(np.int64)) >= 0).all()


def test_a_home_still_unsold_at_the_split_is_censored_then_and_revised_later(market: Any) -> None:
    late = {(row["listing_id"], row["asked_at"]): row for row in rows(market, "late_labels_sale_price")}
    last = market.column("labels_sale_price", "observed_at").max()
    waiting = [
        row for row in rows(market, "labels_sale_price")
        if row["censored"] and np.datetime64(row["observed_at"].replace(tzinfo=None), "us") == last
    ]  # fmt: skip
    assert len(waiting) > 100
    revised = [late[(row["listing_id"], row["asked_at"])] for row in waiting]
    assert sum(not row["censored"] for row in revised) > 0.6 * len(revised)


def test_every_home_is_valued_once_and_has_one_last_word(market: Any) -> None:
    first, later = (
        {row["listing_id"]: row["censored"] for row in rows(market, table)} for table in LABELS
    )  # fmt: skip
    assert len(first) == market.table("labels_sale_price").num_rows
    assert len(later) == market.table("late_labels_sale_price").num_rows
    assert all(first[name] for name in set(first) & set(later))


def test_prices_are_those_of_the_registry(market: Any) -> None:
    price, registered = (market.by("sales", "listing_id", name) for name in ("price", "registered_at"))
    for table in LABELS:
        for row in rows(market, table):
            if not row["censored"]:
                assert row["sale_price"] == price[row["listing_id"]]
                assert np.datetime64(row["observed_at"].replace(tzinfo=None), "us") == registered[row["listing_id"]]


def test_every_request_has_its_truth_among_the_late_labels(market: Any) -> None:
    late = {
        (row["listing_id"], row["asked_at"], row["condition"]): row for row in rows(market, "late_labels_sale_price")
    }
    asked = rows(market, "requests")
    found = [late[(row["listing_id"], row["asked_at"], row["condition"])] for row in asked]
    assert 0.4 < np.mean([not row["censored"] for row in found]) < 0.9
    moments = market.column("requests", "asked_at")
    assert moments.min() >= market.split
    assert (np.diff(moments.astype(np.int64)) >= 0).all()


def test_who_asks_finds_the_listing_written_down(market: Any) -> None:
    recorded: dict[str, np.datetime64] = {}
    for name, moment in zip(
        market.column("listings", "listing_id"), market.column("listings", "recorded_at"), strict=True
    ):
        recorded.setdefault(name, moment)
    for table in (*LABELS, "requests"):
        asked = zip(market.column(table, "listing_id"), market.column(table, "asked_at"), strict=True)
        assert all(recorded[name] < moment for name, moment in asked)


def test_no_row_of_a_view_tells_a_price_before_it_is_observed(market: Any) -> None:
    registered = market.by("sales", "listing_id", "registered_at")
    for table in (*LABELS, "requests"):
        asked = zip(market.column(table, "listing_id"), market.column(table, "asked_at"), strict=True)
        assert all(moment < registered.get(name, market.end) for name, moment in asked)


def test_homes_are_valued_while_they_are_on_the_market(market: Any) -> None:
    agreed = market.by("sales", "listing_id", "agreed_at")
    asked = market.by("labels_sale_price", "listing_id", "asked_at")
    assert all(moment < agreed.get(name, market.end) for name, moment in asked.items())


def test_what_is_asked_early_has_been_looked_at_less(market: Any) -> None:
    listed = market.by("listings", "listing_id", "changed_at")
    asked = market.by("requests", "listing_id", "asked_at")
    age = np.array([moment - listed[name] for name, moment in asked.items()]) / DAY
    assert 0.1 < (age < 0.2).mean() < 0.4
    assert 5 < np.median(age) < 15


def test_days_to_sale_are_known_sooner_than_prices(months: Any) -> None:
    censored = months.column("labels_days_to_sale", "censored").astype(bool)
    days = months.column("labels_days_to_sale", "days_to_sale")
    assert np.array_equal(np.isnan(days), censored)
    assert np.nanmin(days) >= 4
    assert censored.sum() < months.column("labels_sale_price", "censored").sum()


def test_batch_requests_are_all_homes_on_the_market_at_each_month_s_turn(months: Any) -> None:
    turns, homes = np.unique(months.column("requests", "asked_at"), return_counts=True)
    assert len(turns) >= 8
    assert (np.diff(turns) == 30 * DAY).all()
    assert turns[0] - months.split == np.timedelta64(2, "h")
    agreed = months.by("sales", "listing_id", "agreed_at")
    asked = zip(months.column("requests", "listing_id"), months.column("requests", "asked_at"), strict=True)
    assert all(moment < agreed.get(name, months.end) for name, moment in asked)
    assert homes.min() > 20
    assert months.sample.views["asking"].name == "listing_prices.parquet"
