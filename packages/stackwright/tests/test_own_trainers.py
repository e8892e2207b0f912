"""A class of the project as the trainer, and trainers that stop by newer rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright_interfaces.errors import ArtifactError, BlueprintError

GATES = {**dict.fromkeys(GATE_OPTIONS, False), "artifact": True}

SHARE = """
import numpy as np

class Share:
    def get_parameters(self):
        return {"share": 0.5}

    def train(self, inputs, target, params, config):
        self.answer = float(np.quantile(target, params["share"])) + config.get("more", 0.0)
        return self

    def predict(self, inputs):
        return np.full(len(inputs), self.answer)
"""


def trainer(**options: Any) -> dict[str, Any]:
    return {"adapter": "python", "class": "shares:Share", **options}


@pytest.fixture
def project(copies: Any) -> Path:
    """A project with a class of its own."""
    folder = Path(copies.copy(trainer=trainer(), gates=GATES))
    (folder / "shares.py").write_text(SHARE)
    return folder


def train(copies: Any, **options: Any) -> Any:
    with copies.open(**{"trainer": trainer(), "gates": GATES, **options}) as stack:
        return stack.train()


def test_a_class_of_the_project_is_trained_judged_and_answers(
    project: Path, copies: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    outcome = train(copies)
    assert outcome.data["gates"] == {"artifact": True}
    with copies.load(project) as stack:
        stack.promote("valuation")
        assert stack.predict(home_id="0007", rooms=3).data["prediction"] > 0


def test_other_code_is_another_training_and_the_same_is_not(project: Path, copies: Any) -> None:
    first = train(copies)
    assert train(copies).data["changed"] is False
    (project / "shares.py").write_text(SHARE.replace('"share": 0.5', '"share": 0.25'))
    second = train(copies)
    assert second.data["changed"] is True
    assert second.data["digest"] != first.data["digest"]


def test_a_model_whose_code_was_changed_since_is_refused(project: Path, copies: Any) -> None:
    train(copies)
    with copies.load(project) as stack:
        stack.promote("valuation")
    (project / "shares.py").write_text(SHARE.replace("np.full", "1 + np.full"))
    with (
        copies.load(project) as stack,
        pytest.raises(ArtifactError, match="is not the code that the model"),
    ):
        stack.predict(home_id="0007", rooms=3)


def test_other_options_are_the_configuration_of_the_class(project: Path, copies: Any) -> None:
    plain = train(copies).data["digest"]
    (project / "blueprint.toml").unlink()
    assert train(copies, trainer=trainer(more=100.0)).data["digest"] != plain


def test_an_option_without_a_json_form_is_told(project: Path, run: Any) -> None:
    blueprint = project / "blueprint.toml"
    blueprint.write_text(blueprint.read_text().replace('adapter = "python"', 'adapter = "python", more = nan'))
    done = run("check", "--project", project)
    assert done.code == 1
    assert "more is nan" in done.out + done.err


def test_a_fit_is_stopped_by_newer_rows_and_made_again_on_all(copies: Any) -> None:
    options = {"num_iterations": 3000, "early_stopping_round": 3, "learning_rate": 0.3}
    with copies.open(trainer={"adapter": "lightgbm", **options}, gates=GATES) as stack:
        outcome = stack.train()
        (version,) = stack.registry.history()[0]
    assert "early stopping" in outcome.data["seconds"]
    assert 0 < version.record["parameters"]["num_iterations"] < 500


def test_a_class_that_is_not_there_is_told(project: Path, copies: Any) -> None:
    (project / "shares.py").unlink()
    with pytest.raises(Exception, match="shares") as told:
        train(copies)
    assert not isinstance(told.value, BlueprintError | ModuleNotFoundError)
