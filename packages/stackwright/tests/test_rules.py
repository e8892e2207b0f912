"""Rules of a model: selection, outliers and answer, the same in training, live and in batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from stackwright.assembly.blueprint import BlueprintProblems, read
from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.datasets import building
from stackwright.workflows.live.scoring import load
from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.model import Manifest

QUICK = dict.fromkeys(GATE_OPTIONS, False)
MODEL = 'name = "avm"\n[models.m]\nservice = "s@1"\ntarget = "y"\ntrainer = "odd"\n[models.m.rules]\n'


def manifest_of(stack: Any) -> Manifest:
    return Manifest.read(stack.registry.fetch(stack.registry.history()[0][-1]))


def predicted(stack: Any, home: str, rooms: int = 3) -> dict[str, Any]:
    data: dict[str, Any] = stack.predict(model_ref="valuation@1", home_id=home, rooms=rooms).data
    return data


def scored(stack: Any, homes: list[str], folder: Path) -> list[dict[str, Any]]:
    pyarrow.parquet.write_table(pa.table({"home_id": homes, "rooms": [3] * len(homes)}), folder / "in.parquet")
    stack.score(folder / "in.parquet", folder / "out.parquet", model="valuation@1")
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / "out.parquet").to_pylist()
    return rows


@pytest.fixture
def homes(market: Any) -> dict[str, tuple[str, float]]:
    """A small and a large flat, and a house, with their areas."""
    table = pa.csv.read_csv(market.homes).to_pylist()
    flats = sorted((row for row in table if row["kind"] == "flat"), key=lambda row: row["area"])
    house = next(row for row in table if row["kind"] == "house" and 80 < row["area"] < 120)
    found = {"small": flats[0], "middle": flats[len(flats) // 2], "large": flats[-1], "house": house}
    return {name: (f"{row['home_id']:04}", row["area"]) for name, row in found.items()}


def test_a_row_outside_of_the_selection_is_not_learned_from_and_its_answer_says_so(
    copies: Any, homes: dict[str, tuple[str, float]], tmp_path: Path
) -> None:
    rules = {"select": {"area": [50, 180], "kind": ["flat"]}}
    with copies.open(rules=rules, gates=QUICK) as stack:
        stack.train()
        rows = building.build(stack, stack.model())
        assert rows.columns["area"].min() >= 50
        assert set(rows.columns["kind"]) == {"flat"}
        live = {name: predicted(stack, home) for name, (home, _) in homes.items()}
        batch = scored(stack, [home for home, _ in homes.values()], tmp_path)
    told = {name: answer["incomplete"] for name, answer in live.items()}
    assert told == {"small": ["area (outside)"], "middle": [], "large": ["area (outside)"], "house": ["kind (outside)"]}
    assert [row["incomplete"] for row in batch] == [", ".join(names) or None for names in told.values()]
    assert [row["prediction"] for row in batch] == pytest.approx([answer["prediction"] for answer in live.values()])


def test_a_fallback_is_the_answer_outside_of_the_selection(
    copies: Any, homes: dict[str, tuple[str, float]], tmp_path: Path
) -> None:
    rules = {"select": {"area": [50, 180]}, "fallback": 1234.0}
    with copies.open(rules=rules, gates=QUICK, interval=0.8) as stack:
        stack.train()
        answer, usual = predicted(stack, homes["small"][0]), predicted(stack, homes["middle"][0])
        batch = scored(stack, [homes["small"][0], homes["middle"][0]], tmp_path)
    assert (answer["prediction"], answer["lower"], answer["upper"]) == (1234.0, 1234.0, 1234.0)
    assert usual["lower"] < usual["prediction"] < usual["upper"]
    assert [row["prediction"] for row in batch] == [1234.0, usual["prediction"]]
    assert [row["upper"] for row in batch] == [1234.0, usual["upper"]]


@pytest.mark.parametrize(
    ("fallback", "told"),
    [({}, "it was not judged by such rows"), ({"fallback": 1234.0}, "for such a row it answers 1234")],
)
def test_the_limits_of_a_model_name_its_selection(copies: Any, fallback: dict[str, float], told: str) -> None:
    rules = {"select": {"area": [50, 180], "kind": ["flat"]}, **fallback}
    with copies.open(rules=rules, gates=QUICK) as stack:
        stack.train()
        limits = stack.models_show("valuation").data["limits"]
    assert f"Rows with area outside 50 to 180 were not learned from; {told}." in limits
    assert f"Rows with kind outside flat were not learned from; {told}." in limits


def test_inputs_beyond_a_limit_are_learned_and_answered_as_if_at_it(
    copies: Any, homes: dict[str, tuple[str, float]]
) -> None:
    with copies.open(rules={"outliers": {"area": {"clip": [60, 120]}}}, gates=QUICK, interval=0.8) as stack:
        stack.train()
        assert manifest_of(stack).parameters["rules"] == {"clip": {"area": [60.0, 120.0]}}
        model = load(stack, stack.registry.history()[0][-1])
        columns = {name: np.array([1.0, 1.0]) for name in ("visits_30d", "rooms", "room_size")}
        columns |= {"area": np.array([20.0, 60.0]), "kind": np.array(["flat", "flat"], dtype=object)}
        answer = model.predict(columns)
        learned = building.build(stack, stack.model()).columns["area"]
    assert answer.value[0] == answer.value[1]
    assert answer.lower is not None
    assert answer.lower[0] == answer.lower[1]
    assert learned.min() < 60  # what is kept of the training set is what was there


def test_quantiles_are_taken_from_the_rows_that_are_learned_from(copies: Any) -> None:
    outliers = {
        "area": {"clip": [0.05, 0.95], "quantiles": True},
        "sale_price": {"drop": [0.1, 0.9], "quantiles": True},
    }
    with copies.open(rules={"outliers": outliers}, gates=QUICK) as stack:
        stack.train()
        manifest = manifest_of(stack)
        (version,), _ = stack.registry.history()
        target = building.build(stack, stack.model()).target
    low, high = manifest.parameters["rules"]["clip"]["area"]
    assert 30 < low < 50 < 180 < high < 200
    first, last = manifest.parameters["rules"]["drop"]["sale_price"]
    assert np.quantile(target, 0.05) < first < last < np.quantile(target, 0.95)
    learned, held = (version.record["data"][part]["rows"] for part in ("train", "holdout"))
    assert learned < 0.85 * (len(target) - held)
    assert held == 60  # what is judged is judged as it comes


def test_intervals_hold_the_truths_of_rows_that_are_not_learned_from(copies: Any) -> None:
    outliers = {"sale_price": {"drop": [0.15, 0.85], "quantiles": True}}
    with copies.open(rules={"outliers": outliers}, gates=QUICK, interval=0.8, interval_half_life=0) as stack:
        stack.train()
        (version,), _ = stack.registry.history()
    assert version.record["metrics"]["interval_coverage"] == pytest.approx(0.8, abs=0.12)


def test_a_target_may_be_clipped_for_the_fit(copies: Any) -> None:
    with copies.open(rules={"outliers": {"sale_price": {"clip": [0, 100_000]}}}, gates=QUICK) as stack:
        stack.train()
        assert manifest_of(stack).parameters["rules"] == {"clip_target": [0.0, 100_000.0]}
        assert stack.registry.history()[0][-1].record["metrics"]["signed_median_error"] < -0.2


def test_answers_are_scaled_limited_and_rounded_in_that_order(
    copies: Any, homes: dict[str, tuple[str, float]], tmp_path: Path
) -> None:
    with copies.open("plain", gates=QUICK, interval=0.8) as stack:
        stack.train()
        before = {name: predicted(stack, home) for name, (home, _) in homes.items()}
    answer = {"scale": 1.5, "min": 100_000, "max": 400_000, "round": -3}
    with copies.open("ruled", rules={"answer": answer}, gates=QUICK, interval=0.8) as stack:
        stack.train()
        manifest = manifest_of(stack)
        after = {name: predicted(stack, home) for name, (home, _) in homes.items()}
        batch = scored(stack, [home for home, _ in homes.values()], tmp_path)
        golden = [
            json.loads(line)["output"]
            for line in (stack.registry.fetch(stack.registry.history()[0][-1]) / "golden.jsonl")
            .read_text()
            .splitlines()
        ]
    assert manifest.postprocess == (
        {"op": "exp"},
        {"op": "scale", "by": 1.5},
        {"op": "clip", "low": 100_000.0, "high": 400_000.0},
        {"op": "round", "digits": -3},
    )
    for name, item in before.items():
        expected = np.round(np.clip(item["prediction"] * 1.5, 100_000, 400_000), -3)
        assert after[name]["prediction"] == expected
        assert 100_000 <= after[name]["lower"] <= expected <= after[name]["upper"] <= 400_000
    assert [row["prediction"] for row in batch] == [item["prediction"] for item in after.values()]
    assert all(value % 1000 == 0 for value in golden)


def test_rules_make_another_version_and_none_leave_the_digest_as_it_was(copies: Any) -> None:
    with copies.open("without", gates=QUICK) as stack:
        stack.train()
        assert "rules" not in manifest_of(stack).parameters
        before = stack.train().data
    with copies.open("without", gates=QUICK, rules={"answer": {"round": 0}}) as stack:
        assert stack.train().data["model"] == "valuation@2"
    with copies.open("empty", gates=QUICK, rules={}) as stack:
        assert stack.train().data["digest"] == before["digest"]


def test_the_other_gates_hold_with_rules(copies: Any) -> None:
    rules = {
        "select": {"area": [40, 190]},
        "fallback": 0.0,
        "outliers": {"area": {"clip": [0.01, 0.99], "quantiles": True}},
        "answer": {"min": 0, "round": 0},
    }
    wanted = {name: QUICK[name] for name in GATE_OPTIONS if name not in ("contract", "reproducible", "artifact")}
    with copies.open(rules=rules, gates=wanted) as stack:
        assert stack.train().data["gates"] == {"contract": True, "reproducible": True, "artifact": True}


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"select": {"nowhere": [0, 1]}}, "rules select: no column 'nowhere'. Choose from: sale_price, area"),
        ({"select": {"sale_price": [0, 1]}}, "rules select: 'sale_price' is the target. Use where"),
        ({"select": {"kind": [0, 1]}}, "rules select: 'kind' holds no numbers. Name a column of numbers"),
        ({"select": {"area": ["flat"]}}, "rules select: 'area' holds no texts. Give [lowest, highest]"),
        ({"outliers": {"nowhere": {"clip": [0, 1]}}}, "rules outliers: no column 'nowhere'"),
        ({"outliers": {"kind": {"drop": [0, 1]}}}, "rules outliers: 'kind' holds no numbers"),
    ],
)
def test_a_rule_that_fits_no_column_is_told(copies: Any, rules: dict[str, Any], told: str) -> None:
    with copies.open(rules=rules, gates=QUICK) as stack, pytest.raises(TrainingError) as caught:
        stack.train()
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("selekt = {}", "rules: unknown key 'selekt'. Did you mean 'select'?"),
        ("select = { a = 3 }", "rules select: a is 3. Give [lowest, highest]."),
        ("select = { a = [3, 1] }", "rules select: a is [3, 1], which holds nothing."),
        ("select = { a = [0, nan] }", "rules select: a is [0, nan]. Give [lowest, highest]."),
        ("fallback = 3", "rules: a fallback is given, and no selection."),
        ("outliers = { a = [0, 1] }", "rules outliers: a is [0, 1]. Give { clip = "),
        ("outliers = { a = { clip = [0, 1], drop = [0, 1] } }", "rules outliers: a is {"),
        ("outliers = { a = { clip = [0, 2], quantiles = true } }", "clip is [0.0, 2.0]. Quantiles lie from 0 to 1."),
        ("outliers = { a = { clip = [0, 2], by = 3 } }", "rules outliers a: unknown key 'by'"),
        ("answer = { mn = 1 }", "rules answer: unknown key 'mn'. Did you mean 'min'?"),
        ('answer = { min = "1" }', "rules answer: min is '1'. Give a number."),
        ("answer = { min = 2, max = 1 }", "rules answer: min is greater than max."),
        ("answer = { round = 0.5 }", "rules answer: round is 0.5. Give a whole number of decimals."),
        ("answer = { scale = 0 }", "rules answer: scale is 0. Give a positive number."),
    ],
)
def test_a_rule_that_is_none_is_told_by_the_blueprint(write: Callable[[str], Path], text: str, told: str) -> None:
    with pytest.raises(BlueprintProblems) as caught:
        read(write(MODEL + text))
    assert told in str(caught.value)
