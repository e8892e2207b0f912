"""Published models: promoted past green gates alone, and rolled back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright_interfaces.errors import AliasConflict, ModelNotFound, PromotionRefused, UsageError
from stackwright_interfaces.model import Manifest, ModelRef
from stackwright_interfaces.registry import Event

GATES = {**dict.fromkeys(GATE_OPTIONS, False), "contract": True}
RED = {**GATES, "baseline": {"min_gain": 0.99}}


@pytest.fixture(scope="module")
def three(filled: Path, odd: Any, tmp_path_factory: pytest.TempPathFactory, copies_of: Any) -> Path:
    """A project with two green versions, and a third whose gates were never run."""
    copies = copies_of(filled, tmp_path_factory.mktemp("three"))
    for half_life in (0.0, 200.0):
        with copies.open(gates=GATES, half_life=half_life) as stack:
            assert stack.train().ok
    with copies.open(gates=GATES) as stack:
        version = stack.registry.resolve(ModelRef("valuation"))
        folder = Path(
            shutil.copytree(stack.registry.fetch(version), copies.root / "model", copy_function=shutil.copyfile)
        )
        replace(Manifest.read(folder), code={"by": "hand"}).write(folder)
        assert stack.registry.publish("valuation", folder, {}).version == 3
    return Path(copies.copy())


@pytest.fixture
def opened(three: Path, tmp_path: Path, copies_of: Any) -> Callable[..., Any]:
    """Opens the copy of the project, with other options of its model."""
    copies = copies_of(three, tmp_path)
    return lambda **options: copies.open(**{"gates": GATES, **options})


def alias_lines(stack: Any) -> list[Event]:
    return [event for event in stack.registry.history("valuation")[1] if event.kind == "alias"]


def champion(stack: Any) -> int:
    return int(stack.registry.resolve(ModelRef("valuation", alias="champion")).version)


def test_a_green_version_is_promoted_with_its_evidence_in_the_journal(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKWRIGHT_USER", "ada")
    with opened() as stack:
        outcome = stack.promote("valuation@1")
        assert outcome.title == "valuation@1 is now the champion"
        (line,) = alias_lines(stack)
        assert stack.promote("valuation@2", reason="newer").title == "valuation@2 is now the champion (was @1)"
        assert (alias_lines(stack)[-1].before, alias_lines(stack)[-1].why) == (1, "newer")
    assert (line.who, line.why, line.before, line.after) == ("ada", "promoted", None, 1)
    assert line.evidence["gates"][0]["name"] == "contract"
    assert outcome.data == {"model": "valuation@1", "alias": "champion", "changed": True, "before": None, "forced": []}


def test_a_champion_that_is_promoted_again_stays_and_nothing_is_written(opened: Any) -> None:
    with opened() as stack:
        stack.promote("valuation@1")
        again = stack.promote("valuation@1")
        assert again.title == "valuation@1 is the champion already"
        assert again.data["changed"] is False
        assert len(alias_lines(stack)) == 1


def test_another_alias_moves_alone(opened: Any) -> None:
    with opened() as stack:
        stack.promote("valuation@1")
        stack.promote("valuation@2", alias="shadow")
        stack.promote("valuation@champion", alias="stable")
        shown = {item["model"]: item["aliases"] for item in stack.models().data["models"]}
    assert shown == {"valuation@3": [], "valuation@2": ["shadow"], "valuation@1": ["champion", "stable"]}


def test_a_version_without_evidence_is_refused(opened: Any) -> None:
    with opened() as stack:
        with pytest.raises(PromotionRefused, match=r"valuation@3: its gates were never run. Mend it and train again"):
            stack.promote("valuation")
        assert alias_lines(stack) == []


def test_evidence_of_another_digest_does_not_count(opened: Any) -> None:
    with opened() as stack:
        stack.promote("valuation@1")
        evidence = {**alias_lines(stack)[0].evidence}
        stack.registry.record(Event(at=stack.clock(), kind="evidence", name="valuation", version=3, evidence=evidence))
        with pytest.raises(PromotionRefused, match="its gates were never run"):
            stack.promote("valuation@3")


def test_a_red_gate_refuses_and_says_what_it_found(opened: Any) -> None:
    with opened(gates=RED) as stack:
        assert not stack.train().ok
        with pytest.raises(PromotionRefused, match="valuation@1: gate baseline is red: mape on 60 newer rows"):
            stack.promote("valuation@1")
        assert stack.models().data["models"][-1]["gates"] == "red: baseline"


def test_a_forced_promotion_needs_a_reason_and_is_written_down(opened: Any) -> None:
    with opened(gates=RED) as stack:
        stack.train()
        with pytest.raises(UsageError, match="--force: no reason is given"):
            stack.promote("valuation@1", force=True)
        outcome = stack.promote("valuation@1", force=True, reason="the old one is worse")
        (line,) = alias_lines(stack)
    assert line.why == "the old one is worse"
    (refusal,) = line.evidence["forced"]
    assert refusal.startswith("gate baseline is red")
    assert outcome.data["forced"] == [refusal]


def test_a_force_that_was_not_needed_leaves_no_trace_of_one(opened: Any) -> None:
    with opened() as stack:
        assert stack.promote("valuation@1", force=True, reason="in a hurry").data["forced"] == []
        assert "forced" not in alias_lines(stack)[0].evidence


@pytest.mark.parametrize(
    "gates", [RED, {**GATES, "smoke": True}, {**GATES, "contract": False}], ids=["stricter", "more", "fewer"]
)
def test_gates_that_were_changed_since_are_those_that_count(opened: Any, gates: dict[str, Any]) -> None:
    told = "the gates of the blueprint are not those it passed"
    with opened(gates=gates) as stack, pytest.raises(PromotionRefused, match=told):
        stack.promote("valuation@1")


def test_features_that_mean_something_else_now_refuse(opened: Any) -> None:
    with opened() as stack:
        folder = stack.project.folder
        (folder / ".stackwright" / "definitions.json").unlink()
        text = (folder / "features.py").read_text().replace("np.maximum(rooms, 1)", "np.maximum(rooms, 2)")
        (folder / "features.py").write_text(text)
    with opened() as stack:
        stack.apply()
        with pytest.raises(PromotionRefused, match="valuation@1 means something else now than when the model learned"):
            stack.promote("valuation@1")


def test_a_field_that_the_model_does_not_read_may_come_to_a_view(opened: Any) -> None:
    with opened() as stack:
        text = stack.project.features.read_text()
        more = text.replace(
            'fields=(Field("minutes", FLOAT64),)', 'fields=(Field("minutes", FLOAT64), Field("guests", INT64))'
        )
        assert more != text
        stack.project.features.write_text(more)
        stack.apply()
        assert stack.promote("valuation@1").data["changed"]


def test_features_that_were_never_brought_online_refuse(opened: Any) -> None:
    with opened() as stack:
        for path in stack.project.folder.glob("data/online.db*"):
            path.unlink()
        told = r"its features are not online: homes@1, visits@1; run: stackwright materialize"
        with pytest.raises(PromotionRefused, match=told):
            stack.promote("valuation@1")
        stack.materialize("homes")
        with pytest.raises(PromotionRefused, match=r"not online: visits@1"):
            stack.promote("valuation@1")
        stack.materialize()
        assert stack.promote("valuation@1").data["changed"]


def test_a_damaged_folder_is_refused(opened: Any) -> None:
    with opened() as stack:
        for path in stack.project.folder.glob("registry/**/weights.json"):
            path.write_text("{}")
        shutil.rmtree(stack.project.cache)
        stack.project.cache.mkdir()
        with pytest.raises(PromotionRefused, match=r"weights.json"):
            stack.promote("valuation@1")


def test_a_version_that_was_held_against_another_champion_is_judged_anew(opened: Any) -> None:
    compared = {**GATES, "champion": {"min_gain": -9.0}}
    for half_life in (10.0, 400.0):
        with opened(gates=compared, half_life=half_life) as stack:
            assert stack.train().ok
    with opened(gates=compared, half_life=400.0) as stack:
        first, second = (f"valuation@{item.version}" for item in stack.registry.history("valuation")[0][-2:])
        stack.promote(first)
        told = (
            rf"{second}: there was no champion to hold it against .*, and the champion is {first} now; .*train --force"
        )
        with pytest.raises(PromotionRefused, match=told):
            stack.promote(second)
        assert stack.promote(second, alias="shadow").data["forced"] == []
        assert stack.train(force=True).data["model"] == second
        assert stack.promote(second).data["forced"] == []
        (line,) = [item for item in alias_lines(stack) if item.alias == "champion"][1:]
        assert line.evidence["gates"][-1]["evidence"]["champion"] == first
        third = stack.promote(first, force=True, reason="the newer one is slow")
        assert third.data["forced"][0].startswith("there was no champion to hold it against when its gates ran")


def test_a_comparison_that_only_warns_holds_no_promotion_back(opened: Any) -> None:
    compared = {**GATES, "champion": {"min_gain": -9.0, "level": "warn"}}
    for half_life in (10.0, 400.0):
        with opened(gates=compared, half_life=half_life) as stack:
            stack.train()
    with opened(gates=compared) as stack:
        for item in stack.registry.history("valuation")[0][-2:]:
            assert stack.promote(f"valuation@{item.version}").data["forced"] == []


def test_two_promotions_at_once_do_not_overwrite_each_other(opened: Any) -> None:
    with opened() as stack, opened() as other:
        original = stack.registry.record

        def late(event: Event, *, expected: int | None = None) -> None:
            other.promote("valuation@2")
            original(event, expected=expected)

        stack.registry.record = late
        with pytest.raises(AliasConflict):
            stack.promote("valuation@1")
        assert champion(other) == 2
        assert len(alias_lines(other)) == 1


def test_a_rollback_goes_back_step_by_step_until_there_is_no_earlier_one(opened: Any) -> None:
    with opened() as stack:
        for number in (1, 2, 3):
            stack.promote(f"valuation@{number}", force=True, reason="trial")
        assert stack.rollback().title == "valuation@2 is the champion again (was @3)"
        assert stack.rollback("valuation", reason="wrong").data == {"model": "valuation@1", "before": 2}
        assert champion(stack) == 1
        last = alias_lines(stack)[-1]
        assert (last.why, last.before, last.after) == ("wrong", 2, 1)
        with pytest.raises(PromotionRefused, match="valuation@champion: there is no earlier version to go back to"):
            stack.rollback()


def test_what_was_promoted_after_a_rollback_can_be_rolled_back(opened: Any) -> None:
    with opened() as stack:
        for number in (1, 2):
            stack.promote(f"valuation@{number}")
        stack.rollback()
        stack.promote("valuation@2")
        assert stack.rollback().data["model"] == "valuation@1"


def test_each_alias_is_rolled_back_by_its_own_moves(opened: Any) -> None:
    with opened() as stack:
        stack.promote("valuation@1")
        stack.promote("valuation@2", alias="shadow")
        with pytest.raises(PromotionRefused, match="valuation@shadow"):
            stack.rollback(alias="shadow")
        with pytest.raises(PromotionRefused, match="valuation@champion"):
            stack.rollback()


def test_a_list_shows_newest_first_with_gates_and_metrics(opened: Any) -> None:
    with opened() as stack:
        stack.promote("valuation@2")
        shown = stack.models("valuation")
    assert [(item["model"], item["gates"]) for item in shown.data["models"]] == [
        ("valuation@3", "none"),
        ("valuation@2", "green"),
        ("valuation@1", "green"),
    ]
    assert "mdape 0.0" in str(shown)
    assert str(shown).splitlines()[0] == "3 versions"


def test_an_unknown_model_is_told_with_the_near_name(opened: Any) -> None:
    with opened() as stack:
        for look in (stack.models, stack.runs, stack.rollback):
            with pytest.raises(
                ModelNotFound, match=r"neither defined nor published. Known: valuation. Did you mean 'valuation'"
            ):
                look("valuatoin")
