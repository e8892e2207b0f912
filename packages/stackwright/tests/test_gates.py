"""The gates: green for a good model, red for one with the vice they are there for."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.gates import Candidate, GateResult, run_gates
from stackwright_serving.model import LoadedModel

GATES = tuple(GATE_OPTIONS)


def only(gate: str, **options: Any) -> dict[str, Any]:
    return {name: False for name in GATES if name != gate} | {gate: options or True}


def gate(copies: Any, name: str, vice: str = "", **options: Any) -> dict[str, Any]:
    """Train a model with a vice, and return what one gate found."""
    with copies.open(trainer={"adapter": "odd", "vice": vice}, gates=only(name, **options)) as stack:
        outcome = stack.train()
        _, events = stack.registry.history("valuation")
    assert outcome.data["gates"].keys() == {name}
    (found,) = events[-1].evidence["gates"]
    assert outcome.ok == found["passed"]
    return dict(found)


def test_a_good_model_passes_every_gate(copies: Any) -> None:
    with copies.open(interval=0.8) as stack:
        outcome = stack.train()
    assert outcome.data["gates"] == dict.fromkeys(GATES, True), str(outcome)


@pytest.mark.parametrize(
    ("name", "vice", "told"),
    [
        ("contract", "mute", "row 0 got nan"),
        ("contract", "crashing", "it failed with RuntimeError: no number"),
        ("smoke", "dull", "on 20 rows"),
        ("smoke", "blind", "error"),
        ("reproducible", "moody", "fitted again on"),
        ("artifact", "unloadable", "it does not load"),
        ("baseline", "blind", "mape on 60 newer rows: model"),
    ],
)
def test_a_vice_is_found_by_its_gate(
    copies: Any, name: str, vice: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["odd_trainer"], "_INSIDE", {"odd_trainer"})
    found = gate(copies, name, vice)
    assert not found["passed"]
    assert told in found["detail"]


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("smoke", {"seconds": 0.0}, "s of CPU"),
        ("smoke", {"gain": 0.999}, "error"),
        ("artifact", {"max_mb": 0.0}, "0.0 MB"),
        ("artifact", {"seconds": 0.001}, "did not load within 0.001 s"),
        ("baseline", {"min_gain": 0.99}, "constant"),
    ],
)
def test_the_options_of_a_gate_decide(copies: Any, name: str, options: dict[str, Any], told: str) -> None:
    found = gate(copies, name, **options)
    assert not found["passed"]
    assert told in found["detail"]
    assert found["options"] == {**GATE_OPTIONS[name], **options}


def test_few_rows_are_fitted_again_where_there_are_many(copies: Any) -> None:
    found = gate(copies, "reproducible", rows=100)
    assert found["passed"]
    assert "fitted again on 100 rows" in found["detail"]


def test_features_that_are_not_online_are_not_servable(copies: Any) -> None:
    (copies.copy() / "data" / "online.db").unlink()
    found = gate(copies, "servable")
    assert not found["passed"]
    assert found["detail"].startswith("not online: homes@1 (100% of keys absent)")
    assert "stackwright materialize" in found["detail"]


def test_a_stack_without_an_online_store_need_not_serve_online(copies: Any) -> None:
    folder = copies.copy(gates=only("servable"))
    text = (folder / "blueprint.toml").read_text()
    (folder / "blueprint.toml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("online"))
    )
    with copies.load(folder) as stack:
        assert stack.train().data["gates"] == {"servable": True}


@pytest.fixture(scope="module")
def trained(filled: Path, tmp_path_factory: pytest.TempPathFactory, copies_of: Any) -> Iterator[Any]:
    """The stack of a project with one model."""
    with copies_of(filled, tmp_path_factory.mktemp("trained")).open(gates=dict.fromkeys(GATES, False)) as stack:
        stack.train()
        yield stack


@pytest.fixture
def published(trained: Any, tmp_path: Path) -> Candidate:
    """The model as a candidate, whose folder may be tampered with."""
    version = trained.registry.history("valuation")[0][-1]
    folder = Path(shutil.copytree(trained.registry.fetch(version), tmp_path / "model", copy_function=shutil.copyfile))
    model = LoadedModel.load(folder, trained.model_format("odd"), name="valuation")
    nothing: Any = None
    return Candidate(trained, trained.model(), folder, model, nothing, nothing, nothing, {}, 1)


def judged(candidate: Candidate, name: str) -> GateResult:
    part = replace(candidate.part, gates=only(name))
    (result,) = run_gates(replace(candidate, part=part), lambda *_: None)
    return result


def test_an_untouched_folder_passes(published: Candidate) -> None:
    assert judged(published, "artifact").passed


@pytest.mark.parametrize(("name", "state"), [("weights.json", "altered"), ("extra.bin", "not in the manifest")])
def test_a_folder_that_was_tampered_with_is_refused(published: Candidate, name: str, state: str) -> None:
    with (published.folder / name).open("a") as stream:
        stream.write(" ")
    result = judged(published, "artifact")
    assert not result.passed
    assert f"the file is {state}" in result.detail


def test_golden_predictions_that_are_not_given_are_refused(published: Candidate) -> None:
    golden = published.folder / "golden.jsonl"
    lines = [json.loads(line) for line in golden.read_text().splitlines()]
    lines[3]["output"] *= 1.001
    golden.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    from stackwright_interfaces.model import describe_files

    replace(published.model.manifest, files=describe_files(published.folder)).write(published.folder)
    result = judged(published, "artifact")
    assert not result.passed
    assert "golden row 3 gave" in result.detail


def test_a_feature_that_means_something_else_now_is_not_servable(published: Candidate) -> None:
    manifest = replace(published.model.manifest, definitions={"valuation@1": "0" * 64})
    other: Any = LoadedModel(manifest, published.model.predictor, name="valuation")
    result = judged(replace(published, model=other), "servable")
    assert not result.passed
    assert "valuation@1 means something else now" in result.detail


def test_a_gate_that_fails_is_red_and_the_others_still_look(published: Candidate) -> None:
    results = {
        result.name: result
        for result in run_gates(replace(published, part=replace(published.part, gates={})), lambda *_: None)
    }
    assert results["artifact"].passed
    assert not results["baseline"].passed
    assert "it failed with AttributeError" in results["baseline"].detail


def test_evidence_is_json_whatever_a_gate_measured() -> None:
    result = GateResult("baseline", passed=False, detail="", evidence={"gain": float("nan"), "model": float("inf")})
    assert result.to_json()["evidence"] == {"gain": None, "model": None}
