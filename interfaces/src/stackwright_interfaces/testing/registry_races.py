"""Cases of a registry: many processes at once, and death in mid-work."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from stackwright_interfaces.errors import AliasConflict
from stackwright_interfaces.model import ModelRef, describe_files
from stackwright_interfaces.registry import Event, ModelVersion, Registry
from stackwright_interfaces.testing.crashes import crashes
from stackwright_interfaces.testing.registry_trial import NAME, RECORD, RegistryTrial, alias, at


class RaceCases(RegistryTrial):
    """Whoever comes second sees a whole state, and whoever dies leaves one."""

    def test_publishers_in_many_processes_get_a_version_each(self, home: Path, model: Callable[[bytes], Path]) -> None:
        def publish(folder: Path, one: Registry) -> int:
            return one.publish(NAME, folder, {}).version

        folders = [model(b"payload %d" % number) for number in range(4)]
        numbers = self.at_once(home, [partial(publish, folder) for folder in folders])
        assert sorted(numbers) == [1, 2, 3, 4]
        registry = self.open(home)
        for number, folder in zip(numbers, folders, strict=True):
            version = registry.resolve(ModelRef(NAME, version=number))
            assert describe_files(registry.fetch(version)) == describe_files(folder)
        registry.close()

    def test_publishers_of_one_digest_get_one_version(self, home: Path, model: Callable[[bytes], Path]) -> None:
        folder = model(b"payload")
        numbers = self.at_once(home, [lambda one: one.publish(NAME, folder, {}).version] * 4)
        assert numbers == [1, 1, 1, 1]
        registry = self.open(home)
        assert [version.version for version in registry.history()[0]] == [1]
        assert registry.fetch(registry.resolve(ModelRef(NAME))).is_dir()
        registry.close()

    def test_of_many_promoters_one_wins(self, registry: Registry, three: list[ModelVersion], home: Path) -> None:
        registry.record(alias(1))

        def promote(one: Registry) -> str:
            try:
                one.record(alias(2, minute=1), expected=1)
            except AliasConflict:
                return "refused"
            return "won"

        assert sorted(self.at_once(home, [promote] * 4)) == ["refused", "refused", "refused", "won"]
        moves = [event for event in registry.history()[1] if event.kind == "alias"]
        assert [(move.before, move.after) for move in moves] == [(None, 1), (1, 2)]

    def test_no_line_of_many_writers_is_lost(self, registry: Registry, three: list[ModelVersion], home: Path) -> None:
        def note(number: int) -> Callable[[Registry], object]:
            def write(one: Registry) -> None:
                for place in range(5):
                    why = f"{number}/{place}"
                    one.record(Event(at=at(place), kind="evidence", name=NAME, version=1, why=why))

            return write

        self.at_once(home, [note(number) for number in range(4)])
        noted = [event.why for event in registry.history()[1] if event.kind == "evidence"]
        assert sorted(noted) == sorted(f"{number}/{place}" for number in range(4) for place in range(5))

    # --- death ---

    def test_a_publication_that_is_killed_is_whole_or_not_there(
        self, tmp_path: Path, model: Callable[[bytes], Path]
    ) -> None:
        folder = model(b"payload")
        for name in crashes(
            lambda name: self.open(tmp_path / name).publish(NAME, folder, RECORD, who="ada"),
            prepare=lambda name: self.open(tmp_path / name).close(),  # what a child that lives publishes is removed too
            at_most=min(25, self.kills),
        ):
            registry = self.open(tmp_path / name)
            versions, events = registry.history()
            assert len(versions) <= 1
            assert [event.kind for event in events] == ["published"] * len(versions)
            for version in versions:
                assert version.record == RECORD
                assert describe_files(registry.fetch(version)) == describe_files(folder)
            again = registry.publish(NAME, folder, RECORD, who="ada")
            assert again.version == 1
            assert describe_files(registry.fetch(again)) == describe_files(folder)
            registry.close()

    def test_a_promotion_that_is_killed_moves_the_alias_and_leaves_a_line_or_neither(
        self, tmp_path: Path, model: Callable[[bytes], Path]
    ) -> None:
        prepared = tmp_path / "prepared"
        registry = self.open(prepared)
        for payload in (b"one", b"two"):
            registry.publish(NAME, model(payload), {})
        registry.record(alias(1))
        registry.close()

        def promote(name: str) -> None:
            self.open(tmp_path / name).record(alias(2, minute=1), expected=1)

        for name in crashes(promote, prepare=lambda name: self.copy(prepared, tmp_path / name), at_most=self.kills):
            registry = self.open(tmp_path / name)
            moves = [(event.before, event.after) for event in registry.history()[1] if event.kind == "alias"]
            champion = registry.resolve(ModelRef(NAME, alias="champion")).version
            assert (champion, moves) in [(1, [(None, 1)]), (2, [(None, 1), (1, 2)])]
            registry.record(alias(1, minute=2), expected=champion)
            registry.close()
