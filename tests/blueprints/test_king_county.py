"""Real sales, by the verbs alone: from a CSV file to a promoted model whose errors are what the best have reached."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest

from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.building import build
from stackwright.workflows.live.scoring import load, resolve
from stackwright_numerics.split import TemporalSplit

pytestmark = pytest.mark.nightly

HERE = Path(__file__).parent / "king_county"

Run = Callable[..., dict[str, Any]]
Data = Callable[[str], Path]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, run: Run, data: Data) -> Path:
    folder = tmp_path_factory.mktemp("king_county") / "homes"
    run("new", folder, "--blueprint", "realtime")
    for name in ("blueprint.toml", "features.py"):
        shutil.copyfile(HERE / name, folder / name)
    assert run("check", "--project", folder)["problems"] == []
    run("apply", "--project", folder)
    sales = data("king_county") / "kc_house_data.csv"
    assert run("ingest", "homes", sales, "--project", folder)["added"] == 21_613
    written = run("materialize", "--project", folder)["views"]["homes@1"]["written"]
    assert written == 21_436, "one row a home: 353 rows are sales of homes that were sold before"
    assert run("label", sales, "--project", folder)["added"] == 21_613
    return folder


@pytest.fixture(scope="module")
def trained(project: Path, run: Run) -> dict[str, Any]:
    answer = run("train", "--project", project)
    run("promote", answer["model"], "--project", project)
    return answer


def test_every_gate_is_green(trained: dict[str, Any]) -> None:
    assert trained["gates"] == dict.fromkeys(trained["gates"], True)
    assert len(trained["gates"]) == 17


def test_the_errors_on_the_newest_fifth_are_those_of_the_best(trained: dict[str, Any]) -> None:
    found = trained["metrics"]
    assert found["n"] == 4331
    assert found["mape"] <= 0.120
    assert found["mdape"] <= 0.089
    assert found["ppe10"] >= 0.555
    assert 0.88 <= found["interval_coverage"] <= 0.92
    assert found["median_relative_width"] <= 0.49


def test_intervals_hold_in_every_fifth_of_the_price(project: Path, trained: dict[str, Any]) -> None:
    with Stack(project) as stack:
        ((_, newest),) = build(stack, stack.model()).split(TemporalSplit(folds=1, holdout=0.2))
        answer = load(stack, resolve(stack, None)).predict(newest.columns)
    assert answer.lower is not None
    assert answer.upper is not None
    inside = (answer.lower <= newest.target) & (newest.target <= answer.upper)
    fifths = np.array_split(inside[np.argsort(newest.target, kind="stable")], 5)
    assert min(float(fifth.mean()) for fifth in fifths) >= 0.85


def test_a_key_keeps_its_leading_zeros_and_predicts_by_the_live_path(
    project: Path, trained: dict[str, Any], run: Run
) -> None:
    answer = run("predict", "property_id=0191100045", "--project", project)
    assert answer["incomplete"] == []
    assert answer["lower"] < answer["prediction"] < answer["upper"]


def test_rows_without_a_key_are_scored_from_their_own_features(
    project: Path, trained: dict[str, Any], run: Run, data: Data, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    answer = run("score", data("king_county") / "future_unseen_examples.csv", out, "--project", project)
    assert answer["rows"] == 100
    table = pyarrow.csv.read_csv(out)
    prediction = table["prediction"].to_numpy()
    assert ((table["lower"].to_numpy() < prediction) & (prediction < table["upper"].to_numpy())).all()
    assert 50_000 < prediction.min() < prediction.max() < 10_000_000


def test_training_again_on_the_same_finds_nothing_to_do(project: Path, trained: dict[str, Any], run: Run) -> None:
    again = run("train", "--project", project)
    assert (again["model"], again["changed"]) == (trained["model"], False)
    assert len(run("runs", "--project", project)["runs"]) == 1


def test_what_was_known_at_a_sale_is_what_the_model_learned(project: Path, trained: dict[str, Any], run: Run) -> None:
    moment = datetime(2014, 6, 1, tzinfo=UTC).isoformat()
    early = run("predict", "property_id=7129300520", "--at", moment, "--project", project)
    assert "zipcode" in early["incomplete"], "the home's only row is of October"
