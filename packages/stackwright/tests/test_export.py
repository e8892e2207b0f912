"""A model as a folder that predicts on its own, where neither stackwright nor its libraries are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stackwright
from stackwright.portable import predict
from stackwright.workflows.live.scoring import scorer
from stackwright_interfaces.errors import UsageError
from stackwright_serving.model import LoadedModel

HIDDEN = "import sys; sys.exit(any(find(name) for name in ('stackwright', 'numpy', 'lightgbm')))"


@pytest.fixture(scope="module")
def exported(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("device") / "valuation"
    with stackwright.load(served) as stack:
        outcome = stack.export("valuation@champion", out)
    assert outcome.data["model"] == "valuation@1"
    return out


def alone(folder: Path, *arguments: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    """Run the exported program out of reach of every installed package."""
    command = [sys.executable, "-I", "-S", str(folder / "predict.py"), *arguments]
    return subprocess.run(command, input=lines, capture_output=True, text=True, check=False, cwd=folder, env={})


def test_the_folder_holds_what_a_device_needs(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {
        "README.md", "golden.jsonl", "model.txt", "predict.py", "schema.json",
    }  # fmt: skip
    schema = json.loads((exported / "schema.json").read_text())
    inputs = {item["name"]: item for item in schema["inputs"]}
    assert inputs["kind"]["categories"] == ["flat", "house"]
    assert inputs["room_size"]["computed"]
    assert schema["postprocess"] == [{"op": "exp"}]


def test_nothing_is_installed_where_it_runs() -> None:
    program = f"from importlib.util import find_spec as find; {HIDDEN}"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", program], check=False).returncode == 0


def test_the_golden_predictions_are_given_without_any_library(exported: Path) -> None:
    done = alone(exported, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout.split()[4]) < 1e-12


ROWS: list[dict[str, Any]] = [
    {"area": 70.0, "kind": "flat", "visits_30d": 3, "rooms": 2, "room_size": 35.0},
    {"area": 70.0, "kind": "castle", "visits_30d": 3, "rooms": 2, "room_size": 35.0},
    {"area": None, "kind": None, "visits_30d": None, "rooms": None, "room_size": None},
    {"area": 1e9, "kind": "house", "visits_30d": 0, "rooms": 0, "room_size": -1.0},
]


def test_odd_rows_are_answered_as_stackwright_answers_them(exported: Path, served: Path) -> None:
    done = alone(exported, lines="\n".join(map(json.dumps, ROWS)))
    given = [json.loads(line) for line in done.stdout.splitlines()]
    with stackwright.load(served) as stack:
        columns = {
            name: np.array([row[name] for row in ROWS], dtype=object if name == "kind" else np.float64)
            for name in ROWS[0]
        }
        expected = scorer(stack).by_columns(columns).prediction
    for name, values in (("prediction", expected.value), ("lower", expected.lower), ("upper", expected.upper)):
        np.testing.assert_allclose([row[name] for row in given], values, rtol=1e-12)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**ROWS[0], "kind": 7}, "kind: is 7, a text is wanted"),
        ({**ROWS[0], "area": "70"}, "area: is '70', a number is wanted"),
        ({"area": 70.0}, "kind: is not there; give null"),
    ],
)
def test_a_row_that_cannot_be_answered_is_told(exported: Path, row: dict[str, Any], words: str) -> None:
    done = alone(exported, lines=json.dumps(row))
    assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (1, True, False)


@pytest.mark.parametrize(
    ("line", "words"), [("area=70", "is no JSON (Expecting"), ("7", "is no JSON object of inputs")]
)
def test_a_line_that_is_no_row_is_told_by_its_number(exported: Path, line: str, words: str) -> None:
    done = alone(exported, lines=f"{json.dumps(ROWS[0])}\n{line}\n")
    assert (done.returncode, done.stderr.startswith(f"line 2: {words}")) == (1, True)


def test_an_altered_model_is_refused_before_it_is_read(exported: Path, tmp_path: Path) -> None:
    for path in exported.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    model = tmp_path / "model.txt"
    model.write_bytes(model.read_bytes()[:-2000])
    done = alone(tmp_path, "--check")
    assert (done.returncode, done.stderr) == (1, "model.txt: is not the file that was exported\n")


def test_a_folder_may_be_named_from_where_one_stands(
    served: Path, tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("export", "valuation", Path("device") / "valuation", "--project", served)
    assert (ran.code, alone(tmp_path / "device" / "valuation", "--check").returncode) == (0, 0)


def test_a_folder_that_is_there_is_left_alone(served: Path, exported: Path, run: Any) -> None:
    ran = run("export", "valuation", exported, "--project", served)
    assert (ran.code, "is there already" in ran.err) == (2, True)


def test_a_model_without_a_portable_form_is_refused(copies: Any, tmp_path: Path) -> None:
    from stackwright.assembly.gate_options import GATE_OPTIONS

    with copies.open(gates=dict.fromkeys(GATE_OPTIONS, False)) as stack:
        stack.train()
        with pytest.raises(UsageError, match=r"this model of flavour 'odd' has no portable form. Train it with one of"):
            stack.export("valuation", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def learned(served: Path, folder: Path, trainer: str, **replaced: str) -> Path:
    """Train another model in a copy of the project."""
    project = Path(shutil.copytree(served, folder))
    text = (project / "blueprint.toml").read_text()
    before = 'adapter = "lightgbm", num_iterations = 30, learning_rate = 0.1, min_data_in_leaf = 5'
    assert before in text
    for old, new in {before: f'adapter = "sklearn", {trainer}', **replaced}.items():
        text = text.replace(old, new)
    (project / "blueprint.toml").write_text(text)
    with stackwright.load(project, progress=lambda *_: None) as stack:
        stack.train(force=True)
    return project


@pytest.mark.parametrize(
    ("trainer", "transform"),
    [
        pytest.param('estimator = "sklearn.linear_model.Ridge"', 'transform = "log"', marks=pytest.mark.nightly),
        ('estimator = "sklearn.linear_model.GammaRegressor", params = { max_iter = 500 }', ""),
    ],
    ids=["straight", "exponential"],
)
def test_a_linear_model_of_scikit_learn_is_written_down_as_what_each_input_adds(
    served: Path, tmp_path: Path, trainer: str, transform: str
) -> None:
    project = learned(served, tmp_path / "project", trainer, **{'transform = "log"': transform})
    assert_answered_alike(project, tmp_path / "out", [*ROWS[:3], {**ROWS[3], "area": 300.0}], {"model.json"})
    endless = alone(tmp_path / "out", lines=json.dumps({**ROWS[0], "area": -1e300}))
    assert "Traceback" not in endless.stderr


def test_trees_of_scikit_learn_are_written_down_with_their_categories(served: Path, tmp_path: Path) -> None:
    project = learned(served, tmp_path / "project", "params = { max_iter = 20 }")
    assert_answered_alike(project, tmp_path / "out", ROWS, {"prepared.json", "prepared.py"})
    assert "`prepared.py` follows it" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.nightly
def test_a_model_that_cannot_be_written_down_is_refused_by_what_it_is(served: Path, tmp_path: Path) -> None:
    trainer = 'estimator = "sklearn.neighbors.KNeighborsRegressor", params = { algorithm = "brute" }'
    project = learned(served, tmp_path / "project", trainer)
    with (
        stackwright.load(project) as stack,
        pytest.raises(UsageError, match="valuation@2: KNeighborsRegressor has no portable form"),
    ):
        stack.export("valuation", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def assert_answered_alike(project: Path, out: Path, rows: list[dict[str, Any]], beside: set[str]) -> None:
    with stackwright.load(project) as stack:
        stack.export("valuation", out)
        columns = {
            name: np.array([row[name] for row in rows], dtype=object if name == "kind" else np.float64)
            for name in rows[0]
        }
        (*_, version), _ = stack.registry.history("valuation")
        model = LoadedModel.published(version, stack.registry.fetch(version), stack.model_format("sklearn"))
        expected = model.predict(columns)
    assert {path.name for path in out.iterdir()} == {"README.md", "golden.jsonl", "predict.py", "schema.json", *beside}
    done = alone(out, lines="\n".join(map(json.dumps, rows)))
    given = [json.loads(line) for line in done.stdout.splitlines()]
    np.testing.assert_allclose([row["prediction"] for row in given], expected.value, rtol=1e-9)
    np.testing.assert_allclose([row["upper"] for row in given], expected.upper, rtol=1e-9)


@pytest.mark.parametrize(("raw", "chance"), [(0.0, 0.5), (2.0, 0.8807970779778823), (-800.0, 0.0), (800.0, 1.0)])
def test_a_sum_becomes_a_chance_without_overflow(raw: float, chance: float) -> None:
    item = {"slope": 1.0, "zero": 0.0, "missing": None}
    model = predict.Sum(json.dumps({"link": "logistic", "base": 0.0, "inputs": [item]}))
    assert model.predict([raw]) == pytest.approx(chance)
    with pytest.raises(ValueError, match="takes none that is"):
        model.predict([float("nan")])
    with pytest.raises(ValueError, match="link 'square' is not read here"):
        predict.Sum(json.dumps({"link": "square", "base": 0.0, "inputs": []}))


OBJECTIVES = {
    "regression": {"objective": "regression"},
    "binary": {"objective": "binary", "sigmoid": 0.7},
    "poisson": {"objective": "poisson"},
    "sqrt": {"objective": "regression", "reg_sqrt": True},
    "l1": {"objective": "l1"},
    "forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
    "zero as missing": {"zero_as_missing": True},
    "no missing": {"use_missing": False},
    "categories": {"cat_smooth": 1, "min_data_per_group": 1, "max_cat_to_onehot": 1},
    "nothing to learn": {"min_data_in_leaf": 10_000},
}


@pytest.mark.parametrize("parameters", OBJECTIVES.values(), ids=OBJECTIVES)
def test_trees_are_read_as_lightgbm_reads_them(parameters: dict[str, Any]) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    random = np.random.default_rng(3)
    rows = random.normal(size=(400, 3))
    rows[:, 2] = random.integers(0, 40, 400)
    rows[random.random(rows.shape) < 0.1] = np.nan
    rows[:30, 0] = 0.0
    truth = np.exp(np.nan_to_num(rows[:, 0]) / 2) + (np.nan_to_num(rows[:, 2]) % 3 == 1)
    truth = (truth > 1.3).astype(float) if parameters.get("objective") == "binary" else truth
    given = {"verbosity": -1, "num_leaves": 15, "min_data_in_leaf": 5, "num_threads": 1, "seed": 1, **parameters}
    named = [2] if "cat_smooth" in parameters else []
    booster = lightgbm.train(given, lightgbm.Dataset(rows, truth, categorical_feature=named), num_boost_round=12)
    asked = np.vstack([rows, random.normal(size=(100, 3)) * 30])
    trees = predict.Trees(booster.model_to_string())
    mine = [trees.predict(row) for row in asked.tolist()]
    np.testing.assert_allclose(mine, booster.predict(asked), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("steps", "value", "answer"),
    [
        ([{"op": "exp"}, {"op": "scale", "by": 2.0}], 0.0, 2.0),
        ([{"op": "clip", "low": 1.0}], 0.5, 1.0),
        ([{"op": "clip", "high": 1.0}], 7.0, 1.0),
        ([{"op": "round", "digits": 2}], 1.005, float(np.round(1.005, 2))),
        ([{"op": "round", "digits": -3}], 12_500.0, 12_000.0),
    ],
)
def test_steps_after_the_model_are_those_of_the_server(
    steps: list[dict[str, Any]], value: float, answer: float
) -> None:
    from stackwright_serving.postprocess import compile_steps

    given = value
    for step in steps:
        given = predict._step(step, given)
    assert given == answer == compile_steps(steps)(np.array([value]))[0]


def test_a_step_of_a_later_version_is_refused() -> None:
    with pytest.raises(ValueError, match="step 'wish' is not known here"):
        predict._step({"op": "wish"}, 1.0)


def test_rules_travel_with_the_model(exported: Path, tmp_path: Path) -> None:
    for path in exported.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    schema = json.loads((tmp_path / "schema.json").read_text())
    schema["rules"] = {"select": {"area": [20, 300], "kind": ["flat"]}, "clip": {"area": [60.0, 80.0]}}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    model = predict.Model(tmp_path)
    plain = predict.Model(exported)
    assert model.predict({**ROWS[0], "area": 50.0}) == plain.predict({**ROWS[0], "area": 60.0})
    assert model.predict(ROWS[1])["outside"] == ["kind"]
    (tmp_path / "schema.json").write_text(json.dumps({**schema, "rules": {**schema["rules"], "fallback": 7.0}}))
    assert predict.Model(tmp_path).predict(ROWS[3]) == {
        "prediction": 7.0, "lower": 7.0, "upper": 7.0, "outside": ["area", "kind"],
    }  # fmt: skip
