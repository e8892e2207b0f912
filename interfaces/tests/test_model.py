"""A model at rest: references, manifests, and the refusal of folders that are not what their manifest says."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.errors import ArtifactError, UsageError
from stackwright_interfaces.model import MANIFEST, FileEntry, Manifest, ModelRef, Signature, describe_files
from stackwright_interfaces.types import FLOAT64, STRING, Field

SIGNATURE = Signature(
    inputs=(Field("price", FLOAT64), Field("area", STRING)),
    outputs=(Field("value", FLOAT64),),
    categories={"area": ("north", "south")},
    missing={"price": "refuse"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with its manifest."""
    (tmp_path / "trees").mkdir()
    (tmp_path / "trees" / "model.txt").write_text("tree\n")
    (tmp_path / "golden.jsonl").write_text("{}\n")
    manifest_of(tmp_path).write(tmp_path)
    return tmp_path


def manifest_of(folder: Path, **changes: Any) -> Manifest:
    described: dict[str, Any] = {
        "flavour": "lightgbm",
        "files": describe_files(folder),
        "signature": SIGNATURE,
        "task": "regression",
        "postprocess": ({"op": "exp"},),
        "parameters": {"seed": 7},
    }
    return Manifest(**{**described, **changes})


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("valuation", ModelRef("valuation")),
        ("valuation@7", ModelRef("valuation", version=7)),
        ("valuation@champion", ModelRef("valuation", alias="champion")),
        ("valuation@²", ModelRef("valuation", alias="²")),
        ("pricing/valuation-v2@last.good", ModelRef("pricing/valuation-v2", alias="last.good")),
    ],
)
def test_a_model_reference_is_read_and_shown_alike(text: str, ref: ModelRef) -> None:
    assert ModelRef.parse(text) == ref
    assert str(ref) == text


@pytest.mark.parametrize("text", ["", "@7", "a@", "a@b@c", "a/b/c", "a b", "../a", "a@../b", "7", f"a@{10**18}"])
def test_what_is_no_model_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"Write NAME, NAME@VERSION or NAME@ALIAS\."):
        ModelRef.parse(text)


def test_a_manifest_is_read_back_as_it_was_written(folder: Path) -> None:
    assert Manifest.read(folder) == manifest_of(folder)


def test_files_are_described_by_size_and_hash_without_the_manifest(folder: Path) -> None:
    described = describe_files(folder)
    assert sorted(described) == ["golden.jsonl", "trees/model.txt"]
    digest = hashlib.sha256(b"tree\n").hexdigest()
    assert described["trees/model.txt"] == FileEntry(size=5, sha256=digest)


def test_the_same_content_has_the_same_digest(folder: Path) -> None:
    assert manifest_of(folder).digest == Manifest.read(folder).digest
    assert manifest_of(folder).digest.startswith("sha256:")


@pytest.mark.parametrize(
    "change",
    [
        {"flavour": "sklearn"},
        {"files": {}},
        {"task": "classification"},
        {"signature": replace(SIGNATURE, missing={})},
        {"signature": replace(SIGNATURE, categories={"area": ("south", "north")})},
        {"definitions": {"valuation@1": "abc"}},
        {"transforms": {"per_room": "abc"}},
        {"postprocess": ()},
        {"parameters": {"seed": 8}},
        {"intervals": {"quantile": 0.9}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_content_has_another_digest(folder: Path, change: dict[str, Any]) -> None:
    assert manifest_of(folder, **change).digest != manifest_of(folder).digest


def _alter(folder: Path) -> None:
    (folder / "trees" / "model.txt").write_text("TREE\n")


def _shorten(folder: Path) -> None:
    (folder / "trees" / "model.txt").write_text("")


def _remove(folder: Path) -> None:
    (folder / "golden.jsonl").unlink()


def _add(folder: Path) -> None:
    (folder / "trees" / "extra.pkl").write_bytes(b"\x80")


def _link(folder: Path) -> None:
    (folder / "linked").symlink_to(folder / "golden.jsonl")


@pytest.mark.parametrize(
    ("tamper", "named", "state"),
    [
        (_alter, "trees/model.txt", "altered"),
        (_shorten, "trees/model.txt", "altered"),
        (_remove, "golden.jsonl", "missing"),
        (_add, "trees/extra.pkl", "not in the manifest"),
        (_link, "linked", "not a plain file"),
    ],
)
def test_a_folder_that_was_tampered_with_is_refused_with_the_name_of_the_file(
    folder: Path, tamper: Callable[[Path], None], named: str, state: str
) -> None:
    tamper(folder)
    with pytest.raises(ArtifactError) as caught:
        Manifest.read(folder)
    assert str(folder / named) in str(caught.value)
    assert state in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"format": 1}', '{"format": 1, "files": {"a": 1}, "signature": {}}'])
def test_what_is_no_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match=MANIFEST):
        Manifest.read(folder)


@pytest.mark.parametrize(
    "change", [{"type": "float32"}, {"type": None}, {"name": "two words"}, {"type": "int64", "default": "one"}]
)
def test_a_manifest_with_an_input_that_is_no_field_is_refused(folder: Path, change: dict[str, Any]) -> None:
    document = json.loads((folder / MANIFEST).read_text())
    document["signature"]["inputs"][0] |= change
    (folder / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="not a manifest"):
        Manifest.read(folder)


def test_a_default_that_is_not_a_number_survives_the_manifest(folder: Path) -> None:
    inputs = (Field("area", FLOAT64, default=math.nan),)
    manifest_of(folder, signature=replace(SIGNATURE, inputs=inputs)).write(folder)
    assert Manifest.read(folder).signature.inputs == inputs


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        Manifest.read(tmp_path)


def test_another_format_is_refused(folder: Path) -> None:
    document = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**document, "format": 2}))
    with pytest.raises(ArtifactError, match="format 2, this version reads 1"):
        Manifest.read(folder)


def test_a_key_that_this_version_does_not_know_is_refused(folder: Path) -> None:
    document = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**document, "onload": "import os"}))
    with pytest.raises(ArtifactError, match="not a manifest"):
        Manifest.read(folder)
