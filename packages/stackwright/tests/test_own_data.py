"""Models that learn from a file, a bucket or a database: every input comes with the request."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import stackwright
from stackwright.assembly.blueprint import BlueprintProblems
from stackwright.workflows import journal
from stackwright.workflows.datasets.building import build
from stackwright.workflows.live.registry_source import RegistrySource
from stackwright.workflows.live.scoring import scorer
from stackwright_interfaces.errors import (
    DataError,
    MissingColumn,
    MonitorError,
    TrainingError,
    UnknownName,
    UsageError,
)
from stackwright_interfaces.types import BOOL, FLOAT64, STRING

BLUEPRINT = """\
name = "own"
registry = "files"
server = "uvicorn"
{rest}
[models.own-price]
{data}
transform = "log"
trainer = {{ adapter = "odd" }}
"""

ROWS = 400


@pytest.fixture(scope="module")
def homes() -> pa.Table:
    random = np.random.default_rng(2)
    area = random.uniform(30, 200, ROWS).round(1)
    kind = random.choice(["flat", "house"], ROWS)
    price = 2000 * area * np.where(kind == "house", 1.6, 1.0) * np.exp(random.normal(0, 0.05, ROWS))
    return pa.table({
        "sold": [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(ROWS)],
        "area": area,
        "kind": kind,
        "garden": random.choice([True, False], ROWS),
        "rooms": (area // 30).astype(np.int64),
        "price": price.round(0),
    })  # fmt: skip


class Opener:
    """Opens a project whose model reads these data."""

    def __init__(self, folder: Path, plugins: Any) -> None:
        self.folder = folder
        self.plugins = plugins

    def __call__(self, data: str, rest: str = "") -> Any:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "blueprint.toml").write_text(BLUEPRINT.format(data=data, rest=rest))
        (self.folder / "features.py").touch()
        return stackwright.load(self.folder, plugins=self.plugins, progress=lambda *_: None)


@pytest.fixture
def opened(tmp_path: Path, odd: Any) -> Opener:
    return Opener(tmp_path / "project", odd)


@pytest.fixture
def parquet(tmp_path: Path, homes: pa.Table) -> Path:
    pyarrow.parquet.write_table(homes, tmp_path / "homes.parquet")
    return tmp_path / "homes.parquet"


def data(source: object, **more: Any) -> str:
    table = {"source": str(source), "target": "price", **more}
    return "data = { " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) + " }"


def test_a_file_is_enough_to_train_promote_predict_and_score(
    opened: Opener, parquet: Path, homes: pa.Table, tmp_path: Path
) -> None:
    with opened(data(parquet, time="sold")) as stack:
        outcome = stack.train()
        assert outcome.ok, str(outcome)
        assert outcome.data["metrics"]["mape"] < 0.1
        assert not stack.train().data["changed"]
    with opened(data(parquet, time="sold")) as stack:  # as another process does, which has not read the file
        stack.promote("own-price")
        found = stack.predict(area=100.0, kind="flat", garden=True, rooms=3)
        assert found.data["prediction"] == pytest.approx(200_000, rel=0.1)
        assert found.data["lower"] < found.data["prediction"] < found.data["upper"]
        with pytest.raises(MissingColumn, match="'kind'"):
            stack.predict(area=100.0, garden=True, rooms=3)
        stack.score(parquet, tmp_path / "out.parquet")
    answers = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    error = np.abs(answers["prediction"].to_numpy() / homes["price"].to_numpy() - 1)
    assert np.median(error) < 0.1


def test_a_report_and_labels_ask_for_a_target(opened: Opener, parquet: Path) -> None:
    with opened(data(parquet, time="sold")) as stack:
        with pytest.raises(
            MonitorError, match=r"nothing says when their truth comes\. Give the model a service and a target"
        ):
            stack.report()
        with pytest.raises(UsageError, match="no target is applied"):
            stack.label(parquet)


def test_a_server_is_asked_with_the_inputs(opened: Opener, parquet: Path) -> None:
    with opened(data(parquet, time="sold")) as stack:
        stack.train()
        stack.promote("own-price")
        source = RegistrySource(stack)
        served, _ = source.open(source.promoted()["own-price"])
        assert served.service is not None
        assert [(field.name, field.type) for field in served.service.request] == [
            ("area", FLOAT64),
            ("kind", STRING),
            ("garden", BOOL),
            ("rooms", FLOAT64),
        ]
        request = {"area": [100.0, None], "kind": ["flat", None], "garden": [True, None], "rooms": [3, None]}
        scored = served.by_keys({}, request)
        assert np.isfinite(scored.prediction.value).all()
        assert scored.incomplete == {}
        assert scored.features is not None
        assert scored.features.statuses["area"].tolist() == [0, 1]


def test_the_same_rows_in_another_form_or_order_give_the_same_model(
    opened: Opener, parquet: Path, homes: pa.Table, tmp_path: Path
) -> None:
    shuffled = homes.take(np.random.default_rng(9).permutation(ROWS))
    pyarrow.parquet.write_table(shuffled, tmp_path / "shuffled.parquet")
    pyarrow.csv.write_csv(homes, tmp_path / "homes.csv")
    with sqlite3.connect(tmp_path / "homes.db") as connection:
        connection.execute("create table homes (sold text, area real, kind text, garden text, rooms int, price real)")
        lines = [tuple(str(cell) if isinstance(cell, bool | datetime) else cell for cell in row.values())
                 for row in homes.to_pylist()]  # fmt: skip
        connection.executemany("insert into homes values (?, ?, ?, ?, ?, ?)", lines)
    places: dict[str, dict[str, Any]] = {
        str(parquet): {},
        str(tmp_path / "shuffled.parquet"): {},
        str(tmp_path / "homes.csv"): {},
        f"sqlite:///{tmp_path / 'homes.db'}": {"table": "homes"},
    }
    for order in ({"time": "sold"}, {"inputs": ["area", "kind", "garden", "rooms"]}):
        prints = set()
        for source, more in places.items():
            with opened(data(source, **more, **order)) as stack:
                prints.add(build(stack, stack.model()).fingerprint()["sha256"])
        assert len(prints) == 1


def test_rows_without_a_time_are_judged_by_rows_at_random(opened: Opener, parquet: Path, homes: pa.Table) -> None:
    with opened(data(parquet, inputs=["area", "kind"])) as stack:
        assert stack.train().ok
        rows = build(stack, stack.model())
    assert list(rows.columns) == ["area", "kind"]
    assert (np.diff(rows.asked) == np.timedelta64(1, "s")).all()
    assert sorted(rows.target.tolist()) == sorted(homes["price"].to_pylist())
    newest = rows.target[-ROWS // 5 :]
    assert abs(newest.mean() / rows.target.mean() - 1) < 0.15


def test_equal_texts_are_held_once(opened: Opener, homes: pa.Table) -> None:
    kinds = pa.array([None, *homes["kind"].to_pylist()[1:]])
    opened.folder.mkdir()
    pyarrow.parquet.write_table(
        homes.drop_columns("kind").append_column("kind", kinds), opened.folder / "homes.parquet"
    )
    with opened(data(opened.folder / "homes.parquet", time="sold")) as stack:
        held = build(stack, stack.model()).columns["kind"]
    assert held.tolist() == kinds.to_pylist()
    assert len(set(map(id, held))) == 3


def test_a_truth_that_became_known_late_is_not_learned_from_too_early(opened: Opener, homes: pa.Table) -> None:
    late = pa.array([time + timedelta(days=50) for time in homes["sold"].to_pylist()])
    path = opened.folder.parent / "late.parquet"
    pyarrow.parquet.write_table(homes.append_column("known", late), path)
    with opened(data(path, time="sold", observed="known")) as stack:
        stack.train()
        (version,), _ = stack.registry.history()
    assert version.record["data"]["holdout"]["rows"] == 80
    assert version.record["data"]["train"]["rows"] == ROWS - 80 - 49


def test_a_stack_may_hold_both_kinds_of_models(filled: Path, tmp_path: Path, odd: Any, parquet: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "both"))
    own = f'\n[models.own]\n{data(parquet, time="sold")}\ntrainer = {{ adapter = "odd" }}\ntransform = "log"\n'
    blueprint = folder / "blueprint.toml"
    blueprint.write_text(blueprint.read_text() + own)
    with stackwright.load(folder, plugins=odd, progress=lambda *_: None) as stack:
        outcome = stack.train("own")
        assert outcome.ok, str(outcome)
        stack.promote("own")
        stack.apply()
        assert stack.predict(model_ref="own", area=100.0, kind="flat", garden=True, rooms=3).data["prediction"] > 0
        assert scorer(stack, "own").service is not None
        with pytest.raises(UnknownName):
            stack.label(parquet, target="price")
        assert journal.labels(stack, stack.target("sale_price")).read().num_rows > 0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"target": "prise"}, "column 'prise' is missing.*Did you mean 'price'"),
        ({"time": "sold", "inputs": ["areas"]}, "column 'areas' is missing.*Did you mean 'area'"),
        ({}, r"column 'sold' holds timestamp.*Name the columns that the model reads: data = \{ inputs"),
        ({"time": "sold", "target": "kind"}, "the target 'kind' holds texts. Give numbers"),
    ],
)
def test_columns_that_do_not_fit_are_told(opened: Opener, parquet: Path, more: dict[str, Any], told: str) -> None:
    with opened(data(parquet, **more)) as stack, pytest.raises(DataError, match=told):
        stack.train()


def test_na_is_missing_among_numbers_and_truths_of_a_csv_and_a_text_among_texts(opened: Opener, tmp_path: Path) -> None:
    lines = [f"{20 + row},{1 + row},NA,flat,true,NA" for row in range(50)] + [
        "NA,3,NA,NA,null,NA",
        "70,NA,NA,house,false,NA",
    ]
    (tmp_path / "homes.csv").write_text("\n".join(["area,price,note,kind,garden,none", *lines]) + "\n")
    inputs = ["area", "kind", "garden", "none"]
    with opened(data(tmp_path / "homes.csv", inputs=inputs)) as stack:
        rows = build(stack, stack.model())
        types = {field.name: field.type for field in stack.service("own_price__data@1").output_fields}
    assert types == {"area": FLOAT64, "kind": STRING, "garden": BOOL, "none": STRING}
    missing = int(np.flatnonzero(np.isnan(rows.columns["area"]))[0])
    assert np.isnan(rows.columns["area"]).sum() == 1
    assert (rows.columns["kind"][missing], rows.keys["garden"][missing]) == ("NA", None)
    assert len(rows) == 51  # of one the price is not known


def test_a_row_without_a_time_is_told(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "gap.csv").write_text("when,x,price\n2024-01-01,1,2\n,1,2\n")
    with (
        opened(data(tmp_path / "gap.csv", time="when")) as stack,
        pytest.raises(DataError, match=r"column 'when' has no time in row 1\. Give every row one"),
    ):
        stack.train()


def test_too_few_rows_are_told_as_rows(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("x,price\n" + "".join(f"{row},{row + 1}\n" for row in range(20)))
    with (
        opened(data(tmp_path / "few.csv")) as stack,
        pytest.raises(TrainingError, match=r"20 labelled.*Bring more rows"),
    ):
        stack.train()


def test_a_secret_address_is_told_by_its_name_alone(
    opened: Opener, parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMES_AT", str(parquet))
    with opened(data("env:HOMES_AT", time="sold")) as stack:
        stack.train()
        (run,) = stack.registry.runs("own-price")
    assert str(parquet) not in json.dumps(dict(run.record))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('data = { target = "price" }', "data: source is missing"),
        ('data = { source = "a.csv" }', "data: target is missing"),
        ('data = { source = "a", target = "b", tme = "c" }', "data: unknown key 'tme'. Did you mean 'time'?"),
        ('data = { source = "a", target = "b", inputs = [1] }', "data: inputs is [1]. Give names of columns."),
        ('service = "s@1"\ndata = { source = "a", target = "b" }', "both data and service are given"),
    ],
)
def test_data_that_are_not_well_written_are_told(opened: Opener, text: str, told: str) -> None:
    with opened(text) as stack, pytest.raises(BlueprintProblems) as caught:
        _ = stack.plan
    assert told in str(caught.value)
