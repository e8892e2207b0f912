"""Another server, set up by the variables that SageMaker gives a container."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.errors import AdapterNotInstalled, ServerError
from stackwright_interfaces.plugin import AdapterSpec, Context
from stackwright_interfaces.server import App, Cargo, Server
from stackwright_sagemaker.plugin import SageMakerConfig

PORT: Final = "SAGEMAKER_BIND_TO_PORT"
"""Variable with the port, where several containers share an instance."""

WORKERS: Final = "SAGEMAKER_MODEL_SERVER_WORKERS"
"""Variable with the number of worker processes."""


class SageMakerServer(Server):
    """See :class:`stackwright_interfaces.server.Server`."""

    def __init__(self, config: SageMakerConfig, context: Context) -> None:
        self._config = config
        self._server = hosting(config, context, os.environ)

    def serve(self, app: App, ready: Callable[[str], None]) -> None:
        """See :meth:`stackwright_interfaces.server.Server.serve`."""
        self._server.serve(app, ready)

    def image(self, cargo: Cargo, folder: Path) -> str:
        """See :meth:`stackwright_interfaces.server.SupportsImages.image`."""
        from stackwright_sagemaker.image import build

        build(
            cargo.app,
            cargo.project,
            folder,
            config=self._config,
            requirements=cargo.requirements,
            wheels=cargo.wheels,
        )
        return f"docker build -t {cargo.name} {folder}"

    def close(self) -> None:
        """Stop serving, for good. Closing twice is allowed."""
        self._server.close()


def hosting(config: SageMakerConfig, context: Context, environment: Mapping[str, str]) -> Server:
    """Return the server that hosts, with the options that the environment sets.

    Raises:
        AdapterNotInstalled: there is no such server adapter.
        ServerError: a variable of the environment is no number.
    """
    spec = _spec(config.server)
    options = {
        "host": config.host,
        "port": _number(environment, PORT, config.port),
        "workers": _number(environment, WORKERS, config.workers),
        "drain": config.drain,
    }
    module, _, name = spec.factory.partition(":")
    try:
        chosen = spec.config(**options)
    except (TypeError, ValueError) as error:
        raise ServerError("[server]", f"{config.server!r} cannot be set up ({error})", "Change the option.") from error
    server: Server = getattr(import_module(module), name)(chosen, context)
    return server


def _spec(name: str) -> AdapterSpec:
    points = entry_points(group="stackwright")
    for point in points:
        if point.name == name:
            plugin: Any = point.load()
            for spec in plugin.stackwright_adapters():
                if spec.name == name and spec.provides is Server:
                    found: AdapterSpec = spec
                    return found
    raise AdapterNotInstalled.named("[server] server", name, ())


def _number(environment: Mapping[str, str], variable: str, otherwise: int) -> int:
    text = environment.get(variable, "")
    if not text:
        return otherwise
    if not text.isdecimal():
        raise ServerError(f"environment {variable}", f"is {text!r}, no whole number", "Set a number, or unset it.")
    return int(text)
