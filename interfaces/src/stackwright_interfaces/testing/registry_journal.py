"""Cases of a registry: aliases and the journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stackwright_interfaces.errors import AliasConflict, ModelNotFound, UsageError
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.registry import Event, ModelVersion, Registry
from stackwright_interfaces.testing.registry_trial import NAME, RegistryTrial, alias, at


class JournalCases(RegistryTrial):
    """Aliases move by compare-and-set and leave a line each."""

    def test_an_alias_is_set_and_resolved(self, registry: Registry, three: list[ModelVersion]) -> None:
        registry.record(alias(2))
        found = registry.resolve(ModelRef(NAME, alias="champion"))
        assert (found.version, found.digest, found.aliases) == (2, three[1].digest, ("champion",))

    def test_an_alias_moves_from_where_it_is_expected(self, registry: Registry, three: list[ModelVersion]) -> None:
        registry.record(alias(1))
        registry.record(alias(3), expected=1)
        assert registry.resolve(ModelRef(NAME, alias="champion")).version == 3
        assert registry.resolve(ModelRef(NAME, version=1)).aliases == ()

    @pytest.mark.parametrize("expected", [None, 2, 3])
    def test_an_alias_that_points_elsewhere_does_not_move(
        self, registry: Registry, three: list[ModelVersion], expected: int | None
    ) -> None:
        registry.record(alias(1))
        before, generation = registry.history(), registry.generation()
        with pytest.raises(AliasConflict):
            registry.record(alias(2), expected=expected)
        assert registry.history() == before
        assert registry.generation() == generation
        assert registry.resolve(ModelRef(NAME, alias="champion")).version == 1

    def test_an_alias_that_is_not_there_does_not_move(self, registry: Registry, three: list[ModelVersion]) -> None:
        with pytest.raises(AliasConflict):
            registry.record(alias(2), expected=1)
        with pytest.raises(ModelNotFound):
            registry.resolve(ModelRef(NAME, alias="champion"))

    def test_an_alias_can_be_removed_and_set_again(self, registry: Registry, three: list[ModelVersion]) -> None:
        registry.record(alias(1))
        registry.record(alias(None), expected=1)
        with pytest.raises(ModelNotFound):
            registry.resolve(ModelRef(NAME, alias="champion"))
        registry.record(alias(2))
        assert registry.resolve(ModelRef(NAME, alias="champion")).version == 2

    def test_aliases_of_one_version_and_of_other_models_do_not_mix(
        self, registry: Registry, three: list[ModelVersion], model: Callable[[bytes], Path]
    ) -> None:
        registry.publish("other", model(b"payload"), {})
        registry.record(alias(2, named="shadow"))
        registry.record(alias(2))
        registry.record(alias(1, name="other"))
        assert registry.resolve(ModelRef(NAME, version=2)).aliases == ("champion", "shadow")
        assert registry.resolve(ModelRef("other", alias="champion")).version == 1
        versions, _ = registry.history(NAME)
        assert [version.aliases for version in versions] == [(), ("champion", "shadow"), ()]

    @pytest.mark.parametrize("named", ["", "7", "a b", "a/b", "..\\x", "a@b"])
    def test_an_alias_that_no_reference_could_name_is_refused(
        self, registry: Registry, three: list[ModelVersion], named: str
    ) -> None:
        with pytest.raises(UsageError):
            registry.record(alias(1, named=named))

    def test_nothing_is_recorded_about_what_is_not_there(self, registry: Registry, three: list[ModelVersion]) -> None:
        before = registry.history()
        for event in (
            alias(4),
            alias(1, name="unknown"),
            Event(at=at(0), kind="evidence", name=NAME, version=4),
            Event(at=at(0), kind="evidence", name="unknown"),
        ):
            with pytest.raises(ModelNotFound):
                registry.record(event)
        assert registry.history() == before

    def test_the_generation_changes_whenever_an_alias_moves(
        self, registry: Registry, three: list[ModelVersion], home: Path
    ) -> None:
        other = self.open(home)
        seen = [other.generation()]
        for after, expected in ((1, None), (2, 1), (1, 2), (None, 1)):
            registry.record(alias(after), expected=expected)
            seen.append(other.generation())
            assert registry.generation() == seen[-1]
        assert len(set(seen)) == len(seen)
        assert other.generation() == seen[-1]
        other.close()

    def test_the_journal_tells_who_did_what_when_and_why_oldest_first(
        self, registry: Registry, model: Callable[[bytes], Path]
    ) -> None:
        gates = {"gates": [{"name": "baseline", "passed": True, "gain": 0.07}], "digest": "sha256:00"}
        registry.publish(NAME, model(b"one"), {}, who="ada")
        proof = Event(at=at(1), kind="evidence", name=NAME, version=1, who="ada", evidence=gates)
        registry.record(proof)
        registry.record(alias(1, minute=2, who="ada", why="first"))
        registry.publish(NAME, model(b"two"), {}, who="bob")
        registry.record(alias(2, minute=3, who="bob", why="better", evidence=gates), expected=1)
        registry.record(alias(1, minute=4, who="eve", why="rolled back"), expected=2)
        _, events = registry.history(NAME)
        published = [(event.version, event.who) for event in events if event.kind == "published"]
        assert published == [(1, "ada"), (2, "bob")]
        assert [event for event in events if event.kind == "evidence"] == [proof]
        moves = [event for event in events if event.kind == "alias"]
        assert [(move.before, move.after, move.who, move.why) for move in moves] == [
            (None, 1, "ada", "first"),
            (1, 2, "bob", "better"),
            (2, 1, "eve", "rolled back"),
        ]
        assert [move.at for move in moves] == [at(2), at(3), at(4)]
        assert moves[1].evidence == gates
        assert events[0].kind == "published"

    def test_the_history_of_one_model_holds_no_other(
        self, registry: Registry, three: list[ModelVersion], model: Callable[[bytes], Path]
    ) -> None:
        registry.publish("other", model(b"payload"), {})
        registry.record(alias(1, name="other"))
        registry.record(alias(1))
        versions, events = registry.history("other")
        assert [version.ref for version in versions] == ["other@1"]
        assert {event.name for event in events} == {"other"}
        every_version, every_event = registry.history()
        assert sorted(version.ref for version in every_version) == [
            "other@1",
            "valuation@1",
            "valuation@2",
            "valuation@3",
        ]
        assert len(every_event) == 6
        assert registry.history("unknown")[0] in ([], ())
