"""What pytest runs for ``--stackwright-project``: a test a gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.stack import Stack
from stackwright.pytest_plugin import MARK
from stackwright.workflows.gates.base import INAPPLICABLE, RED, WARNING
from stackwright.workflows.lineage.rejudging import Rejudged, rejudge
from stackwright_interfaces.errors import ModelNotFound, StackwrightError


class GateFailed(Exception):
    """A gate is red."""


class ModelGates(pytest.Collector):
    """A published version; its tests are the gates of the blueprint."""

    def __init__(self, rejudged: Rejudged, **given: Any) -> None:
        super().__init__(**given)
        self.rejudged = rejudged

    def collect(self) -> Iterator[GateTest]:
        """Give a test a gate."""
        for name in self.rejudged.gates:
            yield GateTest.from_parent(self, name=name, rejudged=self.rejudged)


class GateTest(pytest.Item):
    """A gate of a published version."""

    def __init__(self, rejudged: Rejudged, **given: Any) -> None:
        super().__init__(**given)
        self.rejudged = rejudged
        self.add_marker(MARK)

    def runtest(self) -> None:
        """Judge the version by the gate."""
        result = self.rejudged.judge(self.name)
        self.user_properties += [("detail", result.detail), ("state", result.state)]
        if result.state == INAPPLICABLE:
            pytest.skip(result.detail)
        if result.state == RED:
            raise GateFailed(f"gate {self.name} of {self.rejudged.version.ref} is red: {result.detail}")
        if result.state == WARNING:
            self.warn(pytest.PytestWarning(f"gate {self.name} of {self.rejudged.version.ref}: {result.detail}"))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what was found; where the gate could not be asked, what hindered it."""
        if isinstance(excinfo.value, GateFailed | StackwrightError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the gate is configured, and its name."""
        project = self.rejudged.stack.project
        return project.blueprint, 0, f"{self.rejudged.version.ref}: gate {self.name}"


class NeverPublished(pytest.Item):
    """A model of the blueprint without a version: there is nothing to judge."""

    def runtest(self) -> None:
        """Skip."""
        pytest.skip(f"model {self.name!r} was never published")

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the model is configured, and its name."""
        return self.path, 0, self.name


def gates_of_project(session: pytest.Session, config: pytest.Config) -> Iterator[pytest.Item]:
    """Give the tests of the project that the options name.

    Raises:
        pytest.UsageError: there is no such project or model, its blueprint cannot be built, or nothing was published.
    """
    env: str | None = config.getoption("stackwright_env")
    try:
        stack = Stack(config.getoption("stackwright_project"), env=env)
        config.add_cleanup(stack.close)
        chosen = config.getoption("stackwright_model")
        found, missing = ([rejudge(stack, ref) for ref in chosen], []) if chosen else _published(stack)
        for name in missing:
            yield NeverPublished.from_parent(session, name=name, nodeid=name, path=stack.project.blueprint)
        for rejudged in found:
            config.add_cleanup(rejudged.close)
            ref = rejudged.version.ref
            model = ModelGates.from_parent(
                session, name=ref, nodeid=ref, path=stack.project.blueprint, rejudged=rejudged
            )
            yield from model.collect()
    except StackwrightError as error:
        raise pytest.UsageError(str(error)) from error


def _published(stack: Stack) -> tuple[list[Rejudged], list[str]]:
    """Return the newest version of each model, and the models that have none.

    Raises:
        ModelNotFound: no model has any.
    """
    found, missing = [], []
    for name in stack.blueprint.models:
        try:
            found.append(rejudge(stack, name))
        except ModelNotFound:
            missing.append(name)
            if len(missing) == len(stack.blueprint.models):
                raise
    return found, missing
