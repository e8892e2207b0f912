from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.trainer import Trainer
from stackwright_isolated.testing import build_apart
from stackwright_python import plugin


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Gives a trainer that runs a class of the project apart; what the class does is the adapter's doing."""
    with ExitStack() as opened:

        def trainer(code: str) -> Any:
            (tmp_path / "project_model.py").write_text(textwrap.dedent(code))
            options = {"class": "project_model:Model"}
            built = build_apart(spec_of(plugin, Trainer), make_context(tmp_path), **options)
            opened.callback(built.close)
            return built

        yield trainer
