"""A fit that every gate let pass is made again on all rows: what is published has learned from the newest too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.gates import base
from stackwright.workflows.lineage.rejudging import rejudge
from stackwright.workflows.versions.resolving import find
from stackwright.workflows.versions.showing import card_of
from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.model import Manifest
from stackwright_serving import golden
from stackwright_serving.model import LoadedModel

GATES = {**dict.fromkeys(GATE_OPTIONS, False), "baseline": {}, "contract": {}}
"""One that judges answers by newer rows, and one that judges what the model does."""
SETTINGS = {"gates": GATES, "interval": 0.8, "level": True, "half_life": 100.0}


@pytest.fixture(scope="module")
def both(filled: Path, tmp_path_factory: pytest.TempPathFactory, copies_of: Any) -> Path:
    """A project with a version that was not fitted again, and one that was."""
    copies = copies_of(filled, tmp_path_factory.mktemp("both"))
    for refit in (False, True):
        with copies.open(**SETTINGS, refit=refit) as stack:
            assert stack.train().ok
    return Path(copies.copy())


@pytest.fixture
def opened(both: Path, tmp_path: Path, copies_of: Any) -> Callable[..., Any]:
    copies = copies_of(both, tmp_path)
    return lambda **options: copies.open(**{**SETTINGS, "refit": True, **options})


@pytest.fixture
def stack(opened: Any) -> Any:
    with opened() as stack:
        yield stack


def test_it_learns_from_all_rows_and_keeps_what_was_measured_before(stack: Any) -> None:
    first, again = stack.registry.history()[0]
    assert again.record["data"]["train"]["rows"] > first.record["data"]["train"]["rows"]
    assert again.record["data"]["train"]["last"] == first.record["data"]["holdout"]["last"]
    assert again.record["data"]["holdout"] == first.record["data"]["holdout"]
    assert again.record["metrics"] == first.record["metrics"]
    assert again.record["refit"] == {"judged": first.digest, "learned": first.record["data"]["train"]}
    assert "refit" not in first.record
    manifest = Manifest.read(stack.registry.fetch(again))
    assert manifest.data == again.record["data"]["train"]
    assert manifest.parameters["refit"] is True


def test_what_follows_the_model_is_made_anew(stack: Any) -> None:
    first, again = (Manifest.read(stack.registry.fetch(version)) for version in stack.registry.history()[0])
    assert first.intervals is not None
    assert again.intervals is not None
    assert again.intervals != first.intervals
    assert [step["op"] for step in again.postprocess] == [step["op"] for step in first.postprocess]
    assert again.postprocess != first.postprocess, "the scale"


def test_golden_predictions_are_its_own(stack: Any) -> None:
    version = stack.registry.history()[0][1]
    folder = stack.registry.fetch(version)
    manifest = Manifest.read(folder)
    columns, expected = golden.read(folder, manifest.signature.inputs)
    model = LoadedModel.load(folder, stack.model_format(manifest.flavour), name="valuation")
    np.testing.assert_allclose(model.predict(columns).value, expected, rtol=1e-9)
    model.close()


def test_evidence_says_which_gates_judged_the_fit_before_it(stack: Any) -> None:
    (first, again), events = stack.registry.history()
    found = {event.version: event.evidence for event in events if event.kind == "evidence"}
    assert found[2]["digest"] == again.digest
    gates = {gate["name"]: gate for gate in found[2]["gates"]}
    assert gates["baseline"]["evidence"]["judged"] == first.digest
    assert "judged" not in gates["contract"]["evidence"], "it was run again, on what is published"
    assert gates["contract"]["passed"]


def test_it_can_be_promoted_and_its_card_says_how_it_was_judged(stack: Any) -> None:
    assert stack.promote("valuation@2").ok
    limits = card_of(stack, find(stack, "valuation@2"))["limits"]
    assert any("has learned from the newer rows too" in line for line in limits)
    assert not any("newer rows too" in line for line in card_of(stack, find(stack, "valuation@1"))["limits"])


def test_it_is_reproduced_to_the_last_bit(stack: Any) -> None:
    assert stack.reproduce("valuation@2").ok
    assert stack.reproduce("valuation@1").ok


def test_the_same_training_is_recognised(stack: Any) -> None:
    assert not stack.train().data["changed"]


def test_it_is_not_judged_again_by_rows_that_it_learned_from(stack: Any) -> None:
    with pytest.raises(TrainingError, match="no labelled row is newer"):
        _ = rejudge(stack, "valuation@2").candidate
    candidate = rejudge(stack, "valuation@1").candidate
    assert len(candidate.holdout) == stack.registry.history()[0][0].record["data"]["holdout"]["rows"]
    candidate.model.close()


def test_judged_again_it_has_the_rows_that_it_learned_from_and_what_it_does_needs_no_newer_ones(
    copies: Any, market: Any
) -> None:
    rules = {"outliers": {"area": {"drop": [50, 180]}, "sale_price": {"clip": [0, 200_000]}}}
    with copies.open(gates=GATES, refit=True, rules=rules) as stack:
        assert stack.train().ok
        data = stack.registry.history()[0][0].record["data"]
        again = rejudge(stack, "valuation")
        assert again.judge("contract").state == "green"
        assert again.behaving.holdout.fingerprint() == data["holdout"]
        again.close()
        stack.label(later(market, stack.project.folder))
        again = rejudge(stack, "valuation")
        assert again.candidate.train.fingerprint() == data["train"]
        assert str(again.candidate.holdout.asked.min()) + "Z" > data["train"]["last"]
        again.close()


def later(market: Any, folder: Path) -> Path:
    """Write the first sales of the market again, a year later."""
    sales = pyarrow.csv.read_csv(market.sales).slice(0, 100)
    for name in ("asked_at", "sold_at", "known_at"):
        moved = [moment + timedelta(days=365) for moment in sales[name].to_pylist()]
        sales = sales.set_column(sales.column_names.index(name), name, [moved])
    pyarrow.csv.write_csv(sales, folder / "later.csv")
    return folder / "later.csv"


def test_a_fit_that_a_gate_refuses_is_published_as_it_was_judged(opened: Any) -> None:
    with opened(gates={**GATES, "baseline": {"min_gain": 0.99}}) as stack:
        outcome = stack.train()
        first, _ = stack.registry.history()[0]
    assert not outcome.ok
    assert (outcome.data["model"], outcome.data["digest"]) == (first.ref, first.digest)


def test_what_it_does_is_judged_once_more(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def contract(candidate: Any) -> Verdict:
        asked.append(len(candidate.train))
        return Verdict(len(asked) == 1, "as it is told")

    monkeypatch.setitem(base.GATES, "contract", base.Gate(contract, behaviour=True))
    with opened() as stack:
        assert not stack.train(force=True).ok
    assert asked[0] < asked[1]
