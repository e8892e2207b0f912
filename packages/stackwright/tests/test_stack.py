"""A stack: parts built when they are asked for, closed in reverse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.blueprint import BlueprintProblems
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.stack import Stack
from stackwright_interfaces.errors import AdapterNotInstalled, BlueprintError, PluginError, UnknownName
from stackwright_interfaces.feature_store import CONTRACT, OfflineStore, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec, Capability, Context, hookimpl
from stackwright_interfaces.registry import Registry
from stackwright_interfaces.server import Server

DONE: list[str] = []
"""What the parts of a test did, in order."""


@dataclass(frozen=True, kw_only=True)
class Config:
    size: int = 1
    password: str = ""
    path: Path = Path("here")


class Part:
    """Any part: notes that it was made and closed."""

    kind = ""

    def __init__(self, config: Config, context: Context) -> None:
        self.config = config
        self.context = context
        DONE.append(f"made {self.kind}")

    def close(self) -> None:
        DONE.append(f"closed {self.kind}")

    def reader(self) -> Part:
        return Reader(self.config, self.context)


class Offline(Part):
    kind = "offline"


class Online(Part):
    kind = "online"


class Reader(Part):
    kind = "reader"


class Shelf(Part):
    kind = "registry"


class Host(Part):
    kind = "server"


def failing(config: Config, context: Context) -> None:
    raise ImportError("No module named 'vendor'")


class Parts:
    @hookimpl
    def stackwright_adapters(self) -> Iterable[AdapterSpec]:
        slots: list[tuple[type, Any]] = [
            (OfflineStore, Offline),
            (OnlineStore, Online),
            (Registry, Shelf),
            (Server, Host),
        ]
        for contract, made in slots:
            yield AdapterSpec(
                name="part",
                provides=contract,
                contract=CONTRACT,
                config=Config,
                factory=f"{__name__}:{made.__name__}",
                capabilities=frozenset({Capability.READERS}) if contract is OnlineStore else frozenset(),
            )


class Broken:
    @hookimpl
    def stackwright_adapters(self) -> Iterable[AdapterSpec]:
        for name, factory in (
            ("failing", f"{__name__}:failing"),
            ("gone", "no_such_vendor:X"),
            ("misnamed", f"{__name__}:X"),
        ):
            yield AdapterSpec(name=name, provides=Registry, contract=CONTRACT, config=Config, factory=factory)


TEXT = """
name = "a"
[feature_store]
offline = "part"
online = "part"
[registry]
adapter = "part"
password = { env = "STACK_PASSWORD" }
[server]
adapter = "part"
"""


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


def stack(folder: Path, text: str = TEXT, **options: Any) -> Stack:
    (folder / "blueprint.toml").write_text(text)
    broken = Broken()
    extra: dict[str, object] = {"part": Parts(), "failing": broken, "gone": broken, "misnamed": broken}
    return Stack(folder, plugins=Plugins(extra=extra), **options)


def test_nothing_is_built_until_it_is_asked_for_and_each_part_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACK_PASSWORD", "swordfish")
    with stack(tmp_path) as opened:
        assert opened.plan.choices.keys() == {"offline", "online", "registry", "server"}
        assert DONE == []
        assert opened.registry is opened.registry
        assert DONE == ["made registry"]


def test_parts_are_closed_in_reverse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK_PASSWORD", "swordfish")
    with stack(tmp_path) as opened:
        _ = opened.registry, opened.features, opened.server
        assert DONE == ["made registry", "made offline", "made online", "made server"]
        DONE.clear()
    assert list(dict.fromkeys(DONE)) == ["closed server", "closed offline", "closed online", "closed registry"]
    DONE.clear()
    opened.close()
    assert DONE == []


def test_what_was_built_is_closed_when_the_work_fails(tmp_path: Path) -> None:
    def work() -> None:
        with stack(tmp_path) as opened:
            _ = opened.server
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert DONE == ["made server", "closed server"]


def test_a_reading_stack_opens_a_reader_and_no_history(tmp_path: Path) -> None:
    with stack(tmp_path, read_only=True) as opened:
        _ = opened.features
        assert DONE == ["made online", "made reader"]


def test_parts_get_their_options_and_the_projects_folders_and_clock(tmp_path: Path) -> None:
    now = datetime(2025, 1, 1, tzinfo=UTC)
    with stack(
        tmp_path, TEXT.replace('[server]\nadapter = "part"', '[server]\nadapter = "part"\nsize = 3'), clock=lambda: now
    ) as opened:
        built: Any = opened.server
    assert built.config == Config(size=3, path=tmp_path / "here")
    assert built.context.project == tmp_path
    assert built.context.cache.is_dir()
    assert built.context.clock() == now


def test_options_may_be_set_over_the_blueprint_before_a_part_is_built(tmp_path: Path) -> None:
    with stack(tmp_path) as opened:
        opened.override("server", size=9)
        built: Any = opened.server
    assert built.config.size == 9
    with stack(tmp_path, 'name = "a"') as opened, pytest.raises(BlueprintError, match=r"\[server\]: the slot is empty"):
        opened.override("server", size=9)


def test_an_override_is_checked_like_the_blueprint(tmp_path: Path) -> None:
    with stack(tmp_path) as opened:
        opened.override("server", size="large")
        with pytest.raises(BlueprintProblems, match="size is 'large'"):
            _ = opened.server


def test_an_empty_slot_is_told_when_it_is_asked_for(tmp_path: Path) -> None:
    with stack(tmp_path, 'name = "a"') as opened:
        for slot in ("features", "registry", "server"):
            with pytest.raises(BlueprintError, match="the slot is empty"):
                getattr(opened, slot)


def test_one_half_of_a_feature_store_is_enough_for_what_it_does(tmp_path: Path) -> None:
    with stack(tmp_path, 'name = "a"\n[feature_store]\noffline = "part"\n') as opened:
        _ = opened.features
    assert DONE[0] == "made offline"
    assert "made online" not in DONE


@pytest.mark.parametrize(
    ("name", "reason"),
    [("failing", "No module named 'vendor'"), ("gone", "no_such_vendor"), ("misnamed", "has no attribute 'X'")],
)
def test_a_part_that_cannot_be_loaded_is_named_with_the_way_to_get_it(tmp_path: Path, name: str, reason: str) -> None:
    told = f"adapter '{name}' cannot be loaded .*{reason}.*pip install --upgrade"
    with stack(tmp_path, f'name = "a"\nregistry = "{name}"') as opened, pytest.raises(PluginError, match=told):
        _ = opened.registry


def test_a_secret_is_in_no_text_of_stack_plan_or_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK_PASSWORD", "swordfish")
    with stack(tmp_path) as opened:
        built: Any = opened.registry
        assert built.config.password == "swordfish"
        told = [
            repr(opened),
            repr(opened.plan),
            repr(opened.blueprint),
            opened.plan.digest,
            repr(opened.blueprint.registry),
        ]
    assert "swordfish" not in " ".join(told)


def test_a_secret_that_is_missing_stops_only_the_part_that_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STACK_PASSWORD", raising=False)
    with stack(tmp_path) as opened:
        _ = opened.server
        with pytest.raises(BlueprintError, match="STACK_PASSWORD is not set"):
            _ = opened.registry


def test_a_flavour_is_loaded_by_name_whatever_trainer_the_blueprint_names(tmp_path: Path) -> None:
    with stack(tmp_path) as opened:
        assert opened.model_format("lightgbm").flavour == "lightgbm"
        with pytest.raises(AdapterNotInstalled, match="model flavour 'onyx': no adapter named 'onyx'"):
            opened.model_format("onyx")


def test_models_services_and_targets_are_found_by_name(filled: Path) -> None:
    with Stack(filled) as opened:
        assert opened.model() == opened.model("valuation")
        assert opened.service("valuation@1").ref == "valuation@1"
        assert opened.target("sale_price").value.name == "price"
        with pytest.raises(BlueprintError, match=r"no model 'house'. Name one of them\. Defined: valuation"):
            opened.model("house")
        with pytest.raises(UnknownName, match="valuation@1"):
            opened.service("valuation@2")
        with pytest.raises(UnknownName, match="sale_price"):
            opened.target("price")


def test_a_model_must_be_named_where_there_are_several_or_none(tmp_path: Path) -> None:
    with stack(tmp_path, 'name = "a"') as opened, pytest.raises(BlueprintError, match="0 models are defined"):
        opened.model()


def test_only_the_slots_that_are_asked_for_are_imported(served: Path, unmeasured: dict[str, str]) -> None:
    code = (
        "import sys; from stackwright.assembly.stack import Stack\n"
        "known = {'duckdb', 'sqlite3', 'lightgbm', 'uvicorn', 'pandas', 'sklearn'}\n"
        "vendors = lambda: sorted(known & set(sys.modules))\n"
        "stack = Stack(sys.argv[1]); stack.registry.history(); print(vendors())\n"
        "stack.close(); stack = Stack(sys.argv[1], read_only=True); stack.features; print(vendors())"
    )
    command = [sys.executable, "-c", code, str(served)]
    done = subprocess.run(command, env=unmeasured, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['sqlite3']"]
