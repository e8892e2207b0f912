"""The kits on an adapter that runs apart: in a process of its own, in the environment of the tests.

::

    class TestIsolatedDuckDB(Isolated, SQLCases, OfflineStoreCases):
        spec = spec_of(plugin, OfflineStore)
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from stackwright_interfaces.plugin import AdapterSpec, Context
from stackwright_interfaces.testing.adapters import AdapterCases
from stackwright_interfaces.testing.context import make_context
from stackwright_isolated.config import IsolatedConfig
from stackwright_isolated.parts import build
from stackwright_isolated.process import Launch


def build_apart(spec: AdapterSpec, context: Context, **given: Any) -> Any:
    """Build an adapter that is installed here in a process of its own, with these options."""
    launch = Launch(
        where=f"the isolated {spec.name!r}",
        python=Path(sys.executable),
        adapter=spec.name,
        provides=spec.provides.__name__,
        contract=spec.contract,
        factory=spec.factory,
        config=f"{spec.config.__module__}:{spec.config.__qualname__}",
        log=context.cache / f"{spec.name}.log",
    )
    return build(IsolatedConfig.of(launch, given), context)


class Isolated(AdapterCases):
    """Put it first: the cases then speak to a process."""

    def build(self, folder: Path, clock: Callable[[], datetime] | None = None) -> Any:
        """Build the adapter apart."""
        config = self.config(folder)
        given = {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}
        return build_apart(self.spec, make_context(folder, clock), **given)
