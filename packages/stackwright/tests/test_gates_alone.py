"""Each gate on models and rows that are as good or as bad as it takes to see it decide."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.gates import Candidate, GateResult, run_gate
from stackwright.workflows.gates.champions import Champion
from stackwright.workflows.lineage.rejudging import rejudge
from stackwright_interfaces.model import Predictor
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.model import LoadedModel

Answer = Callable[[Any], Any]
N = 2000


class Bent(Predictor):
    """Answers a matrix of inputs by a function."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def predict(self, inputs: Any) -> Any:
        return self.answer(inputs)


@pytest.fixture(scope="module")
def stack(filled: Path, tmp_path_factory: pytest.TempPathFactory, copies_of: Any) -> Iterator[Any]:
    """The stack of a project with one model that has intervals."""
    off = dict.fromkeys(GATE_OPTIONS, False)
    with copies_of(filled, tmp_path_factory.mktemp("alone")).open(gates=off, interval=0.8) as opened:
        opened.train()
        yield opened


@pytest.fixture
def good(stack: Any) -> Candidate:
    """The model with its rows, held against no champion."""
    found = rejudge(stack, "valuation").candidate
    found.__dict__["champion"] = None
    return found


def judged(candidate: Candidate, gate: str, **options: Any) -> GateResult:
    return run_gate(candidate, gate, {**GATE_OPTIONS[gate], "level": "refuse", **options})


def made(candidate: Candidate, champion: Champion | None = None, **changes: Any) -> Candidate:
    """Return a candidate with changes, held against a champion."""
    found = replace(candidate, **changes)
    found.__dict__["champion"] = champion
    return found


def bent(model: LoadedModel, answer: Answer, name: str = "valuation", **changes: Any) -> LoadedModel:
    """Return a model that answers by a function of the input matrix, after its last step."""
    manifest = replace(model.manifest, **{"postprocess": (), **changes})
    return LoadedModel(manifest, Bent(answer), name=name)


def promoted(model: LoadedModel | None, candidate: Candidate, until: str = "2024-01-01T00:00:00") -> Champion:
    version = ModelVersion(name="valuation", version=9, digest="", created=candidate.stack.clock())
    if model is not None:
        data = {**model.manifest.data, "last": until + "Z"}
        model = LoadedModel(replace(model.manifest, data=data, flavour="other"), model.predictor, name="valuation")
    return Champion(version, model, "" if model else "it is damaged")


def rows(number: int = N, **columns: Any) -> Dataset:
    """Return rows of these columns and of a target ``y``, asked for hour by hour in 2025."""
    asked = np.datetime64("2025-01-01T00:00:00", "us") + np.arange(number) * np.timedelta64(1, "h")
    target = columns.pop("y")
    keys = {"home_id": np.array([f"{row:05}" for row in range(number)], dtype=object)}
    return Dataset(columns=columns, target=np.asarray(target, dtype=np.float64), asked=asked, observed=asked, keys=keys)


def places(number: int = N, seed: int = 3) -> dict[str, Any]:
    """Return columns of the inputs of the model, drawn at random."""
    random = np.random.default_rng(seed)
    kind = np.array(["flat", "house"], dtype=object)[random.integers(0, 2, number)]
    numbers = {name: random.uniform(1, 2, number) for name in ("area", "visits_30d", "rooms", "room_size")}
    return {**numbers, "kind": kind}


def area(candidate: Candidate) -> Answer:
    place = [item.name for item in candidate.model.manifest.signature.inputs].index("area")
    return lambda matrix: matrix[:, place]


def exact(candidate: Candidate, noise: float = 0.1, seed: int = 4, **columns: Any) -> Candidate:
    """Return a candidate that answers with the area, on rows whose truth is that, give or take."""
    found = {**places(), **columns}
    truth = found["area"] * np.exp(np.random.default_rng(seed).normal(0, noise, N))
    data = rows(y=truth, **found)
    answering = bent(candidate.model, area(candidate), intervals=None)
    return made(candidate, model=answering, train=data, holdout=data)


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


# Calibration


def of_class(candidate: Candidate, answer: Any, share: Any) -> Candidate:
    data = rows(y=(np.random.default_rng(0).random(N) < share).astype(np.float64), **places())
    model = bent(candidate.model, lambda _matrix: answer, task="classification", intervals=None)
    return made(candidate, model=model, train=data, holdout=data)


def test_probabilities_must_come_true_as_often_as_they_say(good: Candidate) -> None:
    share = np.random.default_rng(1).uniform(0.05, 0.95, N)
    assert judged(of_class(good, share, share), "calibration").state == "green"
    sure = np.where(share > 0.5, 0.97, 0.03)
    result = judged(of_class(good, sure, share), "calibration")
    assert result.state == "red"
    assert result.evidence["ece"] > 0.2


def test_intervals_must_hold_as_many_truths_as_they_say(good: Candidate) -> None:
    assert judged(good, "calibration", rows=50).state == "green"
    spread = replace(good.holdout, target=good.holdout.target * np.where(np.arange(60) % 2, 1.5, 1.0))
    result = judged(made(good, holdout=spread), "calibration", rows=50)
    assert result.state == "red"
    assert "meant are 80%" in result.detail
    champion = promoted(good.model, good)
    assert judged(made(good, champion, holdout=spread), "calibration", rows=50).state == "green"


def test_an_interval_that_does_not_exist_holds_no_truth(good: Candidate) -> None:
    below = bent(good.model, lambda matrix: np.full(len(matrix), -1.0))
    missing = made(good, model=below)
    assert missing.answer.lower is not None
    assert np.isnan(missing.answer.lower).all(), "intervals in proportion have no ends below zero"
    result = judged(missing, "calibration", rows=50)
    assert (result.state, result.evidence["gap"], result.evidence["rows"]) == ("red", pytest.approx(-0.8), 60)


def test_rows_that_the_champion_learned_from_excuse_no_promise(good: Candidate) -> None:
    spread = replace(good.holdout, target=good.holdout.target * np.where(np.arange(60) % 2, 1.5, 1.0))
    late = promoted(good.model, good, until=str(spread.asked[30]))
    assert judged(made(good, late, holdout=spread), "calibration", rows=50).state == "red"
    assert judged(made(good, late, holdout=spread), "calibration", rows=20).state == "green"
    share = np.random.default_rng(1).uniform(0.05, 0.95, N)
    sure = of_class(good, np.where(share > 0.5, 0.97, 0.03), share)
    for until, state in ((0, "green"), (-50, "red")):
        held = promoted(sure.model, good, until=str(sure.holdout.asked[until]))
        assert judged(made(sure, held), "calibration").state == state


def test_a_model_without_intervals_has_none_to_hold(good: Candidate) -> None:
    assert judged(exact(good), "calibration").detail == "the model gives no intervals"


def with_quantiles(candidate: Candidate, *shares: float, sureness: float = 1.0) -> Candidate:
    """Return a candidate whose quantiles lie where those of the truth do, or too near to the middle."""
    found = exact(candidate)
    signature, parameters = found.model.manifest.signature, found.model.manifest.parameters
    names = [f"quantile_{100 * share:g}" for share in shares]
    outputs = (*signature.outputs, *(replace(signature.outputs[0], name=name.replace(".", "_")) for name in names))
    value = area(found)
    factors = [math.exp(0.1 / sureness * NormalDist().inv_cdf(share)) for share in shares]
    answering = bent(
        found.model,
        lambda matrix: np.column_stack([value(matrix) * factor for factor in (1.0, *factors)]),
        signature=replace(signature, outputs=outputs),
        parameters={**parameters, "quantiles": list(shares)},
    )
    return made(found, model=answering)


def test_two_quantiles_must_hold_as_many_truths_as_lie_between_their_shares(good: Candidate) -> None:
    right = judged(with_quantiles(good, 0.05, 0.1, 0.5, 0.9, 0.95), "calibration")
    assert right.state == "green"
    found = {item["name"]: item["level"] for item in right.evidence["quantiles"]}
    assert found == pytest.approx(
        {"quantile_5 to quantile_95": 0.9, "quantile_10 to quantile_90": 0.8, "quantile_50": 0.5}
    )
    sure = judged(with_quantiles(good, 0.1, 0.5, 0.9, sureness=3), "calibration")
    assert sure.state == "red"
    assert "quantile_10 to quantile_90 hold 3" in sure.detail
    assert "meant are 80%" in sure.detail
    held = {item["name"]: item["holds"] for item in sure.evidence["quantiles"]}
    assert held == {"quantile_10 to quantile_90": False, "quantile_50": True}
    assert judged(with_quantiles(good, 0.1, 0.5, 0.9, sureness=3), "calibration", coverage=0.6).state == "green"


def test_a_quantile_without_its_counterpart_must_leave_its_share_below(good: Candidate) -> None:
    assert judged(with_quantiles(good, 0.975), "calibration").state == "green"
    result = judged(with_quantiles(good, 0.975, sureness=3), "calibration")
    assert (result.state, result.detail.startswith("quantile_97_5 leaves below it 7")) == ("red", True)


def test_rows_outside_of_the_selection_have_no_quantiles_to_hold(good: Candidate) -> None:
    found = with_quantiles(good, 0.1, 0.9)
    for area_of, state in (([1.5, 2.0], "green"), ([5.0, 6.0], "not applicable")):
        rules = {"select": {"area": area_of}, "fallback": 1.0}
        manifest = replace(found.model.manifest, parameters={**found.model.manifest.parameters, "rules": rules})
        result = judged(made(found, model=LoadedModel(manifest, found.model.predictor)), "calibration")
        assert result.state == state
        counted = [item["rows"] for item in result.evidence.get("quantiles", [])]
        assert counted == ([int((found.holdout.columns["area"] >= 1.5).sum())] if state == "green" else [])


def test_quantiles_that_hold_no_better_in_the_champion_hold_nothing_back(good: Candidate) -> None:
    sure = with_quantiles(good, 0.1, 0.9, sureness=3)
    result = judged(made(sure, promoted(with_quantiles(good, 0.1, 0.9, sureness=4).model, sure)), "calibration")
    assert (result.state, "(the champion is off by" in result.detail) == ("green", True)
    better = promoted(with_quantiles(good, 0.1, 0.9, sureness=2).model, sure)
    assert judged(made(sure, better), "calibration").state == "red"


# Candidate recall


@pytest.mark.parametrize(
    ("measured", "state"),
    [({}, "not applicable"), ({"candidate_recall": 0.95}, "green"), ({"candidate_recall": 0.5}, "red")],
)
def test_a_ranking_model_is_judged_by_the_recall_of_its_candidates(
    good: Candidate, measured: dict[str, float], state: str
) -> None:
    ranking = bent(good.model, area(good), task="ranking")
    assert judged(made(good, model=ranking, measured=measured), "recall").state == state
    assert judged(good, "recall").state == "not applicable"


def test_a_blueprint_that_names_the_recall_demands_a_trainer_that_measures_it(good: Candidate) -> None:
    ranking = made(good, model=bent(good.model, area(good), task="ranking"))
    demanding = made(ranking, part=replace(ranking.part, gates={"recall": {"share": 0.8}}))
    assert judged(demanding, "recall").state == "red"


# Parity and latency


def test_rows_that_came_since_the_online_rows_were_brought_up_do_not_disturb_parity(
    copies: Any, tmp_path: Path
) -> None:
    off = dict.fromkeys(GATE_OPTIONS, False)
    with copies.open(gates=off) as stack:
        stack.train()
        later = tmp_path / "later.csv"
        later.write_text("home_id,changed_at,area,kind\n0299,2024-12-31T00:00:00Z,999.5,house\n")
        stack.ingest("homes", later)
        result = judged(rejudge(stack, "valuation").candidate, "parity")
    assert (result.state, result.evidence["replayed"]) == ("green", True)
    assert result.evidence["rows"] == result.evidence["found"] == 281


def test_an_online_value_that_history_does_not_have_is_found(good: Candidate, monkeypatch: pytest.MonkeyPatch) -> None:
    store = good.stack.features
    read = store.read

    def altered(*given: Any, **options: Any) -> Any:
        found = read(*given, **options)
        column = found.columns["area"].copy()
        column[-1] += 1e-12 * column[-1]
        return replace(found, columns={**found.columns, "area": column})

    monkeypatch.setattr(store, "read", altered)
    result = judged(good, "parity")
    assert (result.state, result.evidence["differing"]) == ("red", {"area": 1})
    assert "other values than joined from history: area in 1" in result.detail


def busy(milliseconds: float, answer: Answer) -> Answer:
    def slow(matrix: Any) -> Any:
        until = time.process_time_ns() + int(milliseconds * 1e6)
        while time.process_time_ns() < until:
            pass
        return answer(matrix)

    return slow


def test_one_row_must_be_answered_in_time(good: Candidate) -> None:
    slow = made(good, model=bent(good.model, busy(3, area(good)), intervals=None))
    assert judged(slow, "latency", rows=20).state == "green"
    result = judged(slow, "latency", p99_ms=2.0, rows=20)
    assert result.state == "red"
    assert result.evidence["p99_ms"] > 2.9


@pytest.mark.parametrize(("milliseconds", "state"), [(0, "red"), (4, "green")])
def test_a_model_must_not_be_much_slower_than_the_champion(good: Candidate, milliseconds: float, state: str) -> None:
    slow = bent(good.model, busy(4, area(good)), intervals=None)
    champion = promoted(bent(good.model, busy(milliseconds, area(good)), intervals=None), good)
    result = judged(made(good, champion, model=slow), "latency", rows=20)
    assert result.state == state
    assert "valuation@9 needs" in result.detail


# Named cases

CASE = '[[case]]\nname = "a flat"\ninputs = {{ area = 100.0, kind = "flat", rooms = 3 }}\n{}'


def cased(candidate: Candidate, text: str) -> GateResult:
    (candidate.stack.project.folder / "cases.toml").write_text(text)
    return judged(candidate, "cases", file="cases.toml")


@pytest.mark.parametrize(
    ("limits", "state"),
    [
        ("low = 150_000\nhigh = 250_000", "green"),
        ("expected = 200_000\ntolerance = 0.25", "green"),
        ("low = 150_000", "green"),
        ("high = 100", "red"),
        ("expected = 1", "red"),
    ],
)
def test_a_named_case_must_be_answered_within_its_limits(good: Candidate, limits: str, state: str) -> None:
    result = cased(good, CASE.format(limits))
    assert result.state == state, result.detail
    assert (result.evidence["cases"], len(result.evidence["sha256"])) == (1, 64)


def test_what_a_case_does_not_name_is_common_computed_or_missing(good: Candidate) -> None:
    named = cased(good, "[common]\nrooms = 3\n" + CASE.replace(", rooms = 3", "").format("high = 1"))
    spelt = cased(good, CASE.replace("rooms = 3", "rooms = 3, room_size = 33.333333333333336").format("high = 1"))
    assert named.evidence["wrong"] == spelt.evidence["wrong"]
    without = cased(good, CASE.replace(", rooms = 3", "").format("high = 1"))
    assert without.evidence["wrong"] != named.evidence["wrong"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no [[case]]"),
        ("[cases]", "unknown key 'cases'"),
        ("[[case]", "cannot be read"),
        (CASE.format(""), "case 'a flat': it does not say which answer is right"),
        (CASE.format("expected = 1\nlow = 1"), "it does not say which answer is right"),
        (CASE.format('low = "one"'), "low is 'one'"),
        (CASE.format("lowest = 1"), "unknown key 'lowest'. Did you mean 'low'?"),
        (CASE.replace("area", "aera").format("low = 1"), "'aera' is no feature. Did you mean 'area'?"),
        (CASE.replace("100.0", '"large"').format("low = 1"), "area is 'large', declared is float64"),
        ("[[case]]\nlow = 1", "inputs is no table"),
    ],
)
def test_a_case_that_cannot_be_asked_says_why(good: Candidate, text: str, told: str) -> None:
    result = cased(good, text)
    assert result.state == "red"
    assert told in result.detail


def test_a_changed_file_of_cases_asks_for_new_evidence(copies: Any) -> None:
    gates = {**dict.fromkeys(GATE_OPTIONS, False), "cases": {"file": "cases.toml"}}
    folder = copies.copy(gates=gates)
    (folder / "cases.toml").write_text(CASE.format("low = 1"))
    with copies.load(folder) as stack:
        assert stack.train().ok
        (folder / "cases.toml").write_text(CASE.format("high = 1"))
        again = stack.train()
    assert not again.ok
    assert again.data["gates"] == {"cases": False}


# The folder


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [("model.pkl", b"x", "model.pkl"), ("model.json", b"\x80\x05\x95", "model.json (a pickle)")],
)
def test_a_file_that_may_hold_code_is_not_allowed(
    good: Candidate, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    from stackwright_interfaces.model import describe_files

    manifest = replace(good.model.manifest, files=describe_files(tmp_path))
    found = made(good, folder=tmp_path, model=LoadedModel(manifest, good.model.predictor))
    result = judged(found, "artifact")
    assert (result.state, result.evidence["not_allowed"]) == ("red", [told])
    assert result.detail == f"not allowed in a model: {told}"


def test_a_suffix_may_be_allowed(good: Candidate) -> None:
    files: Mapping[str, Any] = {
        **good.model.manifest.files,
        "model.bin": next(iter(good.model.manifest.files.values())),
    }
    found = made(good, model=LoadedModel(replace(good.model.manifest, files=files), good.model.predictor))
    assert judged(found, "artifact").evidence == {"not_allowed": ["model.bin"]}
    assert judged(found, "artifact", allow=[".bin"]).state == "green"
