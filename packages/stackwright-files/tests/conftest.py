from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackwright_files.plugin import FilesConfig
from stackwright_files.registry import FilesRegistry
from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_interfaces.testing.registry_trial import write_model
from stackwright_storage import open_storage


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def open_registry(tmp_path: Path, clock: SettableClock) -> Iterator[Callable[..., FilesRegistry]]:
    """Opens registries of the same project."""
    opened: list[FilesRegistry] = []

    def open_(**options: str) -> FilesRegistry:
        context = make_context(tmp_path / "project", clock, open_storage)
        opened.append(FilesRegistry(FilesConfig(**options), context))
        return opened[-1]

    yield open_
    for registry in opened:
        registry.close()


@pytest.fixture
def registry(open_registry: Callable[..., FilesRegistry]) -> FilesRegistry:
    return open_registry()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the registry's files lie."""
    return tmp_path / "project" / "registry"


@pytest.fixture
def model(tmp_path: Path) -> Callable[[bytes], Path]:
    """Gives the folder of a model with a payload."""

    def folder(payload: bytes) -> Path:
        place = tmp_path / "trained" / payload.hex()
        return place if place.exists() else write_model(place, payload)

    return folder
