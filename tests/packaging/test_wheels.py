"""Every member builds a wheel that says what it is and holds what it needs."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMBERS = sorted(path.parent for path in [ROOT / "interfaces/pyproject.toml", ROOT / "blueprints/pyproject.toml",
                                          *(ROOT / "packages").glob("*/pyproject.toml")])  # fmt: skip


@pytest.fixture(params=MEMBERS, ids=lambda path: path.name)
def member(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def wheel(member: Path, wheelhouse: Path) -> zipfile.ZipFile:
    name = tomllib.loads((member / "pyproject.toml").read_text())["project"]["name"].replace("-", "_")
    (path,) = wheelhouse.glob(f"{name}-*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def test_it_says_what_it_is(metadata: Message) -> None:
    assert re.fullmatch(r"0\.1\.\d+", metadata["Version"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert len(metadata["Summary"]) > 20
    assert len(metadata.get_payload()) > 300


def test_it_holds_one_package_and_no_test(wheel: zipfile.ZipFile, metadata: Message) -> None:
    package = metadata["Name"].replace("-", "_")
    files = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert {name.partition("/")[0] for name in files} == {package}
    assert not [name for name in files if "/tests/" in name or "conftest" in name or name.endswith(".pyc")]
    assert f"{package}/py.typed" in files or package == "stackwright_blueprints"


def test_a_member_is_taken_in_versions_that_fit_and_a_vendor_from_a_lower_bound_on(metadata: Message) -> None:
    for requirement in metadata.get_all("Requires-Dist") or []:
        name, bounds = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z]+\])?\s*([^;]*)(?:;.*)?", requirement).groups()  # type: ignore[union-attr]
        if name.startswith("stackwright"):
            assert set(bounds.strip().split(",")) == {">=0.1", "<0.2"}, requirement
        else:
            assert ">=" in bounds, requirement


def test_every_plugin_module_is_an_entry_point(wheel: zipfile.ZipFile, metadata: Message) -> None:
    package = metadata["Name"].replace("-", "_")
    (points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")] or [""]
    text = wheel.read(points).decode() if points else ""
    offers = f"{package}/plugin.py" in wheel.namelist() and package != "stackwright_interfaces"
    assert (f"= {package}.plugin" in text.partition("[stackwright]")[2]) == offers


IN_USE_WITHOUT_AN_IMPORT = {
    "faiss-cpu", "hiredis", "httptools", "ibis-framework", "implicit", "onnx", "onnxruntime", "optuna", "psycopg",
    "scikit-learn", "sqlglot", "stackwright", "stackwright-blueprints", "stackwright-uvicorn", "threadpoolctl",
    "uvloop",
}  # fmt: skip
"""Found by name: by redis, uvicorn, Feast and SQLAlchemy, by entry point, by ``import_module``, as a command."""
BROUGHT_BY = {"botocore": "boto3"}


def imports(tree: ast.AST) -> Iterator[str]:
    """Top-level names that a module imports when it runs."""
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in tree.names)
    if isinstance(tree, ast.ImportFrom) and tree.module and not tree.level:
        yield tree.module.partition(".")[0]
    for child in ast.iter_child_nodes(tree):
        yield from imports(child)


distributions = cache(packages_distributions)


def normal(name: str) -> str:
    """A distribution's name as an index writes it."""
    return re.sub(r"[-_.]+", "-", BROUGHT_BY.get(name, name)).lower()


def providers(module: str) -> set[str]:
    """The distributions that bring a top-level name: several share a namespace."""
    return {normal(name) for name in distributions().get(module, [module])}


def test_it_requires_what_it_imports_and_no_more(wheel: zipfile.ZipFile, metadata: Message) -> None:
    requirements = [line for line in metadata.get_all("Requires-Dist") or [] if "extra == 'standard'" not in line]
    required = {normal(re.sub(r"[\[(;<>=!~ ].*", "", line)) for line in requirements}
    modules = [name for name in wheel.namelist() if name.endswith(".py") and not name.endswith("/features.py")]
    imported = {name for path in modules for name in imports(ast.parse(wheel.read(path)))} - sys.stdlib_module_names
    assert [name for name in imported if not providers(name) & {metadata["Name"], *required}] == []
    used = {name for module in imported for name in providers(module)}
    assert required - used <= IN_USE_WITHOUT_AN_IMPORT


def adapters(part: object) -> Iterator[str]:
    """Names of the adapters of a blueprint, however deep."""
    for key, value in part.items() if isinstance(part, dict) else ():
        yield from [value] if key == "adapter" else value if key == "reports" else adapters(value)


def test_standard_brings_the_parts_of_the_realtime_blueprint_and_its_sample(wheelhouse: Path) -> None:
    (path,) = wheelhouse.glob("stackwright-0*.whl")
    with zipfile.ZipFile(path) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        lines = Parser().parsestr(wheel.read(name).decode()).get_all("Requires-Dist") or []
    extra = {normal(re.sub(r"[<>=; ].*", "", line)) for line in lines if "extra == 'standard'" in line}
    blueprint = tomllib.loads((ROOT / "blueprints/realtime/blueprint.toml").read_text())
    chosen = {f"stackwright-{adapter}" for adapter in adapters(blueprint)}
    assert len(chosen) == 6
    assert chosen | {"stackwright-market"} <= extra


def test_the_contracts_alone_need_pluggy_alone(wheelhouse: Path) -> None:
    (path,) = wheelhouse.glob("stackwright_interfaces-*.whl")
    with zipfile.ZipFile(path) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata.get_all("Provides-Extra") == ["testing"]
    plain = [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert [re.match(r"[a-z-]+", line)[0] for line in plain] == ["pluggy"]


def test_only_what_needs_an_old_pandas_holds_pandas_back(metadata: Message) -> None:
    held = [line for line in metadata.get_all("Requires-Dist") or [] if re.match(r"pandas\b", line) and "<" in line]
    assert bool(held) == (metadata["Name"] in {"stackwright-evidently", "stackwright-feast"})


def test_blueprints_travel_whole_and_nothing_with_them(wheelhouse: Path) -> None:
    (path,) = wheelhouse.glob("stackwright_blueprints-*.whl")
    travelled = {name for name in zipfile.ZipFile(path).namelist() if name.count("/") > 1 or ".dist-info/" not in name}
    folders = [path.parent for path in (ROOT / "blueprints").glob("*/blueprint.toml")]
    assert folders
    files = [file for folder in folders for file in folder.iterdir() if file.is_file()]
    own = {f"stackwright_blueprints/{file.parent.name}/{file.name}" for file in files}
    assert travelled == own | {"stackwright_blueprints/__init__.py", "stackwright_blueprints/plugin.py"}


def test_the_page_on_installing_names_every_adapter_and_nothing_that_is_not_there() -> None:
    page = (ROOT / "docs/installing.md").read_text()
    projects = [tomllib.loads((member / "pyproject.toml").read_text())["project"] for member in MEMBERS]
    extras = {project["name"]: set(project.get("optional-dependencies", {})) for project in projects}
    named = re.findall(r"(stackwright(?:-[a-z]+)?)(?:\[([a-z0-9]+)\])?", page)
    assert {name for name, _ in named} <= set(extras)
    assert all(not extra or extra in extras[name] for name, extra in named)
    offering = {project["name"] for project in projects if "stackwright" in project.get("entry-points", {})}
    assert offering - {name for name, _ in named} == {"stackwright-blueprints"}
