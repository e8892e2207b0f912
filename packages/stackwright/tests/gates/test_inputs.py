"""Gates on what goes in: rows beside each other, declared directions, leakage, drift."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from candidates import N, area, bent, exact, judged, made, promoted

from stackwright.workflows.gates import Candidate

# Invariance


def test_an_answer_that_depends_on_the_rows_beside_it_is_found(good: Candidate) -> None:
    beside = bent(good.model, lambda matrix: matrix[:, 0] + matrix[:, 0].mean())
    result = judged(made(good, model=beside), "invariance")
    assert result.state == "red"
    assert "at a time" in result.detail


def test_an_answer_that_depends_on_the_place_of_the_row_is_found(good: Candidate) -> None:
    counting = bent(good.model, lambda matrix: 1.0 + np.arange(len(matrix)))
    result = judged(made(good, model=counting), "invariance")
    assert result.state == "red"
    assert result.evidence["differences"]["row order"] > 0.1


def test_an_input_that_is_the_key_of_its_row_is_found(good: Candidate) -> None:
    named = replace(good.holdout, columns={**good.holdout.columns, "kind": good.holdout.keys["home_id"]})
    result = judged(made(good, holdout=named), "invariance")
    assert (result.state, result.detail) == ("red", "input 'kind' is the row's own key 'home_id'")


# Direction


@pytest.mark.parametrize(("sign", "state"), [(1, "green"), (-1, "red")])
def test_the_answer_must_move_as_declared(good: Candidate, sign: int, state: str) -> None:
    result = judged(good, "direction", inputs={"area": sign})
    assert result.state == state
    assert result.detail.endswith("pairs move as declared of area, wanted are 95.0%")
    assert result.evidence["inputs"]["area"]["pairs"] > 50


def test_an_input_that_does_not_matter_moves_the_answer_neither_way(good: Candidate) -> None:
    result = judged(exact(good), "direction", inputs={"rooms": 1, "room_size": -1})
    assert result.state == "green"
    assert {item["share"] for item in result.evidence["inputs"].values()} == {1.0}


def test_without_a_declaration_there_is_no_direction(good: Candidate) -> None:
    result = judged(good, "direction")
    assert (result.state, result.passed) == ("not applicable", True)


# Leakage


def test_an_input_that_gives_the_target_away_is_found(good: Candidate) -> None:
    leaking = replace(good.train, columns={**good.train.columns, "rooms": -good.train.target})
    result = judged(made(good, train=leaking), "leakage")
    assert result.state == "red"
    assert result.detail.startswith("rooms alone gives the target away")


def test_an_input_that_is_there_only_where_the_target_is_high_gives_it_away(good: Candidate) -> None:
    rooms, dear = good.train.columns["rooms"], good.train.target > np.median(good.train.target)
    gone = replace(good.train, columns={**good.train.columns, "rooms": np.where(dear, rooms, np.nan)})
    assert judged(made(good, train=gone), "leakage").detail.startswith("rooms alone gives the target away")


def test_an_input_that_hardly_any_row_has_gives_nothing_away(good: Candidate) -> None:
    few = np.full(len(good.train), np.nan)
    few[:2], few[-2:] = good.train.target[:2], good.train.target[-2:]
    rare = replace(good.train, columns={**good.train.columns, "rooms": few})
    assert judged(made(good, train=rare), "leakage").state == "green"


def test_a_text_that_gives_the_target_away_is_found(good: Candidate) -> None:
    told = np.where(good.train.target > np.median(good.train.target), "dear", "cheap").astype(object)
    result = judged(made(good, train=replace(good.train, columns={**good.train.columns, "kind": told})), "leakage")
    assert result.detail.startswith("kind alone gives the target away")


def test_a_text_that_is_different_in_every_row_gives_nothing_away(good: Candidate) -> None:
    named = replace(good.train, columns={**good.train.columns, "kind": good.train.keys["home_id"]})
    assert judged(made(good, train=named), "leakage").state == "green"


def test_a_truth_that_was_known_before_it_was_asked_for_is_found(good: Candidate) -> None:
    early = good.train.observed.copy()
    early[:22] = good.train.asked[:22] - np.timedelta64(1, "D")
    result = judged(made(good, train=replace(good.train, observed=early)), "leakage")
    assert result.state == "red"
    assert "10.0% of the truths were known before they were asked for" in result.detail


def test_values_that_were_written_down_later_are_told_and_refused_where_that_is_asked(
    good: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = good.stack.features
    join = store.join

    def late(service: str, labels: Any, *, known_by: bool = False, **given: Any) -> Any:
        found = pa.table(join(service, labels, known_by=known_by, **given))
        place = found.column_names.index("area")
        half = pa.array([value if row % 2 else None for row, value in enumerate(found["area"].to_pylist())])
        return found.set_column(place, "area", half) if known_by else found

    monkeypatch.setattr(store, "join", late)
    result = judged(good, "leakage")
    assert result.state == "green"
    assert result.evidence["written_late"] == pytest.approx(0.5, abs=0.01)
    assert judged(good, "leakage", late=0.4).state == "red"


# Drift


def test_newer_rows_that_look_otherwise_are_found(good: Candidate) -> None:
    before = exact(good)
    now = replace(before.holdout, columns={**before.holdout.columns, "rooms": before.holdout.columns["rooms"] + 0.5})
    result = judged(made(before, holdout=now), "drift")
    assert (result.state, result.evidence["drifted"]) == ("red", ["rooms"])
    assert judged(made(before, holdout=now), "drift", ignore=["rooms"]).state == "green"
    assert judged(made(before, holdout=now), "drift", psi=50.0).state == "green"
    assert judged(before, "drift").state == "green"


def test_an_input_that_runs_with_the_clock_is_passed_over_and_named(good: Candidate) -> None:
    before = exact(good)
    train = replace(before.train, columns={**before.train.columns, "rooms": np.arange(N) * 1.0})
    now = replace(before.holdout, columns={**before.holdout.columns, "rooms": N + np.arange(N) * 1.0})
    result = judged(made(before, train=train, holdout=now), "drift")
    assert (result.state, result.evidence["clocks"]) == ("green", ["rooms"])


def test_a_model_that_learned_from_rows_nearer_to_the_newest_than_the_champion_did_is_not_held_back(
    good: Candidate,
) -> None:
    before = exact(good)
    now = replace(before.holdout, columns={**before.holdout.columns, "rooms": before.holdout.columns["rooms"] + 0.5})
    champion = promoted(bent(good.model, area(good)), good)
    result = judged(made(before, champion, holdout=now), "drift")
    assert (result.state, result.evidence["drifted"]) == ("green", [])
    assert "further from what the champion learned: 1" in result.detail


def test_rows_that_the_champion_learned_from_excuse_no_drift(good: Candidate) -> None:
    before = exact(good)
    now = replace(before.holdout, columns={**before.holdout.columns, "rooms": before.holdout.columns["rooms"] + 0.5})
    late = promoted(bent(good.model, area(good)), good, until=str(now.asked[-50]))
    assert judged(made(before, late, holdout=now), "drift").evidence["drifted"] == ["rooms"]


def test_few_rows_show_no_drift(good: Candidate) -> None:
    assert judged(good, "drift").state == "not applicable"
