"""The kit's cases on uvicorn."""

from __future__ import annotations

from stackwright_interfaces.server import Server
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.server import ServerCases
from stackwright_uvicorn import plugin


class TestUvicornServer(ServerCases):
    spec = spec_of(plugin, Server)
