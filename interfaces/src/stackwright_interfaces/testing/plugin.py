"""The pytest plugin of the kits: the marker that names a case, ``--case``, what a store cannot meet, and ``--matrix``.

A class of a kit may say which of its tests its adapter cannot meet, and why::

    class TestFeast(FeatureStoreCases):
        store_name = "feast"
        unmet = {"test_a_row_created_after_the_label_is_not_known": "Feast keeps no ..."}

Each is then expected to fail, strictly: one that passes after all is a failure. What says nothing about an adapter
stands in ``inapplicable`` in the same way, a test or a whole class of cases, and is skipped. A name that is neither is
an error.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from stackwright_interfaces import testing
from stackwright_interfaces.testing.outcomes import Gathering

_KITS = [kit.name for kit in pkgutil.iter_modules(testing.__path__, f"{testing.__name__}.") if kit.name != __name__]

pytest.register_assert_rewrite(*_KITS)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--case`` and ``--matrix``."""
    parser.addoption(
        "--case", type=int, action="append", metavar="N", help="run the tests of this case of the specification only"
    )
    parser.addoption("--matrix", metavar="FILE", help="write as JSON which store met which case, and why it did not")


def pytest_configure(config: pytest.Config) -> None:
    """Register the ``case`` marker, and what writes the matrix."""
    config.addinivalue_line("markers", "case(number): the case of the feature store's specification that a test states")
    path: str | None = config.getoption("--matrix")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writing(Path(path)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of other cases, if some were asked for; expect to fail what a store cannot meet."""
    for item in items:
        _expect(item)
        if store := getattr(getattr(item, "cls", None), "store_name", ""):
            cases = sorted({mark.args[0] for mark in item.iter_markers("case")})
            item.user_properties.append(("matrix", {"store": store, "cases": cases}))
    asked = config.getoption("--case")
    if not asked:
        return
    kept = [item for item in items if {mark.args[0] for mark in item.iter_markers("case")} & set(asked)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _expect(item: pytest.Item) -> None:
    kit: type = getattr(item, "cls", None) or object
    unmet: Mapping[str, str] = getattr(kit, "unmet", {})
    inapplicable: Mapping[str, str] = getattr(kit, "inapplicable", {})
    name = getattr(item, "originalname", item.name)
    of = next((cases.__name__ for cases in kit.__mro__ if name in vars(cases)), "")
    classes = [cases.__name__ for cases in kit.__mro__]
    for listed, names, known in (("unmet", unmet, []), ("inapplicable", inapplicable, classes)):
        unknown = [one for one in names if not hasattr(kit, one) and one not in known]
        if unknown:
            where = f"{kit.__module__}.{kit.__name__}"
            raise pytest.UsageError(f"{where}: {listed} names {', '.join(unknown)}, which is no test")
    if name in unmet:
        item.add_marker(pytest.mark.xfail(reason=unmet[name], strict=True))
    if reason := inapplicable.get(name) or inapplicable.get(of):
        item.add_marker(pytest.mark.skip(reason=reason))


class _Writing(Gathering):
    """Writes it at the end; what an earlier run wrote of other stores stays."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        known = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
        text = json.dumps({**known, **self.found}, indent=1, sort_keys=True)
        self._path.write_text(text + "\n", encoding="utf-8")
