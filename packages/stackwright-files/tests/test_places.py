"""Where the registry lies, and what lies in it."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from stackwright_files.local import copy_files
from stackwright_files.registry import FilesRegistry
from stackwright_interfaces.errors import ArtifactError, RegistryError, UsageError
from stackwright_interfaces.model import MANIFEST, Manifest, ModelRef
from stackwright_interfaces.registry import Event
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.registry_trial import alias, write_model
from stackwright_storage import open_storage

Model = Callable[[bytes], Path]
OpenRegistry = Callable[..., FilesRegistry]


def keys(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in home.rglob("*.json") if path.is_file()}


def test_a_path_is_relative_to_the_project_and_a_url_is_not(
    open_registry: OpenRegistry, model: Model, tmp_path: Path
) -> None:
    open_registry(url="models/here").publish("valuation", model(b"p"), {})
    assert (tmp_path / "project/models/here/versions/valuation/0000001.json").is_file()
    open_registry(url=(tmp_path / "there").as_uri()).publish("valuation", model(b"p"), {})
    assert (tmp_path / "there/versions/valuation/0000001.json").is_file()


def test_an_unknown_scheme_is_refused(open_registry: OpenRegistry) -> None:
    with pytest.raises(UsageError, match="no storage for the scheme"):
        open_registry(url="gopher://models")


def test_the_record_of_a_version_can_be_read_by_people(registry: FilesRegistry, home: Path, model: Model) -> None:
    version = registry.publish("pricing/valuation", model(b"p"), {"metrics": {"mdape": 0.08}}, who="ada")
    record = json.loads((home / "versions/pricing/valuation/0000001.json").read_text())
    assert record["digest"] == version.digest
    assert record["who"] == "ada"
    assert record["record"] == {"metrics": {"mdape": 0.08}}
    assert (home / "files/pricing/valuation" / record["stage"] / "trees/weights.bin").read_bytes() == b"p"


def test_a_publication_leaves_its_files_and_its_record_alone(registry: FilesRegistry, home: Path, model: Model) -> None:
    registry.publish("valuation", model(b"p"), {})
    registry.publish("valuation", model(b"p"), {})
    (record,) = (key for key in keys(home) if key.startswith("versions/"))
    assert record == "versions/valuation/0000001.json"
    assert not any(key.startswith("staging/") for key in keys(home))
    assert len(list((home / "files/valuation").iterdir())) == 1


def test_a_large_model_is_fetched_without_being_held_in_memory(registry: FilesRegistry, tmp_path: Path) -> None:
    size = 24 * 2**20
    version = registry.publish("valuation", write_model(tmp_path / "large", bytes(size)), {})
    tracemalloc.start()
    try:
        folder = registry.fetch(version)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (folder / "trees/weights.bin").stat().st_size == size
    assert peak < size / 4


@pytest.mark.parametrize("name", ["../outside/weights.bin", "/outside/weights.bin"])
def test_a_manifest_that_names_a_file_elsewhere_makes_nothing_there(model: Model, tmp_path: Path, name: str) -> None:
    whole = json.loads((model(b"p") / MANIFEST).read_text())
    (entry,) = [whole["files"][found] for found in whole["files"] if found.endswith("weights.bin")]
    text = json.dumps(whole | {"files": {name: entry}})
    manifest = Manifest.from_json(json.loads(text))
    storage = open_storage((tmp_path / "stored").as_uri())
    storage.put_if_absent(f"valuation/{MANIFEST}", text.encode())
    folder = tmp_path / "copies" / "one"
    folder.mkdir(parents=True)
    with pytest.raises(ArtifactError, match="leads elsewhere"):
        copy_files(storage, "valuation/", manifest.digest, folder)
    assert sorted(path.name for path in folder.parent.rglob("*")) == [MANIFEST, "one"]


def test_reading_an_empty_registry_makes_nothing(registry: FilesRegistry, home: Path) -> None:
    assert [list(part) for part in registry.history()] == [[], []]
    assert registry.generation() == "0"
    assert list(registry.runs()) == []
    assert not home.exists()


def test_numbers_that_json_lacks_are_kept(registry: FilesRegistry, model: Model) -> None:
    registry.publish("valuation", model(b"p"), {"gain": float("inf")})
    assert registry.resolve(ModelRef("valuation")).record == {"gain": float("inf")}


def test_a_time_without_a_zone_is_refused(registry: FilesRegistry, model: Model) -> None:
    registry.publish("valuation", model(b"p"), {})
    with pytest.raises(UsageError, match="has no time zone"):
        registry.record(Event(at=NOON.replace(tzinfo=None), kind="evidence", name="valuation"))


def test_a_published_line_cannot_be_recorded_by_hand(registry: FilesRegistry, model: Model) -> None:
    registry.publish("valuation", model(b"p"), {})
    with pytest.raises(UsageError, match="kind 'published' cannot be recorded"):
        registry.record(Event(at=NOON, kind="published", name="valuation"))


def test_a_run_cannot_leave_its_folder(registry: FilesRegistry) -> None:
    from stackwright_interfaces.testing.registry import run

    for id_ in ("../run", "a/b", "", ".hidden"):
        with pytest.raises(UsageError, match="not a usable id"):
            registry.save_run(run(id_))


def test_a_damaged_record_is_named(registry: FilesRegistry, home: Path, model: Model) -> None:
    registry.publish("valuation", model(b"p"), {})
    path = home / "versions/valuation/0000001.json"
    whole = json.loads(path.read_text())
    for text in ("{", "[]", "{}", json.dumps(whole | {"format": 2}), json.dumps(whole | {"digest": "../../etc"})):
        path.write_text(text)
        with pytest.raises(RegistryError, match=r"versions/valuation/0000001\.json"):
            registry.resolve(ModelRef("valuation"))


def test_a_record_of_another_model_is_noticed(registry: FilesRegistry, home: Path, model: Model) -> None:
    registry.publish("valuation", model(b"p"), {})
    registry.publish("other", model(b"q"), {})
    (home / "versions/other/0000001.json").write_bytes((home / "versions/valuation/0000001.json").read_bytes())
    with pytest.raises(RegistryError, match="the record is of valuation@1"):
        registry.resolve(ModelRef("other"))


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "a read-only disk")])
def test_a_disk_that_refuses_is_an_error_of_the_registry_and_leaves_it_as_it_was(
    registry: FilesRegistry, model: Model, monkeypatch: pytest.MonkeyPatch, home: Path, number: int, words: str
) -> None:
    first, folder = model(b"first"), model(b"p")
    registry.publish("valuation", first, {})
    registry.record(alias(1))
    before = keys(home)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    for change in (
        lambda: registry.publish("valuation", folder, {}),
        lambda: registry.record(alias(None), expected=1),
        lambda: registry.record(Event(at=NOON, kind="evidence", name="valuation", version=1)),
    ):
        with pytest.raises(RegistryError, match=words):
            change()
    monkeypatch.undo()
    assert keys(home) == before
    assert registry.resolve(ModelRef("valuation", alias="champion")).version == 1
    assert registry.publish("valuation", folder, {}).version == 2


def test_what_is_missing_is_named_with_what_is_there(registry: FilesRegistry, model: Model) -> None:
    for payload in (b"one", b"two"):
        registry.publish("valuation", model(payload), {})
    registry.record(alias(1))
    for reference, words in {
        "valuation@9": "no version 9; versions: 1 to 2",
        "valuation@champoin": "Did you mean 'champion'",
        "valuatoin": "Published: valuation. Did you mean 'valuation'",
    }.items():
        with pytest.raises(RegistryError, match=words):
            registry.resolve(ModelRef.parse(reference))
