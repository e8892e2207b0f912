"""The kit for a registry.

The whole test module of one::

    from stackwright_interfaces.registry import Registry
    from stackwright_interfaces.testing.adapters import spec_of
    from stackwright_interfaces.testing.registry import RegistryCases, RunCases
    from stackwright_files import plugin


    class TestFilesRegistry(RunCases, RegistryCases):
        spec = spec_of(plugin, Registry)

``RunCases`` come first where the spec declares ``Capability.RUNS``, and are left out where it does not.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from stackwright_interfaces.errors import ArtifactError, ModelNotFound, UsageError
from stackwright_interfaces.model import MANIFEST, Manifest, ModelRef, describe_files
from stackwright_interfaces.plugin import Capability
from stackwright_interfaces.registry import ModelVersion, Registry, Run, SupportsRuns
from stackwright_interfaces.testing.registry_journal import JournalCases
from stackwright_interfaces.testing.registry_races import RaceCases
from stackwright_interfaces.testing.registry_trial import NAME, RECORD, alias, at, write_model

REFUSED: Final = (
    "",
    ".",
    "..",
    "../outside",
    "/absolute",
    "a/b/c",
    "a//b",
    "a/",
    "a@1",
    "a@champion",
    "a b",
    "a\\b",
    "1a",
)
"""Names that every registry refuses."""


class RegistryCases(JournalCases, RaceCases):
    """Subclass it in a test module, under a name that starts with ``Test``.

    Override ``storage`` where the registry keeps its objects in one, and ``alter`` and ``copy`` where what is published
    is no file below the project folder.
    """

    # --- publish and resolve ---

    def test_versions_are_numbered_from_one(self, three: list[ModelVersion]) -> None:
        assert [version.version for version in three] == [1, 2, 3]
        assert [version.ref for version in three] == ["valuation@1", "valuation@2", "valuation@3"]

    def test_a_version_has_the_digest_of_its_manifest_and_keeps_its_record(
        self, registry: Registry, model: Callable[[bytes], Path]
    ) -> None:
        published = registry.publish(NAME, model(b"payload"), RECORD)
        found = registry.resolve(ModelRef(NAME, version=1))
        assert found == published
        assert found.digest == Manifest.read(model(b"payload")).digest
        assert found.record == RECORD
        assert found.aliases == ()
        assert found.created.tzinfo is not None

    def test_a_bare_name_is_its_newest_version(self, registry: Registry, three: list[ModelVersion]) -> None:
        assert registry.resolve(ModelRef(NAME)) == three[2]
        assert registry.resolve(ModelRef(NAME, version=2)) == three[1]

    def test_what_is_not_there_is_not_found(self, registry: Registry, three: list[ModelVersion]) -> None:
        for missing in ("unknown", "unknown@1", "unknown@champion", "valuation@4", "valuation@0", "valuation@champion"):
            with pytest.raises(ModelNotFound):
                registry.resolve(ModelRef.parse(missing))

    def test_the_same_digest_again_is_the_same_version(
        self, registry: Registry, three: list[ModelVersion], model: Callable[[bytes], Path], home: Path
    ) -> None:
        _, before = registry.history()
        again = registry.publish(NAME, model(b"payload 0"), {"metrics": {}}, who="bob")
        assert again == three[0]
        other = self.open(home)
        assert other.publish(NAME, model(b"payload 1"), {}) == three[1]
        other.close()
        versions, events = registry.history()
        assert list(versions) == three
        assert list(events) == list(before)

    def test_models_are_numbered_apart_and_namespaces_do_not_mix(
        self, registry: Registry, model: Callable[[bytes], Path]
    ) -> None:
        names = ["valuation", "pricing/valuation", "pricing", "valuation/pricing", "versions", "valuation/versions"]
        for name in names:
            assert registry.publish(name, model(b"same"), {}).ref == f"{name}@1"
        registry.publish("pricing", model(b"next"), {})
        assert [registry.resolve(ModelRef(name)).version for name in names] == [1, 1, 2, 1, 1, 1]
        assert [version.ref for version in registry.history("pricing")[0]] == ["pricing@1", "pricing@2"]

    @pytest.mark.parametrize("name", REFUSED)
    def test_a_name_that_is_none_is_refused(
        self, registry: Registry, model: Callable[[bytes], Path], tmp_path: Path, name: str
    ) -> None:
        folder = model(b"payload")
        before = sorted(path for path in tmp_path.iterdir())
        with pytest.raises(UsageError):
            registry.publish(name, folder, {})
        with pytest.raises(UsageError):
            registry.resolve(ModelRef(name))
        with pytest.raises(UsageError):
            registry.record(alias(1, name=name))
        assert sorted(path for path in tmp_path.iterdir()) == before
        assert [list(part) for part in registry.history()] == [[], []]

    @pytest.mark.parametrize("fault", ["altered", "missing", "added", "no manifest", "another manifest"])
    def test_a_folder_that_is_not_what_its_manifest_says_is_refused(
        self, registry: Registry, tmp_path: Path, fault: str
    ) -> None:
        folder = write_model(tmp_path / "model")
        payload = folder / "trees" / "weights.bin"
        match fault:
            case "altered":
                payload.write_bytes(b"weighty")
            case "missing":
                payload.unlink()
            case "added":
                (folder / "extra.txt").write_text("extra")
            case "no manifest":
                (folder / MANIFEST).unlink()
            case _:
                (folder / MANIFEST).write_text("{}")
        with pytest.raises(ArtifactError):
            registry.publish(NAME, folder, {})
        with pytest.raises(ModelNotFound):
            registry.resolve(ModelRef(NAME))

    def test_a_record_that_is_not_json_is_refused(self, registry: Registry, model: Callable[[bytes], Path]) -> None:
        with pytest.raises(UsageError):
            registry.publish(NAME, model(b"payload"), {"trained": object()})
        with pytest.raises(ModelNotFound):
            registry.resolve(ModelRef(NAME))

    def test_what_was_published_and_recorded_lasts(
        self, registry: Registry, three: list[ModelVersion], home: Path
    ) -> None:
        registry.record(alias(2))
        before = registry.history()
        registry.close()
        again = self.open(home)
        assert again.resolve(ModelRef(NAME, alias="champion")).digest == three[1].digest
        assert again.history() == before
        again.close()

    # --- fetch ---

    def test_a_fetched_folder_is_the_published_one(
        self, registry: Registry, three: list[ModelVersion], model: Callable[[bytes], Path], tmp_path: Path
    ) -> None:
        wanted = describe_files(model(b"payload 1"))
        shutil.rmtree(tmp_path / "trained")
        folder = registry.fetch(three[1])
        assert describe_files(folder) == wanted
        assert Manifest.read(folder).digest == three[1].digest
        assert (folder / "trees" / "weights.bin").read_bytes() == b"payload 1"

    def test_fetching_again_gives_the_same_files(
        self, registry: Registry, three: list[ModelVersion], home: Path
    ) -> None:
        first = describe_files(registry.fetch(three[0]))
        assert describe_files(registry.fetch(three[0])) == first
        assert describe_files(registry.fetch(three[1])) != first
        other = self.open(home)
        assert describe_files(other.fetch(three[0])) == first
        other.close()

    def test_altered_files_are_not_handed_out(self, registry: Registry, three: list[ModelVersion], home: Path) -> None:
        registry.fetch(three[0])
        self.alter(home, three[0], b"payload 0")
        later = self.open(home)
        with pytest.raises(ArtifactError):
            later.fetch(three[0])
        assert Manifest.read(later.fetch(three[1])).digest == three[1].digest
        later.close()

    def test_a_version_of_another_digest_is_not_handed_out(self, registry: Registry, three: list[ModelVersion]) -> None:
        wrong = ModelVersion(name=NAME, version=1, digest=three[1].digest, created=three[0].created)
        with pytest.raises(ArtifactError):
            registry.fetch(wrong)

    # --- declarations ---

    def test_the_run_cases_are_run_exactly_where_runs_are_declared(self) -> None:
        assert isinstance(self, RunCases) == (Capability.RUNS in self.spec.capabilities)


def run(id_: str, *, minute: int = 0, name: str = NAME, status: str = "running", **more: Any) -> Run:
    """Return a run."""
    return Run(id=id_, name=name, status=status, started=at(minute), **more)


class RunCases(RegistryCases):
    """The cases of a registry that declares ``Capability.RUNS``."""

    @pytest.fixture
    def kept(self, registry: Registry) -> SupportsRuns:
        """The registry, as what keeps runs."""
        assert isinstance(registry, SupportsRuns)
        return registry

    def test_a_run_comes_back_as_it_was_saved(self, kept: SupportsRuns) -> None:
        whole = run(
            "2026-03-14_a1",
            status="finished",
            ended=at(5),
            parameters={"objective": "regression", "trees": 200, "rate": 0.05, "monotone": {"area": 1}, "seed": None},
            metrics={"mdape": 0.083, "rows": 12000.0},
            model="valuation@3",
            record={"owner": "ada", "steps": [{"step": 1, "loss": 0.5}]},
        )
        kept.save_run(whole)
        assert list(kept.runs()) == [whole]

    def test_a_run_is_replaced_by_its_id(self, kept: SupportsRuns) -> None:
        kept.save_run(run("a"))
        kept.save_run(run("a", status="failed", ended=at(1)))
        assert list(kept.runs()) == [run("a", status="failed", ended=at(1))]

    def test_runs_are_given_newest_first_and_by_name(self, kept: SupportsRuns) -> None:
        for id_, minute, name in (("c", 2, NAME), ("a", 3, "other"), ("b", 1, NAME)):
            kept.save_run(run(id_, minute=minute, name=name))
        assert [found.id for found in kept.runs()] == ["a", "c", "b"]
        assert [found.id for found in kept.runs(NAME)] == ["c", "b"]
        assert list(kept.runs("unknown")) == []

    def test_runs_are_no_models_and_last(self, kept: SupportsRuns, registry: Registry, home: Path) -> None:
        kept.save_run(run("a"))
        assert len(registry.history()[0]) == len(registry.history()[1]) == 0
        again = self.build(home)
        assert list(again.runs()) == list(kept.runs())
        again.close()
