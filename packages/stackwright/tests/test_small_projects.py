"""Verbs need only the slots they use: a feature store alone, or a registry with a table of ready features."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import stackwright
from stackwright.assembly.project import Project
from stackwright.workflows.live.process import serving
from stackwright_interfaces.errors import BlueprintError, FeatureStoreError

STORE = """
name = "features"
[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "sqlite", path = "data/online.db" }
"""
REGISTRY = 'name = "models"\nregistry = "files"\n'
READY = {
    "area": [50.0, 120.0],
    "kind": ["flat", "house"],
    "visits_30d": [1, 0],
    "rooms": [2, 4],
    "room_size": [25.0, 30.0],
}


def test_a_feature_store_alone_goes_from_files_to_rows(project: Any, market: Any, run: Any) -> None:
    folder = project(blueprint=STORE)
    at = ("--project", folder, "--json")
    assert run("check", *at).json["plan"] == {"offline": "duckdb", "online": "sqlite"}
    assert run("apply", *at).json["changed"] is True
    assert run("ingest", "homes", market.homes, *at).json["added"] == 300
    assert run("materialize", *at).json["views"]["homes@1"]["written"] == 300
    assert len(run("features", *at).json["features"]) == 5
    with stackwright.load(folder) as stack:
        rows = stack.features.read("valuation@1", {"home_id": ["0001", "none"]}, {"rooms": [1, 1]})
    assert rows.columns["kind"].tolist()[1] is None
    assert rows.columns["area"][0] > 0


@pytest.mark.parametrize(
    "line", ["models", "runs", "promote m", "rollback m", "predict home_id=1", "score in.csv out.csv", "serve"]
)
def test_what_needs_another_slot_names_it(project: Any, run: Any, line: str) -> None:
    ran = run(*line.split(), "--project", project(blueprint=STORE))
    assert ran.code == 1
    assert "[registry]: the slot is empty. Add [registry] with adapter" in ran.err


def test_training_without_a_model_names_the_section(project: Any, run: Any) -> None:
    ran = run("train", "--project", project(blueprint=STORE))
    assert (ran.code, ran.err) == (
        1,
        "blueprint.toml [models]: 0 models are defined. Name one of them. Defined: none.\n",
    )


@pytest.mark.parametrize(
    ("models", "name", "told"),
    [
        ((), "hoems", "[recommenders]: no recommender 'hoems'. Did you mean 'homes'? Defined: homes."),
        (("price",), "hoems", "[models], [recommenders]: no model or recommender 'hoems'. Did you mean 'homes'?"),
        (("price",), "prize", "Did you mean 'price'? Defined: homes, price."),
        (("price",), "zebra", "no model or recommender 'zebra'. Name one of them. Defined: homes, price."),
        (("price",), "", "[models], [recommenders]: 2 models and recommenders are defined. Name one of them."),
    ],
)
def test_training_a_name_that_is_not_there_says_which_are(
    project: Any, run: Any, models: tuple[str, ...], name: str, told: str
) -> None:
    blueprint = 'name = "x"\n[registry]\nadapter = "files"\n[recommenders.homes]\ntrainer = "recommender"\n'
    blueprint += 'interactions = { source = "a.csv", user = "u", item = "i" }\n'
    for model in models:
        blueprint += f'[models.{model}]\ntrainer = "sklearn"\ndata = {{ source = "b.csv", target = "y" }}\n'
    ran = run("train", *([name] if name else []), "--project", project(blueprint=blueprint))
    assert ran.code == 1
    assert told in ran.err


def test_history_alone_joins_but_brings_nothing_online(project: Any, market: Any) -> None:
    folder = project(blueprint=STORE.replace("online = ", "# online = "))
    with stackwright.load(folder) as stack:
        stack.apply()
        stack.ingest("homes", market.homes)
        labels = pa.table({"home_id": ["0001"], "rooms": [2], "event_time": ["2024-06-01T00:00:00Z"]})
        assert pa.table(stack.features.join("valuation@1", labels))["room_size"][0].as_py() > 0
        with pytest.raises(FeatureStoreError, match="this store has no online half"):
            stack.materialize()


def test_labels_need_no_slot_at_all_but_an_applied_target(filled: Path, tmp_path: Path, market: Any, run: Any) -> None:
    folder = tmp_path / "labels"
    (folder / ".stackwright").mkdir(parents=True)
    (folder / "blueprint.toml").write_text('name = "labels"\n')
    shutil.copy(filled / ".stackwright" / "definitions.json", folder / ".stackwright")
    assert run("label", market.sales, "--project", folder, "--json").json["added"] == 300


@pytest.fixture
def registry(served: Path, tmp_path: Path) -> Path:
    """A project that has the models of another, and nothing else of it."""
    folder = tmp_path / "models"
    shutil.copytree(served / "registry", folder / "registry")
    (folder / "blueprint.toml").write_text(REGISTRY)
    return folder


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_registry_alone_scores_a_table_of_ready_features(registry: Path, work: Path, run: Any, suffix: str) -> None:
    ready, out = registry / f"ready.{suffix}", registry / "out.parquet"
    (pyarrow.csv.write_csv if suffix == "csv" else pyarrow.parquet.write_table)(pa.table(READY), ready)
    ran = run("score", ready, out, "--project", registry, "--json")
    assert ran.code == 0, ran
    assert ran.json["model"] == "valuation@1"
    expected = registry / "expected.parquet"
    assert run("score", ready, expected, "--project", work).code == 0
    assert pyarrow.parquet.read_table(out) == pyarrow.parquet.read_table(expected)


def test_a_registry_and_a_server_answer_with_ready_features(registry: Path) -> None:
    (registry / "blueprint.toml").write_text(REGISTRY + 'server = { adapter = "uvicorn", workers = 1 }\n')
    types = {"area": "FP64", "kind": "BYTES", "visits_30d": "INT64", "rooms": "INT64", "room_size": "FP64"}
    inputs = [{"name": name, "datatype": types[name], "shape": [2], "data": data} for name, data in READY.items()]
    with serving(Project.find(registry)) as url:
        body, headers = json.dumps({"inputs": inputs}).encode(), {"Content-Type": "application/json"}
        request = Request(f"{url}/v2/models/valuation/infer", body, headers)
        with urlopen(request, timeout=30) as response:
            answer = json.load(response)
    assert answer["outputs"][0]["shape"] == [2]
    assert min(answer["outputs"][0]["data"]) > 0


def test_a_registry_alone_lists_promotes_and_rolls_back(registry: Path, run: Any) -> None:
    at = ("--project", registry, "--json")
    assert run("models", *at).json["models"][0]["aliases"] == ["champion"]
    assert run("runs", "valuation", *at).json["runs"][0]["model"] == "valuation@1"
    ran = run("promote", "valuation@1", "--alias", "shadow", "--force", "--reason", "no features here", *at)
    assert ran.json["changed"] is True


def test_a_table_that_lacks_a_feature_names_it(registry: Path, run: Any) -> None:
    pyarrow.csv.write_csv(pa.table({"area": [1.0]}), registry / "ready.csv")
    ran = run("score", registry / "ready.csv", registry / "out.csv", "--project", registry)
    assert (ran.code, ran.err.split(".")[0]) == (1, "input: column 'kind' is missing")


def test_a_model_must_be_named_where_several_are_published_and_none_is_defined(registry: Path, run: Any) -> None:
    with stackwright.load(registry) as stack:
        version = stack.registry.history()[0][0]
        stack.registry.publish("second", stack.registry.fetch(version), {})
    pyarrow.csv.write_csv(pa.table(READY), registry / "ready.csv")
    line = ("score", registry / "ready.csv", registry / "out.csv", "--project", registry)
    ran = run(*line)
    assert (ran.code, ran.err) == (2, "--model: 2 models are published. Name one of: second, valuation.\n")
    assert run(*line, "--model", "valuation").code == 0


def test_models_of_a_blueprint_need_a_store_to_learn_from_and_a_registry(project: Any) -> None:
    model = '[models.m]\nservice = "valuation@1"\ntarget = "sale_price"\ntrainer = "lightgbm"\n'
    opened = stackwright.load(project(blueprint='name = "a"\n' + model))
    with pytest.raises(BlueprintError, match=r"models need a feature store.*\n.*models need a registry"):
        _ = opened.plan
