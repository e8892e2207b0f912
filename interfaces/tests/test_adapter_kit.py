"""The kit for any adapter, tried on adapters that are not what their spec says; and the option that picks cases."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.feature_store import OnlineStore
from stackwright_interfaces.plugin import Capability
from stackwright_interfaces.testing.adapters import AdapterCases, load_factory, spec_of
from stackwright_interfaces.testing.online_store import OnlineStoreCases, ReaderCases
from stackwright_memory import plugin
from stackwright_memory.online import MemoryOnlineStore

RIGHT = spec_of(plugin, OnlineStore)


class Plain:
    """Not a dataclass."""


@dataclass(frozen=True)
class Foreign:
    """A configuration of another module."""


class WithReader(MemoryOnlineStore):
    """Has an ability that its spec may not declare."""

    def reader(self) -> OnlineStore:
        """Open a second handle."""
        return self


class ClosesOnce(MemoryOnlineStore):
    """Cannot be closed twice."""

    closed = False

    def close(self) -> None:
        """Close."""
        assert not self.closed
        self.closed = True


def cases(factory: Callable[[Any, Any], Any] | None = None, **changes: Any) -> AdapterCases:
    class Tried(AdapterCases):
        spec = replace(RIGHT, **changes)

        def build(self, folder: Path, clock: Any = None) -> Any:
            return super().build(folder, clock) if factory is None else factory(None, None)

    return Tried()


def test_the_spec_of_a_plugin_is_found_by_what_it_provides() -> None:
    assert RIGHT.provides is OnlineStore
    assert load_factory(RIGHT) is MemoryOnlineStore


def test_a_right_spec_passes(tmp_path: Path) -> None:
    tried = cases()
    tried.test_the_configuration_is_a_dataclass()
    tried.test_the_plugin_offers_the_spec_through_the_hook()
    tried.test_the_entry_point_has_the_name_of_the_adapter()
    tried.test_the_plugin_module_imports_no_vendor()
    tried.test_the_factory_builds_what_the_spec_provides(tmp_path)
    tried.test_the_contract_is_the_one_in_force()
    tried.test_it_has_exactly_the_abilities_it_declares(tmp_path)
    tried.test_it_may_be_closed_twice(tmp_path)


def test_a_configuration_that_is_no_dataclass_is_found() -> None:
    with pytest.raises(AssertionError):
        cases(config=Plain).test_the_configuration_is_a_dataclass()


def test_a_spec_that_the_plugin_does_not_offer_is_found() -> None:
    with pytest.raises(AssertionError):
        cases(description="another").test_the_plugin_offers_the_spec_through_the_hook()


def test_an_entry_point_of_another_name_is_found() -> None:
    with pytest.raises(AssertionError):
        cases(name="memories").test_the_entry_point_has_the_name_of_the_adapter()


def test_a_plugin_module_that_imports_a_vendor_is_found() -> None:
    class Config(Plain):
        __module__ = "stackwright_memory.offline"

    with pytest.raises(AssertionError, match="numpy"):
        cases(config=Config).test_the_plugin_module_imports_no_vendor()


def test_a_factory_that_builds_something_else_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        cases(lambda *_: Foreign()).test_the_factory_builds_what_the_spec_provides(tmp_path)


def test_a_spec_of_another_contract_is_found() -> None:
    with pytest.raises(AssertionError):
        cases(contract=99).test_the_contract_is_the_one_in_force()


def test_the_version_of_a_contract_is_never_that_of_a_file_format() -> None:
    class WithFormatAlone:
        __module__ = "stackwright_interfaces.catalogue"

    with pytest.raises(AttributeError, match="CONTRACT"):
        cases(provides=WithFormatAlone, contract=1).test_the_contract_is_the_one_in_force()


def test_an_ability_that_is_not_declared_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        cases(lambda *_: WithReader(plugin.MemoryConfig(), None)).test_it_has_exactly_the_abilities_it_declares(
            tmp_path
        )


def test_an_ability_that_is_declared_and_missing_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        cases(capabilities=frozenset({Capability.READERS})).test_it_has_exactly_the_abilities_it_declares(tmp_path)


def test_an_adapter_that_cannot_be_closed_twice_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        cases(lambda *_: ClosesOnce(plugin.MemoryConfig(), None)).test_it_may_be_closed_twice(tmp_path)


def test_leaving_out_the_reader_cases_of_an_adapter_with_readers_is_found() -> None:
    class Without(OnlineStoreCases):
        spec = replace(RIGHT, capabilities=frozenset({Capability.READERS}))

    class With(ReaderCases):
        spec = RIGHT

    for tried in (Without(), With()):
        with pytest.raises(AssertionError):
            tried.test_the_reader_cases_are_run_exactly_where_readers_are_declared()


def test_the_case_option_runs_the_tests_of_the_cases_that_were_asked_for(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (tmp_path / "test_cases.py").write_text(
        "import pytest\n\n"
        "@pytest.mark.case(1)\ndef test_one(): pass\n\n"
        "@pytest.mark.case(2)\ndef test_two(): pass\n\n"
        "@pytest.mark.case(12)\ndef test_twelve(): pass\n\n"
        "def test_none(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--case=1", "--case=12", str(tmp_path)]
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.findall(r"::(test_\w+) PASSED", child.stdout) == ["test_one", "test_twelve"]
    assert "2 passed, 2 deselected" in child.stdout
