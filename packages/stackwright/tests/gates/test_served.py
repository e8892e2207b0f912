"""Gates on how a model will be served: its candidates, its online rows, its time, its folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from candidates import Answer, area, bent, judged, made, promoted

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.gates import Candidate
from stackwright.workflows.lineage.rejudging import rejudge
from stackwright_serving.model import LoadedModel

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
