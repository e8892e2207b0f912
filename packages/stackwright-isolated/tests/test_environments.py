"""Environments: made once and whole, by whichever installer is there; and what is told where they cannot be."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from stackwright_interfaces.errors import PluginError
from stackwright_isolated.environments import Environment, Environments, requirements_of
from stackwright_isolated.installing import resolve

pytestmark = pytest.mark.timeout(900)  # an empty cache downloads for minutes

WANTED = requirements_of("none", ["stackwright-isolated"])


@pytest.fixture
def steps() -> list[str]:
    """What was done to make environments."""
    return []


@pytest.fixture
def environments(tmp_path: Path, steps: list[str]) -> Environments:
    return Environments(
        folder=tmp_path / "cache", project=tmp_path, progress=lambda what, _done, _total: steps.append(what)
    )


STEPS = ["isolated: resolve", "isolated: install", "isolated: describe", "isolated: describe"]


def test_it_is_made_once_whoever_asks_and_again_where_it_is_not_whole(
    environments: Environments, steps: list[str]
) -> None:
    assert environments.found(WANTED) is None
    made: list[Environment] = []
    asking = [threading.Thread(target=lambda: made.append(environments.made("here", WANTED))) for _ in range(2)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert steps == STEPS
    assert made[0] == made[1] == environments.found(WANTED)
    assert {"numpy", "pyarrow", "pluggy"} <= set(made[0].description["versions"])
    hashes = {requirement.partition("==")[0]: found for requirement, found in made[0].versions.items()}
    assert all(item.startswith("sha256:") for name in ("numpy", "pyarrow", "pluggy") for item in hashes[name])
    (made[0].folder / "environment.json").unlink()  # as a process that was killed leaves it
    assert environments.found(WANTED) is None
    assert environments.made("here", WANTED) == made[0]
    assert steps == [*STEPS, *STEPS[1:]]
    shutil.rmtree(next(made[0].site.glob("pluggy-*.dist-info")))
    found = environments.found(WANTED)
    assert found is not None
    assert found.altered == {"pluggy": (made[0].description["versions"]["pluggy"], "")}
    assert environments.made("here", WANTED).altered == {}
    assert steps == [*STEPS, *STEPS[1:], *STEPS[1:]]


def test_a_file_that_is_not_the_locked_one_is_refused(environments: Environments) -> None:
    with pytest.raises(PluginError) as told:
        environments.made("here", WANTED, {"pluggy==1.6.0": [f"sha256:{'0' * 64}"]})
    assert "pluggy" in told.value.found
    assert "other files than were locked" in told.value.todo
    with pytest.raises(PluginError, match="hash"):
        environments.made("here", WANTED, {"pluggy==1.6.0": []})


@pytest.mark.nightly
def test_locked_versions_are_installed_and_nothing_is_resolved(
    environments: Environments, steps: list[str], tmp_path: Path
) -> None:
    old = resolve("here", tmp_path, [*WANTED, "numpy==2.1.3", "pyarrow==19.0.1", "pluggy==1.5.0"])
    assert all(len(found) > 1 for requirement, found in old.items() if not requirement.startswith("-e "))
    made = environments.made("here", WANTED, old)
    assert steps == STEPS[1:]
    assert {name: made.description["versions"][name] for name in ("numpy", "pyarrow", "pluggy")} == {
        "numpy": "2.1.3", "pyarrow": "19.0.1", "pluggy": "1.5.0",
    }  # fmt: skip


def test_what_was_installed_from_a_folder_is_taken_from_there() -> None:
    lines = requirements_of("duckdb", [])
    names = {Path(line.removeprefix("-e ")).name for line in lines if line.startswith("-e ")}
    assert {"stackwright-duckdb", "stackwright-parquet", "stackwright-numerics", "stackwright-isolated"} <= names
    assert requirements_of("acme", ["acme-bar[x]>=2", "duckdb<1.3"])[:2] == ["acme-bar[x]>=2", "duckdb<1.3"]
    assert requirements_of("elsewhere", [])[0] == "stackwright-elsewhere"


def test_a_registry_that_cannot_be_reached_is_told(
    environments: Environments, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(PluginError) as told:
        environments.made("blueprint.toml [offline]", ["stackwright-elsewhere"])
    assert told.value.where == "blueprint.toml [offline]"
    assert "http://127.0.0.1:9" in told.value.found
    assert "registry can be reached" in told.value.todo


def test_requirements_that_exclude_each_other_are_told_in_the_resolvers_words(environments: Environments) -> None:
    with pytest.raises(PluginError) as told:
        environments.made("here", [*WANTED, "pluggy==1.5.0", "pluggy==1.6.0"])
    assert "pluggy==1.5.0" in told.value.found
    assert "Name requirements that go together" in told.value.todo


@pytest.mark.nightly
def test_without_uv_it_is_made_by_venv_and_pip(
    environments: Environments, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert shutil.which("uv") is None
    made = environments.made("here", [*WANTED, "pluggy==1.5.0"])
    assert made.description["versions"]["pluggy"] == "1.5.0"
    (only,) = made.versions["pluggy==1.5.0"]
    assert only.startswith("sha256:")
    assert environments.found([*WANTED, "pluggy==1.5.0"]) == made
