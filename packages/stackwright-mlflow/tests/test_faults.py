"""Death in mid-work, a server that is away, and what people do in MLflow past the registry."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.errors import AliasConflict, ArtifactError, ModelNotFound, RegistryError
from stackwright_interfaces.model import ModelRef, describe_files
from stackwright_interfaces.registry import Event
from stackwright_interfaces.testing.context import SettableClock
from stackwright_interfaces.testing.registry_trial import alias, at
from stackwright_mlflow import journal
from stackwright_mlflow.registry import MlflowRegistry
from stackwright_mlflow.server import Server
from stackwright_mlflow.versions import ABANDONED, TOO_LONG

Model = Callable[[bytes], Path]
Client = Callable[[str], Any]
OpenRegistry = Callable[..., MlflowRegistry]

NAME = "valuation"


def die_at(request: int, work: Callable[[], object], *, answered: bool) -> bool:
    """Do a piece of work in a child that is killed before a request, or after its answer; tell whether it was."""

    def child() -> None:
        send, sent = Server._send, iter(range(1, 1000))

        def send_or_die(server: Server, *arguments: Any) -> Any:
            number = next(sent)
            if number == request and not answered:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return send(server, *arguments)
            finally:
                if number == request:
                    os.kill(os.getpid(), signal.SIGKILL)

        Server._send = send_or_die  # type: ignore[method-assign]
        work()

    process = get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


# --- death ---


def test_a_publication_killed_after_any_request_is_whole_or_invisible_and_then_made_good(
    open_registry: OpenRegistry, model: Model
) -> None:
    registry = open_registry()
    registry.publish(NAME, model(b"other"), {})
    folder = model(b"payload")
    seen: list[int] = []
    for request in range(1, 100):
        name = f"killed{request}"
        if not die_at(request, lambda name=name: open_registry().publish(name, folder, {"a": 1}), answered=True):
            break
        versions, events = registry.history(name)
        seen.append(len(versions))
        assert [event.kind for event in events] == ["published"] * len(versions)
        again = registry.publish(name, folder, {"a": 1})
        assert again.version == 1
        assert list(registry.history(name)[0]) == [again]
    assert seen == sorted(seen)
    assert set(seen) == {0, 1}
    assert len(seen) > 10
    assert describe_files(open_registry().fetch(again)) == describe_files(folder)


def test_a_promotion_killed_before_any_request_moves_the_alias_with_its_line_or_neither(
    open_registry: OpenRegistry, model: Model, client: Client, own: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry = open_registry()
    for payload in (b"one", b"two"):
        registry.publish(NAME, model(payload), {})
    champion: int | None = None
    moved: list[bool] = []
    for request in range(1, 100):
        target = 2 if champion == 1 else 1
        promoted = alias(target, minute=request)
        promote = partial(open_registry().record, promoted, expected=champion)
        if not die_at(request, promote, answered=False):
            break
        moves = [event for event in registry.history()[1] if event.kind == "alias"]
        moved.append(bool(moves) and moves[-1] == Event(**{**vars(promoted), "before": champion}))
        champion = target if moved[-1] else champion
        if champion is not None:
            assert registry.resolve(ModelRef(NAME, alias="champion")).version == champion
    assert set(moved) == {False, True}
    registry.record(alias(1, named="shadow"))
    seen = client(f"answer = client.get_registered_model('{own}.{NAME}').aliases")
    assert seen == {"champion": str(registry.resolve(ModelRef(NAME, alias="champion")).version), "shadow": "1"}


@pytest.fixture
def left_behind(registry: MlflowRegistry, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publication that was killed between MLflow's version and the journal line."""

    def die(*_arguments: object, **_files: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal.Journal, "append", die)
    with pytest.raises(KeyboardInterrupt):
        registry.publish(NAME, model(b"killed"), {})
    monkeypatch.undo()


def test_what_a_killed_publication_left_is_invisible_and_kept_for_a_day(
    registry: MlflowRegistry, left_behind: None, model: Model, client: Client, own: str, clock: SettableClock
) -> None:
    numbers = f"answer = sorted(int(v.version) for v in client.search_model_versions(\"name='{own}.{NAME}'\"))"
    assert client(numbers) == [1]
    assert [list(part) for part in registry.history()] == [[], []]
    with pytest.raises(ModelNotFound):
        registry.resolve(ModelRef(NAME, version=1))
    clock.advance(ABANDONED)
    assert registry.publish(NAME, model(b"next"), {}).version == 2
    assert client(numbers) == [1, 2]
    clock.advance(timedelta(seconds=1))
    assert registry.publish(NAME, model(b"later"), {}).version == 3
    assert client(numbers) == [2, 3]


def test_a_damaged_remainder_is_not_taken_over(
    registry: MlflowRegistry, left_behind: None, model: Model, server: Any
) -> None:
    folder = model(b"killed")
    for path in server.artifacts.rglob("weights.bin"):
        if path.read_bytes() == b"killed":
            path.write_bytes(b"kilted")
    version = registry.publish(NAME, folder, {})
    assert describe_files(registry.fetch(version)) == describe_files(folder)


def test_a_publication_that_took_too_long_gives_up(
    registry: MlflowRegistry, model: Model, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Server.upload

    def upload_slowly(server: Server, *arguments: Any) -> None:
        clock.advance(TOO_LONG)
        upload(server, *arguments)

    monkeypatch.setattr(Server, "upload", upload_slowly)
    with pytest.raises(RegistryError, match="publishing took more than 12:00:00"):
        registry.publish(NAME, model(b"slow"), {})


def test_a_journal_that_was_never_finished_is_removed_after_a_day(
    open_registry: OpenRegistry, model: Model, client: Client, own: str, clock: SettableClock
) -> None:
    names = f"answer = sorted(e.name for e in client.search_experiments() if e.name.startswith('{own} journal'))"
    folder = model(b"one")
    request = 0
    while f"{own} journal" not in (found := client(names)) and len(found) < 2:
        request += 1
        assert die_at(request, lambda: open_registry().publish(NAME, folder, {}), answered=True)
    clock.advance(ABANDONED + timedelta(seconds=1))
    open_registry().publish(NAME, folder, {})
    open_registry().publish(NAME, model(b"two"), {})
    assert client(names) == [f"{own} journal"]


# --- past the registry ---


def test_an_alias_moved_in_mlflow_is_told_not_followed_and_put_right(
    registry: MlflowRegistry, model: Model, client: Client, own: str, caplog: pytest.LogCaptureFixture
) -> None:
    for payload in (b"one", b"two"):
        registry.publish(NAME, model(payload), {})
    registry.record(alias(1))
    generation = registry.generation()
    client(f"client.set_registered_model_alias('{own}.{NAME}', 'champion', 2)")
    with caplog.at_level(logging.WARNING, "stackwright_mlflow"):
        for _ in range(2):
            assert registry.resolve(ModelRef(NAME, alias="champion")).version == 1
    (told,) = caplog.messages
    assert "Alias 'champion' of 'valuation' points to version 2 in MLflow, but to version 1 by the journal" in told
    assert registry.generation() == generation
    with pytest.raises(AliasConflict):
        registry.record(alias(2), expected=2)
    registry.record(alias(1, named="shadow"))
    assert client(f"answer = client.get_registered_model('{own}.{NAME}').aliases") == {
        "champion": "1",
        "shadow": "1",
    }


def test_a_version_deleted_in_mlflow_is_told_and_not_handed_out(
    registry: MlflowRegistry, model: Model, client: Client, own: str, caplog: pytest.LogCaptureFixture
) -> None:
    for payload in (b"one", b"two"):
        registry.publish(NAME, model(payload), {})
    registry.record(alias(2))
    client(f"client.delete_model_version('{own}.{NAME}', 2)")
    for reference in (f"{NAME}@2", f"{NAME}@champion"):
        with pytest.raises(ModelNotFound, match="was deleted in MLflow past this registry"):
            registry.resolve(ModelRef.parse(reference))
    with pytest.raises(ModelNotFound, match="was deleted in MLflow"):
        registry.record(alias(2, named="shadow"))
    assert registry.resolve(ModelRef(NAME)).version == 1
    versions, events = registry.history()
    assert [version.version for version in versions] == [1]
    assert [event.kind for event in events] == ["published", "published", "alias"]
    assert "was deleted in MLflow" in caplog.text
    again = registry.publish(NAME, model(b"two"), {})
    assert again.version == 3
    registry.record(alias(3), expected=2)
    assert registry.resolve(ModelRef(NAME, alias="champion")) == registry.resolve(ModelRef(NAME, version=3))


def test_a_version_that_mlflow_was_told_of_by_others_is_invisible(
    registry: MlflowRegistry, model: Model, client: Client, own: str
) -> None:
    registry.publish(NAME, model(b"one"), {})
    client(f"""
run = client.create_run("0")
client.create_model_version("{own}.{NAME}", run.info.artifact_uri + "/nowhere", run.info.run_id)
""")
    with pytest.raises(ModelNotFound):
        registry.resolve(ModelRef(NAME, version=2))
    assert registry.resolve(ModelRef(NAME)).version == 1
    assert registry.publish(NAME, model(b"two"), {}).version == 3


def test_a_digest_tag_that_was_altered_is_refused(
    registry: MlflowRegistry, model: Model, client: Client, own: str
) -> None:
    registry.publish(NAME, model(b"one"), {})
    client(f"client.set_model_version_tag('{own}.{NAME}', 1, 'stackwright.digest', 'sha256:00')")
    with pytest.raises(RegistryError, match="another digest or run"):
        registry.resolve(ModelRef(NAME))


@pytest.mark.parametrize("fault", ["flipped", "truncated", "oversized", "missing", "foreign"])
@pytest.mark.parametrize("file", ["trees/weights.bin", "manifest.json"])
def test_altered_artifacts_are_refused_before_anything_is_handed_out(
    open_registry: OpenRegistry, model: Model, server: Any, fault: str, file: str
) -> None:
    registry = open_registry()
    version = registry.publish(NAME, model(b"payload"), {})
    other = registry.publish(NAME, model(b"foreign"), {})
    published = registry._journal.known.published[NAME]
    path = server.artifacts / published[1].root / file
    data = path.read_bytes()
    match fault:
        case "flipped":
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        case "truncated":
            path.write_bytes(data[:-2])
        case "oversized":
            path.write_bytes(data + b" " * (1 << 22) + b"x")
        case "missing":
            path.unlink()
        case _:
            path.write_bytes((server.artifacts / published[2].root / file).read_bytes())
    fresh = open_registry()
    with pytest.raises(ArtifactError):
        fresh.fetch(version)
    assert not list(fresh._copies._local._folder.iterdir())
    assert describe_files(fresh.fetch(other)) == describe_files(model(b"foreign"))


def test_a_journal_that_was_deleted_or_renamed_in_mlflow_is_told(
    open_registry: OpenRegistry, model: Model, client: Client, own: str
) -> None:
    registry = open_registry()
    registry.publish(NAME, model(b"one"), {})
    id_ = client(f"answer = client.get_experiment_by_name('{own} journal').experiment_id")
    client(f"client.rename_experiment('{id_}', 'mine {own}')")
    with pytest.raises(RegistryError, match="the journal was renamed to 'mine"):
        open_registry().resolve(ModelRef(NAME))
    client(f"client.rename_experiment('{id_}', '{own} journal')")
    client(f"client.delete_experiment('{id_}')")
    with pytest.raises(RegistryError, match="was deleted in MLflow"):
        open_registry().generation()
    with pytest.raises(RegistryError, match="was deleted in MLflow"):
        registry.generation()
    client(f"client.restore_experiment('{id_}')")
    assert open_registry().resolve(ModelRef(NAME)).version == 1


# --- the server ---


def test_a_server_that_hangs_is_an_error_within_the_timeout(
    open_registry: OpenRegistry, model: Model, server: Any
) -> None:
    registry = open_registry(timeout=0.5)
    server.pause()
    try:
        started = time.monotonic()
        with pytest.raises(RegistryError, match="cannot be reached"):
            registry.generation()
        assert time.monotonic() - started < 5
    finally:
        server.resume()
    assert registry.generation() == "0"


def test_a_server_that_was_killed_is_told_and_found_again_when_it_is_back(
    open_registry: OpenRegistry, model: Model, server: Any
) -> None:
    registry = open_registry()
    version = registry.publish(NAME, model(b"one"), {})
    registry.record(alias(1))
    before = registry.history()
    server.kill()
    started = time.monotonic()
    for call in (
        registry.generation,
        lambda: registry.resolve(ModelRef(NAME)),
        lambda: registry.publish(NAME, model(b"two"), {}),
        lambda: registry.record(alias(None), expected=1),
    ):
        with pytest.raises(RegistryError, match="the MLflow server cannot be reached"):
            call()
    assert time.monotonic() - started < 20
    server.start()
    assert registry.history() == before
    assert registry.publish(NAME, model(b"two"), {}).version == 2
    assert describe_files(open_registry().fetch(version)) == describe_files(model(b"one"))


def test_lines_go_on_in_another_run_when_one_is_full(
    open_registry: OpenRegistry, model: Model, monkeypatch: pytest.MonkeyPatch, client: Client, own: str
) -> None:
    monkeypatch.setattr(journal, "LINES", 3)
    one, other = open_registry(), open_registry()
    one.publish(NAME, model(b"one"), {})
    for number in range(8):
        (one, other)[number % 2].record(Event(at=at(number), kind="evidence", name=NAME, why=str(number)))
    for registry in (one, other, open_registry()):
        assert [event.why for event in registry.history()[1]] == ["", *map(str, range(8))]
    parts = f"answer = len(client.search_runs([client.get_experiment_by_name('{own} journal').experiment_id]))"
    assert client(parts) == 3


def test_many_writers_share_full_runs_without_losing_a_line(
    open_registry: OpenRegistry, model: Model, monkeypatch: pytest.MonkeyPatch, client: Client, own: str
) -> None:
    monkeypatch.setattr(journal, "LINES", 2)
    open_registry().publish(NAME, model(b"one"), {})

    def write(number: int) -> None:
        registry = open_registry()
        for place in range(4):
            registry.record(Event(at=at(place), kind="evidence", name=NAME, why=f"{number}/{place}"))

    children = [get_context("fork").Process(target=write, args=(number,)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 3
    whys = [event.why for event in open_registry().history()[1] if event.kind == "evidence"]
    assert sorted(whys) == [f"{number}/{place}" for number in range(3) for place in range(4)]
