"""The kit for a server.

The whole test module of one whose options are ``host``, ``port`` and ``workers``::

    from stackwright_interfaces.server import Server
    from stackwright_interfaces.testing.adapters import spec_of
    from stackwright_interfaces.testing.server import ServerCases
    from stackwright_uvicorn import plugin


    class TestUvicornServer(ServerCases):
        spec = spec_of(plugin, Server)

Every server runs in a child process, on a free port of 127.0.0.1, and hosts the application of
:mod:`stackwright_interfaces.testing.server_app`.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.testing import server_app
from stackwright_interfaces.testing.adapters import AdapterCases, configured
from stackwright_interfaces.testing.server_child import Running, ask, free_port, until, wait_for

Start = Callable[..., Running]


class ServerCases(AdapterCases):
    """Subclass it in a test module, under a name that starts with ``Test``."""

    def configure(self, port: int, workers: int = 1) -> Any:
        """Return the configuration of a server on 127.0.0.1; override it where the options have other names."""
        own = {"host": "127.0.0.1", "port": port, "workers": workers}
        return configured(self.spec, {**self.options, **own}, Path())

    @pytest.fixture
    def start(self, tmp_path: Path) -> Iterator[Start]:
        """Starts a server; the arguments are a factory of the application, and ``port``, ``workers``, ``colour``."""
        started: list[Running] = []

        def start(factory: str = "application", *, port: int = 0, workers: int = 1, colour: str = "") -> Running:
            config = self.configure(port or free_port(), workers)
            folder = tmp_path / f"server-{len(started)}"
            started.append(Running(self.spec, config, folder, factory, {server_app.COLOUR: colour}))
            return started[-1]

        yield start
        for running in started:
            running.clear()

    # --- serving ---

    def test_it_says_once_where_it_answers(self, start: Start) -> None:
        running = start()
        assert running.url().startswith("http://127.0.0.1:")
        assert not running.url().endswith("/")
        assert running.ask().status == 200
        running.tell()
        assert running.end() == 0
        assert running.said == [{"ready": running.url()}]

    def test_it_says_so_no_earlier_than_the_application_has_started(self, start: Start) -> None:
        running = start("slow_starting")
        running.await_workers()
        assert not wait_for(lambda: running.said, 0.3)
        running.let_go()
        assert running.ask().status == 200

    def test_a_worker_sees_the_environment_before_it_imports_the_application(self, start: Start) -> None:
        running = start(colour="blue=1, größer")
        assert running.ask().colour == "blue=1, größer"

    def test_a_body_goes_in_and_out_unchanged(self, start: Start) -> None:
        running = start()
        body = os.urandom(3_000_000)
        assert running.ask("/echo", body).body == body
        assert running.ask("/echo", b"").body == b""

    def test_a_request_that_fails_is_answered_with_500_and_the_next_one_is_served(self, start: Start) -> None:
        running = start()
        pid = running.ask().pid
        failed = running.ask("/broken")
        assert failed.status == 500
        assert b"Traceback" not in failed.body
        assert running.ask().pid == pid

    def test_several_workers_answer(self, start: Start) -> None:
        running = start(workers=2)
        running.url()
        assert len(running.workers) == 2
        answered: set[int] = set()

        def both_have_answered() -> bool:
            answered.update(clients.map(lambda _: running.ask("/busy").pid, range(4)))
            return answered == running.workers

        with ThreadPoolExecutor(4) as clients:
            until(both_have_answered)

    # --- stopping ---

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_told_to_stop_it_finishes_what_it_accepted_and_takes_no_more(self, start: Start, number: int) -> None:
        running = start(workers=2)
        running.url()
        workers = running.workers
        with ThreadPoolExecutor(1) as client:
            slow = client.submit(running.ask, "/slow")
            until((running.folder / server_app.ACCEPTED).exists)
            running.tell(number)
            until(lambda: not running.listens(), running.soon)
            assert running.process.poll() is None
            running.let_go()
            assert slow.result().status == 200
        assert running.process.wait(running.soon) == 0
        assert server_app.closed(running.folder) == workers
        assert running.workers == set()

    def test_an_idle_connection_does_not_hold_up_the_end(self, start: Start) -> None:
        running = start()
        connection = running.connect()
        assert ask(connection).status == 200
        assert ask(connection).status == 200
        running.tell()
        assert running.process.wait(running.soon) == 0
        connection.close()

    def test_it_can_be_stopped_before_it_is_ready(self, start: Start) -> None:
        running = start("slow_starting", workers=2)
        running.await_workers()
        running.tell()
        assert running.process.wait(running.soon) == 0
        assert running.said == []
        assert running.workers == set()

    # --- not starting ---

    def test_an_address_that_is_taken_is_named_in_one_line(self, start: Start) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            running = start(port=port)
            assert running.end() == 1
        assert str(port) in running.error
        assert "\n" not in running.error
        assert running.log == ""

    @pytest.mark.parametrize(
        ("factory", "words"),
        [
            ("impossible", "the plan is torn"),
            ("refusing", "the registry is away"),
            ("raising", "the store is shut"),
            ("absent", "absent"),
        ],
    )
    def test_an_application_that_does_not_start_is_an_error_with_its_words(
        self, start: Start, factory: str, words: str
    ) -> None:
        running = start(factory)
        assert running.end() == 1
        assert words in running.error
        assert "\n" not in running.error
        assert running.workers == set()

    # --- accidents ---

    def test_a_killed_worker_is_replaced(self, start: Start) -> None:
        running = start(workers=2)
        running.url()
        before = running.workers
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(running.workers - {killed}) == 2)
        assert before - running.workers == {killed}
        os.kill(max(before), signal.SIGKILL)
        until(lambda: (answer := running.answers()) and answer.pid not in before)
        running.tell()
        assert running.end() == 0
        assert len(running.said) == 1

    @pytest.mark.parametrize("factory", ["application", "slow_starting"])
    def test_workers_do_not_outlive_their_server(self, start: Start, factory: str) -> None:
        running = start(factory, workers=2)
        running.await_workers(2)
        running.process.kill()
        until(lambda: not running.workers, running.soon)
