"""A project with one model, for gates to be asked about it one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.gates import Candidate
from stackwright.workflows.lineage.rejudging import rejudge


@pytest.fixture(scope="session")
def stack(filled: Path, tmp_path_factory: pytest.TempPathFactory, copies_of: Any) -> Iterator[Any]:
    """The stack of a project with one model that has intervals."""
    off = dict.fromkeys(GATE_OPTIONS, False)
    with copies_of(filled, tmp_path_factory.mktemp("alone")).open(gates=off, interval=0.8) as opened:
        opened.train()
        yield opened


@pytest.fixture
def good(stack: Any) -> Candidate:
    """The model with its rows, held against no champion."""
    found = rejudge(stack, "valuation").candidate
    found.__dict__["champion"] = None
    return found
