"""Options of a blueprint as an adapter's configuration, and secrets among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from stackwright.assembly.blueprint import Part
from stackwright.assembly.options import check, configure
from stackwright_interfaces.errors import BlueprintError
from stackwright_interfaces.plugin import AdapterSpec
from stackwright_interfaces.registry import CONTRACT, Registry


@dataclass(frozen=True, kw_only=True)
class Config:
    path: Path
    cache: Path = Path("cache")
    spare: Path | None = None
    name: str = "n"
    key: str | None = None
    size: int = 1
    share: float = 0.5
    on: bool = False
    mode: Literal["fast", "safe"] = "safe"
    names: tuple[str, ...] = ()
    more: Sequence[int] = ()
    table: dict[str, Any] = field(default_factory=dict)
    other: Mapping[str, int] = field(default_factory=dict)
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size is below 0")


SPEC = AdapterSpec(name="shelf", provides=Registry, contract=CONTRACT, config=Config, factory="no_such_vendor:Shelf")


def part(**options: Any) -> Part:
    return Part("blueprint.toml [registry]", "shelf", {"path": "p", **options})


def told(**options: Any) -> str:
    (problem,) = check(part(**options), SPEC)
    return str(problem)


@pytest.mark.parametrize(
    "options",
    [
        {"path": "elsewhere", "spare": "s", "name": "m", "size": 2, "share": 0.25, "on": True},
        {"share": 1, "limit": 3, "mode": "fast"},
        {"names": ["a"], "more": [1], "table": {"a": {"b": [1.5, "x"]}}, "other": {}},
        {"name": {"env": "PASSWORD"}, "key": {"file": "secret.txt"}},
    ],
)
def test_values_of_the_declared_types_are_accepted(options: dict[str, Any]) -> None:
    assert check(part(**options), SPEC) == []


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("path", 3, "Give a path."),
        ("spare", 3, "Give a path."),
        ("name", 3, "Give a text."),
        ("size", 1.5, "Give a whole number."),
        ("size", True, "Give a whole number."),
        ("size", {"env": "SIZE"}, "Give a whole number."),
        ("share", "half", "Give a number."),
        ("share", False, "Give a number."),
        ("on", 1, "Give a true or false."),
        ("mode", "slow", "Give a"),
        ("names", "a", "Give a"),
        ("table", [], "Give a dict."),
        ("path", {"env": "HOME"}, "Give a path."),
    ],
)
def test_a_value_of_another_type_is_told_with_what_to_give(option: str, value: Any, remedy: str) -> None:
    found = told(**{option: value})
    assert f"[registry]: {option} is {value!r}, a {type(value).__name__}. " in found
    assert remedy in found


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused_also_deep_in_a_table(value: float) -> None:
    assert "Give finite numbers" in told(share=value)
    assert "Give finite numbers" in told(table={"a": [1, {"b": value}]})


def test_an_unknown_key_and_a_missing_one_are_told() -> None:
    problems = [str(problem) for problem in check(Part("here", "shelf", {"pth": "p"}), SPEC)]
    assert problems == ["here: unknown key 'pth'. Did you mean 'path'?", "here: path is missing. Add: path = ..."]


def test_paths_are_resolved_against_the_project_defaults_too(tmp_path: Path) -> None:
    made = configure(part(path="data", spare="/absolute"), SPEC, tmp_path)
    assert (made.path, made.cache, made.spare) == (tmp_path / "data", tmp_path / "cache", Path("/absolute"))
    assert configure(part(path="~/x"), SPEC, tmp_path).path == Path("~/x").expanduser()


def test_lists_become_tuples_and_tables_stay(tmp_path: Path) -> None:
    made = configure(part(names=["a", "b"], table={"env": "no secret"}), SPEC, tmp_path)
    assert made.names == ("a", "b")
    assert made.table == {"env": "no secret"}


def test_a_value_that_the_adapter_refuses_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(BlueprintError, match=r"\[registry\]: the options are refused \(size is below 0\)"):
        configure(part(size=-1), SPEC, tmp_path)


def test_a_secret_is_revealed_when_its_part_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "swordfish")
    (tmp_path / "secret.txt").write_text("barracuda\n")
    made = configure(part(name={"env": "PASSWORD"}, key={"file": "secret.txt"}), SPEC, tmp_path)
    assert (made.name, made.key) == ("swordfish", "barracuda")


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ({"env": "NO_SUCH_SECRET"}, "environment variable NO_SUCH_SECRET is not set. Run: export NO_SUCH_SECRET="),
        ({"file": "nowhere.txt"}, "nowhere.txt cannot be read .No such file or directory"),
        ({"file": "binary.txt"}, "binary.txt cannot be read .not UTF-8"),
    ],
)
def test_a_secret_that_is_not_there_is_told_without_its_value(
    tmp_path: Path, secret: dict[str, str], message: str
) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(BlueprintError, match=message):
        configure(part(name=secret), SPEC, tmp_path)
