"""Position bias follows the declared curve, and the recommender's files hold each impression's outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def rates(clicks: Any, chosen: Any) -> tuple[Any, Any]:
    """Click rate at each place of the chosen impressions, and how many there are."""
    position, clicked = (clicks.column("impressions", name)[chosen] for name in ("position", "clicked"))
    shown = np.bincount(position, minlength=11)[1:]
    return np.bincount(position, clicked, minlength=11)[1:] / shown, shown


def randomised(clicks: Any) -> Any:
    return clicks.column("searches", "randomised")[clicks.column("impressions", "search_id")]


def full_pages(clicks: Any) -> Any:
    """Impressions of pages with ten results: in random order, each place has the same homes on average."""
    return clicks.column("searches", "results")[clicks.column("impressions", "search_id")] == 10


def test_clicks_on_randomised_pages_follow_the_declared_examination(clicks: Any) -> None:
    curve = np.array(clicks.truth["examination"])
    rate, shown = rates(clicks, randomised(clicks) & full_pages(clicks))
    attraction = (rate * shown).sum() / (curve * shown).sum()
    deviation = np.sqrt(attraction * curve * (1 - attraction * curve) / shown)
    assert shown.min() > 300
    assert (np.abs(rate - attraction * curve) < 4 * deviation).all()
    assert rate[0] > 2 * rate[4]


def test_ranked_pages_fall_steeper_because_the_better_homes_come_first(clicks: Any) -> None:
    ranked, _ = rates(clicks, ~randomised(clicks) & full_pages(clicks))
    curve = np.array(clicks.truth["examination"])
    attraction = ranked / curve
    assert attraction[:3].mean() > 1.15 * attraction[-3:].mean()


def test_the_declared_share_of_searches_is_randomised(clicks: Any) -> None:
    assert clicks.column("searches", "randomised").mean() == pytest.approx(
        clicks.truth["randomised_searches"], abs=0.02
    )


def test_every_impression_is_a_label_once_its_outcome_is_known(clicks: Any) -> None:
    before, after = (clicks.table(name) for name in ("labels_click", "late_labels_click"))
    numbers = np.concatenate([before["impression_id"].to_numpy(), after["impression_id"].to_numpy()])
    assert len(set(numbers.tolist())) == len(numbers)
    assert clicks.table("impressions").num_rows - len(numbers) < 50
    assert clicks.column("labels_click", "observed_at").max() < clicks.split
    assert clicks.column("late_labels_click", "observed_at").min() >= clicks.split
    clicked = clicks.column("impressions", "clicked")[numbers]
    outcome = np.concatenate([before["clicked"].to_numpy(), after["clicked"].to_numpy()])
    assert np.array_equal(outcome == 1.0, clicked)


def test_requests_are_the_searches_after_the_split(clicks: Any) -> None:
    searched = clicks.column("searches", "searched_at")
    assert np.array_equal(clicks.column("requests", "search_id"), np.flatnonzero(searched >= clicks.split))


def test_tastes_can_be_learned_from_clicks(clicks: Any) -> None:
    """People open again what is like what they opened: the type of home tells, beyond how common it is."""
    kind = clicks.by("listings", "listing_id", "property_type")
    opened: dict[str, list[str]] = {}
    for person, name in zip(clicks.column("clicks", "person_id"), clicks.column("clicks", "listing_id"), strict=True):
        opened.setdefault(person, []).append(kind[name])
    pairs = [(one, other) for kinds in opened.values() for one, other in zip(kinds[::2], kinds[1::2], strict=False)]
    alike = np.mean([one == other for one, other in pairs])
    _, counts = np.unique([one for one, _ in pairs], return_counts=True)
    assert alike > 1.2 * ((counts / counts.sum()) ** 2).sum()


def test_the_recommender_gets_its_views_and_targets(clicks: Any) -> None:
    assert set(clicks.sample.views) == {"listing", "person", "interest", "history"}
    assert set(clicks.sample.labels) == set(clicks.sample.late_labels) == {"click"}
    files = [*clicks.sample.views.values(), *clicks.sample.labels.values(), clicks.sample.requests]
    assert all(path.is_file() for path in files)
