"""Adapters written to another version of their contract: bridged, refused, and announced."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.discovery import Plugins
from stackwright.assembly.stack import Stack
from stackwright.workflows.inspection import check
from stackwright.workflows.inspection import plugins as listed
from stackwright_interfaces import registry
from stackwright_interfaces.contracts import Older, bridged, in_force
from stackwright_interfaces.errors import PluginError
from stackwright_interfaces.plugin import AdapterSpec, hookimpl
from stackwright_interfaces.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Config:
    pass


def written_to_2(config: Config, context: Any) -> list[str]:
    return ["made for 2"]


class Offers:
    def __init__(self, contract: int) -> None:
        self.contract = contract

    @hookimpl
    def stackwright_adapters(self) -> Iterable[AdapterSpec]:
        factory = f"{__name__}:written_to_2"
        yield AdapterSpec(name="shelf", provides=Registry, contract=self.contract, config=Config, factory=factory)


@pytest.fixture(autouse=True)
def third_version_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of registries, versions 1 and 2 are served until one release and the next; ours were imported before."""
    list(Plugins().all())
    served = {
        1: Older(until="0.8", bridge=lambda adapter: [*adapter, "1 to 2"]),
        2: Older(until="0.9", bridge=lambda adapter: [*adapter, "2 to 3"]),
    }
    monkeypatch.setattr(registry, "CONTRACT", 3)
    monkeypatch.setattr(registry, "OLDER", served, raising=False)


def offered(contract: int) -> Plugins:
    return Plugins(extra={"shelf": Offers(contract)})


def test_an_older_version_that_is_served_is_brought_up_a_version_at_a_time() -> None:
    assert offered(2).adapter("here", "shelf", Registry).contract == 2
    assert bridged(Registry, 2, ["made for 2"]) == ["made for 2", "2 to 3"]
    assert bridged(Registry, 1, ["made for 1"]) == ["made for 1", "1 to 2", "2 to 3"]
    assert bridged(Registry, in_force(Registry), ["made for 3"]) == ["made for 3"]


def test_a_stack_builds_an_older_adapter_through_its_bridges(tmp_path: Path) -> None:
    (tmp_path / "blueprint.toml").write_text('name = "a"\nregistry = { adapter = "shelf" }\n')
    with Stack(tmp_path, plugins=offered(2)) as stack:
        assert stack.registry == ["made for 2", "2 to 3"]


def test_what_is_served_no_more_names_the_distribution_to_upgrade() -> None:
    with pytest.raises(PluginError) as refused:
        offered(0).adapter("here", "shelf", Registry)
    assert refused.value.found == (
        "adapter 'shelf' of shelf was written to version 0 of its contract, this is 3,"
        " beside 1 until stackwright 0.8, beside 2 until stackwright 0.9"
    )
    assert refused.value.todo == "Run: pip install --upgrade shelf"


def test_what_is_newer_than_the_engine_asks_for_another_engine() -> None:
    with pytest.raises(PluginError, match="version 4 of its contract, this is 3") as refused:
        offered(4).adapter("here", "shelf", Registry)
    assert refused.value.todo == "Run: pip install --upgrade stackwright"


@pytest.mark.parametrize(
    ("contract", "state"),
    [
        (3, "ready"),
        (2, "ready until stackwright 0.9, then its contract is served no more"),
        (0, "not served: was written to version 0 of its contract, this is 3"),
    ],
)
def test_the_list_of_plugins_announces_what_ends(contract: int, state: str) -> None:
    (row,) = [row for row in listed(offered(contract)).data["plugins"] if row["name"] == "shelf"]
    assert row["state"].startswith(state)


def test_a_check_announces_what_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blueprint.toml").write_text('name = "a"\nregistry = { adapter = "shelf" }\n')
    monkeypatch.setattr("stackwright.assembly.stack.Plugins", lambda: offered(2))
    outcome = check(tmp_path)
    assert outcome.ok
    assert outcome.notes == (
        "Adapter 'shelf': ready until stackwright 0.9, then its contract is served no more. Upgrade it.",
    )
