"""Everything a user can write is documented: verbs, options, blueprint keys, gates, hooks, capabilities, errors."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import json
import pkgutil
import re
from pathlib import Path

import pytest

from stackwright import assembly
from stackwright.assembly.blueprint import Blueprint
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.gate_options import GATE_OPTIONS, LIST_GATE_OPTIONS
from stackwright.assembly.recommender_part import TablePart
from stackwright.cli.parsing import parser
from stackwright.cli.verbs import VERBS
from stackwright_interfaces import errors, plugin
from stackwright_interfaces.feature_store import FeatureStore, OfflineStore, OnlineStore
from stackwright_interfaces.plugin import Capability
from stackwright_interfaces.testing.matrix import CASES
from stackwright_serving.exchange import status_of
from stackwright_serving.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def headings(name: str) -> list[str]:
    return [line.strip("# `") for line in page(name).splitlines() if line.startswith("## ")]


def section(text: str, heading: str) -> str:
    _, _, rest = text.partition(f"\n## {heading}\n")
    assert rest, f"no section {heading!r}"
    return rest.partition("\n## ")[0]


def test_the_reference_is_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "site"))
    kept = importlib.import_module("reference").kept()
    stale = [name for name, text in kept.items() if (DOCS.parent / name).read_text(encoding="utf-8") != text]
    assert stale == [], "Run: python docs/site/reference.py"


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_is_documented_with_every_option(verb: object) -> None:
    name = verb.name  # type: ignore[attr-defined]
    text = section(page("reference/verbs.md"), f"`{name}`")
    actions = next(item for item in parser()._actions if isinstance(item, argparse._SubParsersAction))
    for action in actions.choices[name]._actions:
        if action.dest not in ("help", "json", "project", "env"):
            written = action.option_strings[0] if action.option_strings else str(action.metavar)
            (row,) = [line for line in text.splitlines() if re.match(rf"\| `\[?{re.escape(written)}\b", line)]
            assert str(action.help) in row


def test_no_verb_is_documented_that_does_not_exist() -> None:
    names = [verb.name for verb in VERBS]
    assert headings("reference/verbs.md") == names
    assert headings("verbs.md") == [name for name in names if name in headings("verbs.md")]


def test_the_first_page_names_every_verb() -> None:
    table = section((DOCS.parent / "README.md").read_text(encoding="utf-8"), "Use it")
    assert [verb.name for verb in VERBS if f"`{verb.name}`" not in table] == []


UNWRITTEN = {
    "Blueprint": {"path", "env", "offline", "online"},
    "DestinationPart": {"where"},
    "ExperimentPart": {"where"},
}
"""Fields that say where a part was read."""


def parts() -> list[type]:
    """Every class that a section of a blueprint is read into."""
    modules = [
        importlib.import_module(f"{assembly.__name__}.{found.name}")
        for found in pkgutil.iter_modules(assembly.__path__)
    ]
    found = {item for module in modules for name, item in vars(module).items() if re.fullmatch(r"[A-Z]\w+Part", name)}
    return sorted({Blueprint, Settings, *found} - {TablePart}, key=lambda part: part.__name__)


@pytest.mark.parametrize("part", parts(), ids=lambda part: part.__name__)
def test_every_blueprint_key_is_documented(part: type) -> None:
    sections = re.split(r"^#{2,3} ", page("reference/blueprint.md"), flags=re.MULTILINE)
    documented = [set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) for text in sections]
    unwritten = UNWRITTEN.get(part.__name__, {"name", "place"})
    assert {key.name for key in dataclasses.fields(part)} - unwritten in documented


@pytest.mark.parametrize(
    ("heading", "gates"),
    [("Gates of a model", GATE_OPTIONS), ("Gates of a recommender", LIST_GATE_OPTIONS)],
    ids=["rows", "lists"],
)
def test_every_gate_is_documented_with_its_options_and_defaults(
    heading: str, gates: dict[str, dict[str, object]]
) -> None:
    text = section(page("reference/blueprint.md"), heading)
    for gate, options in gates.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{gate}`")]
        for option, value in options.items():
            tiny = isinstance(value, float) and 0 < value < 1e-3
            shown = f"{value:.0e}".replace("e-0", "e-") if tiny else json.dumps(value)
            assert f"`{option} = {shown}`" in row


def test_every_hook_and_capability_is_documented() -> None:
    text = page("reference/hooks.md")
    hooks = [
        name for name, item in vars(plugin).items() if name.startswith("stackwright_") and inspect.isfunction(item)
    ]
    assert len(hooks) >= 3
    for name in [*hooks, *(capability.value for capability in Capability)]:
        assert f"| `{name}` |" in text, name


def test_every_error_stands_in_the_tree_at_the_top_of_its_module() -> None:
    tree = errors.__doc__ or ""
    for name, item in vars(errors).items():
        if inspect.isclass(item) and issubclass(item, errors.StackwrightError):
            assert f"{name}" in tree.split(), name


def test_every_error_is_documented_with_the_status_it_has_over_http() -> None:
    rows = re.findall(r"^\| `(\w+)`.*? \| (\d+) \|", page("reference/errors.md"), re.MULTILINE)
    documented = {name: int(status) for name, status in rows}
    classes = {name: item for name, item in vars(errors).items() if inspect.isclass(item)}
    tree = {name: item for name, item in classes.items() if issubclass(item, errors.StackwrightError)}
    assert documented == {name: status_of(item("where", "found")) for name, item in tree.items()}


def test_the_matrix_shows_every_case_of_every_installed_store() -> None:
    stores = (FeatureStore, OfflineStore, OnlineStore)
    names = {spec.name for plugin in Plugins().all() for spec in plugin.adapters if spec.provides in stores}
    lines = [line for line in page("matrix.md").splitlines() if line.startswith("| ")]
    assert {cell.strip() for cell in lines[0].strip("|").split("|")[2:]} == names
    assert [int(line.split("|")[1]) for line in lines[1:]] == list(CASES)
    assert not [line for line in lines if "not run" in line]
