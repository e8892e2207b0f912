"""Teams that share features: published by namespace, permitted by their owner, imported by another, found by all."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import stackwright
from stackwright.workflows.features.shared_catalogue import Namespace, SharedCatalogue
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.imports import imported
from stackwright_storage import FileStorage

STORE = """
name = "{name}"
[feature_store]
offline = {{ adapter = "duckdb", path = "{root}/data" }}
online = {{ adapter = "sqlite", path = "{root}/online.db" }}
[catalogue]
url = "{root}/catalogue"
namespace = "{namespace}"
"""

OWNER = """
from stackwright import FLOAT64, STRING, Entity, FeatureView, Field, Source
home = Entity(name="home", keys=(Field("home_id", STRING),))
homes = FeatureView(
    name="pricing/homes", entity=home, source=Source(event_time="changed_at", location="homes.csv"), owner="ada",
    fields=(Field("area", FLOAT64, description="living area"), Field("kind", STRING)),
)
private = FeatureView(
    name="drafts", entity=home, source=Source(event_time="changed_at"), fields=(Field("area", FLOAT64),),
)
"""

USER = """
from stackwright import FeatureService, imported
homes = imported("pricing/homes@1", beside=__file__)
ranking = FeatureService(name="ranking", selections=(homes.select("area"),))
"""


@pytest.fixture
def team(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a team's project over the store and the catalogue that all share."""

    def team(namespace: str, features: str, name: str = "") -> Path:
        folder = tmp_path / (name or namespace)
        folder.mkdir()
        blueprint = STORE.format(name=name or f"{namespace}-stack", namespace=namespace, root=tmp_path)
        (folder / "blueprint.toml").write_text(blueprint)
        (folder / "features.py").write_text(features)
        return folder

    return team


@pytest.fixture
def pricing(team: Any, run: Any, market: Any) -> Path:
    folder = Path(team("pricing", OWNER))
    assert run("apply", "--project", folder).code == 0
    assert run("ingest", "pricing/homes", market.homes, "--project", folder).code == 0
    assert run("materialize", "--project", folder).code == 0
    return folder


@pytest.fixture
def search(team: Any, pricing: Path) -> Path:
    return Path(team("search", USER))


@pytest.fixture
def reading(pricing: Path, search: Path, run: Any) -> Path:
    """The other team, after everything went well."""
    for line, folder in (
        (("share", "pricing/homes@1", "--with", "search", "--why", "ranking"), pricing),
        (("import", "pricing/homes@1"), search),
        (("apply",), search),
    ):
        ran = run(*line, "--project", folder)
        assert ran.code == 0, ran
    return search


def test_an_imported_view_gives_its_owners_rows_to_training_and_live(reading: Path) -> None:
    with stackwright.load(reading) as stack:
        labels = pa.table({"home_id": ["0001"], "event_time": [datetime(2024, 6, 1, tzinfo=UTC)]})
        learned = pa.table(stack.features.join("ranking@1", labels))["area"].to_pylist()
        live = stack.features.read("ranking@1", {"home_id": ["0001"]}).columns["area"].tolist()
    assert learned == live
    assert learned[0] > 0


def test_a_view_is_found_by_every_team_before_it_may_be_imported(search: Path, pricing: Path, run: Any) -> None:
    (entry,) = run("features", "living", "--project", search, "--json").json["features"]
    assert (entry["feature"], entry["owner"]) == ("pricing/homes@1:area", "ada")
    assert entry["state"] == "ask ada to share it"
    run("share", "pricing/homes", "--with", "everyone", "--project", pricing)
    (entry,) = run("features", "living", "--project", search, "--json").json["features"]
    assert entry["state"] == "stackwright import pricing/homes@1"


def test_a_view_outside_the_namespace_stays_private(search: Path, run: Any) -> None:
    assert run("features", "drafts", "--project", search, "--json").json["features"] == []


def test_an_import_without_permission_names_whom_to_ask(
    search: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("import", "pricing/homes@1", "--project", search)
    assert ran.code == 1
    assert "'pricing' does not share it with 'search'" in ran.err
    assert "to run: stackwright share pricing/homes@1 --with search" in ran.err
    assert not (search / "imports.json").exists()


def test_a_copied_import_does_not_go_round_the_permission(reading: Path, team: Any, run: Any) -> None:
    other = team("growth", USER)
    (other / "imports.json").write_bytes((reading / "imports.json").read_bytes())
    ran = run("apply", "--project", other)
    assert ran.code == 1
    assert "'pricing' does not share it with 'growth'" in ran.err


def test_permission_and_use_are_recorded_with_who_when_and_why(reading: Path, tmp_path: Path) -> None:
    document = json.loads((tmp_path / "catalogue" / "namespaces" / "pricing.json").read_text())
    (grant,) = document["grants"]
    assert (grant["view"], grant["to"], grant["why"]) == ("pricing/homes@1", "search", "ranking")
    assert grant["who"]
    assert datetime.fromisoformat(grant["at"]).tzinfo is not None
    (use,) = document["uses"]
    assert (use["by"], use["project"], use["services"]) == ("search", "search-stack", ["ranking@1"])
    assert [line["what"] for line in document["journal"]] == [["published pricing/homes@1"], "shared", "used"]


def test_the_owner_sees_who_reads_a_feature(reading: Path, pricing: Path, run: Any) -> None:
    (entry,) = run("features", "living", "--project", pricing, "--json").json["features"]
    assert entry["used by"] == ["search/search-stack"]


def test_permission_that_is_in_use_is_not_withdrawn(reading: Path, pricing: Path, run: Any) -> None:
    line = ("share", "pricing/homes@1", "--with", "search", "--revoke", "--project", pricing)
    ran = run(*line)
    assert ran.code == 1
    assert "project 'search-stack' of 'search' reads it" in ran.err
    (reading / "features.py").write_text("")
    assert run("apply", "--project", reading).code == 0
    assert run(*line, "--json").json["changed"] is True
    assert run("import", "pricing/homes@1", "--project", reading).code == 1


def test_a_view_that_others_read_is_not_removed(reading: Path, pricing: Path, run: Any) -> None:
    (pricing / "features.py").write_text(OWNER.replace('"pricing/homes"', '"pricing/houses"'))
    ran = run("apply", "--project", pricing)
    assert ran.code == 1
    assert "view 'pricing/homes@1': it is gone, and search (search-stack) reads it" in ran.err


def test_rows_of_another_teams_view_are_brought_by_its_owner(reading: Path, market: Any, run: Any) -> None:
    ran = run("ingest", "pricing/homes", market.homes, "--project", reading)
    assert (ran.code, "it is 'pricing''s, who brings its rows" in ran.err) == (1, True)
    assert run("materialize", "pricing/homes", "--project", reading).code == 1
    assert run("materialize", "--project", reading, "--json").json["views"] == {}


def test_a_field_that_the_owner_adds_asks_for_a_new_import(reading: Path, pricing: Path, run: Any) -> None:
    wider = OWNER.replace('Field("kind", STRING)),', 'Field("kind", STRING), Field("floor", FLOAT64)),')
    (pricing / "features.py").write_text(wider)
    assert run("apply", "--project", pricing).code == 0
    ran = run("apply", "--project", reading)
    assert (ran.code, "Run: stackwright import pricing/homes@1" in ran.err) == (1, True)
    assert run("import", "pricing/homes@1", "--project", reading, "--json").json["changed"] is True
    assert run("apply", "--project", reading).code == 0


def test_two_projects_of_a_team_cannot_publish_two_meanings(pricing: Path, team: Any, run: Any) -> None:
    other = team("pricing", OWNER.replace('Field("kind", STRING)', 'Field("kind", FLOAT64)'), "pricing-too")
    text = (other / "blueprint.toml").read_text().replace("/data", "/other").replace("/online", "/other-online")
    (other / "blueprint.toml").write_text(text)
    ran = run("apply", "--project", other)
    assert ran.code == 1
    assert "view 'pricing/homes@1': it means something else than before" in ran.err


def test_names_in_another_teams_namespace_are_refused(team: Any, run: Any) -> None:
    folder = team("search", USER.replace('name="ranking"', 'name="pricing/ranking"').replace(
        'homes = imported("pricing/homes@1", beside=__file__)', OWNER.replace("pricing/", "")
    ))  # fmt: skip
    ran = run("apply", "--project", folder)
    assert (ran.code, "it lies in another namespace than 'search'" in ran.err) == (1, True)
    (folder / "features.py").write_text(OWNER)
    ran = run("apply", "--project", folder)
    assert (ran.code, "'pricing' has not published it. Published there: nothing" in ran.err) == (1, True)


def test_another_store_is_noted(reading: Path, run: Any, tmp_path: Path) -> None:
    assert "rows are found if" not in run("apply", "--project", reading).out
    text = (reading / "blueprint.toml").read_text()
    (reading / "blueprint.toml").write_text(text.replace(f"{tmp_path}/data", "data"))
    out = run("apply", "--project", reading).out
    assert f"pricing/homes@1 lies in duckdb path={tmp_path}/data; this project reads duckdb path={reading}/data" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("import", "homes@1"), "'homes@1' names no other team's view"),
        (("import", "search/homes@1"), "names no other team's view"),
        (("import", "pricing/house@1"), "Did you mean 'pricing/homes@1'?"),
        (("import", "nobody/homes@1"), "'nobody' has not published it"),
        (("share", "search/nothing", "--with", "pricing"), "'search' has not published it"),
    ],
)
def test_a_name_that_is_not_there_is_told(search: Path, run: Any, line: Any, message: str) -> None:
    ran = run(*line, "--project", search)
    assert (ran.code in (1, 2), message in ran.err) == (True, True), ran.err


def test_a_project_without_a_catalogue_says_what_to_add(project: Any, run: Any) -> None:
    for line in (("share", "a/b", "--with", "c"), ("import", "a/b@1")):
        ran = run(*line, "--project", project())
        assert (ran.code, "Add [catalogue] with url and namespace." in ran.err) == (1, True)


def test_a_feature_file_that_names_what_is_not_imported_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        DefinitionError, match=r"is not imported here. Imported: nothing. Run: stackwright import a/b@1"
    ):
        imported("a/b@1", beside=tmp_path / "features.py")
    (tmp_path / "imports.json").write_text("{")
    with pytest.raises(DefinitionError, match="import the views again"):
        imported("a/b@1", beside=tmp_path / "features.py")


def test_a_damaged_catalogue_is_told_and_kept(reading: Path, tmp_path: Path, run: Any) -> None:
    path = tmp_path / "catalogue" / "namespaces" / "pricing.json"
    path.write_text('{"format": 7}')
    ran = run("apply", "--project", reading)
    assert (ran.code, "namespaces/pricing.json: cannot be read (format 7" in ran.err) == (1, True)
    assert path.read_text() == '{"format": 7}'


def test_teams_that_change_one_namespace_at_once_lose_nothing(tmp_path: Path) -> None:
    def grant(number: int) -> Namespace:
        catalogue = SharedCatalogue(FileStorage(tmp_path), "catalogue")
        line = {"view": "a/b", "to": f"team{number}"}
        return catalogue.change("a", lambda found: replace(found, grants=(*found.grants, line)))

    with ThreadPoolExecutor(8) as teams:
        list(teams.map(grant, range(40)))
    grants = SharedCatalogue(FileStorage(tmp_path), "catalogue").namespace("a").grants
    assert sorted(line["to"] for line in grants) == sorted(f"team{number}" for number in range(40))


def test_applying_again_changes_nothing_in_the_catalogue(
    reading: Path, pricing: Path, tmp_path: Path, run: Any
) -> None:
    path = tmp_path / "catalogue" / "namespaces" / "pricing.json"
    before = path.read_bytes()
    for folder in (pricing, reading):
        assert run("apply", "--project", folder, "--json").json["changed"] is False
    assert path.read_bytes() == before
