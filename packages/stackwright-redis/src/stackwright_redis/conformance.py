"""What the conformance kits are told of the adapters: how tests share a server, and how events get into a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import redis


class RedisConformance:
    """A prefix a test, on the server that is given."""

    options: ClassVar[Mapping[str, Any]] = {"prefix": "{name}"}


class RedisStreamConformance:
    """A stream a test, on the server that is given."""

    options: ClassVar[Mapping[str, Any]] = {"stream": "{name}"}

    def send(self: Any, folder: Path, *events: dict[str, Any]) -> None:
        """Put events into the stream that a source built for this folder reads."""
        config = self.config(folder)
        with redis.Redis.from_url(config.url) as client:
            for event in events:
                client.xadd(config.stream, {"json": json.dumps(event)})

    def tidy(self: Any, folder: Path) -> None:
        """Remove the stream of a folder, and what readers committed."""
        config = self.config(folder)
        with redis.Redis.from_url(config.url) as client:
            client.unlink(config.stream, f"{config.stream}:{config.reader}:taken")
