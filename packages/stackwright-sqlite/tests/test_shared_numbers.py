"""Keys that share their number, which a hash of 64 bits lets happen once in a lifetime: here every key does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.testing.context import make_context
from stackwright_sqlite import places, reading, writing
from stackwright_sqlite.online import SQLiteOnlineStore
from stackwright_sqlite.plugin import SQLiteConfig

VIEWS = ("first", "second")
KEYS = [bytes([letter]) * length for letter in b"abc" for length in (1, 2, 3)]

views = st.sampled_from(VIEWS)
keys = st.lists(st.sampled_from(KEYS), max_size=5)
orders = st.integers(0, 3).map(lambda number: b"%d" % number)
sizes = st.sampled_from((1, 1, places.ROW))


class CrowdedStore(RuleBasedStateMachine):
    """A store, and a dictionary that says what it must hold."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        config = SQLiteConfig(path=self.folder / f"{len(list(self.folder.iterdir()))}.db")
        self.store = SQLiteOnlineStore(config, make_context(self.folder))
        self.held: dict[str, dict[bytes, tuple[bytes, bytes]]] = {view: {} for view in VIEWS}

    @rule(view=views, written=keys, order=orders, size=sizes)
    def write(self, view: str, written: list[bytes], order: bytes, size: int) -> None:
        rows = [OnlineRow(key, order, (key + order) * size) for key in dict.fromkeys(written)]
        newer = [row.key not in self.held[view] or row.order > self.held[view][row.key][0] for row in rows]
        assert self.store.write(view, rows) == newer
        stored = (row for row, is_newer in zip(rows, newer, strict=True) if is_newer)
        self.held[view].update({row.key: (row.order, row.payload) for row in stored})

    @rule(view=views, dropped=keys)
    def drop(self, view: str, dropped: list[bytes]) -> None:
        there = {key for key in dropped if self.held[view].pop(key, None)}
        assert self.store.drop(view, dropped) == len(there)

    @rule(view=views)
    def drop_all(self, view: str) -> None:
        assert self.store.drop(view) == len(self.held[view])
        self.held[view] = {}

    @invariant()
    def every_key_is_read_in_every_view(self) -> None:
        expected = [[self.held[view].get(key, (b"", None))[1] for key in KEYS] for view in VIEWS]
        assert self.store.read(VIEWS, [KEYS, KEYS]) == expected

    @invariant()
    def every_row_is_scanned_once(self) -> None:
        for view in VIEWS:
            found = [(row.key, (row.order, row.payload)) for row in self.store.scan(view)]
            assert sorted(found) == sorted(self.held[view].items())

    def teardown(self) -> None:
        self.store.close()


def test_keys_of_one_number_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (places, reading, writing):
        monkeypatch.setattr(module, "numbers_of", lambda keys: [len(key) for key in keys])

    monkeypatch.setattr(writing, "SAMPLE", 1)

    class Crowded(CrowdedStore):
        folder = tmp_path

    case: Any = Crowded.TestCase
    case.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
    case().runTest()
