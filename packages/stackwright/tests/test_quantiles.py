"""Quantiles from blueprint to answers: one model that says between which values a truth lies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import stackwright
from stackwright.notebook import NotebookStack
from stackwright.workflows.lineage.rejudging import rejudge
from stackwright_interfaces.errors import ArtifactError, BlueprintError, UsageError
from stackwright_interfaces.model import GOLDEN
from stackwright_serving import golden
from stackwright_serving.model import LoadedModel

NAMES = ["quantile_10", "quantile_50", "quantile_97_5"]


def opened(folder: Path) -> NotebookStack:
    return stackwright.load(folder, progress=lambda *_: None)


@pytest.fixture(scope="module")
def trained(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose champion answers quantiles. To be read."""
    folder = Path(shutil.copytree(filled, tmp_path_factory.mktemp("quantiles") / "project"))
    text = (folder / "blueprint.toml").read_text()
    text = text.replace('transform = "log"', 'transform = "log"\nlevel = true\nquantiles = [0.1, 0.5, 0.975]')
    (folder / "blueprint.toml").write_text(text)
    with opened(folder) as stack:
        assert stack.train().ok
        stack.promote("valuation")
    return folder


@pytest.fixture(scope="module")
def model(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoadedModel, Path]]:
    with opened(trained) as stack:
        (version,), _ = stack.registry.history("valuation")
        folder = tmp_path_factory.mktemp("model") / "model"
        shutil.copytree(stack.registry.fetch(version), folder, copy_function=shutil.copyfile)
        yield LoadedModel.load(folder, stack.model_format("lightgbm")), folder


def test_quantiles_are_outputs_in_the_unit_of_the_target_and_leave_their_share_below(trained: Path) -> None:
    with opened(trained) as stack:
        judged = rejudge(stack, "valuation").candidate
        rows = judged.train
        answer = judged.model.predict(rows.columns)
    assert [output.name for output in judged.model.manifest.signature.outputs] == ["sale_price", *NAMES]
    assert judged.model.manifest.parameters["quantiles"] == [0.1, 0.5, 0.975]
    low, middle, high = (answer.further[name] for name in NAMES)
    assert ((low <= middle) & (middle <= high)).all()
    shares = [(rows.target <= found).mean() for found in (low, middle, high)]
    assert shares == pytest.approx([0.1, 0.5, 0.975], abs=0.15)
    assert np.median(middle / answer.value) == pytest.approx(1.0, abs=0.1)


def test_one_answer_and_those_of_a_table_hold_every_quantile(trained: Path, tmp_path: Path) -> None:
    pyarrow.csv.write_csv(pa.table({"home_id": ["0007", "0008"], "rooms": [3, 2]}), tmp_path / "ask.csv")
    with opened(trained) as stack:
        one = stack.predict(home_id="0007", rooms=3)
        stack.score(tmp_path / "ask.csv", tmp_path / "told.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "told.parquet").to_pydict()
    told = {str(home): place for place, home in enumerate(table["home_id"])}
    place = told.get("0007", 0)
    assert one.data["outputs"] == pytest.approx({name: table[name][place] for name in NAMES})


def test_a_changed_quantile_is_found_by_the_golden_rows(model: tuple[LoadedModel, Path]) -> None:
    loaded, folder = model
    assert golden.check(folder, loaded) < 1e-9
    lines = [json.loads(line) for line in (folder / GOLDEN).read_text().splitlines()]
    lines[1]["further"]["quantile_50"] *= 1.01
    (folder / GOLDEN).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ArtifactError, match="golden row 1"):
        golden.check(folder, loaded)


def test_a_model_of_quantiles_has_no_portable_form(trained: Path, tmp_path: Path) -> None:
    with opened(trained) as stack, pytest.raises(UsageError, match="several outputs have no portable form"):
        stack.export("valuation", tmp_path / "out")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0.1, 0.5, 0.975]", "[0.5, 0.1]", r"quantiles is \[0.5, 0.1\]"),
        ("[0.1, 0.5, 0.975]", "[10, 90]", r"quantiles is \[10, 90\]"),
        ("level = true", 'task = "classification"', "quantiles is given, and the task is classification"),
        (
            'adapter = "lightgbm", num_iterations = 30, learning_rate = 0.1, min_data_in_leaf = 5',
            'adapter = "sklearn"',
            "'sklearn' gives no quantiles",
        ),
    ],
)
def test_quantiles_that_cannot_be_are_told_before_anything_runs(
    trained: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "wrong"))
    text = (folder / "blueprint.toml").read_text()
    assert old in text
    (folder / "blueprint.toml").write_text(text.replace(old, new))
    with opened(folder) as stack, pytest.raises(BlueprintError, match=message):
        stack.train()
