"""The kit for the half that answers now.

An adapter's whole test module, where it has a look past the store::

    from stackwright_interfaces.feature_store import OnlineStore
    from stackwright_interfaces.testing.adapters import spec_of
    from stackwright_interfaces.testing.kits import cases_of
    from stackwright_sqlite import plugin


    class TestSQLiteOnlineStore(cases_of(spec_of(plugin, OnlineStore))):
        def raw_rows(self, store, folder, view):
            ...

``ReaderCases`` come first where the spec declares ``Capability.READERS``, and are left out where it does not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from threading import Thread
from time import sleep
from typing import ClassVar, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import OnlineRow, OnlineStore, SupportsReaders
from stackwright_interfaces.plugin import Capability
from stackwright_interfaces.testing.adapters import AdapterCases
from stackwright_interfaces.testing.child import work_in_a_child

VIEW: Final = "pricing/listing@1"
OTHER: Final = "__watermarks"
ALIKE: Final = ("listing@1", "listing@10")


def token(event: int, created: int = 0, content: int = 0) -> bytes:
    """Return an order token of 24 bytes, as the composed store writes them."""
    return b"".join(part.to_bytes(8, "big") for part in (event + 2**63, created + 2**63, content))


def row(key: bytes, event: int, payload: bytes = b"payload", *, created: int = 0, content: int = 0) -> OnlineRow:
    """Return an online row."""
    return OnlineRow(key, token(event, created, content), payload)


def drop(store: OnlineStore, views: Iterable[str]) -> None:
    """Drop views, and close the store."""
    for view in views:
        store.drop(view)
    store.close()


class OnlineStoreCases(AdapterCases):
    """Subclass it in a test module, under a name that starts with ``Test``.

    Attributes:
        durable: whether what was written is there after the store was closed and built again.
    """

    durable: ClassVar[bool] = True

    def open(self, folder: Path) -> OnlineStore:
        """Build the store over a folder."""
        store: OnlineStore = self.build(folder)
        return store

    def raw_rows(self, store: OnlineStore, folder: Path, view: str) -> Mapping[bytes, bytes]:
        """Return key → payload of a view; override it with a look past the store, at its file or server."""
        return {found.key: found.payload for found in store.scan(view)}

    def tidy(self, folder: Path) -> None:
        """Drop every view that the cases write to."""
        drop(self.open(folder), (VIEW, OTHER, *ALIKE))

    def in_a_child(
        self, folder: Path, *, rows: Sequence[OnlineRow] = (), keys: Sequence[bytes] = ()
    ) -> list[bytes | None]:
        """Write rows in another process, which then dies, and return what a reader there finds under keys."""
        return work_in_a_child(self.spec, self.config(folder), folder, VIEW, rows, keys)

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[OnlineStore]:
        """A fresh store."""
        store = self.open(tmp_path)
        yield store
        store.close()

    # --- compare-and-set ---

    def test_a_new_key_is_stored(self, store: OnlineStore, tmp_path: Path) -> None:
        assert store.write(VIEW, [row(b"k", 1, b"one")]) == [True]
        assert store.read([VIEW], [[b"k"]]) == [[b"one"]]
        assert self.raw_rows(store, tmp_path, VIEW) == {b"k": b"one"}

    @pytest.mark.case(26)
    def test_a_smaller_token_is_refused(self, store: OnlineStore, tmp_path: Path) -> None:
        store.write(VIEW, [row(b"k", 2, b"newer")])
        assert store.write(VIEW, [row(b"k", 1, b"older")]) == [False]
        assert store.read([VIEW], [[b"k"]]) == [[b"newer"]]
        assert self.raw_rows(store, tmp_path, VIEW) == {b"k": b"newer"}

    @pytest.mark.case(27)
    def test_a_greater_token_replaces(self, store: OnlineStore, tmp_path: Path) -> None:
        store.write(VIEW, [row(b"k", 1, b"as first written", created=1)])
        assert store.write(VIEW, [row(b"k", 1, b"as corrected", created=2)]) == [True]
        assert store.read([VIEW], [[b"k"]]) == [[b"as corrected"]]
        assert self.raw_rows(store, tmp_path, VIEW) == {b"k": b"as corrected"}

    @pytest.mark.case(28)
    def test_an_equal_token_is_not_stored_again(self, store: OnlineStore, tmp_path: Path) -> None:
        store.write(VIEW, [row(b"k", 1, b"first")])
        assert store.write(VIEW, [row(b"k", 1, b"second")]) == [False]
        assert self.raw_rows(store, tmp_path, VIEW) == {b"k": b"first"}

    @pytest.mark.parametrize(
        ("smaller", "greater"),
        [
            (token(-1), token(0)),
            (token(2**62), token(2**62 + 1)),
            (token(1_742_000_000_000_000), token(1_742_000_000_000_001)),
            (token(0, 0, 2**63 - 1), token(0, 0, 2**63)),
            (token(0, 0, 0), token(0, 0, 1)),
            (b"\x00" * 24, b"\x00" * 23 + b"\xff"),
            (b"a" * 24, b"a" * 23 + b"b"),
            (b"A" * 24, b"a" * 24),
        ],
    )
    def test_tokens_compare_as_unsigned_bytes(self, store: OnlineStore, smaller: bytes, greater: bytes) -> None:
        assert store.write(VIEW, [OnlineRow(b"k", smaller, b"s")]) == [True]
        assert store.write(VIEW, [OnlineRow(b"k", greater, b"g")]) == [True]
        assert store.write(VIEW, [OnlineRow(b"k", smaller, b"s")]) == [False]
        assert store.read([VIEW], [[b"k"]]) == [[b"g"]]

    def test_a_write_tells_which_rows_were_stored_in_their_order(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"old", 5), row(b"same", 5), row(b"new", 5)])
        written = [row(b"new", 6), row(b"old", 4), row(b"unknown", 1), row(b"same", 5)]
        assert store.write(VIEW, written) == [True, False, True, False]

    @pytest.mark.case(29)
    @pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
    def test_of_one_key_in_one_call_the_greatest_wins_in_any_order(
        self, store: OnlineStore, tmp_path: Path, order: tuple[int, ...]
    ) -> None:
        taken = store.write(VIEW, [row(b"k", event, b"%d" % event) for event in order])
        assert [event for event, stored in zip(order, taken, strict=True) if stored] == [3]
        assert store.read([VIEW], [[b"k"]]) == [[b"3"]]
        assert self.raw_rows(store, tmp_path, VIEW) == {b"k": b"3"}

    def test_of_equal_tokens_in_one_call_one_is_stored(self, store: OnlineStore) -> None:
        written = [row(b"k", 1, b"a"), row(b"k", 1, b"b")]
        taken = store.write(VIEW, written)
        assert sum(taken) == 1
        assert store.read([VIEW], [[b"k"]]) == [[written[taken.index(True)].payload]]

    def test_writing_nothing_stores_nothing(self, store: OnlineStore) -> None:
        assert store.write(VIEW, []) == []
        assert list(store.scan(VIEW)) == []

    @pytest.mark.case(30)
    @settings(deadline=None, max_examples=20, database=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(
        st.lists(
            st.lists(st.tuples(st.sampled_from([b"a", b"b", b"\x00"]), st.integers(-3, 3), st.binary(max_size=4))),
            max_size=6,
        )
    )
    def test_whatever_is_written_the_greatest_token_of_each_key_stays(
        self, calls: list[list[tuple[bytes, int, bytes]]]
    ) -> None:
        greatest: dict[bytes, int] = {}
        with tempfile.TemporaryDirectory() as folder:
            store = self.open(Path(folder))
            try:
                for call in calls:
                    rows = [row(key, event, b"%d" % event + end) for key, event, end in call]
                    before = dict(greatest)
                    for key, event, _ in call:
                        greatest[key] = max(event, greatest.get(key, event))
                    taken = {rows[place].key for place, stored in enumerate(store.write(VIEW, rows)) if stored}
                    assert taken == {key for key in greatest if greatest[key] != before.get(key)}
                assert {found.key: found.order for found in store.scan(VIEW)} == {
                    key: token(event) for key, event in greatest.items()
                }
            finally:
                store.close()

    @pytest.mark.case(40)
    def test_a_read_during_a_write_sees_the_old_or_the_new_payload(self, store: OnlineStore) -> None:
        payloads = [bytes([version]) * 50_000 for version in range(40)]
        seen: list[bytes | None] = []
        done: list[bool] = []
        store.write(VIEW, [row(b"k", 0, payloads[0])])

        def read() -> None:
            handle = store.reader() if isinstance(store, SupportsReaders) else store
            while not done:
                seen.extend(handle.read([VIEW], [[b"k"]])[0])
            if handle is not store:
                handle.close()

        reading = Thread(target=read)
        reading.start()
        try:
            for version, payload in enumerate(payloads):
                store.write(VIEW, [row(b"k", version, payload)])
                before = len(seen)
                while len(seen) == before and reading.is_alive():
                    sleep(0.0005)
        finally:
            done.append(True)
            reading.join()
        assert len(seen) >= len(payloads)
        assert set(seen) <= set(payloads)
        assert seen == sorted(payload for payload in seen if payload is not None)

    # --- reading ---

    def test_an_absent_key_gives_none(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"k", 1)])
        assert store.read([VIEW], [[b"absent"]]) == [[None]]

    def test_a_view_never_written_holds_nothing(self, store: OnlineStore) -> None:
        assert store.read(["unknown@1"], [[b"k"]]) == [[None]]
        assert list(store.scan("unknown@1")) == []

    def test_an_empty_payload_is_not_absence(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"k", 1, b"")])
        assert store.read([VIEW], [[b"k", b"absent"]]) == [[b"", None]]

    @pytest.mark.case(34)
    def test_order_and_doubles_of_the_keys_are_kept(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"a", 1, b"A"), row(b"b", 1, b"B"), row(b"c", 1, b"C")])
        asked = [b"c", b"a", b"absent", b"c", b"b", b"a", b"absent"]
        assert store.read([VIEW], [asked]) == [[b"C", b"A", None, b"C", b"B", b"A", None]]

    def test_several_views_are_read_in_one_call(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"k", 1, b"of view")])
        store.write(OTHER, [row(b"k", 1, b"of other"), row(b"m", 1, b"more")])
        found = store.read([OTHER, VIEW, "unknown@1", OTHER], [[b"m", b"k"], [b"k"], [b"k"], [b"k", b"m"]])
        assert found == [[b"more", b"of other"], [b"of view"], [None], [b"of other", b"more"]]

    @pytest.mark.case(35)
    def test_reading_nothing_gives_nothing(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"k", 1)])
        assert store.read([], []) == []
        assert store.read([VIEW], [[]]) == [[]]
        assert store.read([VIEW, OTHER], [[], [b"k"]]) == [[], [None]]

    def test_views_do_not_mix(self, store: OnlineStore) -> None:
        first, tenth = ALIKE
        store.write(first, [row(b"k", 9, b"first")])
        assert store.write(tenth, [row(b"k", 1, b"tenth")]) == [True]
        assert store.read(ALIKE, [[b"k"], [b"k"]]) == [[b"first"], [b"tenth"]]

    def test_keys_and_payloads_are_any_bytes(self, store: OnlineStore) -> None:
        keys = [b"\x00", b"\x00\x00", b"a", b"a\x00", b"A", b"\xff\xfe", b"'; DROP", b"k" * 500, "ключ".encode()]
        store.write(VIEW, [row(key, 1, b"\x00" + key + b"\x00") for key in keys])
        assert store.read([VIEW], [keys]) == [[b"\x00" + key + b"\x00" for key in keys]]

    def test_a_payload_of_a_megabyte_comes_back_whole(self, store: OnlineStore) -> None:
        payload = bytes(range(256)) * 4096
        store.write(VIEW, [row(b"k", 1, payload)])
        assert store.read([VIEW], [[b"k"]]) == [[payload]]

    def test_thousands_of_rows_are_written_and_read_in_one_call(self, store: OnlineStore) -> None:
        rows = [row(b"key %d" % place, place, b"payload %d" % place) for place in range(5_000)]
        assert store.write(VIEW, rows) == [True] * 5_000
        assert store.read([VIEW], [[item.key for item in rows]]) == [[item.payload for item in rows]]

    def test_rows_of_one_size_are_read_as_others_are(self, store: OnlineStore) -> None:
        rows = [row(b"key %03d" % place, place, b"payload %03d" % place) for place in range(200)]
        for view in (VIEW, OTHER):
            store.write(view, rows)
        store.write(OTHER, [row(b"longer", 1, b"payload of another size")])
        some, payloads = [item.key for item in rows[::-3]], [item.payload for item in rows[::-3]]
        assert store.read([VIEW], [[*some, *some]]) == [[*payloads, *payloads]]
        assert store.read([OTHER, VIEW], [some, some]) == [payloads, payloads]
        assert store.read([VIEW], [[*some, b"absent"]]) == [[*payloads, None]]
        found = store.read([VIEW, OTHER], [[*some, b"longer"]] * 2)
        assert found == [[*payloads, None], [*payloads, b"payload of another size"]]

    def test_a_deadline_that_is_far_off_changes_nothing(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"k", 1, b"p")])
        assert store.read([VIEW], [[b"k"]], timeout=60.0) == [[b"p"]]

    # --- scanning and dropping ---

    def test_a_scan_gives_every_row_of_one_view(self, store: OnlineStore) -> None:
        rows = [row(b"key %d" % place, place, b"payload %d" % place) for place in range(3_000)]
        store.write(VIEW, rows)
        store.write(OTHER, [row(b"other", 1)])
        assert sorted(store.scan(VIEW), key=lambda found: found.order) == rows

    def test_dropping_keys_removes_them_and_counts(self, store: OnlineStore, tmp_path: Path) -> None:
        store.write(VIEW, [row(b"a", 1), row(b"b", 1), row(b"c", 1, b"C")])
        store.write(OTHER, [row(b"a", 1, b"other")])
        assert store.drop(VIEW, iter([b"a", b"absent", b"b", b"a"])) == 2
        assert store.read([VIEW, OTHER], [[b"a", b"b", b"c"], [b"a"]]) == [[None, None, b"C"], [b"other"]]
        assert self.raw_rows(store, tmp_path, VIEW) == {b"c": b"C"}

    def test_dropping_no_keys_removes_none(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"a", 1, b"A")])
        assert store.drop(VIEW, []) == 0
        assert store.read([VIEW], [[b"a"]]) == [[b"A"]]

    def test_dropping_a_view_removes_its_rows_only(self, store: OnlineStore, tmp_path: Path) -> None:
        store.write(VIEW, [row(b"a", 1), row(b"b", 1)])
        store.write(OTHER, [row(b"a", 1, b"other")])
        assert store.drop(VIEW) == 2
        assert store.drop(VIEW) == 0
        assert self.raw_rows(store, tmp_path, VIEW) == {}
        assert self.raw_rows(store, tmp_path, OTHER) == {b"a": b"other"}

    def test_a_dropped_key_may_be_written_with_any_token(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"k", 9)])
        store.drop(VIEW, [b"k"])
        assert store.write(VIEW, [row(b"k", 1, b"again")]) == [True]
        assert store.read([VIEW], [[b"k"]]) == [[b"again"]]

    # --- lasting ---

    def test_what_was_written_lasts_if_the_adapter_is_durable(self, tmp_path: Path) -> None:
        first = self.open(tmp_path)
        first.write(VIEW, [row(b"k", 5, b"five"), row(b"gone", 5)])
        first.drop(VIEW, [b"gone"])
        first.close()
        second = self.open(tmp_path)
        try:
            assert second.read([VIEW], [[b"k", b"gone"]]) == [[b"five" if self.durable else None, None]]
            assert second.write(VIEW, [row(b"k", 4, b"four")]) == [not self.durable]
        finally:
            second.close()

    def test_what_was_written_outlives_a_process_that_dies_if_the_adapter_is_durable(self, tmp_path: Path) -> None:
        self.in_a_child(tmp_path, rows=[row(b"k", 5, b"five")])
        store = self.open(tmp_path)
        try:
            assert store.read([VIEW], [[b"k"]]) == [[b"five" if self.durable else None]]
        finally:
            store.close()

    def test_the_reader_cases_are_run_exactly_where_readers_are_declared(self) -> None:
        assert isinstance(self, ReaderCases) == (Capability.READERS in self.spec.capabilities)


class ReaderCases(OnlineStoreCases):
    """The cases of an online store that declares ``Capability.READERS``."""

    def _reader(self, store: OnlineStore) -> OnlineStore:
        assert isinstance(store, SupportsReaders)
        return store.reader()

    def test_a_reader_sees_what_was_written_before_and_after_it_was_opened(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"k", 1, b"before")])
        reader = self._reader(store)
        try:
            assert reader.read([VIEW], [[b"k"]]) == [[b"before"]]
            store.write(VIEW, [row(b"k", 2, b"after")])
            assert reader.read([VIEW], [[b"k"]]) == [[b"after"]]
            assert [found.payload for found in reader.scan(VIEW)] == [b"after"]
            store.drop(VIEW, [b"k"])
            assert reader.read([VIEW], [[b"k"]]) == [[None]]
        finally:
            reader.close()

    def test_a_reader_of_a_store_never_written_to_finds_nothing(self, store: OnlineStore) -> None:
        reader = self._reader(store)
        try:
            assert reader.read([VIEW], [[b"k"]]) == [[None]]
            assert list(reader.scan(VIEW)) == []
        finally:
            reader.close()

    def test_a_reader_refuses_to_write_and_to_drop(self, store: OnlineStore) -> None:
        store.write(VIEW, [row(b"k", 1, b"kept")])
        reader = self._reader(store)
        try:
            with pytest.raises(FeatureStoreError):
                reader.write(VIEW, [row(b"k", 2, b"refused")])
            with pytest.raises(FeatureStoreError):
                reader.drop(VIEW)
        finally:
            reader.close()
        assert store.read([VIEW], [[b"k"]]) == [[b"kept"]]

    def test_closing_a_reader_leaves_the_writer_open(self, store: OnlineStore) -> None:
        reader = self._reader(store)
        reader.close()
        reader.close()
        assert store.write(VIEW, [row(b"k", 1, b"p")]) == [True]
        assert store.read([VIEW], [[b"k"]]) == [[b"p"]]

    def test_another_process_reads_while_this_one_writes(self, store: OnlineStore, tmp_path: Path) -> None:
        store.write(VIEW, [row(b"k", 1, b"from the parent")])
        found = self.in_a_child(tmp_path, keys=[b"k", b"absent"])
        assert found == [b"from the parent", None]
        assert store.write(VIEW, [row(b"k", 2, b"and on")]) == [True]
