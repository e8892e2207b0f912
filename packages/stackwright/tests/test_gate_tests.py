"""The gates as tests of a team's own CI, and what judging a published version again means."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest

import stackwright
from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.lineage.rejudging import rejudge
from stackwright_interfaces.errors import ModelNotFound
from stackwright_interfaces.model import Manifest

PLUGIN = ("-p", "no:stackwright_gates", "-p", "stackwright.pytest_plugin")


def ran(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run pytest in a folder, as a team does; give what it prints."""
    command = [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider", "-v", "-rs", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def set_gates(folder: Path, gates: str) -> None:
    path = folder / "blueprint.toml"
    path.write_text(path.read_text().replace('transform = "log"\n', f'transform = "log"\ngates = {gates}\n'))


def test_each_gate_is_a_test_and_what_does_not_apply_is_skipped_with_the_reason(work: Path) -> None:
    (work / "test_own.py").write_text("def test_own():\n    assert True\n")
    printed = ran(work, "--stackwright-project=.")
    assert "test_own.py::test_own PASSED" in printed
    for gate in GATE_OPTIONS:
        assert f"valuation@1::{gate} " in printed
    assert "valuation@1::baseline PASSED" in printed
    assert "valuation@1::champion SKIPPED" in printed
    assert "it is the champion valuation@1 itself" in printed


def test_a_red_gate_fails_and_one_that_warns_is_told(work: Path) -> None:
    set_gates(work, '{ baseline = { min_gain = 0.999 }, latency = { p99_ms = 0.0, level = "warn" } }')
    chosen = ("--stackwright-project=.", "--stackwright-model=valuation@champion", "-m", "stackwright_gate")
    printed = ran(work, *chosen, "-k", "baseline or latency or contract", code=1)
    assert "gate baseline of valuation@1 is red: mape on 60 newer rows" in printed
    assert "PytestWarning: gate latency of valuation@1: p99" in printed
    assert "1 failed, 2 passed" in printed
    assert "Traceback" not in printed


def test_without_the_option_nothing_is_added_and_the_engine_is_not_imported(tmp_path: Path) -> None:
    own = "import sys\ndef test_own():\n    assert 'stackwright.workflows' not in sys.modules\n"
    (tmp_path / "test_own.py").write_text(own)
    assert "1 passed" in ran(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--stackwright-project=nowhere"], "no such folder"),
        pytest.param(
            ["--stackwright-project=.", "--stackwright-model=valuation@9"], "valuation", marks=pytest.mark.nightly
        ),
        pytest.param(["--stackwright-project=.", "--stackwright-model=rent"], "rent", marks=pytest.mark.nightly),
    ],
)
def test_what_cannot_be_found_is_a_usage_error(served: Path, arguments: list[str], told: str) -> None:
    printed = ran(served, *arguments, code=4)
    assert told in printed
    assert "Traceback" not in printed


def test_a_model_that_was_never_published_is_skipped_by_name_and_the_others_are_judged(work: Path) -> None:
    path = work / "blueprint.toml"
    model = path.read_text().partition("[models.valuation]")[2].partition("\n[")[0]
    path.write_text(f"{path.read_text()}\n[models.second]{model}")
    printed = ran(work, "--stackwright-project=.", "-k", "contract or second")
    assert "valuation@1::contract PASSED" in printed
    assert "second SKIPPED" in printed
    assert "model 'second' was never published" in printed


def test_pytest_finds_the_plugin_by_an_entry_point_of_the_engine() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"stackwright_gates": "stackwright.pytest_plugin"}


def test_a_version_is_judged_again_on_the_rows_of_its_publication(copies: Any) -> None:
    with copies.open() as stack:
        stack.train()
        again = rejudge(stack, "valuation@1")
        assert again.candidate.train.fingerprint() == again.version.record["data"]["train"]
        assert again.candidate.holdout.fingerprint() == again.version.record["data"]["holdout"]
        for name, recorded in again.recorded.items():
            found = again.judge(name)
            assert found.state == recorded["state"], name
        assert again.judge("baseline").evidence == again.recorded["baseline"]["evidence"]
        again.close()


def test_a_version_is_judged_as_it_was_fitted_whatever_the_blueprint_says_now(copies: Any) -> None:
    with copies.open(transform="log") as stack:
        stack.train()
    with copies.open(transform="none", half_life=30.0) as stack:
        again = rejudge(stack, "valuation@1")
        assert again.judge("baseline").evidence == again.recorded["baseline"]["evidence"]
        again.close()


def test_gates_that_fit_anew_tell_what_they_found_and_are_red_where_they_never_ran(copies: Any) -> None:
    with copies.open(gates={"smoke": False}) as stack:
        stack.train()
    with copies.open(gates={}) as stack:
        again = rejudge(stack, "valuation")
        found = again.judge("reproducible")
        assert (found.state, found.seconds) == ("green", again.recorded["reproducible"]["seconds"])
        assert found.detail.endswith("(when it was published)")
        assert (again.judge("smoke").state, again.judge("smoke").detail) == ("red", "it was never run on valuation@1")
    with copies.open(gates={"smoke": {"level": "warn"}, "reproducible": {"level": "warn"}}) as stack:
        again = rejudge(stack, "valuation")
        unrun, known = again.judge("smoke"), again.judge("reproducible")
        assert (unrun.state, unrun.passed, unrun.level) == ("warning", True, "warn")
        assert (known.state, known.level) == ("green", "warn")


def test_labels_that_came_since_change_nothing(copies: Any, market: Any, tmp_path: Path) -> None:
    with copies.open() as stack:
        stack.train()
        stack.label(later(market, tmp_path))
        again = rejudge(stack, "valuation@1")
        assert again.candidate.holdout.fingerprint() == again.version.record["data"]["holdout"]


def test_where_the_rows_cannot_be_had_again_it_is_judged_on_all_that_are_newer(
    copies: Any, market: Any, tmp_path: Path
) -> None:
    with copies.open() as stack:
        stack.train()
        stack.label(later(market, tmp_path))
        stack.delete_entity("home", yes=True, home_id="0003")
        again = rejudge(stack, "valuation@1")
        last = again.version.record["data"]["train"]["last"]
        assert (again.candidate.holdout.asked.astype(str).astype(object) + "Z" > last).all()
        assert len(again.candidate.holdout) > 250
        assert again.judge("baseline").evidence["metric"] == "mape"


def test_what_it_did_not_learn_from_is_left_out_where_the_rows_cannot_be_had_again(
    copies: Any, market: Any, tmp_path: Path
) -> None:
    outliers = {"area": {"drop": [0.1, 0.9], "quantiles": True}, "sale_price": {"clip": [0, 200_000]}}
    with copies.open(rules={"outliers": outliers}) as stack:
        stack.train()
        stack.label(later(market, tmp_path))
        stack.delete_entity("home", yes=True, home_id="0003")
        again = rejudge(stack, "valuation@1")
        low, high = Manifest.read(stack.registry.fetch(again.version)).parameters["rules"]["drop"]["area"]
        area = again.candidate.train.columns["area"]
        assert low <= np.nanmin(area) <= np.nanmax(area) <= high
        assert again.candidate.train.target.max() == 200_000
        again.close()


def later(market: Any, folder: Path) -> Path:
    """Write the first sales of the market again, a year later."""
    sales = pyarrow.csv.read_csv(market.sales).slice(0, 250)
    for name in ("asked_at", "sold_at", "known_at"):
        moved = [moment + timedelta(days=365) for moment in sales[name].to_pylist()]
        sales = sales.set_column(sales.column_names.index(name), name, [moved])
    pyarrow.csv.write_csv(sales, folder / "later.csv")
    return folder / "later.csv"


def test_a_version_that_is_not_there_cannot_be_judged(served: Path) -> None:
    with stackwright.load(served) as stack, pytest.raises(ModelNotFound):
        rejudge(stack, "valuation@7")
