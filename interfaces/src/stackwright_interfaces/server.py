"""The server: hosts an ASGI application. It knows nothing of models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

CONTRACT: Final = 1


@dataclass(frozen=True, kw_only=True)
class App:
    """An application as it can cross into worker processes.

    Args:
        factory: ``"package.module:function"``; called without arguments in each worker, it returns an ASGI 3
            application and opens nothing before the lifespan starts.
        plan: file with the plan that the application reads.
        environment: variables the application needs, set before the factory is imported.
    """

    factory: str
    plan: Path
    environment: Mapping[str, str] = field(default_factory=dict)


class Server(ABC):
    """Hosts an application until it is told to stop."""

    @abstractmethod
    def serve(self, app: App, ready: Callable[[str], None]) -> None:
        """Serve in this thread until SIGTERM or SIGINT; finish accepted requests, then return.

        Args:
            ready: called once with the base URL when requests are accepted.

        Raises:
            ServerError: the address is taken, or the application failed to start.
        """

    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""


@dataclass(frozen=True, kw_only=True)
class Cargo:
    """What an image carries.

    Args:
        app: the application; plan and environment may name the project's folder.
        project: the project as far as it serves, models included.
        name: what the image is called, in lower case.
        requirements: ``name==version`` of all that it installs.
        wheels: of what no index has.
    """

    app: App
    project: Path
    name: str
    requirements: Sequence[str]
    wheels: Sequence[Path] = ()


@runtime_checkable
class SupportsImages(Protocol):
    """A server that writes images of a kind of its own (``Capability.IMAGES``)."""

    def image(self, cargo: Cargo, folder: Path) -> str:
        """Write what an image is made of into a folder that does not exist yet; return how to go on, as a command.

        Raises:
            ServerError: the folder exists, or it cannot be written.
        """
        ...
