"""The kit for a storage.

The whole test module of one; ``url`` is overridden where objects lie elsewhere than below a folder::

    from stackwright_interfaces.testing.storage import StorageCases


    class TestFileStorage(StorageCases):
        opener = "stackwright_storage:open_storage"
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import ClassVar, Final

import pytest

from stackwright_interfaces.errors import ObjectNotFound, PreconditionFailed, UsageError
from stackwright_interfaces.storage import Storage
from stackwright_interfaces.testing.adapters import filled, load, remove_objects
from stackwright_interfaces.testing.crashes import crashes

KEY: Final = "models/valuation/0000001.json"

REFUSED: Final = (
    "",
    "/absolute",
    "trailing/",
    "a//b",
    ".",
    "..",
    "../outside",
    "a/../../outside",
    "a/./b",
    "back\\slash",
    "line\nbreak",
    "zero\x00",
    "\ud800",
)
"""Keys that every storage refuses."""

_IN_A_CHILD = """
import importlib, json, sys
from stackwright_interfaces.errors import PreconditionFailed

opener, url, number = sys.argv[1:]
module, _, name = opener.partition(":")
storage = getattr(importlib.import_module(module), name)(url)
sys.stdin.readline()
won, counted = [], 0
for place in range(20):
    try:
        storage.put_if_absent(f"race/{place}", number.encode())
        won.append(place)
    except PreconditionFailed:
        pass
while counted < 20:
    found = storage.get("counter")
    try:
        storage.put_if_match("counter", b"%d" % (int(found.data) + 1), found.tag)
        counted += 1
    except PreconditionFailed:
        pass
print(json.dumps(won))
"""


class StorageCases:
    """Subclass it in a test module, under a name that starts with ``Test``.

    Attributes:
        opener: ``"package.module:callable"``, called with a URL or path.
        options: ``url``, a URL or path in which ``{name}`` or ``{folder}`` keeps tests apart.
        kills: children that are killed in a case of death; fewer where each takes long to start.
    """

    opener: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {"url": "{folder}/objects"}
    kills: ClassVar[int] = 25

    def url(self, folder: Path) -> str:
        """Return a URL or path that nothing but this test uses; override it where objects lie elsewhere."""
        url: str = filled(self.options, folder)["url"]
        return url

    def open(self, folder: Path) -> Storage:
        """Open the storage that belongs to a folder; again with the same one, it finds what is stored there."""
        vars(self).setdefault("_folders", {})[folder] = None
        open_storage: Callable[[str], Storage] = load(self.opener)
        return open_storage(self.url(folder))

    @pytest.fixture(autouse=True)
    def _left_tidy(self) -> Iterator[None]:
        """Remove what a test leaves where ``{name}`` keeps it apart; folders are removed by themselves."""
        yield
        if "{name}" in str(self.options):
            for folder in list(vars(self).get("_folders", ())):
                remove_objects(self.open(folder))

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        """An empty storage."""
        storage = self.open(tmp_path)
        yield storage
        storage.close()

    # --- get and put_if_absent ---

    def test_an_object_comes_back_as_it_was_put(self, storage: Storage) -> None:
        tag = storage.put_if_absent(KEY, b"\x00content\xff")
        found = storage.get(KEY)
        assert found.data == b"\x00content\xff"
        assert found.tag == tag

    @pytest.mark.parametrize("data", [b"", b"\r\n", bytes(range(256)) * 8192])
    def test_any_bytes_can_be_stored(self, storage: Storage, data: bytes) -> None:
        storage.put_if_absent(KEY, data)
        assert storage.get(KEY).data == data

    @pytest.mark.parametrize("data", [b"", bytes(range(256)) * 16_384])
    def test_an_object_is_fetched_into_a_file(self, storage: Storage, tmp_path: Path, data: bytes) -> None:
        tag = storage.put_if_absent(KEY, data)
        path = tmp_path / "fetched"
        path.write_bytes(b"what was there before")
        assert storage.fetch(KEY, path) == tag
        assert path.read_bytes() == data
        with pytest.raises(ObjectNotFound):
            storage.fetch("models/absent", path)

    def test_nothing_is_found_where_nothing_was_put(self, storage: Storage) -> None:
        with pytest.raises(ObjectNotFound):
            storage.get(KEY)
        storage.put_if_absent(KEY, b"content")
        for absent in ("models", "models/valuation", KEY + "/deeper", "models/valuation/0000002.json"):
            with pytest.raises(ObjectNotFound):
                storage.get(absent)

    def test_putting_where_something_is_changes_nothing(self, storage: Storage) -> None:
        tag = storage.put_if_absent(KEY, b"first")
        for data in (b"second", b"first"):
            with pytest.raises(PreconditionFailed):
                storage.put_if_absent(KEY, data)
        assert storage.get(KEY).data == b"first"
        assert storage.get(KEY).tag == tag

    def test_another_handle_sees_what_was_put(self, storage: Storage, tmp_path: Path) -> None:
        storage.put_if_absent(KEY, b"content")
        other = self.open(tmp_path)
        assert other.get(KEY) == storage.get(KEY)
        assert list(other.list()) == [KEY]
        other.close()

    def test_names_may_hold_dots_spaces_and_letters_of_any_script(self, storage: Storage) -> None:
        keys = ["a.b/.hidden/c d.json", "ключ/鍵.json", "..."]
        for key in keys:
            storage.put_if_absent(key, key.encode())
        assert [storage.get(key).data for key in keys] == [key.encode() for key in keys]
        assert sorted(storage.list()) == sorted(keys)

    # --- put_if_match ---

    def test_an_object_with_the_expected_tag_is_replaced(self, storage: Storage) -> None:
        first = storage.put_if_absent(KEY, b"first")
        second = storage.put_if_match(KEY, b"second", first)
        assert second != first
        assert storage.get(KEY).data == b"second"
        assert storage.get(KEY).tag == second

    def test_an_object_with_another_tag_is_left_alone(self, storage: Storage) -> None:
        first = storage.put_if_absent(KEY, b"first")
        storage.put_if_match(KEY, b"second", first)
        with pytest.raises(PreconditionFailed):
            storage.put_if_match(KEY, b"third", first)
        assert storage.get(KEY).data == b"second"

    def test_an_object_that_is_gone_is_not_made_again(self, storage: Storage) -> None:
        tag = storage.put_if_absent(KEY, b"first")
        storage.delete(KEY)
        with pytest.raises(PreconditionFailed):
            storage.put_if_match(KEY, b"second", tag)
        with pytest.raises(ObjectNotFound):
            storage.get(KEY)

    # --- list and delete ---

    def test_keys_are_listed_sorted_by_prefix(self, storage: Storage) -> None:
        keys = ["a-b/1", "a/1", "a/10", "a/2", "a/b/3", "ab", "b"]
        for key in reversed(keys):
            storage.put_if_absent(key, b"")
        assert list(storage.list()) == keys
        assert list(storage.list("a/")) == ["a/1", "a/10", "a/2", "a/b/3"]
        assert list(storage.list("a/1")) == ["a/1", "a/10"]
        assert list(storage.list("a")) == ["a-b/1", "a/1", "a/10", "a/2", "a/b/3", "ab"]
        assert list(storage.list("absent/")) == []
        assert list(storage.list("b/")) == []

    def test_an_empty_storage_lists_nothing(self, storage: Storage) -> None:
        assert list(storage.list()) == []
        assert list(storage.list("a/")) == []

    def test_a_deleted_object_is_gone_and_its_key_is_free(self, storage: Storage) -> None:
        storage.put_if_absent(KEY, b"first")
        storage.delete(KEY)
        with pytest.raises(ObjectNotFound):
            storage.get(KEY)
        assert list(storage.list()) == []
        storage.put_if_absent(KEY, b"second")
        assert storage.get(KEY).data == b"second"

    def test_deleting_nothing_does_nothing(self, storage: Storage) -> None:
        storage.delete(KEY)
        storage.put_if_absent(KEY, b"content")
        storage.delete("models/valuation")
        storage.delete(KEY + "/deeper")
        assert list(storage.list()) == [KEY]

    # --- keys ---

    @pytest.mark.parametrize("key", REFUSED)
    def test_a_key_that_is_not_relative_and_plain_is_refused(self, storage: Storage, key: str, tmp_path: Path) -> None:
        for action in (
            lambda: storage.get(key),
            lambda: storage.put_if_absent(key, b""),
            lambda: storage.put_if_match(key, b"", "tag"),
            lambda: storage.delete(key),
        ):
            with pytest.raises(UsageError):
                action()
        assert not (tmp_path / "outside").exists()

    @pytest.mark.parametrize("prefix", ["/", "../", "a/../b", "a\\"])
    def test_a_prefix_that_no_key_can_have_is_refused(self, storage: Storage, prefix: str) -> None:
        with pytest.raises(UsageError):
            storage.list(prefix)

    # --- many at once ---

    def test_of_many_processes_one_wins_each_race_and_no_change_is_lost(self, storage: Storage, tmp_path: Path) -> None:
        storage.put_if_absent("counter", b"0")
        arguments = [sys.executable, "-c", _IN_A_CHILD, self.opener, self.url(tmp_path)]
        children = [
            subprocess.Popen([*arguments, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for number in range(3)
        ]
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        won = [json.loads(child.communicate(timeout=120)[0]) for child in children]
        assert sorted(place for places in won for place in places) == list(range(20))
        for number, places in enumerate(won):
            assert all(storage.get(f"race/{place}").data == b"%d" % number for place in places)
        assert storage.get("counter").data == b"60"

    def test_a_reader_sees_the_old_or_the_new_object_whole(self, storage: Storage) -> None:
        size, versions = 200_000, 25
        tag = storage.put_if_absent(KEY, bytes(size))
        seen: list[bytes] = []
        done: list[bool] = []

        def read() -> None:
            while not done:
                seen.append(storage.get(KEY).data)

        reading = Thread(target=read)
        reading.start()
        try:
            for version in range(1, versions):
                tag = storage.put_if_match(KEY, bytes([version]) * size, tag)
            while len(seen) < 2 and reading.is_alive():
                pass
        finally:
            done.append(True)
            reading.join()
        assert len(seen) >= 2
        assert set(seen) <= {bytes([version]) * size for version in range(versions)}
        assert seen == sorted(seen)

    # --- death ---

    def test_a_put_that_is_killed_leaves_the_whole_object_or_none(self, tmp_path: Path) -> None:
        data = b"content" * 10_000

        def put(name: str) -> None:
            self.open(tmp_path / name).put_if_absent(KEY, data)

        def note(name: str) -> None:
            self.open(tmp_path / name).close()  # what a child that lives puts is removed too

        for name in crashes(put, prepare=note, at_most=self.kills):
            storage = self.open(tmp_path / name)
            present = list(storage.list())
            if present:
                assert present == [KEY]
                assert storage.get(KEY).data == data
            else:
                storage.put_if_absent(KEY, data)
            storage.close()

    def test_a_replacement_that_is_killed_leaves_the_old_object_or_the_new(self, tmp_path: Path) -> None:
        def put_first(name: str) -> None:
            self.open(tmp_path / name).put_if_absent(KEY, b"old")

        def replace(name: str) -> None:
            storage = self.open(tmp_path / name)
            storage.put_if_match(KEY, b"new", storage.get(KEY).tag)

        for name in crashes(replace, prepare=put_first, at_most=self.kills):
            storage = self.open(tmp_path / name)
            assert list(storage.list()) == [KEY]
            found = storage.get(KEY)
            assert found.data in {b"old", b"new"}
            storage.put_if_match(KEY, b"next", found.tag)
            storage.close()

    def test_it_may_be_closed_twice(self, storage: Storage) -> None:
        storage.close()
        storage.close()
