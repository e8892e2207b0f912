"""Which plugins are installed, and what each offers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from stackwright.assembly.discovery import Plugins
from stackwright.workflows.inspection import plugins as listed
from stackwright_interfaces.errors import AdapterNotInstalled, PluginError
from stackwright_interfaces.feature_store import CONTRACT, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec, hookimpl
from stackwright_interfaces.registry import Registry
from stackwright_interfaces.storage import Storage


@dataclass(frozen=True, kw_only=True)
class NoConfig:
    pass


def offering(*specs: AdapterSpec) -> object:
    class Offers:
        @hookimpl
        def stackwright_adapters(self) -> Iterable[AdapterSpec]:
            return specs

    return Offers()


def spec(**given: Any) -> AdapterSpec:
    return AdapterSpec(
        **{"name": "shelf", "provides": Registry, "contract": CONTRACT, "config": NoConfig, "factory": "a:b", **given}
    )


class Failing:
    @hookimpl
    def stackwright_adapters(self) -> Iterable[AdapterSpec]:
        raise OSError("no library")


def test_an_adapter_is_found_by_the_name_of_its_entry_point_alone(unmeasured: dict[str, str]) -> None:
    code = (
        "import sys; from stackwright.assembly.discovery import Plugins\n"
        "from stackwright_interfaces.registry import Registry\n"
        "print(Plugins().adapter('here', 'files', Registry).factory)\n"
        "print(sorted(name for name in sys.modules if name.endswith('.plugin')))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=unmeasured, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "stackwright_files.registry:FilesRegistry",
        "['stackwright_files.plugin', 'stackwright_interfaces.plugin']",
    ]


def test_an_adapter_of_another_slot_is_not_taken() -> None:
    plugins = Plugins(extra={"shelf": offering(spec(provides=OnlineStore))})
    with pytest.raises(AdapterNotInstalled, match=r"no adapter named 'shelf'\. Installed: [a-z, ]*files"):
        plugins.adapter("here", "shelf", Registry)


def test_two_distributions_that_offer_one_adapter_are_named() -> None:
    plugins = Plugins(extra={"shelf": offering(spec(), spec())})
    with pytest.raises(PluginError, match=r"adapter 'shelf' is offered by shelf and shelf. Uninstall one of them"):
        plugins.adapter("here", "shelf", Registry)


def test_one_name_may_stand_for_adapters_of_several_slots() -> None:
    plugins = Plugins(extra={"shelf": offering(spec(), spec(provides=OnlineStore, factory="c:d"))})
    assert plugins.adapter("here", "shelf", OnlineStore).factory == "c:d"


def test_a_broken_plugin_is_told_to_those_who_ask_for_it_alone() -> None:
    plugins = Plugins(extra={"shelf": Failing()})
    with pytest.raises(PluginError, match="is broken: OSError: no library"):
        plugins.adapter("here", "shelf", Registry)
    assert plugins.adapter("here", "files", Registry).name == "files"


def test_the_list_names_broken_plugins_and_goes_on() -> None:
    outcome = listed(Plugins(extra={"shelf": Failing()}))
    rows = {row["name"]: row for row in outcome.data["plugins"]}
    assert rows["shelf"]["state"] == "broken: OSError: no library"
    assert rows["files"]["state"] == "ready"
    assert outcome.title.endswith(", 1 broken")


def test_an_adapter_for_a_slot_that_does_not_exist_is_listed_as_such() -> None:
    outcome = listed(Plugins(extra={"shelf": offering(spec(provides=Storage))}))
    (row,) = [row for row in outcome.data["plugins"] if row["name"] == "shelf"]
    assert (row["slot"], row["state"]) == ("?", "broken: there is no slot for a Storage")


def test_an_unknown_blueprint_or_sample_names_what_is_installed() -> None:
    with pytest.raises(PluginError, match=r"no blueprint named 'lake'. Installed: .*realtime"):
        Plugins().blueprint("lake")
    with pytest.raises(PluginError, match=r"no sample named 'lake' is installed. Run: pip install stackwright-lake"):
        Plugins().sample("lake")
    assert Plugins().sample("market").options["seed"] is not None
