"""The pytest plugin that comes with the kits: the marker that names a case of the specification, and ``--case``."""

from __future__ import annotations

import pkgutil

import pytest

from stackwright_interfaces import testing

_KITS = [kit.name for kit in pkgutil.iter_modules(testing.__path__, f"{testing.__name__}.") if kit.name != __name__]

pytest.register_assert_rewrite(*_KITS)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--case``."""
    parser.addoption(
        "--case", type=int, action="append", metavar="N", help="run the tests of this case of the specification only"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the ``case`` marker."""
    config.addinivalue_line("markers", "case(number): the case of the feature store's specification that a test states")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of other cases, if some were asked for."""
    asked = config.getoption("--case")
    if not asked:
        return
    kept = [item for item in items if {mark.args[0] for mark in item.iter_markers("case")} & set(asked)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
