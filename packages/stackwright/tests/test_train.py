"""Training: labels and features in, a published model with evidence out."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright_interfaces.errors import BlueprintError, PromotionRefused, StorageError, TrainingError
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.model import LoadedModel

QUICK = dict.fromkeys(GATE_OPTIONS, False)


@pytest.fixture(scope="module")
def trained(filled: Path, odd: Any, tmp_path_factory: pytest.TempPathFactory, copies_of: Any) -> Path:
    """A project with one version, whose gates were not run."""
    copies = copies_of(filled, tmp_path_factory.mktemp("trained"))
    with copies.open(gates=QUICK) as stack:
        assert stack.train().data["model"] == "valuation@1"
    return Path(copies.copy())


@pytest.fixture
def once(trained: Path, tmp_path: Path, copies_of: Any) -> Any:
    """Copies of the project with one version."""
    return copies_of(trained, tmp_path)


def test_what_was_trained_before_is_recognised_and_nothing_is_done(copies: Any) -> None:
    with copies.open() as stack:
        first = stack.train()
    with copies.open() as stack:
        again = stack.train()
        versions, events = stack.registry.history()
        assert [run["status"] for run in stack.runs().data["runs"]] == ["finished"]
    assert (first.data["changed"], again.data["changed"]) == (True, False)
    assert again.title == "valuation@1 was trained on exactly this before: nothing to do"
    steps = {**first.data}
    assert steps.pop("run")["status"] == "finished"
    assert set(steps.pop("seconds")) == {"training set", "fit", "stage", "gates", "evaluate", "publish"}
    assert {**again.data, "changed": True} == steps
    assert [event.kind for event in events] == ["published", "evidence"]
    assert len(versions) == 1


def test_the_same_training_gives_the_same_digest_again(work: Path, run: Any) -> None:
    before = run("models", "--project", work, "--json").json["models"][0]
    again = run("train", "--force", "--project", work, "--json").json
    assert again["changed"] is True
    assert (again["model"], again["digest"]) == (before["model"], before["digest"])
    assert len(run("models", "--project", work, "--json").json["models"]) == 1
    assert [item["model"] for item in run("runs", "--project", work, "--json").json["runs"]] == ["valuation@1"] * 2


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 8},
        {"holdout": 0.3},
        {"refit": True},
        {"transform": "none"},
        {"half_life": 100.0},
        {"where": {"area": [0, 150]}},
        {"trainer": {"adapter": "odd", "penalty": 2.0}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_another_setting_makes_another_version(once: Any, options: dict[str, Any]) -> None:
    with once.open(gates=QUICK, **options) as stack:
        assert stack.train().data["model"] == "valuation@2"


def test_another_label_makes_another_version(once: Any, market: Any) -> None:
    sales = pyarrow.csv.read_csv(market.sales).to_pylist()
    row = {**sales[10], "home_id": "0010", "price": 1.0, "known_at": sales[10]["known_at"] + timedelta(days=1)}
    pyarrow.csv.write_csv(pa.Table.from_pylist([row]), once.root / "late.csv")
    with once.open(gates=QUICK) as stack:
        assert stack.label(once.root / "late.csv").data["revisions"] == 1
        assert stack.train().data["model"] == "valuation@2"


def test_other_gates_are_run_on_the_same_version_once(once: Any) -> None:
    def trained(**gates: Any) -> tuple[bool, str, list[str]]:
        with once.open(gates={**QUICK, **gates}) as stack:
            data = stack.train().data
        return data["changed"], data["model"], list(data["gates"])

    assert trained() == (False, "valuation@1", [])
    assert trained(contract=True) == (True, "valuation@1", ["contract"])
    assert trained(contract=True) == (False, "valuation@1", ["contract"])
    assert trained() == (True, "valuation@1", [])


def test_a_version_whose_gates_were_cut_off_is_judged_when_it_is_trained_again(
    copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with copies.open(gates={**QUICK, "contract": True}) as stack:
        with monkeypatch.context() as patch:
            patch.setattr("stackwright.workflows.versions.evidence.record", interrupted)
            with pytest.raises(KeyboardInterrupt):
                stack.train()
        outcome = stack.train()
        newer, older = stack.runs().data["runs"]
    assert [newer["status"], older["status"], older["error"]] == ["finished", "failed", "interrupted"]
    assert (outcome.data["model"], outcome.data["gates"]) == ("valuation@1", {"contract": True})


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def published(filled: Path, tmp_path_factory: pytest.TempPathFactory, copies_of: Any) -> tuple[ModelVersion, Manifest]:
    """A version trained with settings of every kind."""
    copies = copies_of(filled, tmp_path_factory.mktemp("published"))
    with copies.open(interval=0.8, half_life=50.0, where={"area": [0, 190]}, gates=QUICK) as stack:
        outcome = stack.train()
        (version,), _ = stack.registry.history()
        manifest = Manifest.read(stack.registry.fetch(version))
    assert outcome.data["metrics"] == version.record["metrics"]
    return version, manifest


def test_a_manifest_says_what_the_model_learned_from(published: tuple[ModelVersion, Manifest]) -> None:
    version, manifest = published
    assert (manifest.flavour, manifest.task, manifest.target, manifest.service) == (
        "odd",
        "regression",
        "sale_price",
        "valuation@1",
    )
    assert manifest.definitions.keys() == {"valuation@1", "homes@1", "visits@1", "sale_price"}
    assert manifest.transforms.keys() == {"room_size"}
    assert manifest.postprocess == ({"op": "exp"},)
    assert manifest.intervals is not None
    assert manifest.intervals["level"] == 0.8
    assert manifest.histograms.keys() == {"area", "kind", "visits_30d", "rooms", "room_size", "prediction"}
    assert manifest.data["rows"] == version.record["data"]["train"]["rows"] > 100
    assert manifest.parameters["where"] == {"area": [0, 190]}
    assert {"numpy"} <= manifest.code.keys()


def test_metrics_are_measured_on_newer_rows_and_kept_with_the_version(
    published: tuple[ModelVersion, Manifest],
) -> None:
    version, _ = published
    measured = version.record["metrics"]
    assert measured["n"] == version.record["data"]["holdout"]["rows"] > 40
    assert measured["mape"] < 0.1
    assert 0.6 < measured["interval_coverage"] < 0.95
    train, holdout = version.record["data"]["train"], version.record["data"]["holdout"]
    assert train["last"] < holdout["first"]


def test_a_run_is_kept_with_owner_parameters_and_metrics_and_nothing_else_is_left(
    copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKWRIGHT_USER", "ada")
    with copies.open(gates=QUICK) as stack:
        stack.train()
        (found,) = stack.runs("valuation").data["runs"]
        assert not list(stack.project.cache.glob("stage-*"))
    assert (found["status"], found["model"], found["owner"]) == ("finished", "valuation@1", "ada")
    assert found["seconds"] >= 0
    assert found["steps"]["fit"] > 0
    assert found["parameters"] == {"penalty": 1e-6}
    assert found["metrics"]["n"] == 60


def test_a_run_that_fails_is_kept_with_its_error(copies: Any) -> None:
    with copies.open(trainer={"adapter": "odd", "vice": "failing"}) as stack:
        with pytest.raises(TrainingError, match="it does not fit"):
            stack.train()
        (found,) = stack.runs().data["runs"]
        assert (found["status"], found["model"]) == ("failed", "valuation")
        assert found["error"] == "odd: it does not fit. Choose another."
        assert stack.models().data["models"] == []


def test_a_registry_without_runs_says_so(copies: Any) -> None:
    folder = copies.copy()
    text = (folder / "blueprint.toml").read_text()
    (folder / "blueprint.toml").write_text(text.replace('adapter = "files"', 'adapter = "odd"'))
    with copies.load(folder) as stack:
        assert str(stack.runs()) == "This registry keeps no runs"


def test_a_model_that_cannot_be_published_is_let_go(copies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(LoadedModel, "close", lambda self: closed.append(self.name))

    def full(*_: Any, **__: Any) -> Any:
        raise StorageError("registry", "no space left")

    with copies.open(gates=QUICK) as stack:
        monkeypatch.setattr(stack.registry, "publish", full)
        with pytest.raises(StorageError, match="no space left"):
            stack.train()
        assert not list(stack.project.cache.glob("stage-*"))
    assert len(closed) == 1


def test_a_red_model_is_published_and_told_but_is_no_success(copies: Any) -> None:
    with copies.open(gates={**QUICK, "baseline": {"min_gain": 0.99}}) as stack:
        outcome = stack.train()
        assert stack.models().data["models"][0]["gates"] == "red: baseline"
    assert not outcome.ok
    assert outcome.data["gates"] == {"baseline": False}
    assert outcome.notes == ("Red: baseline. It cannot be promoted. Mend that, then: stackwright train valuation",)


def test_what_a_red_gate_asked_for_is_judged_anew_by_the_same_training(copies: Any) -> None:
    folder = copies.copy(gates={**QUICK, "servable": True})
    for path in (folder / "data").glob("online.db*"):
        path.unlink()
    with copies.load(folder) as stack:
        assert stack.train().data["gates"] == {"servable": False}
        with pytest.raises(PromotionRefused, match="run: stackwright materialize"):
            stack.promote("valuation")
        stack.materialize()
        again = stack.train()
        assert (again.data["model"], again.data["gates"]) == ("valuation@1", {"servable": True})
        assert stack.promote("valuation").data["changed"]
        assert not stack.train().data["changed"]


def test_a_model_must_be_named_where_the_blueprint_has_several(copies: Any) -> None:
    folder = copies.copy(gates=QUICK)
    text = (folder / "blueprint.toml").read_text()
    one = text[text.index("[models.valuation]") : text.index("[registry]")]
    (folder / "blueprint.toml").write_text(text + one.replace("valuation]", "second]"))
    with copies.load(folder) as stack:
        with pytest.raises(BlueprintError, match=r"2 models are defined. Name one of them. Defined: second, valuation"):
            stack.train()
        assert stack.train("second").data["model"] == "second@1"


def test_a_model_of_classes_goes_the_same_way(filled: Path, tmp_path: Path, market: Any, run: Any) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "classes"))
    features = (folder / "features.py").read_text()
    target = features[features.index("sale_price = Target(") :]
    dear = target.replace("sale_price", "dear").replace('Field("price", FLOAT64)', 'Field("price", BOOL)')
    (folder / "features.py").write_text("from stackwright import BOOL\n" + features + dear)
    sales = pyarrow.csv.read_csv(market.sales).to_pylist()
    rows = [{**row, "home_id": f"{row['home_id']:04}", "price": 120_000 < row["price"] < 280_000} for row in sales]
    pyarrow.csv.write_csv(pa.Table.from_pylist(rows), folder / "dear.csv")
    text = (folder / "blueprint.toml").read_text()
    text = text.replace('"sale_price"\ntransform = "log"', '"dear"\ntask = "classification"')
    (folder / "blueprint.toml").write_text(text)
    at = ("--project", folder, "--json")
    assert run("apply", *at).code == 0
    assert run("label", folder / "dear.csv", *at).json["added"] == 300
    trained = run("train", *at)
    assert trained.code == 0, trained
    assert trained.json["metrics"]["auc"] > 0.9
    assert all(trained.json["gates"].values())
    assert run("promote", "valuation", *at).code == 0
    answer = run("predict", "home_id=0001", "rooms=3", *at).json
    assert 0 <= answer["prediction"] <= 1
    assert "lower" not in answer
