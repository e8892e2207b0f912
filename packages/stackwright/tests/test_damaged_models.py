"""Models that were cut, altered, blown up or pickled: refused before a parser sees them, and the process lives on."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.workflows.live.scoring import load
from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import Manifest, describe_files


class Trap:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes, Path], bytes]] = {
    "cut": lambda data, _: data[: len(data) * 2 // 3],
    "emptied": lambda _, __: b"",
    "one bit flipped": lambda data, _: flip(data),
    "blown up": lambda data, _: data + bytes(30_000_000),
    "pickled": lambda _, trap: pickle.dumps(Trap(trap)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_stored_file_that_was_damaged_is_refused_by_every_verb(
    work: Path, run: Any, tmp_path: Path, damage: Callable[[bytes, Path], bytes]
) -> None:
    (payload,) = work.glob("registry/files/**/model.txt")
    trap = tmp_path / "trap"
    payload.write_bytes(damage(payload.read_bytes(), trap))
    shutil.rmtree(work / ".stackwright" / "cache")
    for line in (
        ("predict", "home_id=0001", "rooms=2"),
        ("models", "show", "valuation"),
        ("promote", "valuation", "--alias", "shadow"),
        ("export", "valuation", tmp_path / "out"),
        ("reproduce", "valuation"),
    ):
        ran = run(*line, "--project", work)
        assert (ran.code, "model.txt" in ran.err, "Traceback" in ran.err) == (1, True, False), line
    assert not trap.exists()
    assert not (tmp_path / "out").exists()


def widen(data: bytes) -> bytes:
    """Return a model whose trees split by an input that does not exist; LightGBM's parser does not look."""
    head, mark, rest = data.partition(b"split_feature=")
    first, space, more = rest.partition(b" ")
    wide = head + mark + b"9" * len(first) + space + more
    assert len(wide) == len(data)
    return wide


HOSTILE: dict[str, Callable[[bytes, Path], bytes]] = {
    "cut": lambda data, _: data[: len(data) * 2 // 3],
    "leaves altered": lambda data, _: data.replace(b"leaf_value=", b"leaf_value=9", 1),
    "pickled": lambda _, trap: pickle.dumps(Trap(trap)),
    "split by nothing": lambda data, _: widen(data),
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_payload_whose_hashes_fit_ends_in_a_child_process(
    work: Path, tmp_path: Path, payload: Callable[[bytes, Path], bytes]
) -> None:
    trap, folder = tmp_path / "trap", tmp_path / "hostile"
    with stackwright.load(work) as stack:
        fetched = stack.registry.fetch(stack.registry.history()[0][0])
        manifest = Manifest.read(fetched)
        shutil.copytree(fetched, folder, copy_function=shutil.copyfile)
        (folder / "model.txt").write_bytes(payload((fetched / "model.txt").read_bytes(), trap))
        replace(manifest, files=describe_files(folder)).write(folder)
        version = stack.registry.publish("valuation", folder, {})
        with pytest.raises(ArtifactError):
            load(stack, version, probed=True)
    assert not trap.exists()


def test_a_file_that_the_manifest_does_not_name_is_not_published(work: Path, tmp_path: Path) -> None:
    with stackwright.load(work) as stack:
        folder = Path(
            shutil.copytree(
                stack.registry.fetch(stack.registry.history()[0][0]), tmp_path / "more", copy_function=shutil.copyfile
            )
        )
        (folder / "model.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "trap")))
        with pytest.raises(ArtifactError, match="not in the manifest"):
            stack.registry.publish("valuation", folder, {})
        assert len(stack.registry.history()[0]) == 1
    assert not (tmp_path / "trap").exists()
