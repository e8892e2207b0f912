"""A registry under test: built over a folder, fed with tiny models, used by many processes at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from stackwright_interfaces.model import GOLDEN, Manifest, Signature, describe_files
from stackwright_interfaces.registry import Event, ModelVersion, Registry
from stackwright_interfaces.testing.adapters import AdapterCases
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.types import FLOAT64, Field

_processes = get_context("fork")

NAME: Final = "valuation"
RECORD: Final = {"metrics": {"mdape": 0.083}, "lineage": {"seed": 7, "parent": None}, "tags": ["größer", 1]}


def write_model(folder: Path, payload: bytes = b"weights") -> Path:
    """Write a tiny model folder, and return it; its digest depends on the payload alone."""
    (folder / "trees").mkdir(parents=True)
    (folder / "trees" / "weights.bin").write_bytes(payload)
    (folder / GOLDEN).write_text('{"inputs": {"area": 70.0}, "outputs": {"price": 1.0}}\n')
    manifest = Manifest(
        flavour="none",
        files=describe_files(folder),
        signature=Signature(inputs=(Field("area", FLOAT64),), outputs=(Field("price", FLOAT64),)),
        task="regression",
        target="sale_price",
        service="valuation@1",
    )
    manifest.write(folder)
    return folder


def at(minute: int) -> datetime:
    """Return an instant of the test's day."""
    return NOON + timedelta(minutes=minute)


def alias(after: int | None, *, name: str = NAME, minute: int = 0, named: str = "champion", **more: Any) -> Event:
    """Return a line that moves an alias."""
    return Event(at=at(minute), kind="alias", name=name, alias=named, after=after, **more)


class RegistryTrial(AdapterCases):
    """What the cases of a registry share.

    Attributes:
        kills: children that are killed in a case of death; fewer where each takes long to start.
    """

    kills: ClassVar[int] = 40

    def open(self, folder: Path) -> Registry:
        """Build the registry over a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        registry: Registry = self.build(folder)
        return registry

    def alter(self, folder: Path, version: ModelVersion, payload: bytes) -> None:
        """Damage the stored payload of a version past the registry; override it where it lies elsewhere."""
        held = [path for path in folder.rglob("*") if path.is_file() and path.read_bytes() == payload]
        assert held, f"no file holds the payload of {version.ref}: override `alter`"
        for path in held:
            path.chmod(0o644)
            path.write_bytes(payload[:-1] + b"?")

    def copy(self, source: Path, target: Path) -> None:
        """Copy the registry of one folder to another; override it where objects lie elsewhere."""
        shutil.copytree(source, target)

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        """The project folder of the test's registry."""
        return tmp_path / "project"

    @pytest.fixture
    def registry(self, home: Path) -> Iterator[Registry]:
        """An empty registry."""
        registry = self.open(home)
        yield registry
        registry.close()

    @pytest.fixture
    def model(self, tmp_path: Path) -> Callable[[bytes], Path]:
        """Gives the folder of a model with a payload."""

        def folder(payload: bytes) -> Path:
            place = tmp_path / "trained" / payload.hex()
            return place if place.exists() else write_model(place, payload)

        return folder

    @pytest.fixture
    def three(self, registry: Registry, model: Callable[[bytes], Path]) -> list[ModelVersion]:
        """Three published versions of one model."""
        return [registry.publish(NAME, model(b"payload %d" % number), RECORD, who="ada") for number in range(3)]

    def at_once(self, home: Path, works: list[Callable[[Registry], Any]]) -> list[Any]:
        """Do each piece of work in a process of its own, all at the same moment, and return the answers in order."""
        barrier = _processes.Barrier(len(works))
        answers = _processes.SimpleQueue()

        def child(place: int, work: Callable[[Registry], Any]) -> None:
            registry = self.open(home)
            barrier.wait(60)
            answers.put((place, work(registry)))
            registry.close()

        children = [_processes.Process(target=child, args=pair) for pair in enumerate(works)]
        for process in children:
            process.start()
        for process in children:
            process.join(60)
        assert [process.exitcode for process in children] == [0] * len(children)
        return [answer for _, answer in sorted((answers.get() for _ in works), key=lambda pair: pair[0])]
