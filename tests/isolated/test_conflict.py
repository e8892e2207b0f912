"""Two adapters that no resolver can put together, in one blueprint: one trains, the other reports."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import stackwright as stacks
from stackwright.cli.main import main
from stackwright_interfaces.errors import PluginError

pytestmark = pytest.mark.timeout(900)  # an empty cache downloads for minutes

BLUEPRINT = """\
name = "both"
registry = "files"

[models.price]
data = { source = "homes.parquet", target = "price", time = "sold" }
trainer = { adapter = "older", shift = 1.0, isolated = true }
gates = { baseline = false, smoke = false, leakage = false } # a mean beats nothing

[monitor]
reports = [{ adapter = "newer", isolated = true }]
"""

IN_PROCESS = BLUEPRINT.replace(", isolated = true", "")

OLDER = "stackwright_older-0.1.0-py3-none-any.whl"


def homes() -> pa.Table:
    area = np.linspace(30, 200, 200)
    sold = np.datetime64("2024-01-01T00:00:00") + np.arange(200) * np.timedelta64(1, "D")
    return pa.table(
        {"sold": pa.array(sold.astype("datetime64[us]"), pa.timestamp("us", "UTC")), "area": area, "price": 10 * area}
    )


def made(folder: Path) -> Path:
    """Make a project."""
    folder.mkdir()
    pyarrow.parquet.write_table(homes(), folder / "homes.parquet")
    (folder / "features.py").touch()
    write(folder, BLUEPRINT)
    return folder


def write(folder: Path, text: str) -> None:
    (folder / "blueprint.toml").write_text(text.replace("homes.parquet", str(folder / "homes.parquet")))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """A project whose environments are made and locked."""
    folder = made(tmp_path_factory.mktemp("locked") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_FIND_LINKS", str(wheels))
        code, answer = run("lock", "--project", folder)
    assert code == 0, answer
    return folder


def run(*arguments: object) -> tuple[int, Any]:
    """Run the command line in this process; return its exit code and what it answers."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main([*map(str, arguments), "--json"])
    return code, json.loads(printed.getvalue())


def problems(answer: Any) -> list[str]:
    code, document = answer
    assert code == (1 if document["problems"] else 0)
    return [f"{item['where']}: {item['found']} {item['todo']}" for item in document["problems"]]


def test_no_resolver_puts_both_into_one_environment() -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv is not None
    command = [uv, "pip", "compile", "-", "--quiet", "--python", sys.executable]
    interfaces = f"-e {Path(__file__).parents[2] / 'interfaces'}"
    asked = f"stackwright-older\nstackwright-newer\n{interfaces}\n"
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "No solution found" in done.stderr


def test_check_makes_nothing_and_says_what_does(tmp_path: Path) -> None:
    project = made(tmp_path / "project")
    found = problems(run("check", "--project", project))
    assert [item.partition(". ")[0].rpartition(" Run:")[0] for item in found] == [
        "blueprint.toml [models.price] trainer: the environment of the isolated 'older' is not made here",
        "blueprint.toml [monitor] reports: the environment of the isolated 'newer' is not made here",
    ]
    assert not list(project.glob(".stackwright/cache/isolated/*/bin"))


def test_lock_makes_both_and_records_what_each_holds(project: Path, wheels: Path) -> None:
    locked = json.loads((project / "blueprint.lock").read_text())["environments"][""]
    trainer, monitor = locked["parts"]["trainer:price"], locked["parts"]["monitor:newer"]
    assert (trainer["requires"]["iniconfig"], monitor["requires"]["iniconfig"]) == ("2.0.0", "2.1.0")
    assert (trainer["distribution"], trainer["version"]) == ("stackwright-older", "0.1.0")
    (digest,) = trainer["isolated"]["versions"]["stackwright-older==0.1.0"]
    assert digest == f"sha256:{hashlib.sha256((wheels / OLDER).read_bytes()).hexdigest()}"
    assert len(trainer["isolated"]["versions"]["iniconfig==2.0.0"]) == 2  # a wheel, and sources
    assert problems(run("check", "--project", project)) == []
    assert run("lock", "--project", project)[1]["changed"] is False


def test_one_blueprint_trains_and_reports_with_both(project: Path, tmp_path: Path) -> None:
    with stacks.load(project, progress=lambda *_: None) as stack:
        trained = stack.train()
        assert trained.ok, trained
        stack.promote("price")
        answer = stack.predict(area=50.0).data["prediction"]
        reporter = stack.reporters()["newer"]
        result = reporter.compare(homes(), homes().slice(0, 20), None, tmp_path / "report")
    assert answer == pytest.approx(np.mean(10 * np.linspace(30, 200, 200)) + 1, rel=0.3)
    assert {json.loads(path.read_text())["iniconfig"] for path in project.glob("**/model.json")} == {"2.0.0"}
    assert result.page.read_text() == "<html>iniconfig 2.1.0</html>"
    assert result.findings == {"rows": [200, 20]}


def test_in_one_process_check_says_why_not(project: Path, wheels: Path, tmp_path: Path) -> None:
    """Both wheels on the path, beside the one version of what they need that an environment can hold."""
    site = tmp_path / "site"
    (site / "iniconfig-2.0.0.dist-info").mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: iniconfig\nVersion: 2.0.0\n"
    (site / "iniconfig-2.0.0.dist-info/METADATA").write_text(metadata)
    for path in wheels.glob("*.whl"):
        shutil.unpack_archive(path, site, "zip")
    folder = tmp_path / "project"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".stackwright", "blueprint.lock"))
    write(folder, IN_PROCESS)
    command = [sys.executable, "-m", "stackwright.cli.main", "check", "--project", str(folder), "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(site)}
    )
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["where"] == "blueprint.toml [monitor] reports"
    found = "stackwright-newer takes iniconfig==2.1.0, 2.0.0 is installed"
    assert problem["found"] == f"{found}, held by stackwright-older 0.1.0, which takes iniconfig==2.0.0"
    assert "isolated = true" in problem["todo"]


def test_options_are_checked_against_the_adapter_in_its_environment(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    text = BLUEPRINT.replace("shift = 1.0", 'shift = "far", sift = 1')
    write(folder, text)
    (folder / "blueprint.lock").unlink()
    found = problems(run("check", "--project", folder))
    assert any("shift is 'far', a str" in item and "Give a number" in item for item in found)
    assert any("unknown key 'sift'" in item and "Did you mean 'shift'?" in item for item in found)
    write(folder, BLUEPRINT.replace("shift = 1.0", "shift = -1.0"))
    with stacks.load(folder) as stack, pytest.raises(PluginError, match=r"shift is -1\.0, must be 0 or more"):
        stack.train()


def test_check_explains_how_an_environment_differs_from_its_lock(
    project: Path, upgraded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    (info,) = folder.glob(".stackwright/cache/isolated/*/lib/*/site-packages/iniconfig-2.0.0.dist-info")
    (info / "METADATA").unlink()  # it may be the same file in other environments
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: iniconfig\nVersion: 2.0.1\n")
    (found,) = problems(run("check", "--project", folder))
    assert (
        "environment of the isolated 'older' was altered: iniconfig was 2.0.0, is 2.0.1 Run: stackwright lock" in found
    )
    assert run("lock", "--project", folder)[0] == 0
    assert problems(run("check", "--project", folder)) == []

    monkeypatch.setenv("UV_FIND_LINKS", str(upgraded))
    write(
        folder,
        BLUEPRINT.replace("shift = 1.0, isolated = true", 'shift = 1.0, isolated = ["stackwright-older==0.2.0"]'),
    )
    with stacks.load(folder) as stack:
        assert stack.isolation.environment("trainer:price", stack.blueprint.models["price"].trainer)
    found = problems(run("check", "--project", folder))
    todo = "If it is meant, run: stackwright lock"
    assert found == [
        f'blueprint.lock [trainer:price]: isolated was true, is ["stackwright-older==0.2.0"] {todo}',
        f"blueprint.lock [trainer:price]: stackwright-older was 0.1.0, 0.2.0 is installed {todo}",
        "blueprint.lock [trainer:price]: iniconfig was '2.0.0', is '2.1.0', held by stackwright-older 0.2.0, "
        f"which takes iniconfig==2.1.0 {todo}",
    ]


@pytest.mark.parametrize(
    ("part", "why", "todo"),
    [
        (
            'registry = { adapter = "files", isolated = true }',
            "it is asked row by row, or by processes of their own",
            "set it where it can be said: offline, trainer, monitor",
        ),
        (
            '[feature_store]\nadapter = "feast"\nisolated = true',
            "its vendor must be beside the engine, whatever of it ran apart",
            "set it for the part that does not go with the store, a trainer or a reporter",
        ),
    ],
)
def test_a_part_of_the_live_path_cannot_be_isolated(tmp_path: Path, part: str, why: str, todo: str) -> None:
    (tmp_path / "blueprint.toml").write_text(f'name = "x"\n{part}\n')
    (found,) = problems(run("check", "--project", tmp_path))
    assert "a part of this slot cannot be isolated" in found
    assert why in found
    assert todo in found
