"""What BentoML's processes are told, and what they say: both cross as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

ORDERS: Final = "STACKWRIGHT_BENTOML"
"""Variable that holds the orders."""

_LONGEST: Final = 2000
"""Characters of a line that is written whole, whoever else writes (``PIPE_BUF`` is 4096 bytes)."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """File descriptors that every process inherits.

    Args:
        parent: read end of a pipe which is closed when the server is to end, or has died.
        words: write end of a pipe for what a worker has to say.
        listener: the listening socket.
        grace: seconds a process has from the closing of the first pipe to its own end.
    """

    parent: int
    words: int
    listener: int
    grace: float


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What the service is made of.

    Args:
        factory: ``"package.module:function"`` that returns the application.
        environment: variables that are set before the factory is imported.
        path: where else modules are looked for.
        folder: the working directory; empty for the one BentoML chose.
        workers: worker processes.
        timeout: seconds after which BentoML answers a request itself.
        batch: path of the application that batches go to; empty for none.
        batch_size: rows of a batch.
        batch_latency: seconds that a request to a batch may take.
        channel: to the server that started it; ``None`` in a bento, which BentoML itself starts.
    """

    factory: str
    environment: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    folder: str = ""
    workers: int = 1
    timeout: float = 60.0
    batch: str = ""
    batch_size: int = 100
    batch_latency: float = 1.0
    channel: Channel | None = None

    def to_json(self) -> str:
        """Return the JSON form."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Orders:
        """Read the JSON form."""
        given: dict[str, Any] = json.loads(text)
        channel = given.pop("channel")
        return cls(**{**given, "path": tuple(given["path"]), "channel": Channel(**channel) if channel else None})

    @classmethod
    def from_environment(cls) -> Orders:
        """Read the orders that the server put into the environment."""
        return cls.from_json(os.environ[ORDERS])


@dataclass(frozen=True)
class Word:
    """What a worker says.

    Args:
        kind: it begins to open its application; it accepts requests; or its application does not start.
        pid: the worker.
        text: why not.
    """

    kind: Literal["begun", "ready", "failed"]
    pid: int
    text: str = ""

    def say(self, channel: Channel) -> None:
        """Tell the server."""
        said = {**asdict(self), "text": " ".join(self.text.split())[:_LONGEST]}
        os.write(channel.words, json.dumps(said).encode("ascii")[:4095] + b"\n")
