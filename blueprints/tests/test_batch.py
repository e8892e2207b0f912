"""The batch blueprint: the feature file that it shares, and that its parts go together."""

from __future__ import annotations

import tomllib

from stackwright_blueprints import plugin
from stackwright_interfaces.definitions import Definitions

SPEC = next(spec for spec in plugin.stackwright_blueprints() if spec.name == "batch")


def test_it_has_a_page_and_a_blueprint_and_shares_the_feature_file() -> None:
    assert {path.name for path in SPEC.folder.iterdir()} == {"blueprint.toml", "README.md"}
    assert SPEC.features is not None
    assert SPEC.features.is_file()


def test_it_names_a_service_and_a_target_that_its_features_define(definitions: Definitions) -> None:
    model = tomllib.loads((SPEC.folder / "blueprint.toml").read_text())["models"]["valuation"]
    assert model["service"] in [service.ref for service in definitions.services]
    assert model["target"] in [target.name for target in definitions.targets]


def test_every_section_says_what_it_is_for() -> None:
    lines = (SPEC.folder / "blueprint.toml").read_text().splitlines()
    sections = [place for place, line in enumerate(lines) if line.startswith("[")]
    assert len(sections) == 6
    assert all(lines[place - 1].startswith("#") for place in sections)


def test_its_page_names_every_command_it_takes() -> None:
    page = (SPEC.folder / "README.md").read_text()
    assert all(f"stackwright {verb} " in page for verb in ("new", "up", "train", "promote", "job", "label", "report"))
