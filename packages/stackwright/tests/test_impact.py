"""What a change would reach, told before it is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stackwright


@pytest.fixture
def edited(work: Path) -> Any:
    """Runs ``impact --diff`` on the feature file after an edit."""

    def edited(old: str, new: str, run: Any) -> Any:
        path = work / "edited.py"
        text = (work / "features.py").read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return run("impact", "--diff", path, "--project", work, "--json")

    return edited


def test_a_file_that_was_ingested_reaches_the_endpoint(served: Path, run: Any, market: Any) -> None:
    found = run("impact", market.homes, "--project", served, "--json").json
    names = {item["name"] for item in found["affected"]}
    assert {"homes@1", "homes@1:area", "valuation@1", "valuation@champion", "POST /predict/valuation"} <= names
    assert "visits@1" not in names
    assert found["live"] == ["valuation@champion", "POST /predict/valuation", "POST /v2/models/valuation/infer"]
    assert "ada" in found["owners"]
    assert run("impact", "homes.csv", "--project", served).out.startswith(f"source {market.homes}: affects 1 view, 3")


def test_a_model_belongs_to_the_owner_of_its_target(served: Path) -> None:
    with stackwright.load(served) as stack:
        price = replace(stack.target("sale_price"), owner="eve")
        stack.definitions = replace(stack.definitions, targets=(price,))
        found = stack.impact("homes@1").data["affected"]
        shown = stack.models_show("valuation@1").data
    assert {item["owner"] for item in found if item["kind"] == "model"} == {"eve"} == {shown["owner"]}


def test_of_a_service_and_the_model_of_its_name_the_model_is_reached(served: Path, run: Any) -> None:
    ran = run("impact", "valuation", "--project", served, "--json").json
    assert ran["changed"] == ["service valuation@1", "model valuation@1"]
    ways = {(item["kind"], item["name"]): item["through"][0] for item in ran["affected"]}
    assert ways[("model", "valuation@1")] == "service valuation@1"
    assert ways[("alias", "valuation@champion")] == "model valuation@1"


def test_a_name_that_nothing_has_is_told_with_the_near_one(served: Path, run: Any) -> None:
    ran = run("impact", "homes@1:aera", "--project", served)
    assert ran.code == 1
    assert "no source, view or feature named 'homes@1:aera'" in ran.err
    assert "Did you mean 'homes@1:area'?" in ran.err


def test_a_name_that_is_near_to_nothing_is_told_where_names_are_found(served: Path, run: Any) -> None:
    ran = run("impact", "tomorrow", "--project", served)
    assert ran.err.strip() == "impact: no source, view or feature named 'tomorrow'. See: stackwright features"


def test_a_name_or_an_edit_must_be_given(served: Path, run: Any) -> None:
    for words in ((), ("homes", "--diff", "features.py")):
        ran = run("impact", *words, "--project", served)
        assert (ran.code, "give a name, or --diff" in ran.err) == (2, True)


def test_an_edit_that_reaches_something_live_fails_in_ci(edited: Any, run: Any) -> None:
    ran = edited("np.maximum(rooms, 1)", "np.maximum(rooms, 2)", run)
    assert ran.code == 1
    assert ran.json["edits"] == [{"kind": "feature", "name": "valuation@1:room_size", "how": "computes something else"}]
    assert "POST /predict/valuation" in ran.json["live"]


def test_an_edit_that_reaches_nothing_live_passes(edited: Any, run: Any) -> None:
    more = edited('Field("minutes", FLOAT64),', 'Field("minutes", FLOAT64), Field("guests", INT64),', run)
    assert (more.code, more.json["changed"]) == (0, [])
    owner = edited('owner="ada"', 'owner="bob"', run)
    assert (owner.code, owner.json["changed"]) == (0, [])


def test_a_new_version_beside_the_old_one_reaches_nothing(edited: Any, run: Any) -> None:
    second = "sale_price = Target(\n"
    new = 'second = FeatureService(name="valuation", version=2, selections=(homes.select(),))\n' + second
    assert edited(second, new, run).code == 0


def test_without_an_alias_an_edit_is_told_and_passes(work: Path, run: Any, edited: Any) -> None:
    assert run("retire", "valuation", "--drain", "--project", work).code == 0
    ran = edited('Field("area", FLOAT64', 'Field("area", INT64', run)
    assert (ran.code, ran.json["live"]) == (0, [])
    assert {"kind": "feature", "name": "homes@1:area", "how": "has another type or default"} in ran.json["edits"]


def test_a_feature_file_that_fails_or_is_not_there_is_told(edited: Any, run: Any, served: Path) -> None:
    ran = edited("import numpy as np", "import numpie as np", run)
    assert (ran.code, "edited.py" in ran.out) == (1, True)
    ran = run("impact", "--diff", served / "no.py", "--project", served)
    assert (ran.code, "no such file" in ran.err) == (2, True)


def test_imports_of_other_teams_are_reached(tmp_path: Path, project_in: Any) -> None:
    catalogue = f'\n[catalogue]\nurl = "{tmp_path / "catalogue"}"\nnamespace = "NAME"\n'
    store = 'name = "project"\n[feature_store]\noffline = { adapter = "duckdb", path = "data" }\n'
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    project_in(ours, store + catalogue.replace("NAME", "sales"), [('name="homes",', 'name="sales/homes",')])
    theirs.mkdir()
    (theirs / "blueprint.toml").write_text(store + catalogue.replace("NAME", "rent"))
    (theirs / "features.py").write_text(
        "from stackwright import FeatureService, imported\n"
        'homes = imported("sales/homes@1", beside=__file__)\n'
        'rent = FeatureService(name="rent", selections=(homes.select("area"),), owner="kim")\n'
    )
    with stackwright.load(ours) as stack:
        stack.apply()
        stack.share("sales/homes@1", to="rent")
    with stackwright.load(theirs) as stack:
        stack.import_view("sales/homes@1")
        stack.apply()
    with stackwright.load(ours) as stack:
        found = stack.impact("sales/homes")
        assert found.data["live"] == ["rent/project:rent@1"]
        edited = ours / "edited.py"
        edited.write_text((ours / "features.py").read_text().replace('Field("area", FLOAT64', 'Field("area", INT64'))
        outcome = stack.impact(diff=edited)
        assert (outcome.ok, outcome.data["live"]) == (False, ["rent/project:rent@1"])
