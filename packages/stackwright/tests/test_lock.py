"""The lock: what a stack is built of, and every way in which it can differ from that."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.assembly import vendors
from stackwright.assembly.drift import drift
from stackwright.assembly.vendors import installed
from stackwright.workflows.pinning import resolved
from stackwright_interfaces.errors import PluginError

STORE = """
name = "f"
[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "sqlite", path = "data/online.db" }
[env.staging.feature_store]
offline = { path = "staging" }
"""


@pytest.fixture
def locked(project: Any, run: Any) -> Path:
    folder = Path(project(blueprint=STORE))
    assert run("lock", "--project", folder).code == 0
    return folder


@pytest.fixture
def edit(locked: Path) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Change what the lock says."""

    def edit(change: Callable[[dict[str, Any]], object]) -> None:
        path = locked / "blueprint.lock"
        document = json.loads(path.read_text())
        change(document["environments"][""])
        path.write_text(json.dumps(document))

    return edit


@pytest.fixture
def differences(locked: Path, run: Any) -> Callable[[], list[str]]:
    def differences() -> list[str]:
        ran = run("check", "--project", locked, "--json")
        assert ran.code == (1 if ran.json["problems"] else 0)
        return [f"{item['where']}: {item['found']}" for item in ran.json["problems"]]

    return differences


def test_a_lock_records_adapters_versions_hashes_contracts_and_options(locked: Path) -> None:
    section = json.loads((locked / "blueprint.lock").read_text())["environments"][""]
    part = section["parts"]["offline"]
    assert (part["adapter"], part["contract"], part["options"]) == ("duckdb", 1, {"path": "data"})
    assert (part["distribution"], part["version"]) == ("stackwright-duckdb", "0.1.0")
    assert part["files"].startswith("sha256:")
    assert sorted(part["requires"]) == ["duckdb", "numpy", "pyarrow", "stackwright-parquet"]
    assert {"stackwright", "stackwright-interfaces"} <= set(section["engine"])
    assert section["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_what_is_as_it_was_locked_has_no_problem(locked: Path, differences: Any, run: Any) -> None:
    assert differences() == []
    ran = run("lock", "--project", locked, "--json")
    assert ran.json["changed"] is False


def test_two_locks_of_one_stack_are_the_same_bytes(locked: Path, run: Any) -> None:
    before = (locked / "blueprint.lock").read_bytes()
    (locked / "blueprint.lock").unlink()
    run("lock", "--project", locked)
    assert (locked / "blueprint.lock").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lock: lock.update(python="3.9"), "blueprint.lock: locked for Python 3.9, this is"),
        (
            lambda lock: lock["engine"]["stackwright-features"].update(version="0.0.9"),
            "blueprint.lock: stackwright-features was 0.0.9, 0.1.0 is installed",
        ),
        (
            lambda lock: lock["parts"]["online"].update(version="0.0.9"),
            "blueprint.lock [online]: stackwright-sqlite was 0.0.9, 0.1.0 is installed",
        ),
        (
            lambda lock: lock["parts"]["online"].update(files="sha256:0"),
            "blueprint.lock [online]: stackwright-sqlite 0.1.0 has other files than were locked",
        ),
        (
            lambda lock: lock["parts"]["offline"]["requires"].update(duckdb="0.1"),
            "blueprint.lock [offline]: duckdb was '0.1', is ",
        ),
        (
            lambda lock: lock["parts"]["offline"].update(contract=0),
            "blueprint.lock [offline]: locked with version 0 of the contract, this is 1",
        ),
        (
            lambda lock: lock["parts"]["offline"]["options"].update(path="old", threads=2),
            "blueprint.lock [offline]: path was 'old', is 'data'",
        ),
        (
            lambda lock: lock["parts"]["offline"]["options"].update(threads=2),
            "blueprint.lock [offline]: threads was 2, is not set",
        ),
        (
            lambda lock: lock["parts"]["online"].update(adapter="redis"),
            "blueprint.lock [online]: locked with adapter 'redis', the blueprint names 'sqlite'",
        ),
        (
            lambda lock: lock["parts"].pop("online"),
            "blueprint.lock [online]: the slot was empty, 'sqlite' was added",
        ),
        (
            lambda lock: lock["parts"].update(registry=lock["parts"]["online"]),
            "blueprint.lock [registry]: the slot is empty now, 'sqlite' was removed",
        ),
    ],
)
def test_every_drift_is_explained(edit: Any, differences: Any, change: Any, message: str) -> None:
    edit(change)
    found = differences()
    assert any(difference.startswith(message) for difference in found), found


def test_drift_tells_what_to_do(locked: Path, edit: Any, run: Any) -> None:
    edit(lambda lock: lock["parts"]["online"].update(version="0.0.9"))
    text = run("check", "--project", locked).out
    assert "Run: pip install stackwright-sqlite==0.0.9, or: stackwright lock" in text


def test_an_isolated_part_that_was_locked_for_another_engine_is_told() -> None:
    ours = {"distribution": "stackwright-shelf", "version": "1.0", "files": ""}
    shared = {"stackwright-interfaces": "0.0.9", "stackwright-isolated": "0.1.0"}
    part = {
        "adapter": "shelf",
        "contract": 1,
        "options": {},
        **ours,
        "requires": shared,
        "isolated": {"requirements": []},
    }
    engine = {name: {"version": "0.1.0", "files": "", "requires": {}} for name in shared}
    described = {"python": "3.11", "engine": engine, "parts": {"monitor:shelf": part}}
    assert [str(problem) for problem in drift(described, described)] == [
        "blueprint.lock [monitor:shelf]: its environment holds stackwright-interfaces 0.0.9, the engine 0.1.0. "
        "Run: stackwright lock --upgrade"
    ]


def test_other_verbs_say_in_one_line_that_the_stack_differs(locked: Path, edit: Any, run: Any) -> None:
    assert run("apply", "--project", locked).err == ""
    edit(lambda lock: lock["parts"]["online"].update(version="0.0.9"))
    ran = run("apply", "--project", locked)
    assert ran.code == 0
    assert ran.err.startswith("1 differences from the lock, the first: blueprint.lock [online]: stackwright-sqlite was")
    assert len(ran.err.splitlines()) == 1


def test_each_environment_is_locked_apart(locked: Path, run: Any) -> None:
    assert run("check", "--project", locked, "--env", "staging").code == 0
    run("lock", "--project", locked, "--env", "staging")
    document = json.loads((locked / "blueprint.lock").read_text())["environments"]
    assert document["staging"]["parts"]["offline"]["options"] == {"path": "staging"}
    assert document[""]["parts"]["offline"]["options"] == {"path": "data"}


def test_a_lock_holds_the_place_of_a_secret(project: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_URL", "swordfish")
    folder = project(blueprint='name = "m"\n[registry]\nadapter = "files"\nurl = { env = "REGISTRY_URL" }\n')
    run("lock", "--project", folder)
    text = (folder / "blueprint.lock").read_text()
    assert "swordfish" not in text
    assert "REGISTRY_URL" in text


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 9, "environments": {}}', '{"format": 1, "environments": {"": {}}}']
)
def test_a_damaged_lock_is_told_and_kept(locked: Path, run: Any, text: str) -> None:
    (locked / "blueprint.lock").write_text(text)
    for verb in ("check", "lock"):
        ran = run(verb, "--project", locked)
        assert ran.code == 1
        assert "delete it and run: stackwright lock" in ran.out + ran.err
    assert (locked / "blueprint.lock").read_text() == text


def test_a_blueprint_that_cannot_be_built_cannot_be_locked(project: Any, run: Any) -> None:
    folder = project(blueprint='name = "f"\nregistry = "fles"\n')
    ran = run("lock", "--project", folder)
    assert ran.code == 1
    assert "no adapter named 'fles'" in ran.err
    assert not (folder / "blueprint.lock").exists()


FILES_OF_SQLITE = """
import sys
sys.path[:0] = sys.argv[1:]
from stackwright.assembly.lock import describe
from stackwright.assembly.stack import Stack
stack = Stack(".")
print(describe(stack.plan, stack.plugins, stack.isolation)["parts"]["online"]["files"])
"""


def test_a_wheel_and_the_sources_it_was_built_from_hash_alike(locked: Path, tmp_path: Path) -> None:
    sources = Path(__file__).parents[2] / "stackwright-sqlite"
    subprocess.run(["uv", "build", "--wheel", "--quiet", "--out-dir", tmp_path, sources], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    hashes = [
        subprocess.run(
            [sys.executable, "-c", FILES_OF_SQLITE, *first], capture_output=True, text=True, check=True, cwd=locked
        ).stdout
        for first in ([], [str(tmp_path / "site")])
    ]
    assert hashes[0].startswith("sha256:")
    assert hashes[0] == hashes[1]


def test_a_notebook_locks_too(locked: Path) -> None:
    with stackwright.load(locked) as stack:
        assert stack.lock().data["changed"] is False


SHELF = """
from dataclasses import dataclass
from stackwright_interfaces.plugin import AdapterSpec, hookimpl
from stackwright_interfaces.registry import CONTRACT, Registry

@dataclass(frozen=True, kw_only=True)
class Config:
    pass

@hookimpl
def stackwright_adapters():
    spec = {"name": "shelf", "provides": Registry, "contract": CONTRACT, "config": Config}
    return [AdapterSpec(factory="shelf_plugin:Shelf", **spec)]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a distribution of this name, version and requirements on the path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    (site / "shelf_plugin.py").write_text(SHELF)

    def install(name: str, version: str, *requires: str) -> None:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        if name == "stackwright-shelf":
            (info / "entry_points.txt").write_text("[stackwright]\nshelf = shelf_plugin\n")

    for found in (installed, vendors._everything_required):
        found.cache_clear()
    yield install
    for found in (installed, vendors._everything_required):
        found.cache_clear()


def test_a_vendor_below_its_tested_version_is_refused_with_what_holds_it_there(
    project: Any, run: Any, install: Any
) -> None:
    install("stackwright-shelf", "1.0", "feats>=0.67", "dirs")
    install("feats", "0.18.1")
    install("dirs", "3.0")
    install("old-friend", "2.0", "feats<0.20", 'dirs<3; extra == "never"')
    folder = project(blueprint='name = "m"\nregistry = "shelf"\n')
    ran = run("lock", "--project", folder)
    assert ran.code == 1
    assert ran.err == (
        "blueprint.lock [registry]: stackwright-shelf takes feats>=0.67, 0.18.1 is installed, held by old-friend 2.0, "
        "which takes feats<0.20. Run: pip install 'feats>=0.67'\n"
    )
    assert not (folder / "blueprint.lock").exists()


def test_drift_of_a_vendor_is_told_with_what_holds_it(project: Any, run: Any, install: Any) -> None:
    install("stackwright-shelf", "1.0", "feats>=0.10")
    install("feats", "0.18.1")
    install("old-friend", "2.0", "feats<0.20")
    folder = project(blueprint='name = "m"\nregistry = "shelf"\n')
    assert run("lock", "--project", folder).code == 0
    path = folder / "blueprint.lock"
    path.write_text(path.read_text().replace("0.18.1", "0.67.0"))
    assert (
        "feats was '0.67.0', is '0.18.1', held by old-friend 2.0, which takes feats<0.20. "
        "Run: pip install feats==0.67.0, or: stackwright lock" in run("check", "--project", folder).out
    )


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """A folder of wheels without files: an index of our own."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, version, *requires in (
        ("feats", "0.18.1"),
        ("feats", "0.67.0", "frames<3"),
        ("frames", "2.3"),
        ("frames", "3.0"),
        ("stackwright_shelf", "1.0", "feats>=0.67"),
    ):
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            info = f"{name}-{version}.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def resolve(market: Path, install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Resolve a stack that is built of ``stackwright-shelf`` alone, bound by pins, from that index."""
    install("stackwright-shelf", "1.0", "feats>=0.67")
    (tmp_path / "uv.toml").write_text("no-index = true\n")
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    part = {"distribution": "stackwright-shelf", "version": "1.0"}

    def resolve(pins: str) -> str:
        (tmp_path / "pins.txt").write_text(pins)
        return resolved({"engine": {}, "parts": {"registry": part}}, pins=tmp_path / "pins.txt", wheels=market)

    return resolve


def test_requirements_have_hashes_and_the_newest_that_the_pins_allow(resolve: Any) -> None:
    lines = [line for line in resolve("# none\n").splitlines() if not line.startswith(" ")]
    assert [line.removesuffix(" \\") for line in lines] == ["feats==0.67.0", "frames==2.3", "stackwright-shelf==1.0"]
    assert resolve("").count("--hash=sha256:") == 3


def test_a_pin_that_would_take_a_vendor_back_below_its_tested_version_is_named(resolve: Any) -> None:
    with pytest.raises(PluginError) as raised:
        resolve("frames==3.0  # we like it new\nstackwright-shelf==1.0\n")
    assert raised.value.found.startswith("frames==3.0 leaves no version that the adapters take: ")
    assert raised.value.todo == "Remove or loosen frames==3.0."


def test_pins_that_cannot_be_read_and_a_missing_uv_are_told(
    resolve: Any, locked: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("lock", "--project", locked, "--python", locked / "r.txt", "--pins", locked / "nowhere.txt")
    assert (ran.code, "cannot be read" in ran.err) == (2, True)
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PluginError, match="is not installed, and resolves requirements"):
        resolve("")
