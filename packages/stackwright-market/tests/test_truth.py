"""What the truth declares can be measured in the tables: the shift, the noise, the dirt, the bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SQUARE_FEET = 10.7639


def sold_over_worth(made: Any) -> tuple[Any, Any, Any]:
    """Return log of price over worth without the shift, instant of agreement, and whether the shift strikes there."""
    worth = made.by("truth/values", "listing_id", "value_without_shift")
    struck = set((made.truth["shift"] or {"neighbourhoods": []})["neighbourhoods"])
    sales = [row for row in made.table("sales").to_pylist() if row["listing_id"] in worth]
    ratio = np.log([row["price"] / worth[row["listing_id"]] for row in sales])
    agreed = np.array([row["agreed_at"].replace(tzinfo=None) for row in sales], "datetime64[us]")
    return ratio, agreed, np.array([row["neighbourhood_id"] in struck for row in sales])


def test_the_planted_shift_has_its_date_place_and_size(market: Any) -> None:
    shift = market.truth["shift"]
    at = np.datetime64(shift["at"].replace("+00:00", ""), "us")
    assert market.split < at < market.end
    ratio, agreed, place = sold_over_worth(market)
    struck = ratio[place & (agreed >= at)]
    assert len(struck) > 100
    assert np.exp(np.median(struck)) == pytest.approx(shift["price_factor"], abs=0.03)
    assert np.exp(np.median(ratio[place & (agreed < at)])) == pytest.approx(1, abs=0.02)
    assert np.exp(np.median(ratio[~place & (agreed >= at)])) == pytest.approx(1, abs=0.02)


def test_true_values_know_the_shift(market: Any) -> None:
    factor = market.column("truth/values", "value") / market.column("truth/values", "value_without_shift")
    at = np.datetime64(market.truth["shift"]["at"].replace("+00:00", ""), "us")
    place = market.by("listings", "listing_id", "neighbourhood_id")
    struck = {name for name in place if place[name] in market.truth["shift"]["neighbourhoods"]}
    there = np.isin(market.column("truth/values", "listing_id"), list(struck))
    after = market.column("truth/values", "asked_at") >= at
    assert factor[there & after] == pytest.approx(market.truth["shift"]["price_factor"])
    assert factor[~(there & after)] == pytest.approx(1)


def test_the_shift_brings_more_homes_of_its_district_to_the_market(market: Any) -> None:
    at = np.datetime64(market.truth["shift"]["at"].replace("+00:00", ""), "us")
    changed, first = market.column("listings", "changed_at"), {}
    for name, moment, place in zip(
        market.column("listings", "listing_id"), changed, market.column("listings", "neighbourhood_id"), strict=True
    ):
        first.setdefault(name, (moment, place in market.truth["shift"]["neighbourhoods"]))
    there = np.array([place for _, place in first.values()])
    after = np.array([moment for moment, _ in first.values()]) >= at
    odds = [there[when].mean() / (1 - there[when].mean()) for when in (after, ~after)]
    assert odds[0] / odds[1] == pytest.approx(market.truth["shift"]["supply_factor"], rel=0.25)


def test_a_shift_of_one_is_none(make: Callable[..., Any]) -> None:
    calm = make("realtime", listings=300, events=1_000, persons=50, months=6, live_months=2, shift=1)
    assert calm.truth["shift"] is None
    assert np.array_equal(*(calm.column("truth/values", name) for name in ("value", "value_without_shift")))


def test_prices_scatter_around_the_worth_as_declared(market: Any) -> None:
    before = np.datetime64(market.truth["shift"]["at"].replace("+00:00", ""), "us")
    ratio, agreed, _ = sold_over_worth(market)
    assert ratio[agreed < before].std() == pytest.approx(market.truth["noise"]["price_sd"], rel=0.15)
    assert 0.05 < market.truth["noise"]["best_mdape"] < 0.08


def test_a_model_of_what_is_known_beats_the_median_of_the_neighbourhood(market: Any) -> None:
    """A linear model of attributes and market figures, fitted before the split, judged on what is asked after it."""
    homes = {row["listing_id"]: row for row in reversed(market.table("listings").to_pylist())}
    places = {name: number for number, name in enumerate(market.column("neighbourhoods", "neighbourhood_id").tolist())}

    def inputs(row: dict[str, Any]) -> list[float]:
        home = homes[row["listing_id"]]
        one_hot = np.eye(len(places))[places[home["neighbourhood_id"]]]
        area = np.clip(abs(home["area"] or 85.0), 20, 420)
        old = 2025 - np.clip(home["year_built"] or 1985, 1880, 2025)
        return [
            np.log(area), old, old > 80, row["condition"], (row["condition"] - 3) ** 2, home["parking"],
            home["garden"] > 0, home["property_type"] == "house", home["property_type"] == "apartment",
            home["bathrooms"] or 1, "ABCDEFG".index(home["energy_label"] or "D"),
            (home["floor"] or 0) * (1 if home["lift"] else -1), *one_hot,
        ]  # fmt: skip

    train = [row for row in market.table("labels_sale_price").to_pylist() if not row["censored"]]
    shift = market.truth["shift"]
    test = [
        row for row in market.table("late_labels_sale_price").to_pylist()
        if not row["censored"] and homes[row["listing_id"]]["neighbourhood_id"] not in shift["neighbourhoods"]
    ]  # fmt: skip
    x, y = np.array([inputs(row) for row in train], float), np.log([row["sale_price"] for row in train])
    weights = np.linalg.solve(x.T @ x + 0.01 * np.eye(x.shape[1]), x.T @ y)
    truth = np.array([row["sale_price"] for row in test])
    model = np.exp(np.array([inputs(row) for row in test], float) @ weights)
    medians = {
        name: np.median([row["sale_price"] for row in train if homes[row["listing_id"]]["neighbourhood_id"] == name])
        for name in places
    }
    constant = np.array([medians[homes[row["listing_id"]]["neighbourhood_id"]] for row in test])
    error, baseline = (np.median(np.abs(guess / truth - 1)) for guess in (model, constant))
    assert market.truth["noise"]["best_mdape"] < error < 0.14
    assert error < 0.6 * baseline


def test_faults_are_as_frequent_as_declared(market: Any) -> None:
    listings = 6_000
    for kind in ("missing", "impossible", "unit", "duplicate"):
        share, found = market.truth["dirt"][kind]["share"], market.truth["dirt"][kind]["rows"]
        assert abs(found - share * listings) < 4 * np.sqrt(share * listings) + 4
    shares = [kind["share"] for kind in market.truth["dirt"].values()]
    assert sum(shares) == pytest.approx(0.05)


def test_every_fault_on_record_is_in_the_table_and_none_besides(market: Any) -> None:
    rows = market.table("listings").to_pylist()
    area = {
        kind: {(row["listing_id"], row["recorded_at"]) for row in rows if test(row)}
        for kind, test in (
            ("missing", lambda row: row["area"] is None),
            ("impossible", lambda row: row["area"] is not None and row["area"] < 0),
            ("unit", lambda row: row["area"] is not None and row["area"] > 90 * row["rooms"]),
        )
    }
    year = {(row["listing_id"], row["recorded_at"]) for row in rows if row["year_built"] == 9999}
    gaps = {
        column: {(row["listing_id"], row["recorded_at"]) for row in rows if row[column] is None}
        for column in ("bathrooms", "year_built", "energy_label")
    }
    recorded: dict[tuple[str, str | None], set[Any]] = {}
    for row in market.table("truth/faults").to_pylist():
        recorded.setdefault((row["fault"], row["column"]), set()).add((row["listing_id"], row["recorded_at"]))
    assert {kind: recorded[(kind, "area")] for kind in area} == area
    assert recorded[("impossible", "year_built")] == year
    assert {column: recorded[("missing", column)] for column in gaps} == gaps


def test_half_of_the_faults_are_corrected_in_a_later_row(market: Any) -> None:
    faulty = {
        row["listing_id"]: row["recorded_at"]
        for row in market.table("truth/faults").to_pylist() if row["fault"] != "duplicate"
    }  # fmt: skip
    again = {row["listing_id"] for row in market.table("truth/faults").to_pylist() if row["fault"] == "duplicate"}
    later = {
        row["listing_id"] for row in market.table("listings").to_pylist()
        if row["listing_id"] in faulty and row["recorded_at"] > faulty[row["listing_id"]]
    }  # fmt: skip
    assert len(later - again) / len(faulty) == pytest.approx(0.5, abs=0.12)


def test_an_area_in_square_feet_is_that_of_the_corrected_row(market: Any) -> None:
    said: dict[str, list[float]] = {}
    for row in market.table("listings").to_pylist():
        said.setdefault(row["listing_id"], []).append(row["area"])
    wrong = {row["listing_id"] for row in market.table("truth/faults").to_pylist() if row["fault"] == "unit"}
    corrected = [areas for name, areas in said.items() if name in wrong and min(areas) < max(areas)]
    assert corrected
    assert all(max(areas) == pytest.approx(min(areas) * SQUARE_FEET, abs=0.06) for areas in corrected)


def test_rows_sent_twice_say_the_same_twice(market: Any) -> None:
    rows: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for row in market.table("listings").to_pylist():
        recorded = row.pop("recorded_at")
        rows.setdefault((row["listing_id"], row["changed_at"]), []).append(row | {"seen": recorded})
    twice = [found for found in rows.values() if len(found) > 1]
    assert len(twice) == market.truth["dirt"]["duplicate"]["rows"]
    assert all({**first, "seen": 0} == {**second, "seen": 0} for first, second in twice)


def test_no_dirt_is_none(make: Callable[..., Any]) -> None:
    clean = make("realtime", listings=300, events=1_000, persons=50, months=6, live_months=2, dirt=0)
    assert clean.table("truth/faults").num_rows == 0
    assert clean.table("listings").num_rows == 300
    assert clean.table("listings")["area"].null_count == 0


def test_some_events_come_late_and_some_twice(market: Any) -> None:
    delay = market.column("interest", "recorded_at") - market.column("interest", "happened_at")
    late = (delay >= np.timedelta64(1, "h")).sum()
    assert late == market.truth["late_events"]["rows"]
    assert late / len(delay) == pytest.approx(market.truth["late_events"]["share"], rel=0.2)
    twice = len(delay) - len(set(market.column("interest", "event_id").tolist()))
    assert market.truth["resent_events"]["rows"] == pytest.approx(twice, abs=5)
    assert twice / len(delay) == pytest.approx(market.truth["resent_events"]["share"], rel=0.25)


def test_interest_is_a_view_or_a_contact(market: Any) -> None:
    viewed, contacted = (market.table("interest")[name].is_valid() for name in ("viewed_by", "contacted_by"))
    assert all(one != other for one, other in zip(viewed.to_pylist(), contacted.to_pylist(), strict=True))
    assert 0 < market.table("interest")["viewed_by"].null_count < market.table("interest").num_rows / 3
