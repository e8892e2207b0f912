"""Order and generation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from stackwright_files.registry import FilesRegistry
from stackwright_interfaces.registry import Event
from stackwright_interfaces.testing.context import SettableClock
from stackwright_interfaces.testing.registry_trial import alias, at

Model = Callable[[bytes], Path]


def test_a_version_is_created_when_the_clock_says(registry: FilesRegistry, model: Model, clock: SettableClock) -> None:
    assert registry.publish("valuation", model(b"p"), {}).created == clock()


def test_the_generation_counts_moves_alone(registry: FilesRegistry, model: Model) -> None:
    registry.publish("valuation", model(b"p"), {})
    registry.record(Event(at=at(0), kind="evidence", name="valuation", version=1))
    assert registry.generation() == "0"
    registry.record(alias(1))
    registry.record(Event(at=at(0), kind="evidence", name="valuation", version=1))
    assert registry.generation() == "1"


def test_asking_for_the_generation_reads_one_object_that_is_not_there(
    registry: FilesRegistry, model: Model, home: Path, open_registry: Callable[..., FilesRegistry]
) -> None:
    registry.publish("valuation", model(b"p"), {})
    registry.record(alias(1))
    assert registry.generation() == "1"
    (home / "journal/0000000001.json").unlink()
    assert registry.generation() == "1", "what is known is not read again"
    assert open_registry().generation() == "0"


def test_a_clock_that_was_set_back_reorders_neither_versions_nor_lines(
    registry: FilesRegistry, model: Model, clock: SettableClock
) -> None:
    clock.advance(timedelta(hours=5))
    registry.publish("valuation", model(b"one"), {})
    clock.advance(timedelta(hours=-5))
    registry.publish("valuation", model(b"two"), {})
    registry.record(alias(2, minute=9))
    registry.record(alias(1, minute=3), expected=2)
    versions, events = registry.history()
    assert [version.version for version in versions] == [1, 2]
    told = [(event.kind, event.version or event.after) for event in events]
    assert told == [("published", 1), ("published", 2), ("alias", 2), ("alias", 1)]


def test_lines_of_all_models_are_merged_by_time(registry: FilesRegistry, model: Model, clock: SettableClock) -> None:
    registry.publish("one", model(b"p"), {})
    registry.record(alias(1, name="one", minute=1))
    clock.advance(timedelta(minutes=2))
    registry.publish("two", model(b"p"), {})
    registry.record(alias(1, name="two", minute=3))
    _, events = registry.history()
    assert [(event.name, event.kind) for event in events] == [
        ("one", "published"),
        ("one", "alias"),
        ("two", "published"),
        ("two", "alias"),
    ]
