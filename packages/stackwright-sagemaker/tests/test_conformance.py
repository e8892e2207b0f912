"""The server for SageMaker meets the contract of servers."""

from __future__ import annotations

from stackwright_interfaces.server import Server
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of
from stackwright_sagemaker import plugin

TestSageMakerServer = cases_of(spec_of(plugin, Server))
