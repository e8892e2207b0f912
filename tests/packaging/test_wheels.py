"""Every member builds a wheel that says what it is and holds what it needs."""

from __future__ import annotations

import re
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
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


def test_only_what_needs_an_old_pandas_holds_pandas_back(metadata: Message) -> None:
    held = [line for line in metadata.get_all("Requires-Dist") or [] if re.match(r"pandas\b", line) and "<" in line]
    assert bool(held) == (metadata["Name"] == "stackwright-evidently")


def test_blueprints_travel_whole(wheelhouse: Path) -> None:
    (path,) = wheelhouse.glob("stackwright_blueprints-*.whl")
    names = set(zipfile.ZipFile(path).namelist())
    folders = [path.parent for path in (ROOT / "blueprints").glob("*/blueprint.toml")]
    assert folders
    for folder in folders:
        for file in folder.iterdir():
            if file.is_file():
                assert f"stackwright_blueprints/{folder.name}/{file.name}" in names
