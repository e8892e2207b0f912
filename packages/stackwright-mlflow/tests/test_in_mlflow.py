"""What MLflow's own client sees of a registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import Manifest, describe_files
from stackwright_interfaces.registry import Event
from stackwright_interfaces.testing.registry import run
from stackwright_interfaces.testing.registry_trial import RECORD, alias, at
from stackwright_mlflow.registry import MlflowRegistry

Model = Callable[[bytes], Path]
Client = Callable[[str], Any]


def test_a_version_has_its_number_digest_and_files_in_mlflow(
    registry: MlflowRegistry, model: Model, client: Client, own: str
) -> None:
    registry.publish("pricing/valuation", model(b"one"), {}, who="ada")
    version = registry.publish("pricing/valuation", model(b"two"), RECORD, who="ada")
    seen = client(f"""
import mlflow, pathlib
version = client.get_model_version("{own}.pricing.valuation", 2)
run = client.get_run(version.run_id)
mlflow.set_tracking_uri(client.tracking_uri)
folder = mlflow.artifacts.download_artifacts("models:/{own}.pricing.valuation/2")
answer = [dict(version.tags), run.info.status, run.data.metrics, run.data.tags["mlflow.user"],
          pathlib.Path(folder, "trees/weights.bin").read_text()]
""")
    tags, *rest = seen
    assert tags["stackwright.digest"] == version.digest
    assert tags["stackwright.published"] == "2"
    assert rest == ["FINISHED", {"mdape": 0.083}, "ada", "two"]


def test_a_version_shows_its_parameters_however_many_they_are(
    registry: MlflowRegistry, model: Model, client: Client, own: str
) -> None:
    folder = model(b"one")
    many = {f"weight {number}": number for number in range(130)}
    replace(Manifest.read(folder), parameters=many).write(folder)
    registry.publish("valuation", folder, {})
    shown = client(f"""
version = client.get_model_version("{own}.valuation", 1)
answer = client.get_run(version.run_id).data.params
""")
    assert shown == {name: str(value) for name, value in many.items()}


def test_aliases_are_those_of_the_journal_and_others_are_left_alone(
    registry: MlflowRegistry, model: Model, client: Client, own: str
) -> None:
    for payload in (b"one", b"two"):
        registry.publish("valuation", model(payload), {})
    client(f"client.set_registered_model_alias('{own}.valuation', 'theirs', 1)")
    registry.record(alias(1))
    registry.record(alias(1, named="shadow"))
    registry.record(alias(2), expected=1)
    registry.record(alias(None, named="shadow"), expected=1)
    seen = client(f"answer = client.get_registered_model('{own}.valuation').aliases")
    assert seen == {"champion": "2", "theirs": "1"}


def test_the_journal_can_be_read_in_an_experiment_of_its_own(
    registry: MlflowRegistry, model: Model, client: Client, own: str
) -> None:
    registry.publish("valuation", model(b"one"), {}, who="ada")
    registry.record(alias(1, who="eve", why="better"))
    lines = client(f"""
import json
journal = client.get_experiment_by_name("{own} journal")
(run,) = client.search_runs([journal.experiment_id])
answer = {{key: json.loads(value) for key, value in run.data.params.items()}}
""")
    assert sorted(lines) == ["0000000001", "0000000002"]
    assert [lines[key]["kind"] for key in sorted(lines)] == ["published", "alias"]
    assert lines["0000000002"]["rest"]["why"] == "better"


def test_a_run_shows_its_parameters_metrics_and_status(registry: MlflowRegistry, client: Client, own: str) -> None:
    registry.save_run(run("a", parameters={"trees": 200, "objective": "l2"}))
    registry.save_run(
        run(
            "a",
            status="finished",
            ended=at(5),
            parameters={"trees": 200, "objective": "l2", "monotone": {"area": 1}, "odd //name: größe": 1},
            metrics={"mdape": 0.083, "gain": float("inf"), "auc%": 0.5},
            model="valuation@3",
        )
    )
    status, end, parameters, metrics, tag = client(f"""
experiment = client.get_experiment_by_name("{own}")
(run,) = client.search_runs([experiment.experiment_id])
answer = [run.info.status, run.info.end_time, run.data.params, run.data.metrics, run.data.tags["stackwright.model"]]
""")
    assert (status, end, tag) == ("FINISHED", round(at(5).timestamp() * 1000), "valuation@3")
    assert parameters == {"trees": "200", "objective": "l2", "monotone": '{"area": 1}', "odd /name_ gr__e": "1"}
    assert metrics["mdape"] == 0.083
    assert metrics["auc_"] == 0.5
    assert metrics["gain"] > 1e300


def test_what_is_longer_than_mlflow_keeps_is_kept_whole(
    open_registry: Callable[..., MlflowRegistry], model: Model
) -> None:
    registry = open_registry()
    record = {"notes": "ä" * 20_000, "gain": float("inf")}
    version = registry.publish("valuation", model(b"one"), record, who="x" * 9000)
    proof = Event(at=at(1), kind="evidence", name="valuation", version=1, evidence={"gates": ["y" * 9000] * 3})
    registry.record(proof)
    long = run("a", parameters={"list": list(range(5000))}, record={"log": "z" * 100_000})
    registry.save_run(long)
    other = open_registry()
    (found,), events = other.history()
    assert found == version
    assert found.record == record
    assert (events[0].who, events[1]) == ("x" * 9000, proof)
    assert list(other.runs()) == [long]


@pytest.fixture
def with_file(model: Model) -> Callable[[str], Path]:
    """Gives the folder of a model that has a file of this name."""

    def folder(name: str) -> Path:
        place = model(name.encode())
        manifest = Manifest.read(place)
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("")
        replace(manifest, files=describe_files(place)).write(place)
        return place

    return folder


@pytest.mark.parametrize("name", ["a b.txt", "größe+1&2;3=4.bin", "deep/er/empty", "a%20b?c"])
def test_unusual_names_of_files_go_to_mlflow_and_back(
    registry: MlflowRegistry, with_file: Callable[[str], Path], name: str
) -> None:
    version = registry.publish("valuation", with_file(name), {})
    assert describe_files(registry.fetch(version)) == describe_files(with_file(name))


def test_a_name_of_a_file_that_mlflow_does_not_take_is_told_and_leaves_nothing(
    registry: MlflowRegistry, with_file: Callable[[str], Path], client: Client, own: str
) -> None:
    with pytest.raises(ArtifactError, match="MLflow does not take this file"):
        registry.publish("valuation", with_file("a#b"), {})
    assert [list(part) for part in registry.history()] == [[], []]
    left = f"answer = len(client.search_runs([client.get_experiment_by_name('{own}').experiment_id]))"
    assert client(left) == 0
