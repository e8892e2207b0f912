"""The gates of a project as tests: ``pytest --stackwright-project=DIR`` adds one test a gate and published version.

Without the option nothing is imported and nothing is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    import pytest

MARK: Final = "stackwright_gate"

hookimpl = pluggy.HookimplMarker("pytest")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--stackwright-project``, ``--stackwright-model`` and ``--stackwright-env``."""
    group = parser.getgroup("stackwright", "gates of a stackwright project")
    group.addoption("--stackwright-project", metavar="DIR", help="run the gates of this project's published models")
    group.addoption(
        "--stackwright-model",
        metavar="REF",
        action="append",
        help="NAME, NAME@VERSION or NAME@ALIAS (default: the newest version of each model)",
    )
    group.addoption("--stackwright-env", metavar="NAME", help="the environment to lay over the blueprint")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that all gates have: ``-m stackwright_gate`` runs nothing else."""
    config.addinivalue_line("markers", f"{MARK}: a gate of a published model")


@hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the gates, where a project is named."""
    if config.getoption("stackwright_project"):
        from stackwright.gate_tests import gates_of_project

        items.extend(gates_of_project(session, config))
