"""Retired versions: nothing points to them, nothing may, and what nobody reads any more is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright_interfaces.errors import ModelNotFound, PromotionRefused, RegistryError
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.registry import Event

GATES = {**dict.fromkeys(GATE_OPTIONS, False), "contract": True}


@pytest.fixture(scope="module")
def two(filled: Path, tmp_path_factory: pytest.TempPathFactory, copies_of: Any) -> Path:
    """A project with two green versions, the first of which is the champion."""
    copies = copies_of(filled, tmp_path_factory.mktemp("two"))
    for half_life in (0.0, 200.0):
        with copies.open(gates=GATES, half_life=half_life) as stack:
            assert stack.train().ok
    with copies.open(gates=GATES) as stack:
        stack.promote("valuation@1")
    return Path(copies.copy())


@pytest.fixture
def opened(two: Path, tmp_path: Path, copies_of: Any) -> Callable[..., Any]:
    copies = copies_of(two, tmp_path)
    return lambda **options: copies.open(**{"gates": GATES, **options})


def test_a_training_that_gave_a_retired_version_says_so_and_how_it_comes_back(opened: Any) -> None:
    with opened(half_life=200.0) as stack:
        stack.retire("valuation@2", reason="too old")
        again = stack.train()
        assert again.title == "valuation@2 was trained on exactly this before and is retired: nothing to do"
        assert (again.data["changed"], again.data["retired"]) == (False, True)
        assert "(too old). To use it: stackwright retire valuation@2 --undo" in again.notes[0]
        stack.retire("valuation@2", undo=True)
        assert stack.train().notes == ("Next: stackwright promote valuation@2",)


def aliases(stack: Any) -> dict[str, list[str]]:
    return {item["model"]: item["aliases"] for item in stack.models().data["models"]}


def test_a_version_that_an_alias_points_to_is_not_retired(opened: Any) -> None:
    with opened() as stack:
        with pytest.raises(RegistryError, match=r"valuation@1: champion points to it. Promote another version"):
            stack.retire("valuation@1")
        assert aliases(stack)["valuation@1"] == ["champion"]
        assert stack.promote("valuation@1", alias="stable").data["changed"]


def test_a_drained_version_loses_its_aliases_and_each_removal_is_written_down(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKWRIGHT_USER", "ada")
    with opened() as stack:
        stack.promote("valuation@1", alias="stable")
        outcome = stack.retire("valuation@champion", drain=True, reason="too old")
        assert outcome.title == "valuation@1 is retired"
        assert sorted(outcome.data["removed"]) == ["champion", "stable"]
        assert aliases(stack)["valuation@1"] == []
        lines = stack.registry.history("valuation")[1][-3:]
        assert [(line.kind, line.alias, line.after, line.who, line.why) for line in lines] == [
            ("alias", "champion", None, "ada", "too old"),
            ("alias", "stable", None, "ada", "too old"),
            ("evidence", None, None, "ada", "too old"),
        ]


def test_a_retired_version_is_promoted_by_no_force_until_that_is_undone(opened: Any) -> None:
    with opened() as stack:
        stack.retire("valuation@2", reason="it leaks")
        assert stack.retire("valuation@2").title == "valuation@2 is retired already"
        for force in (False, True):
            with pytest.raises(PromotionRefused, match=r"valuation@2: .* retired it at .*: it leaks. Choose another"):
                stack.promote("valuation@2", force=force, reason="in a hurry")
        assert [item["retired"] for item in stack.models().data["models"]] == [True, False]
        assert "retired" in str(stack.models())
        assert stack.retire("valuation@2", undo=True).title == "valuation@2 may be promoted again"
        assert stack.retire("valuation@2", undo=True).title == "valuation@2 is not retired"
        assert stack.promote("valuation@2").data["before"] == 1


def test_a_rollback_does_not_go_back_to_a_retired_version(opened: Any) -> None:
    with opened() as stack:
        stack.promote("valuation@2")
        stack.retire("valuation@1")
        with pytest.raises(PromotionRefused, match="valuation@1"):
            stack.rollback()
        assert aliases(stack)["valuation@2"] == ["champion"]


def test_a_rollback_goes_past_the_time_in_which_an_alias_was_removed(opened: Any) -> None:
    with opened() as stack:
        stack.promote("valuation@2")
        stack.retire("valuation@2", drain=True)
        stack.retire("valuation@2", undo=True)
        stack.promote("valuation@2")
        assert stack.rollback().data == {"model": "valuation@1", "before": 2}


def test_evidence_of_the_gates_outlives_a_retirement(opened: Any) -> None:
    with opened() as stack:
        stack.retire("valuation@2")
        stack.retire("valuation@2", undo=True)
        assert [item["gates"] for item in stack.models().data["models"]] == ["green", "green"]


def test_a_promotion_that_comes_between_is_seen(opened: Any) -> None:
    with opened() as stack, opened() as other:
        record = stack.registry.record

        def late(event: Event, *, expected: int | None = None) -> None:
            stack.registry.record = record
            other.promote("valuation@2")
            record(event, expected=expected)

        stack.registry.record = late
        with pytest.raises(RegistryError, match="champion points to it"):
            stack.retire("valuation@2")
        assert not other.models().data["models"][0]["retired"]
        assert other.registry.resolve(ModelRef("valuation", alias="champion")).version == 2


def test_a_retirement_that_comes_between_takes_the_promotion_back(opened: Any) -> None:
    with opened() as stack, opened() as other:
        record = stack.registry.record

        def late(event: Event, *, expected: int | None = None) -> None:
            stack.registry.record = record
            other.retire("valuation@2", reason="it leaks")
            record(event, expected=expected)

        stack.registry.record = late
        with pytest.raises(PromotionRefused, match="it leaks"):
            stack.promote("valuation@2")
        assert other.models().data["models"][0]["retired"]
        assert other.registry.resolve(ModelRef("valuation", alias="champion")).version == 1


def test_features_are_unused_when_the_last_model_that_reads_them_is_retired(opened: Any) -> None:
    second = 'FeatureService(name="valuation", version=2, selections=(homes.select("area"),))'
    with opened() as stack:
        features = stack.project.features
        assert stack.retire("valuation@2").data["unused"] == [], "the first version reads the same"
        features.write_text(features.read_text() + f"\nsecond = {second}\n")
        stack.apply()
    with opened(service="valuation@2") as stack:
        assert stack.retire("valuation@1", drain=True).data["unused"] == ["homes@1:kind", "visits@1:visits_30d"]


def test_what_is_not_published_cannot_be_retired(opened: Any) -> None:
    with opened() as stack, pytest.raises(ModelNotFound, match="no version 9"):
        stack.retire("valuation@9")
