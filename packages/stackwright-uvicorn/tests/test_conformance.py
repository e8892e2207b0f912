"""The kit's cases on uvicorn."""

from __future__ import annotations

from stackwright_interfaces.server import Server
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of
from stackwright_uvicorn import plugin

TestUvicornServer = cases_of(spec_of(plugin, Server))
