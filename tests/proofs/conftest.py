from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def proof() -> Callable[[str], ModuleType]:
    """Give a proof of this folder by its name, as the command that runs them imports it."""

    def load(name: str) -> ModuleType:
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    return load


@pytest.fixture(scope="session")
def california_data() -> Path:
    folder = DATA / "nannyml_california"
    if not folder.exists():
        pytest.skip(f"NannyML's California set is not in {folder}")
    return folder
