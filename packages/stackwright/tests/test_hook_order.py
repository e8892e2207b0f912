"""``[hooks] order``: whose hooks run first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from stackwright.assembly.blueprint import BlueprintProblems
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.gate_options import GATE_OPTIONS, configured
from stackwright.assembly.stack import Stack
from stackwright_interfaces.gates import CONTRACT, GateSpec
from stackwright_interfaces.plugin import hookimpl


class Offers:
    """A plugin of gates."""

    def __init__(self, *gates: str) -> None:
        self.gates = gates

    @hookimpl
    def stackwright_gates(self) -> Iterable[GateSpec]:
        return [GateSpec(name=name, contract=CONTRACT, factory="nowhere:gate") for name in self.gates]


PLUGINS: dict[str, object] = {"guard": Offers("fence", "moat"), "modest": Offers("modest"), "zeal": Offers("zeal")}

TEXT = """
name = "a"
[models.valuation]
service = "valuation@1"
target = "sale_price"
trainer = "lightgbm"
gates = { moat = true, zeal = true, modest = true, fence = true }
[registry]
adapter = "files"
"""


def gates(folder: Path, hooks: str = "") -> list[str]:
    (folder / "blueprint.toml").write_text(TEXT + hooks)
    with Stack(folder, plugins=Plugins(extra=PLUGINS)) as stack:
        names = list(configured(stack.model(), stack.plugins))
    assert names[: len(GATE_OPTIONS)] == [*GATE_OPTIONS], "the engine's gates come first, whatever is stated"
    return names[len(GATE_OPTIONS) :]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", ["moat", "zeal", "modest", "fence"]),
        ('[hooks]\norder = ["zeal", "guard"]', ["zeal", "moat", "fence", "modest"]),
        ('[hooks]\norder = ["modest"]', ["modest", "moat", "zeal", "fence"]),
    ],
    ids=["as the model names them", "as stated", "the others follow"],
)
def test_gates_of_plugins_run_in_the_order_that_is_stated(tmp_path: Path, order: str, expected: list[str]) -> None:
    assert gates(tmp_path, order) == expected


def test_every_hook_that_asks_all_plugins_asks_them_in_that_order(tmp_path: Path) -> None:
    plugins = Plugins(extra=PLUGINS, order=("zeal", "guard"))
    names = [plugin.name for plugin in plugins.all()]
    assert names[:2] == ["zeal", "guard"]
    assert names[2:] == sorted(names[2:])


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ('["gaurd"]', "order names 'gaurd', and there is no such plugin. Did you mean 'guard'"),
        ('["guard", "guard"]', "order names 'guard' 2 times. Name it once."),
        ("[3]", "order holds 3. Name plugins; see: stackwright plugins"),
        ('"guard"', "order is 'guard', a str. Give a list."),
    ],
)
def test_an_order_that_cannot_be_is_told(tmp_path: Path, order: str, told: str) -> None:
    (tmp_path / "blueprint.toml").write_text(f"{TEXT}\n[hooks]\norder = {order}\n")
    with pytest.raises(BlueprintProblems) as refused:
        _ = Stack(tmp_path, plugins=Plugins(extra=PLUGINS)).plan
    assert f"[hooks]: {told}" in str(refused.value)


def test_a_key_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(BlueprintProblems, match=r"\[hooks\]: unknown key 'ordr'\. Did you mean 'order'"):
        gates(tmp_path, "[hooks]\nordr = []")
