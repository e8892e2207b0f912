"""The kit for stream sources.

An adapter's test module adds how events get into the stream::

    class TestRedisStream(StreamSourceCases):
        spec = spec_of(plugin, StreamSource)

        def config(self, folder):
            return plugin.RedisStreamConfig(url=self.url, stream=str(folder))

        def send(self, folder, *texts):
            ...
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from stackwright_interfaces.streams import StreamEvent, StreamSource
from stackwright_interfaces.testing.adapters import AdapterCases


class StreamSourceCases(AdapterCases):
    """Subclass it in a test module, under a name that starts with ``Test``."""

    def send(self, folder: Path, *events: dict[str, Any]) -> None:
        """Put events into the stream that a source built for this folder reads."""
        raise NotImplementedError

    @pytest.fixture
    def source(self, tmp_path: Path) -> Iterator[StreamSource]:
        """A source that was opened before any event came."""
        built = self.build(tmp_path)
        yield built
        built.close()

    def test_an_empty_stream_gives_nothing_at_once(self, source: StreamSource) -> None:
        started = monotonic()
        assert list(source.poll(10)) == []
        assert monotonic() - started < 2

    def test_events_come_in_order_and_once(self, source: StreamSource, tmp_path: Path) -> None:
        self.send(tmp_path, *({"number": number} for number in range(5)))
        assert numbers(source.poll(3)) == [0, 1, 2]
        self.send(tmp_path, {"number": 5})
        assert numbers(source.poll(10)) == [3, 4, 5]
        assert list(source.poll(10)) == []

    def test_what_was_not_committed_is_given_again_by_the_next_source(
        self, source: StreamSource, tmp_path: Path
    ) -> None:
        self.send(tmp_path, *({"number": number} for number in range(4)))
        first = source.poll(2)
        source.commit(first[-1].offset)
        source.poll(2)
        source.close()
        again = self.build(tmp_path)
        assert numbers(again.poll(10)) == [2, 3]
        again.close()

    def test_a_commit_in_the_middle_holds(self, source: StreamSource, tmp_path: Path) -> None:
        self.send(tmp_path, *({"number": number} for number in range(4)))
        source.commit(source.poll(4)[1].offset)
        again = self.build(tmp_path)
        assert numbers(again.poll(10)) == [2, 3]
        again.close()

    def test_committing_twice_changes_nothing(self, source: StreamSource, tmp_path: Path) -> None:
        self.send(tmp_path, {"number": 0}, {"number": 1})
        (first,) = source.poll(1)
        source.commit(first.offset)
        source.commit(first.offset)
        assert numbers(source.poll(10)) == [1]

    def test_texts_are_whole(self, source: StreamSource, tmp_path: Path) -> None:
        event = {"text": 'ünï "quoted"\n', "empty": "", "nothing": None, "list": [1, None]}
        self.send(tmp_path, event)
        (found,) = source.poll(1)
        assert json.loads(found.text) == event

    def test_it_waits_for_an_event_as_long_as_it_is_told(self, source: StreamSource) -> None:
        started = monotonic()
        assert list(source.poll(1, timeout=0.3)) == []
        assert monotonic() - started > 0.2


def numbers(events: Sequence[StreamEvent]) -> list[int]:
    """Return what the kit's events hold."""
    return [json.loads(event.text)["number"] for event in events]
