"""A version is trained again as things were known then; what comes out otherwise is named, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright_interfaces.errors import TrainingError, UnknownName
from stackwright_interfaces.model import Manifest, describe_files

QUICK = dict.fromkeys(GATE_OPTIONS, False)


@pytest.fixture(scope="module")
def one(filled: Path, tmp_path_factory: pytest.TempPathFactory, copies_of: Any) -> Path:
    """A project with a version."""
    copies = copies_of(filled, tmp_path_factory.mktemp("one"))
    with copies.open(gates=QUICK, half_life=100.0, where={"area": [0, 190]}) as stack:
        stack.train()
    return Path(copies.copy())


@pytest.fixture
def opened(one: Path, tmp_path: Path, copies_of: Any) -> Callable[..., Any]:
    copies = copies_of(one, tmp_path)
    return lambda **options: copies.open(**{"gates": QUICK, "half_life": 100.0, **options})


def states(outcome: Any) -> dict[str, bool]:
    return {check["what"]: check["same"] for check in outcome.data["checks"]}


def come_later(stack: Any, market: Any) -> None:
    """Bring rows and labels that the version did not know, though they are about times that it knew."""
    folder = stack.project.folder
    homes = pyarrow.csv.read_csv(market.homes).to_pylist()
    pyarrow.csv.write_csv(pa.Table.from_pylist([{**row, "home_id": f"{place:04}", "area": 55.5, "kind": "flat"}
                          for place, row in enumerate(homes)]), folder / "more.csv")  # fmt: skip
    sales = pyarrow.csv.read_csv(market.sales).to_pylist()[:40]
    pyarrow.csv.write_csv(pa.Table.from_pylist([{**row, "home_id": f"{place:04}", "price": 1000.0}
                          for place, row in enumerate(sales)]), folder / "sales.csv")  # fmt: skip
    assert stack.ingest("homes", folder / "more.csv").data["added"] > 250
    assert stack.label(folder / "sales.csv").data["added"] + stack.label(folder / "sales.csv").data["duplicates"] > 0


def test_a_version_is_reproduced_to_the_last_bit(opened: Any) -> None:
    with opened() as stack:
        outcome = stack.reproduce("valuation@1")
        assert [run["status"] for run in stack.runs().data["runs"]] == ["finished"], "it is no run"
        assert len(stack.models().data["models"]) == 1, "nothing is published"
    assert outcome.ok
    assert outcome.title == "valuation@1 is reproduced, to the last bit"
    assert outcome.data["digest"]["then"] == outcome.data["digest"]["now"]
    assert all(states(outcome).values())
    assert {"training rows", "files", "signature", "intervals", "golden predictions", "digest"} <= states(
        outcome
    ).keys()


def test_rows_and_labels_that_came_later_change_nothing(opened: Any, market: Any) -> None:
    with opened() as stack:
        come_later(stack, market)
        assert stack.reproduce("valuation@1").ok


def test_the_settings_are_those_of_the_version_not_of_the_blueprint(opened: Any) -> None:
    with opened(half_life=0.0, seed=11, trainer={"adapter": "odd", "penalty": 5.0}) as stack:
        assert stack.reproduce("valuation@1").ok


def test_a_search_is_not_made_again_and_what_it_found_is_taken(copies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with copies.open(gates=QUICK, trials=3) as stack:
        stack.train()
        assert stack.registry.history()[0][0].record["tuned"].keys() == {"penalty", "kind", "depth"}
        monkeypatch.setattr("stackwright.workflows.training.tuning.tune", None)
        assert stack.reproduce("valuation").ok


def test_a_fit_that_was_stopped_early_is_stopped_again(copies: Any) -> None:
    settings = {"num_iterations": 300, "learning_rate": 0.3, "min_data_in_leaf": 5, "early_stopping_round": 3}
    with copies.open(gates=QUICK, trainer={"adapter": "lightgbm", **settings}) as stack:
        stack.train()
        assert stack.registry.history()[0][0].record["parameters"]["num_iterations"] < 300
        assert stack.reproduce("valuation").ok


def test_rows_that_were_deleted_since_are_told(opened: Any) -> None:
    with opened() as stack:
        stack.delete_entity("home", home_id="0010", yes=True)
        outcome = stack.reproduce("valuation@1")
    assert not outcome.ok
    found = {check["what"]: check["detail"] for check in outcome.data["checks"] if not check["same"]}
    assert "There are 208 rows to learn from; there were 209." in found["training rows"]
    assert "rows of it were deleted since" in found["training rows"]
    assert "digest" in found
    assert states(outcome)["definitions"]


def test_libraries_and_definitions_that_changed_are_named(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = __import__("importlib.metadata").metadata.version
    with opened() as stack:
        (stack.project.folder / ".stackwright" / "definitions.json").unlink()
        text = stack.project.features.read_text()
        stack.project.features.write_text(text.replace("np.maximum(rooms, 1)", "np.maximum(rooms, 2)"))
    monkeypatch.setattr(
        "stackwright.workflows.training.publishing.metadata.version",
        lambda name: "9.9" if name == "numpy" else real(name),
    )
    with opened() as stack:
        stack.apply()
        outcome = stack.reproduce("valuation@1")
    assert not outcome.ok
    assert any(reason.startswith("numpy was ") and reason.endswith("is 9.9") for reason in outcome.data["reasons"])
    assert "The service valuation@1 means something else now" in outcome.data["reasons"]
    assert "The transform room_size is other code now" in outcome.data["reasons"]
    assert not states(outcome)["transforms"]
    assert "Changed since: The transform room_size" in str(outcome)


def test_a_service_that_is_gone_is_told(opened: Any) -> None:
    with opened() as stack:
        (stack.project.folder / ".stackwright" / "definitions.json").unlink()
        stack.project.features.write_text(stack.project.features.read_text().replace('name="valuation"', 'name="new"'))
    with opened(service="new@1") as stack:
        stack.apply()
        with pytest.raises(UnknownName, match="no service named 'valuation@1'"):
            stack.reproduce("valuation@1")


def test_a_version_that_says_nothing_of_its_training_is_compared_with_one_of_all_that_is_known(opened: Any) -> None:
    with opened(where={"area": [0, 190]}) as stack:
        version = stack.registry.history()[0][0]
        folder = stack.project.folder / "by-hand"
        folder.mkdir()
        for path in stack.registry.fetch(version).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        manifest = replace(Manifest.read(folder), data={"rows": 1, "sha256": "none"}, files=describe_files(folder))
        manifest.write(folder)
        stack.registry.publish("valuation", folder, {})
        outcome = stack.reproduce("valuation@2")
        assert "does not say how much was known then" in outcome.data["checks"][0]["detail"]
        stack.registry.publish("other", folder, {"origin": {"kind": "notebook"}})
        with pytest.raises(TrainingError, match="published from a notebook"):
            stack.reproduce("other")


def test_a_model_of_a_file_is_reproduced_from_the_file(copies: Any, market: Any) -> None:
    table = pyarrow.csv.read_csv(market.sales)
    source = copies.root / "own.csv"
    pyarrow.csv.write_csv(table, source)
    folder = copies.copy(gates=QUICK)
    text = (folder / "blueprint.toml").read_text()
    own = f'data = {{ source = "{source}", target = "price", time = "asked_at", inputs = ["rooms"] }}'
    (folder / "blueprint.toml").write_text(
        text.replace('service = "valuation@1"', own).replace('target = "sale_price"\n', "")
    )
    with copies.load(folder) as stack:
        stack.train()
        assert stack.reproduce("valuation").ok
        pyarrow.csv.write_csv(table.slice(10), source)
        (check, *_) = stack.reproduce("valuation").data["checks"]
    assert "were read as they are there now" in check["detail"]


def test_the_command_fails_where_something_came_out_otherwise(work: Path, run: Any) -> None:
    assert run("reproduce", "valuation", "--project", work).code == 0
    assert run("delete-entity", "home", "home_id=0010", "--yes", "--project", work).code == 0
    ran = run("reproduce", "valuation", "--project", work)
    assert (ran.code, ran.err) == (1, "")
    assert "There are as many rows to learn from as then (221), with other values." in ran.out
