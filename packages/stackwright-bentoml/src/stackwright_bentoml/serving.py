"""The child process: ``bentoml serve`` over the socket that the server opened.

BentoML would open a socket of its own, which tells nobody its port and lets clients in until the last worker has ended;
and in a container it would not replace a worker that died. Both are set in the two classes of its process manager.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import circus.sockets
import circus.watcher

from stackwright_bentoml.hosting import end_with_parent
from stackwright_bentoml.orders import Channel, Orders


def main(arguments: list[str]) -> None:
    """Run ``bentoml serve`` until SIGTERM.

    Args:
        arguments: of ``bentoml serve``.
    """
    channel = Orders.from_environment().channel
    assert channel is not None
    end_with_parent(channel)
    _hand_over(channel)
    from bentoml_cli.cli import cli

    cli(["serve", "stackwright_bentoml.service:service", *arguments])


def _hand_over(channel: Channel) -> None:
    made = circus.watcher.Watcher.__init__

    def listen(opened: Any) -> None:
        os.dup2(channel.listener, opened.fileno())
        opened.host, opened.port = socket.socket.getsockname(opened)[:2]

    def watch(watcher: Any, *arguments: Any, **options: Any) -> None:
        made(watcher, *arguments, **{**options, "respawn": True, "graceful_timeout": channel.grace})

    circus.sockets.CircusSocket.bind_and_listen = listen
    circus.watcher.Watcher.__init__ = watch
