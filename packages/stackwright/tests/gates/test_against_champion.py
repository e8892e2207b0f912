"""Gates that hold a model against the champion, on all rows and on slices of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from candidates import Answer, N, area, bent, exact, judged, made, places, promoted, rows

from stackwright.workflows.gates import Candidate

# Champion


@pytest.mark.parametrize(
    ("theirs", "state"),
    [(lambda truth: truth * 1.3, "green"), (lambda truth: truth * 1.0001, "red")],
    ids=["worse", "better"],
)
def test_a_model_is_held_against_the_champion(good: Candidate, theirs: Answer, state: str) -> None:
    mine = exact(good)
    champion = promoted(bent(good.model, lambda _matrix: theirs(mine.holdout.target)), good)
    result = judged(made(mine, champion), "champion")
    assert result.state == state
    assert (result.evidence["champion"], result.evidence["rows"]) == ("valuation@9", N)


def test_what_cannot_be_told_from_the_champion_by_so_many_rows_is_not_called_worse(good: Candidate) -> None:
    mine = exact(good)
    alike = promoted(bent(good.model, lambda matrix: area(good)(matrix) * 1.0005), good)
    assert judged(made(mine, alike), "champion").state == "green"


def test_rows_that_the_champion_learned_from_do_not_count(good: Candidate) -> None:
    mine = exact(good)
    champion = promoted(bent(good.model, area(good)), good, until=str(mine.holdout.asked[-50]))
    result = judged(made(mine, champion), "champion")
    assert (result.state, result.evidence["rows"]) == ("not applicable", 49)


def test_why_there_is_no_comparison_is_told(good: Candidate) -> None:
    other = promoted(bent(good.model, area(good), target="rent"), good)
    for champion, why in (
        (None, "there is no champion yet"),
        (promoted(None, good), "cannot be loaded: it is damaged"),
        (other, "predicts 'rent' (regression), which is something else"),
    ):
        result = judged(made(exact(good), champion), "champion")
        assert result.state == "not applicable"
        assert why in result.detail


def test_a_champion_that_reads_another_service_which_is_gone_is_not_asked(good: Candidate) -> None:
    signature = good.model.manifest.signature
    renamed = replace(signature, inputs=(*signature.inputs, replace(signature.inputs[0], name="storeys")))
    gone = promoted(bent(good.model, area(good), service="valuation@7", signature=renamed), good)
    result = judged(made(exact(good), gone), "champion")
    assert result.state == "not applicable"
    assert "cannot be asked: definitions: no service named 'valuation@7'" in result.detail


@pytest.mark.parametrize(
    ("other", "state"),
    [
        ({}, "green"),
        ({"definitions": {"homes@0": "of feet"}}, "not applicable"),
        ({"transforms": {"room_size": "x"}}, "not applicable"),
    ],
    ids=["the same", "another view", "another transform"],
)
def test_a_champion_is_shown_columns_of_another_service_only_where_they_mean_the_same(
    good: Candidate, other: dict[str, Any], state: str
) -> None:
    manifest, mine = good.model.manifest, exact(good)
    definitions = {
        "valuation@7" if name == manifest.service else name: then for name, then in manifest.definitions.items()
    }
    known = {"definitions": definitions, "transforms": manifest.transforms}
    changed = {name: {**then, **other.get(name, {})} for name, then in known.items()}
    worse = bent(good.model, lambda _matrix: mine.holdout.target * 1.3, service="valuation@7", **changed)
    assert judged(made(mine, promoted(worse, good)), "champion").state == state


# Slices


def worse_for(candidate: Candidate, wrong: Any) -> Candidate:
    """Return a candidate whose answers are far off in some rows."""
    truth = candidate.holdout.target
    answer = truth * (1 + np.where(wrong, 0.4, 0.1) * np.random.default_rng(1).choice([-1, 1], N))
    return made(candidate, model=bent(candidate.model, lambda _matrix: answer, intervals=None))


def test_a_slice_that_errs_too_much_is_found_and_named(good: Candidate) -> None:
    found = exact(good)
    houses = found.holdout.columns["kind"] == "house"
    result = judged(worse_for(found, houses), "slices")
    assert result.state == "red"
    assert result.detail.startswith("1 of 2 slices err too much: kind = house 1.6")
    assert judged(worse_for(found, houses), "slices", ratio=2.0).state == "green"


def test_numbers_are_sliced_in_fifths_where_that_is_declared(good: Candidate) -> None:
    found = exact(good)
    large = found.holdout.columns["area"] > 1.8
    assert judged(worse_for(found, large), "slices").state == "green"
    result = judged(worse_for(found, large), "slices", by=["area"])
    assert result.state == "red"
    assert "area from 1.8" in result.detail


def test_a_slice_that_errs_more_by_chance_alone_is_not_red(good: Candidate) -> None:
    few = np.array([f"place {row // 100}" for row in range(N)], dtype=object)
    for seed in range(5):
        found = exact(good, seed=seed, kind=few)
        assert judged(found, "slices").state == "green"


def test_a_slice_in_which_the_champion_errs_no_less_holds_nothing_back(good: Candidate) -> None:
    found = exact(good)
    houses = found.holdout.columns["kind"] == "house"
    champion = promoted(bent(good.model, lambda _matrix: found.holdout.target * 2), good)
    result = judged(made(worse_for(found, houses), champion), "slices")
    assert result.state == "green"
    assert "in 1 the champion errs no less" in result.detail


def test_rows_that_the_champion_learned_from_excuse_no_slice(good: Candidate) -> None:
    found = exact(good)
    worse = worse_for(found, found.holdout.columns["kind"] == "house")
    truth, seen = found.holdout.target, np.arange(N) < N // 2
    by_heart = bent(good.model, lambda _matrix: truth * np.where(seen, 1.0, 1.5), name="valuation")
    half = judged(made(worse, promoted(by_heart, good, until=str(found.holdout.asked[N // 2 - 1]))), "slices")
    assert (half.state, half.evidence["worst"][0]["champion"]) == ("green", pytest.approx(0.5))
    twice = bent(good.model, lambda _matrix: truth * 2)
    few = judged(made(worse, promoted(twice, good, until=str(found.holdout.asked[-50]))), "slices")
    assert (few.state, few.evidence["worst"][0]["champion"]) == ("red", None)


def test_slices_of_a_class_allow_for_its_share_of_ones(good: Candidate) -> None:
    kind = np.where(np.arange(N) % 2, "rare", "even").astype(object)
    share = np.where(kind == "rare", 0.02, 0.5)
    truth = (np.random.default_rng(0).random(N) < share).astype(np.float64)
    data = rows(y=truth, **{**places(), "kind": kind})
    model = bent(good.model, lambda matrix: share[: len(matrix)], task="classification", intervals=None)
    assert judged(made(good, model=model, train=data, holdout=data), "slices").state == "green"
    inverted = bent(
        good.model, lambda _matrix: np.where(kind == "rare", 0.3, 0.5), task="classification", intervals=None
    )
    assert judged(made(good, model=inverted, train=data, holdout=data), "slices").state == "red"


def test_without_a_slice_of_enough_rows_there_is_none(good: Candidate) -> None:
    result = judged(good, "slices")
    assert (result.state, result.detail) == ("not applicable", "no slice has 100 of the 60 newer rows")
