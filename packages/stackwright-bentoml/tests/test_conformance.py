"""BentoML meets the contract of servers."""

from __future__ import annotations

import pytest

from stackwright_bentoml import plugin
from stackwright_interfaces.server import Server
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of


@pytest.mark.usefixtures("bentoml")
class TestBentoMLServer(cases_of(spec_of(plugin, Server))):
    pass
