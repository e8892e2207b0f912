"""An adapter's kit in a process of its own, without a test file: what ``stackwright conform`` starts.

:func:`main` takes a pickled dictionary, the fields of a :class:`Request`, on standard input, works in the current
folder, and writes a JSON object a line to standard output:

- ``{"cases": [...]}``, the tests as ``"Class::name"``, in the order in which they run;
- ``{"begun": test}`` before each of them;
- ``{"case": test, "result": ..., "reason": ..., "detail": ..., "seconds": ..., "numbers": [...]}`` after it:
  ``"passed"``, ``"failed"``, ``"expected failure"`` or ``"not applicable"``, and of a whole store the cases of its
  specification that the test states;
- ``{"matrix": {"stores": [...], "rows": [...], "notes": [...]}}`` in the end, where such a case was run;
- ``{"error": [class, where, found, todo]}`` where nothing can be run.

Whatever the tests and the adapter print goes to standard error.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import hypothesis
import pytest
from hypothesis import Phase

from stackwright_interfaces.errors import StackwrightError, UsageError
from stackwright_interfaces.plugin import AdapterSpec
from stackwright_interfaces.testing.matrix import Matrix
from stackwright_interfaces.testing.outcomes import Gathering, outcome, stated

_PHASES: Final = (Phase.explicit, Phase.generate, Phase.shrink)
"""Explaining a failure takes many times as long as finding it."""

_MODULE: Final = """
from stackwright_interfaces.testing import run

globals().update(run.requested())
"""

_asked: list[Request] = []


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be run.

    Args:
        spec: the adapter.
        attributes: of the class of cases; see :func:`stackwright_interfaces.testing.kits.cases_of`.
        only: run the tests alone whose names contain this.
        composer: ``"package.module:callable"`` that makes a whole store of two halves; half of a store then meets the
            cases of a whole one too.
    """

    spec: AdapterSpec
    attributes: Mapping[str, Any]
    only: str = ""
    composer: str = ""


def requested() -> dict[str, type]:
    """Return the classes of cases of the request; pytest has taken the kits in hand by now.

    Raises:
        UsageError: an option that the adapter needs is not given.
        PluginError: there is no kit, the adapter's declaration cannot be imported, or nothing is installed that could
            stand beside half of a store.
    """
    from stackwright_interfaces.testing.adapters import AdapterCases, load, missing
    from stackwright_interfaces.testing.feature_store import FeatureStoreCases
    from stackwright_interfaces.testing.kits import cases_of, composed_cases_of, is_half

    (request,) = _asked
    cases: Any = cases_of(request.spec, **request.attributes)
    configured = getattr(cases, "config", None) is AdapterCases.config
    absent = missing(request.spec, cases.options) if configured else []
    needed = [name for name in absent if request.spec.config.__annotations__.get(name) not in ("Path", Path)]
    if needed:
        todo = "Add: " + " ".join(f"--set {name}=..." for name in needed)
        raise UsageError(f"adapter {request.spec.name!r}", f"{' and '.join(needed)} must be given", todo)
    found = {"TestConformance": cases}
    if request.composer and is_half(request.spec):
        found["TestInAStore"] = composed_cases_of(request.spec, load(request.composer), **request.attributes)
    for whole in found.values():
        if issubclass(whole, FeatureStoreCases):
            whole.store_name = request.spec.name
    return found


def main() -> None:
    """Run the request of standard input; the exit code is pytest's."""
    _asked.append(Request(**pickle.load(sys.stdin.buffer)))
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    hypothesis.settings.register_profile("conform", phases=_PHASES, report_multiple_bugs=False)
    hypothesis.settings.load_profile("conform")
    folder = Path.cwd()
    (folder / "test_conformance.py").write_text(_MODULE, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n", encoding="utf-8")
    plugins = ("no:cacheprovider", "no:terminal", "stackwright_interfaces.testing.plugin")
    options = [f"--rootdir={folder}", f"--basetemp={folder / 'work'}", *(f"-p{name}" for name in plugins)]
    sys.exit(pytest.main([*options, "test_conformance.py"], plugins=[_Reporter(report, _asked[0])]))


class _Reporter(Gathering):
    """Writes down what becomes of each test."""

    def __init__(self, report: TextIO, request: Request) -> None:
        super().__init__()
        self._report = report
        self._request = request
        self._phases: list[pytest.TestReport] = []

    def _tell(self, **line: Any) -> None:
        self._report.write(json.dumps(line) + "\n")
        self._report.flush()

    def pytest_exception_interact(self, call: pytest.CallInfo[Any], report: Any) -> None:
        """Tell why the cases cannot be collected."""
        if isinstance(report, pytest.CollectReport) and call.excinfo is not None:
            error = call.excinfo.value
            said = error.args if isinstance(error, StackwrightError) else ("the conformance kit", str(error), "")
            self._tell(error=(type(error).__name__, *said))

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        """Leave out what was not asked for; tell what is wrong with the declaration."""
        items[:] = [item for item in items if self._request.only in item.name]
        try:
            yield
        except pytest.UsageError as error:
            self._tell(error=("PluginError", f"adapter {self._request.spec.name!r}", str(error), "Correct it."))
            raise

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell what will be run."""
        self._tell(cases=[_name(item.nodeid) for item in session.items])

    def pytest_sessionfinish(self) -> None:
        """Tell what need not be met, and which cases of a whole store are."""
        from stackwright_interfaces.testing.kits import undeclared

        for name, capability in undeclared(self._request.spec):
            if self._request.only in name:
                told = {"result": "not applicable", "reason": f"it does not declare {capability.value}"}
                self._tell(case=f"TestConformance::{name}", **told, detail="", seconds=0.0, numbers=[])
        if self.found:
            tried = sorted({int(case) for cases in self.found.values() for case in cases})
            self._tell(matrix=vars(Matrix.of(self.found, tried)))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell that a test begins."""
        self._tell(begun=_name(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what became of setting up, running and clearing away."""
        super().pytest_runtest_logreport(report)
        self._phases.append(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Tell what became of a test."""
        phases, self._phases = self._phases, []
        told = next((phase for phase in phases if phase.failed), None)
        told = told or next((phase for phase in phases if phase.skipped), phases[-1])
        result, reason = outcome(told)
        detail = "\n".join([told.longreprtext, *(text for _, text in told.sections)]) if told.failed else ""
        seconds = sum(phase.duration for phase in phases)
        numbers = [case for about in stated(told) for case in about["cases"]]
        self._tell(case=_name(nodeid), result=result, reason=reason, detail=detail, seconds=seconds, numbers=numbers)


def _name(nodeid: str) -> str:
    """Return ``"Class::name"`` of a test."""
    return nodeid.partition("::")[2]
