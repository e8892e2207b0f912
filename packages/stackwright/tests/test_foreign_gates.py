"""Gates of other distributions: offered by a hook, imported when they run, shown the candidate by a published view."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.assembly.blueprint import BlueprintProblems
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.inspection import plugins as listed
from stackwright_interfaces.errors import PluginError
from stackwright_interfaces.gates import CONTRACT, GateCandidate, GateSpec, Verdict
from stackwright_interfaces.plugin import hookimpl

PLUGIN = """
from stackwright_interfaces.gates import CONTRACT, GateSpec
from stackwright_interfaces.plugin import hookimpl


@hookimpl
def stackwright_gates():
    options = {"most": 0.5, "columns": []}
    yield GateSpec(name="modest", contract=CONTRACT, factory="modest_gates.judge:modest", options=options)
    yield GateSpec(name="absent", contract=CONTRACT, factory="modest_gates.judge:nothing")
"""

JUDGE = """
import numpy as np

from stackwright_interfaces.gates import Verdict


def modest(candidate, most, columns):
    \"\"\"No answer is above the dearest sale by more than a share.\"\"\"
    answer = candidate.predict(candidate.holdout.columns)
    over = answer.max() / max(candidate.train.target.max(), candidate.holdout.target.max()) - 1
    before = candidate.champion(candidate.holdout.columns) if candidate.champion else answer
    same = bool((answer == before).all())
    files = sorted(candidate.manifest.files) if (candidate.folder / "manifest.json").exists() else []
    evidence = {"over": over, "champion": candidate.champion_ref, "same": same, "rows": np.arange(2), "files": files}
    return Verdict(over <= most, f"{over:.1%} above the dearest sale", evidence)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions with one of a stranger: a plugin module, and what it judges by."""
    site = tmp_path / "site"
    package, info = site / "modest_gates", site / "modest_gates-2.1.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text(PLUGIN)
    (package / "judge.py").write_text(JUDGE)
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: modest-gates\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text("[stackwright]\nmodesty = modest_gates.plugin\n")
    monkeypatch.syspath_prepend(str(site))
    for name in [name for name in sys.modules if name.startswith("modest_gates")]:
        monkeypatch.delitem(sys.modules, name)
    return site


Opened = Callable[..., Any]


@pytest.fixture
def opened(copies: Any, installed: Path) -> Opened:
    """Opens a project whose model is judged by these gates alone; the stranger's distribution is installed."""

    def opened(**gates: Any) -> Any:
        folder = copies.copy(gates={**dict.fromkeys(GATE_OPTIONS, False), **gates})
        return stackwright.load(folder, plugins=Plugins(extra=copies.plugins.extra), progress=lambda *_: None)

    return opened


def gates(stack: Any) -> dict[str, Any]:
    _, events = stack.registry.history("valuation")
    found = next(event.evidence for event in reversed(events) if event.kind == "evidence")
    return {gate["name"]: gate for gate in found["gates"]}


def test_a_gate_that_no_blueprint_names_does_not_run_and_is_not_imported(opened: Opened) -> None:
    with opened() as stack:
        assert stack.train().data["gates"] == {}
    assert "modest_gates.plugin" not in sys.modules


def test_a_gate_that_is_named_runs_with_its_options_and_leaves_evidence(opened: Opened) -> None:
    with opened(modest={"columns": ["area"]}) as stack:
        stack.check()
        assert "modest_gates.judge" not in sys.modules, "planning imports the plugin, not what judges"
        assert stack.train().data["gates"] == {"modest": True}
        found = gates(stack)["modest"]
    assert found["options"] == {"most": 0.5, "columns": ["area"]}
    assert found["evidence"]["rows"] == [0, 1]
    assert found["evidence"]["files"] == ["golden.jsonl", "weights.json"]
    assert (found["state"], found["evidence"]["champion"]) == ("green", "")


def test_a_gate_sees_the_champion(opened: Opened) -> None:
    with opened(modest=True) as stack:
        stack.train()
        stack.promote("valuation")
        stack.train(force=True)
        found = gates(stack)["modest"]["evidence"]
    assert (found["champion"], found["same"]) == ("valuation@1", True)


def test_a_red_gate_of_a_stranger_refuses_and_one_that_warns_does_not(opened: Opened) -> None:
    with opened(modest={"most": -1.0}) as stack:
        assert not stack.train().ok
        assert gates(stack)["modest"]["state"] == "red"
    with opened(modest={"most": -1.0, "level": "warn"}) as stack:
        outcome = stack.train()
        assert outcome.ok
        assert "warning" in str(outcome)
        assert gates(stack)["modest"]["state"] == "warning"
        stack.promote("valuation")


def test_an_unknown_gate_is_answered_with_the_near_name_and_its_distribution(opened: Opened) -> None:
    with opened(modst=True) as stack, pytest.raises(BlueprintProblems) as caught:
        _ = stack.plan
    assert "no gate 'modst'. Did you mean 'modest' (of modest-gates)?" in str(caught.value)
    with opened(sclies=True) as stack, pytest.raises(BlueprintProblems, match=r"Did you mean 'slices'\?"):
        _ = stack.plan
    with (
        opened(xyz=True) as stack,
        pytest.raises(BlueprintProblems, match=r"Known: contract,.* modest \(of modest-gates"),
    ):
        _ = stack.plan


def test_options_of_a_strangers_gate_are_checked(opened: Opened) -> None:
    with opened(modest={"mots": 1, "columns": 3}) as stack, pytest.raises(BlueprintProblems) as caught:
        _ = stack.plan
    assert "gates.modest: unknown option 'mots'. Did you mean 'most'?" in str(caught.value)
    assert "gates.modest: columns is 3. Give a list of texts." in str(caught.value)


def test_a_gate_that_cannot_be_imported_is_red_and_says_so(opened: Opened) -> None:
    with opened(absent=True) as stack:
        assert not stack.train().ok
        assert "gate 'absent' cannot be loaded" in gates(stack)["absent"]["detail"]


def test_the_list_of_plugins_shows_gates(installed: Path) -> None:
    rows = [row for row in listed(Plugins()).data["plugins"] if row["slot"] == "gate"]
    assert [(row["name"], row["distribution"], row["version"]) for row in rows] == [
        ("absent", "modest-gates", "2.1"),
        ("modest", "modest-gates", "2.1"),
    ]


class Offers:
    """A plugin of gates whose factory is a function of this file."""

    def __init__(self, name: str, judge: Callable[[GateCandidate], Any], contract: int = CONTRACT) -> None:
        module = type(sys)(f"judging_{name}")
        module.judge = judge  # type: ignore[attr-defined]
        sys.modules[module.__name__] = module
        self.spec = GateSpec(name=name, contract=contract, factory=f"{module.__name__}:judge")

    @hookimpl
    def stackwright_gates(self) -> Iterable[GateSpec]:
        return [self.spec]


@pytest.mark.parametrize(
    ("judge", "told"),
    [
        (lambda candidate: True, "gave a bool and no verdict"),
        (lambda candidate: Verdict(passed=True, detail="", evidence={"a": object()}), "object has no JSON form"),
        (lambda candidate: 1 / 0, "it failed with ZeroDivisionError"),
    ],
)
def test_a_gate_that_answers_with_nonsense_is_red(copies: Any, judge: Any, told: str) -> None:
    folder = copies.copy(gates={**dict.fromkeys(GATE_OPTIONS, False), "nonsense": True})
    plugins = Plugins(extra={**copies.plugins.extra, "nonsense": Offers("nonsense", judge)})
    with stackwright.load(folder, plugins=plugins, progress=lambda *_: None) as stack:
        assert not stack.train().ok
        assert told in gates(stack)["nonsense"]["detail"]


def test_a_gate_that_does_not_apply_says_so_and_holds_nothing_back(copies: Any) -> None:
    folder = copies.copy(gates={**dict.fromkeys(GATE_OPTIONS, False), "idle": True})
    plugins = Plugins(extra={**copies.plugins.extra, "idle": Offers("idle", lambda _: Verdict.inapplicable("no text"))})
    with stackwright.load(folder, plugins=plugins, progress=lambda *_: None) as stack:
        outcome = stack.train()
        assert outcome.ok
        assert "not applicable" in str(outcome)
        json.dumps(outcome.to_json())


def test_two_that_offer_one_gate_and_one_of_another_contract_are_refused() -> None:
    both = Plugins(extra={"one": Offers("same", print), "two": Offers("same", print)})
    with pytest.raises(PluginError, match="gate 'same' is offered by one and two"):
        both.gate("here", "same")
    with pytest.raises(PluginError, match="written to version 7 of its contract, this is 1"):
        Plugins(extra={"old": Offers("old", print, contract=7)}).gate("here", "old")
