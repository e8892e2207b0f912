"""A published model in full, two of them side by side, and the card for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.outcome import Table
from stackwright.workflows.pages import Page, Section

GATES = {**dict.fromkeys(GATE_OPTIONS, False), "contract": True, "baseline": {"min_gain": 0.99}}


@pytest.fixture(scope="module")
def two(filled: Path, tmp_path_factory: pytest.TempPathFactory, copies_of: Any) -> Path:
    """A project with two versions whose baseline is red; the second was promoted past it."""
    copies = copies_of(filled, tmp_path_factory.mktemp("shown"))
    for options in ({"where": {"area": [0, 190]}}, {"half_life": 200.0}):
        with copies.open(gates=GATES, **options) as stack:
            stack.train()
            if "half_life" in options:
                stack.promote("valuation@2", force=True, reason="the fair is tomorrow")
    return Path(copies.copy(gates=GATES))


@pytest.fixture
def opened(two: Path, tmp_path: Path, copies_of: Any) -> Callable[..., Any]:
    copies = copies_of(two, tmp_path)
    return lambda: copies.open(gates=GATES)


def test_a_model_is_shown_by_version_alias_or_name(opened: Any) -> None:
    with opened() as stack:
        shown = {
            ref: stack.models_show(ref).data["model"] for ref in ("valuation", "valuation@1", "valuation@champion")
        }
    assert shown == {"valuation": "valuation@2", "valuation@1": "valuation@1", "valuation@champion": "valuation@2"}


def test_a_card_says_what_it_is_for_what_it_passed_and_what_its_limits_are(opened: Any) -> None:
    with opened() as stack:
        first, second = (stack.models_show(f"valuation@{number}").data for number in (1, 2))
    assert first["use"][0] == "Predicts sale_price of a home (regression)."
    assert "It is asked with home_id, rooms, and reads the features of valuation@1." in first["use"]
    assert {gate["name"]: gate["passed"] for gate in first["gates"]}["baseline"] is False
    assert any(line.startswith("Gate baseline is red: mape on ") for line in first["limits"])
    assert "Rows with area outside 0 to 190 were not learned from." in first["limits"]
    assert "Of kind, 2 categories are known; any other is taken as unknown." in first["limits"]
    assert any(line.endswith("made it champion past its gates: the fair is tomorrow") for line in second["limits"])
    inputs = {item["name"]: item for item in first["inputs"]}
    assert (inputs["kind"]["categories"], inputs["room_size"]["computed"], inputs["area"]["description"]) == (
        2, True, "living area",
    )  # fmt: skip


def test_a_card_says_in_days_until_when_a_truth_counts(opened: Any) -> None:
    with opened() as stack:
        price = replace(stack.target("sale_price"), horizon=timedelta(days=365))
        stack.definitions = replace(stack.definitions, targets=(price,))
        limits = stack.models_show("valuation").data["limits"]
    assert "A truth counts within 365 days of the question." in limits


def test_the_lineage_says_how_much_was_known_and_by_which_settings(opened: Any) -> None:
    with opened() as stack:
        lineage = stack.models_show("valuation@1").data["lineage"]
    assert lineage["settings"]["where"] == {"area": [0, 190]}
    assert {view: mark["position"] for view, mark in lineage["pin"]["views"].items()} == {"homes@1": 1, "visits@1": 1}
    assert lineage["pin"]["labels"] == 1
    assert (lineage["parent"], lineage["seed"]) == (None, 7)
    assert lineage["parts"]["trainer:valuation"].startswith("odd")


def test_settings_are_kept_as_they_are_written_without_the_value_of_a_secret(
    copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTE", "hunter2")
    folder = copies.copy(gates=GATES, trainer={"adapter": "odd", "penalty": 1e-6, "vice": "${TASTE}"})
    with copies.load(folder) as stack:
        stack.train()
        record = stack.registry.history()[0][0].record["lineage"]
    assert record["settings"]["trainer"]["vice"] == "${TASTE}"
    assert "hunter2" not in json.dumps(record)


def test_the_history_tells_who_did_what_and_why(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKWRIGHT_USER", "ada")
    with opened() as stack:
        stack.retire("valuation@1", reason="too old")
        first, second = (stack.models_show(f"valuation@{number}").data for number in (1, 2))
    assert [line["what"] for line in first["history"]] == ["published", "gates", "retired"]
    assert (first["retired"]["who"], first["retired"]["why"]) == ("ada", "too old")
    assert second["history"][-1]["what"] == "champion: nothing to @2"


@pytest.mark.parametrize("suffix", [".md", ".html"])
def test_a_card_is_written_for_people(two: Path, copies_of: Any, tmp_path: Path, opened: Any, suffix: str) -> None:
    out = tmp_path / f"card{suffix}"
    with opened() as stack:
        assert str(out) in str(stack.models_show("valuation", out=out))
    text = out.read_text()
    for word in ("Intended use", "Metrics on newer rows", "Gates", "Limits", "Inputs", "Lineage", "History", "mdape"):
        assert word in text
    assert "Slices" not in text, "what is empty is left out"


def test_a_card_of_another_kind_is_refused_before_anything_is_read(two: Path, run: Any) -> None:
    ran = run("models", "show", "nothing", "--out", "card.pdf", "--project", two)
    assert (ran.code, ran.err.splitlines()[0]) == (
        2, "card.pdf: suffix '.pdf' is not known. Give a file that ends in .md or .html.",
    )  # fmt: skip


def test_a_page_takes_texts_as_they_stand() -> None:
    page = Page("a<b>", "*lead*", (Section("x|y", ["<script>"], [Table(("h|",), [["c|d\ne"]])]), Section("empty")))
    assert page.markdown() == ("# a&lt;b>\n\n\\*lead\\*\n\n## x|y\n\n- &lt;script>\n\n| h\\| |\n| --- |\n| c\\|d e |\n")
    assert "<script>" not in page.html()
    assert "empty" not in page.html()


def test_two_versions_are_compared_by_what_differs_first(opened: Any) -> None:
    with opened() as stack:
        outcome = stack.runs_compare("valuation@1", "valuation@2")
    different = outcome.data["different"]
    assert different["settings.half_life"] == [None, 200.0]
    assert different["settings.where.area"] == [[0, 190], None]
    assert {"run.model", "metrics.mdape", "data.train.rows", "data.train.sha256"} <= different.keys()
    assert "definitions.valuation@1" in outcome.data["same"]
    assert outcome.data["same"]["settings.service"] == "valuation@1"
    places = [key.partition(".")[0] for key in different]
    assert places.index("run") < places.index("metrics") < places.index("data") < places.index("settings")
    assert str(outcome).splitlines()[0].startswith(f"valuation@1 and valuation@2 differ in {len(different)} of ")


def test_runs_are_compared_by_the_beginning_of_their_ids(opened: Any) -> None:
    with opened() as stack:
        ids = [item["run"][:6] for item in stack.runs().data["runs"]]
        by_id = stack.runs_compare(ids[1], ids[0]).data["different"]
        by_ref = stack.runs_compare("valuation@1", "valuation@2").data["different"]
        itself = stack.runs_compare(ids[0], "valuation@2").data["different"]
    assert by_id == by_ref
    assert itself == {}


@pytest.mark.parametrize("name", ["feedbeef", "no such", "other@1"])
def test_what_is_neither_a_run_nor_a_model_is_told(opened: Any, name: str, two: Path) -> None:
    from stackwright_interfaces.errors import ModelNotFound

    with opened() as stack, pytest.raises(ModelNotFound, match="neither a run nor a published model"):
        stack.runs_compare("valuation@1", name)


def test_words_after_a_verb_of_one_word_are_its_arguments(served: Path, run: Any) -> None:
    assert run("models", "valuation", "--project", served).out.splitlines()[0] == "1 version"
    assert run("runs", "valuation", "--project", served).out.splitlines()[0] == "1 run"
    assert run("models", "show", "valuation", "--project", served).out.startswith("valuation@1: champion; published")
    assert run("models", "show").code == 2
    assert "usage: stackwright runs compare" in run("runs", "compare", "--help").out
