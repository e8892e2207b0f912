"""Keys refer to rows that are there, and nothing happens before its time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

KEYS = [
    ("listings", "neighbourhood_id", "neighbourhoods", "neighbourhood_id"),
    ("listings", "agent_id", "agents", "agent_id"),
    ("neighbourhood_statistics", "neighbourhood_id", "neighbourhoods", "neighbourhood_id"),
    ("listing_prices", "listing_id", "listings", "listing_id"),
    ("sales", "listing_id", "listings", "listing_id"),
    ("sales", "person_id", "persons", "person_id"),
    ("sales", "neighbourhood_id", "neighbourhoods", "neighbourhood_id"),
    ("searches", "person_id", "persons", "person_id"),
    ("searches", "district", "neighbourhoods", "district"),
    ("impressions", "search_id", "searches", "search_id"),
    ("impressions", "listing_id", "listings", "listing_id"),
    ("clicks", "impression_id", "impressions", "impression_id"),
    ("direct_views", "listing_id", "listings", "listing_id"),
    ("direct_views", "person_id", "persons", "person_id"),
    ("visits", "listing_id", "listings", "listing_id"),
    ("visits", "contact_id", "contacts", "event_id"),
    ("offers", "visit_id", "visits", "visit_id"),
    ("interest", "listing_id", "listings", "listing_id"),
    ("labels_sale_price", "listing_id", "listings", "listing_id"),
    ("requests", "listing_id", "listings", "listing_id"),
]
HAPPENS = [
    ("searches", "person_id", "searched_at"),
    ("impressions", "listing_id", "shown_at"),
    ("clicks", "listing_id", "clicked_at"),
    ("direct_views", "listing_id", "viewed_at"),
    ("contacts", "listing_id", "contacted_at"),
    ("visits", "listing_id", "visited_at"),
    ("offers", "listing_id", "offered_at"),
    ("interest", "listing_id", "happened_at"),
]
RECORDED = [
    ("listings", "changed_at"),
    ("listing_prices", "changed_at"),
    ("neighbourhood_statistics", "published_at"),
    ("sales", "registered_at"),
    ("interest", "happened_at"),
    ("persons", "registered_at"),
]


def off_market(market: Any) -> dict[str, np.datetime64]:
    """When the sold listings left the market."""
    return market.by("sales", "listing_id", "agreed_at")


def first_listed(market: Any) -> dict[str, np.datetime64]:
    at: dict[str, np.datetime64] = {}
    for name, moment in zip(
        market.column("listings", "listing_id"), market.column("listings", "changed_at"), strict=True
    ):
        at[name] = min(at.get(name, moment), moment)
    return at


@pytest.mark.parametrize(("table", "column", "other", "key"), KEYS, ids=[f"{row[0]}.{row[1]}" for row in KEYS])
def test_every_key_refers_to_a_row(market: Any, table: str, column: str, other: str, key: str) -> None:
    named = set(market.table(table)[column].drop_null().to_pylist())
    assert named
    assert named <= set(market.table(other)[key].to_pylist())


@pytest.mark.parametrize(
    ("table", "key"),
    [("persons", "person_id"), ("searches", "search_id"), ("impressions", "impression_id"), ("visits", "visit_id"),
     ("offers", "offer_id"), ("sales", "sale_id"), ("sales", "listing_id"), ("neighbourhoods", "neighbourhood_id")],
)  # fmt: skip
def test_every_row_has_a_number_of_its_own(market: Any, table: str, key: str) -> None:
    keys = market.table(table)[key].to_pylist()
    assert len(set(keys)) == len(keys)


def test_views_and_contacts_share_one_sequence_of_event_numbers(market: Any) -> None:
    events = [market.column(name, "event_id") for name in ("clicks", "direct_views", "contacts")]
    together = np.sort(np.concatenate(events))
    assert np.array_equal(together, np.arange(len(together)))
    assert set(market.column("contacts", "view_id")) <= {*events[0].tolist(), *events[1].tolist()}


@pytest.mark.parametrize(("table", "time"), RECORDED)
def test_nothing_is_written_down_before_it_is_true_or_after_the_end(market: Any, table: str, time: str) -> None:
    recorded = market.column(table, "recorded_at")
    assert (market.column(table, time) <= recorded).all()
    assert recorded.max() < market.end


@pytest.mark.parametrize(("table", "key", "time"), HAPPENS, ids=[row[0] for row in HAPPENS])
def test_nothing_happens_to_a_home_that_is_not_on_the_market(market: Any, table: str, key: str, time: str) -> None:
    at = market.column(table, time)
    assert at.max() < market.end
    if key == "person_id":
        since, until = market.by("persons", "person_id", "registered_at"), {}
    else:
        since, until = first_listed(market), off_market(market)
    keys = market.column(table, key).tolist()
    assert all(since[name] <= moment for name, moment in zip(keys, at, strict=True))
    assert all(moment <= until.get(name, market.end) for name, moment in zip(keys, at, strict=True))


def test_a_result_page_shows_each_home_once_at_places_from_one_on(market: Any) -> None:
    search, listing, position = (market.column("impressions", name) for name in ("search_id", "listing_id", "position"))
    assert len(set(zip(search.tolist(), listing.tolist(), strict=True))) == len(search)
    shown = np.bincount(search, minlength=market.table("searches").num_rows)
    assert np.array_equal(shown, market.column("searches", "results"))
    starts = np.cumsum(shown) - shown
    assert np.array_equal(position, np.arange(len(search)) - starts[search] + 1)
    assert position.max() == 10


def test_results_satisfy_what_was_searched_for(market: Any) -> None:
    kind = market.by("listings", "listing_id", "property_type")
    district = market.by("neighbourhoods", "neighbourhood_id", "district")
    place = market.by("listings", "listing_id", "neighbourhood_id")
    searches = market.table("searches").to_pylist()
    for row in market.table("impressions").slice(0, 3_000).to_pylist():
        search = searches[row["search_id"]]
        assert district[place[row["listing_id"]]] == search["district"]
        assert search["property_type"] in (None, kind[row["listing_id"]])


def test_clicks_are_the_impressions_that_say_so(market: Any) -> None:
    clicked = np.flatnonzero(market.column("impressions", "clicked"))
    assert np.array_equal(market.column("clicks", "impression_id"), clicked)
    for name in ("person_id", "listing_id", "position", "search_id"):
        assert (market.column("clicks", name) == market.column("impressions", name)[clicked]).all()


def test_every_sale_follows_an_accepted_offer_of_its_price(market: Any) -> None:
    accepted = market.table("offers").filter(market.table("offers")["accepted"]).to_pylist()
    offers = {row["listing_id"]: row for row in accepted}
    assert len(offers) == len(accepted)
    for sale in market.table("sales").to_pylist():
        offer = offers[sale["listing_id"]]
        assert offer["amount"] == sale["price"]
        assert offer["person_id"] == sale["person_id"]
        assert offer["offered_at"] < sale["agreed_at"] < sale["closed_at"] < sale["registered_at"]


def test_refused_offers_lie_below_the_asking_price(market: Any) -> None:
    asking = {row["listing_id"]: row["asking_price"] for row in reversed(market.table("listing_prices").to_pylist())}
    refused = market.table("offers").filter(np.logical_not(market.column("offers", "accepted"))).to_pylist()
    assert refused
    assert all(row["amount"] < asking[row["listing_id"]] for row in refused)


def test_asking_prices_only_fall(market: Any) -> None:
    newest: dict[str, float] = {}
    for row in market.table("listing_prices").to_pylist():
        assert row["asking_price"] <= newest.get(row["listing_id"], np.inf)
        newest[row["listing_id"]] = row["asking_price"]
    assert len(newest) < market.table("listing_prices").num_rows


def test_some_homes_and_people_are_cold(market: Any) -> None:
    seen = set(market.column("interest", "listing_id").tolist())
    listed = set(market.column("listings", "listing_id").tolist())
    assert 0.005 < 1 - len(seen) / len(listed) < 0.3
    registered = market.column("persons", "registered_at")
    assert market.truth["new_persons"] == (registered >= market.split).sum() > 0


def test_a_few_people_do_most_of_the_looking(market: Any) -> None:
    _, searches = np.unique(market.column("searches", "person_id"), return_counts=True)
    tenth = np.sort(searches)[-len(searches) // 10 :].sum() / searches.sum()
    assert tenth > 0.3


def test_more_homes_come_to_the_market_in_spring_than_in_autumn(make: Any) -> None:
    made = make("realtime", listings=12_000, events=1_000, persons=50, shift=1, months=15)
    month = made.column("listings", "changed_at").astype("datetime64[M]").astype(int) % 12
    spring, autumn = np.isin(month, [3, 4]).sum(), np.isin(month, [9, 10]).sum()
    assert spring > 1.1 * autumn


def test_neighbourhoods_appreciate_as_the_truth_says(make: Any) -> None:
    made = make("realtime", listings=300, events=1_000, months=48, shift=1)
    price = made.column("neighbourhood_statistics", "median_price_m2").reshape(-1, 48)
    yearly = np.log(price[-13:-1].mean(axis=0) / price[:12].mean(axis=0)) / ((len(price) - 13) / 12)
    names = made.column("neighbourhoods", "neighbourhood_id").tolist()
    growth = np.array([made.truth["appreciation"][name] for name in names])
    assert growth.max() - growth.min() > 0.05
    assert np.corrcoef(yearly, growth)[0, 1] > 0.9
