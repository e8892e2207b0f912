"""Cases that a team names, and what must be answered to them."""

from __future__ import annotations

from typing import Any

import pytest
from candidates import judged

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.gates import Candidate, GateResult

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
