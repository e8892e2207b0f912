"""A new project from a blueprint, with its sample on request."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.discovery import Plugins
from stackwright.assembly.project import Project
from stackwright.workflows.new import load_sample, new
from stackwright_interfaces.errors import PluginError, ProjectError, UsageError
from stackwright_interfaces.plugin import BlueprintSpec, Progress, Sample, SampleSpec, hookimpl

OPTIONS: dict[str, Any] = {"seed": 7, "share": 0.5, "wide": False, "name": "town"}


def silent(_what: str, _done: int, _total: int) -> None:
    return None


def generate(folder: Path, blueprint: str, options: dict[str, Any], progress: Progress) -> Sample:
    """Write a sample that says what it was asked for."""
    (folder / "homes.parquet").write_text(json.dumps(options))
    (folder / "requests.parquet").write_text(blueprint)
    return Sample(
        views={"homes": folder / "homes.parquet"},
        labels={},
        late_labels={},
        requests=folder / "requests.parquet",
        split=datetime(2024, 6, 1, tzinfo=UTC),
        truth={"shift": 0.2},
    )


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    source = tmp_path / "blueprint"
    source.mkdir()
    for name in ("blueprint.toml", "features.py", "README.md"):
        (source / name).write_text(f"# {name}\n")

    class Offers:
        @hookimpl
        def stackwright_blueprints(self) -> Iterable[BlueprintSpec]:
            return [
                BlueprintSpec(name="town", folder=source, sample="town"),
                BlueprintSpec(name="village", folder=source, sample="town", sample_options={"share": 0.1}),
                BlueprintSpec(name="bare", folder=source),
            ]

        @hookimpl
        def stackwright_samples(self) -> Iterable[SampleSpec]:
            return [SampleSpec(name="town", factory=f"{__name__}:generate", options=OPTIONS)]

    return Plugins(extra={"town": Offers()})


def made(plugins: Plugins, folder: Path, *, sample: bool = False, **options: str) -> Any:
    return new(folder, "town", sample=sample, options=options, progress=silent, plugins=plugins)


@pytest.mark.parametrize(("given", "share"), [({}, 0.1), ({"share": "0.3"}, 0.3)], ids=["left out", "given"])
def test_a_blueprint_knows_which_sample_fits_it(
    plugins: Plugins, tmp_path: Path, given: dict[str, str], share: float
) -> None:
    new(tmp_path / "project", "village", sample=True, options=given, progress=silent, plugins=plugins)
    written = json.loads((tmp_path / "project" / "sample" / "homes.parquet").read_text())
    assert written == {**OPTIONS, "share": share}


def test_a_project_has_the_blueprints_files(plugins: Plugins, tmp_path: Path) -> None:
    outcome = made(plugins, tmp_path / "a" / "new")
    assert sorted(path.name for path in (tmp_path / "a" / "new").iterdir()) == [
        "README.md",
        "blueprint.toml",
        "features.py",
    ]
    assert outcome.data == {"project": str(tmp_path / "a" / "new"), "blueprint": "town", "sample": False}
    assert load_sample(Project.find(tmp_path / "a" / "new")) is None


def test_an_empty_folder_is_taken_and_any_other_refused(plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    made(plugins, tmp_path / "new")
    with pytest.raises(ProjectError, match=r"the folder is not empty. Name a new folder"):
        made(plugins, tmp_path / "new")


def test_a_sample_is_made_with_its_options_and_found_again(plugins: Plugins, tmp_path: Path) -> None:
    made(plugins, tmp_path / "new", sample=True, seed="11", share="0.25", wide="true", name="x=y")
    found = load_sample(Project.find(tmp_path / "new"))
    assert found is not None
    assert json.loads(found.views["homes"].read_text()) == {"seed": 11, "share": 0.25, "wide": True, "name": "x=y"}
    assert found.split == datetime(2024, 6, 1, tzinfo=UTC)
    assert found.truth == {"shift": 0.2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sed": "1"}, "the sample has no option 'sed'. Did you mean 'seed'"),
        ({"seed": "many"}, "seed.*many"),
        ({"share": "half"}, "share.*half"),
        ({"wide": "perhaps"}, "wide is .perhaps.. Give true or false"),
    ],
)
def test_a_wrong_option_of_the_sample_makes_no_project(
    plugins: Plugins, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        made(plugins, tmp_path / "new", sample=True, **options)
    assert not (tmp_path / "new").exists()


def test_a_blueprint_without_a_sample_says_so(plugins: Plugins, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the blueprint 'bare' has no sample. Leave --sample out"):
        new(tmp_path / "new", "bare", sample=True, options={}, progress=silent, plugins=plugins)
    with pytest.raises(PluginError, match="no blueprint named 'lake'"):
        new(tmp_path / "new", "lake", sample=False, options={}, progress=silent, plugins=plugins)


def test_a_folder_that_cannot_be_made_is_told(plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="cannot be written"):
        made(plugins, tmp_path / "file" / "new")


def test_a_sample_that_was_cut_off_is_none(plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Sample:
        raise KeyboardInterrupt

    monkeypatch.setitem(globals(), "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made(plugins, tmp_path / "new", sample=True)
    assert load_sample(Project.find(tmp_path / "new")) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"views": []}', "\udcff"])
def test_a_damaged_description_of_a_sample_is_named(plugins: Plugins, tmp_path: Path, text: str) -> None:
    made(plugins, tmp_path / "new", sample=True)
    project = Project.find(tmp_path / "new")
    (project.sample / "sample.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ProjectError, match=r"sample\.json: cannot be read as the description .* Delete it"):
        load_sample(project)
