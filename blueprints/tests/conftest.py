"""The realtime blueprint as its user gets it, and a small sample made for it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import stackwright_blueprints
from stackwright_interfaces.definitions import Definitions, Entity, FeatureService, FeatureView, Target
from stackwright_interfaces.plugin import Sample
from stackwright_market.sample import generate

REALTIME = Path(stackwright_blueprints.__file__).parent / "realtime"


@pytest.fixture(scope="session")
def features() -> ModuleType:
    spec = importlib.util.spec_from_file_location("realtime_features", REALTIME / "features.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def definitions(features: ModuleType) -> Definitions:
    found = list(vars(features).values())
    return Definitions(
        entities=tuple(item for item in found if isinstance(item, Entity)),
        views=tuple(item for item in found if isinstance(item, FeatureView)),
        services=tuple(item for item in found if isinstance(item, FeatureService)),
        targets=tuple(item for item in found if isinstance(item, Target)),
    )


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    options = {"listings": 2_000, "events": 20_000, "persons": 500}
    return generate(tmp_path_factory.mktemp("sample"), "realtime", options, lambda *_: None)
