"""Times to an event from blueprint to answers: how long a home waits for its sale, learned while many still wait."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import stackwright
from stackwright.notebook import NotebookStack
from stackwright.workflows import journal
from stackwright.workflows.datasets.building import build
from stackwright.workflows.datasets.measures import measure_of
from stackwright.workflows.gates import Candidate, run_gate
from stackwright.workflows.lineage.rejudging import rejudge
from stackwright_interfaces.errors import ArtifactError, BlueprintError, TrainingError, UsageError
from stackwright_interfaces.model import GOLDEN, Manifest
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.rows import PredictionRows
from stackwright_numerics.split import TemporalSplit
from stackwright_serving import golden
from stackwright_serving.model import LoadedModel

BLUEPRINT = """\
name = "waits"

[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "sqlite", path = "data/online.db" }

[models.days]
service = "homes@1"
target = "sold"
task = "time_to_event"
horizons = [10, 30]
trainer = { adapter = "lightgbm", num_iterations = 60, learning_rate = 0.1 }

[registry]
adapter = "files"
"""

FEATURES = """\
from stackwright import FLOAT64, STRING, Entity, FeatureService, FeatureView, Field, Source, Target

home = Entity(name="home", keys=(Field("home_id", STRING),))
homes = FeatureView(
    name="homes",
    entity=home,
    source=Source(event_time="listed_at"),
    fields=(Field("dear", FLOAT64), Field("kind", STRING)),
)
service = FeatureService(name="homes", selections=(homes.select(),))
sold = Target(
    name="sold",
    entity=home,
    value=Field("price", FLOAT64),
    asked="listed_at",
    happened="sold_at",
    observed="known_at",
    censored="waiting",
)
"""

HOMES = 400
START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=HOMES // 4 + 10)
"""Four homes are listed a day, and ten days after the last the labels are told."""


def waits() -> tuple[pa.Table, pa.Table]:
    """Return homes, and what is known of their sales now: houses wait long, and so do the cheapest and the dearest."""
    random = np.random.default_rng(4)
    house, dear = np.arange(HOMES) % 2 == 1, random.uniform(0, 1, HOMES)
    days = random.exponential(np.where(house, 20.0, 5.0) * np.exp(8 * np.abs(dear - 0.5) - 2))
    listed = [START + timedelta(hours=6 * place) for place in range(HOMES)]
    sold = [at + timedelta(days=float(wait)) for at, wait in zip(listed, days, strict=True)]
    names = [f"h{place:03}" for place in range(HOMES)]
    kind = np.where(house, "house", "flat").tolist()
    homes = pa.table({"home_id": names, "listed_at": listed, "dear": dear, "kind": kind})
    waiting = [at > NOW for at in sold]
    labels = {
        "home_id": names,
        "listed_at": listed,
        "sold_at": [None if waits else at for at, waits in zip(sold, waiting, strict=True)],
        "known_at": [NOW if waits else at for at, waits in zip(sold, waiting, strict=True)],
        "waiting": waiting,
        "price": [None if waits else 100.0 for waits in waiting],
    }
    return homes, pa.table(labels)


def opened(folder: Path) -> NotebookStack:
    return stackwright.load(folder, progress=lambda *_: None)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with history, online rows and labels, but no model. To be copied or read."""
    folder = tmp_path_factory.mktemp("times") / "project"
    folder.mkdir()
    (folder / "blueprint.toml").write_text(BLUEPRINT)
    (folder / "features.py").write_text(FEATURES)
    homes, labels = waits()
    pyarrow.parquet.write_table(homes, folder / "homes.parquet")
    pyarrow.parquet.write_table(labels, folder / "labels.parquet")
    with opened(folder) as stack:
        stack.apply()
        stack.ingest("homes", folder / "homes.parquet")
        stack.materialize()
        stack.label(folder / "labels.parquet")
    return folder


@pytest.fixture(scope="module")
def trained(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a promoted model. To be copied or read."""
    folder = Path(shutil.copytree(project, tmp_path_factory.mktemp("trained") / "project"))
    with opened(folder) as stack:
        outcome = stack.train()
        assert outcome.ok, str(outcome)
        stack.promote("days")
    return folder


@pytest.fixture(scope="module")
def candidate(trained: Path) -> Iterator[Candidate]:
    """The published model with its rows, as gates see it."""
    with opened(trained) as stack:
        yield rejudge(stack, "days").candidate


def judged(candidate: Candidate, gate: str, **options: Any) -> Any:
    return run_gate(candidate, gate, {**rejudge(candidate.stack, "days").gates[gate], **options})


def bent(candidate: Candidate, answer: Any, **changes: Any) -> Candidate:
    """Return a candidate whose answers for the newer rows are these, without a champion."""
    found = replace(candidate, **changes)
    found.__dict__["answer"] = replace(candidate.answer, value=np.asarray(answer, dtype=np.float64))
    found.__dict__["champion"] = None
    return found


# Rows


def test_days_run_to_the_event_or_to_when_a_row_was_looked_at_last(project: Path) -> None:
    with opened(project) as stack:
        rows = build(stack, stack.model())
    _, labels = waits()
    assert rows.event is not None
    waiting = np.array(labels["waiting"].to_pylist())
    assert np.array_equal(rows.event, ~waiting)
    assert 20 < waiting.sum() < 120
    listed = np.array([at.replace(tzinfo=None) for at in labels["listed_at"].to_pylist()], dtype="datetime64[us]")
    watched = (np.datetime64(NOW.replace(tzinfo=None), "us") - listed) / np.timedelta64(1, "D")
    np.testing.assert_allclose(rows.target[waiting], watched[waiting])
    assert (rows.target[~waiting] < watched[~waiting]).all()


def test_of_older_rows_is_known_what_was_told_when_the_newer_were_asked_for(project: Path) -> None:
    with opened(project) as stack:
        rows = build(stack, stack.model())
    ((older, newer),) = rows.split(TemporalSplit(folds=1, holdout=0.2))
    cut = newer.asked.min()
    assert len(older) + len(newer) == len(rows)
    assert (older.observed <= cut).all()
    assert older.event is not None
    assert rows.event is not None
    then, now = older.event, rows.event[: len(older)]
    assert (now & ~then).sum() > 10
    assert not (then & ~now).any()
    watched = (cut - older.asked) / np.timedelta64(1, "D")
    np.testing.assert_allclose(older.target[~then], watched[~then])
    np.testing.assert_allclose(older.target[then], rows.target[: len(older)][then])


def test_labels_of_a_time_are_those_that_were_told_by_then(project: Path) -> None:
    then = START + timedelta(days=60)
    with opened(project) as stack:
        now, before = build(stack, stack.model()), build(stack, stack.model(), known_at=then)
    assert (before.observed <= np.datetime64(then.replace(tzinfo=None), "us")).all()
    assert 0 < len(before) < len(now)


def test_an_event_after_the_horizon_of_its_target_has_not_come(project: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(project, tmp_path / "short"))
    short = FEATURES.replace('name="sold"', 'name="sold_soon"').replace(
        'censored="waiting",', 'censored="waiting", horizon=timedelta(days=12),'
    )
    (folder / "features.py").write_text("from datetime import timedelta\n" + short)
    (folder / "blueprint.toml").write_text(BLUEPRINT.replace('target = "sold"', 'target = "sold_soon"'))
    with opened(folder) as stack:
        stack.apply()
        stack.label(folder / "labels.parquet")
        rows = build(stack, stack.model())
    assert rows.event is not None
    assert rows.target.max() == 12.0
    assert not rows.event[rows.target == 12.0].any()


# Training, gates, answers


def test_a_model_of_times_is_trained_judged_and_published(trained: Path) -> None:
    with opened(trained) as stack:
        (version,), events = stack.registry.history("days")
        manifest = Manifest.read(stack.registry.fetch(version))
    (evidence,) = [event.evidence for event in events if event.kind == "evidence"]
    found = {gate["name"]: gate["state"] for gate in evidence["gates"]}
    assert [output.name for output in manifest.signature.outputs] == ["sold", "within_10", "within_30"]
    assert manifest.parameters["horizons"] == [10.0, 30.0]
    assert version.record["metrics"]["c_index"] > 0.6
    silent = {name for name, state in found.items() if state == "not applicable"}
    assert silent == {"champion", "direction", "cases", "slices", "calibration", "recall", "drift"}
    assert {found[name] for name in set(found) - silent} == {"green"}


def test_answers_are_the_expected_days_and_the_chances(trained: Path) -> None:
    with opened(trained) as stack:
        names = [f"h{place:03}" for place in range(40)]
        model = rejudge(stack, "days").candidate.model
        rows = stack.features.read("homes@1", {"home_id": names}, {})
        answer = model.predict(rows.columns)
    houses = np.arange(40) % 2 == 1
    assert answer.value[houses].mean() > 1.5 * answer.value[~houses].mean()
    soon, later = answer.further["within_10"], answer.further["within_30"]
    assert ((soon >= 0) & (soon <= later) & (later <= 1)).all()
    assert soon[~houses].mean() > soon[houses].mean() + 0.2


def test_one_answer_and_those_of_a_table_hold_every_output(trained: Path, tmp_path: Path) -> None:
    pyarrow.csv.write_csv(pa.table({"home_id": ["h000", "h001"], "within_10": ["old", "old"]}), tmp_path / "ask.csv")
    with opened(trained) as stack:
        one = stack.predict(home_id="h001")
        stack.score(tmp_path / "ask.csv", tmp_path / "told.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "told.parquet").to_pydict()
    assert one.data["outputs"] == {name: table[name][1] for name in ("within_10", "within_30")}
    assert table["prediction"][1] == one.data["prediction"]
    assert "within_30" in one.title


def test_the_golden_rows_hold_every_output(trained: Path, tmp_path: Path) -> None:
    with opened(trained) as stack:
        (version,), _ = stack.registry.history("days")
        folder = Path(shutil.copytree(stack.registry.fetch(version), tmp_path / "model", copy_function=shutil.copyfile))
        model = LoadedModel.load(folder, stack.model_format("lightgbm"))
    lines = [json.loads(line) for line in (folder / GOLDEN).read_text().splitlines()]
    assert all(set(line["further"]) == {"within_10", "within_30"} for line in lines)
    assert golden.check(folder, model) < 1e-9
    lines[2]["further"]["within_30"] += 0.01
    (folder / GOLDEN).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ArtifactError, match="golden row 2"):
        golden.check(folder, model)


def test_waits_drawn_at_random_are_no_better_than_a_constant(candidate: Candidate) -> None:
    result = judged(bent(candidate, np.random.default_rng(1).random(len(candidate.holdout))), "baseline")
    assert result.state == "red"
    assert result.evidence["constant"] == 0.5
    assert result.evidence["metric"] == "1 - c_index"


def test_the_loss_of_a_row_is_the_share_of_rows_it_is_put_in_the_wrong_order_with(candidate: Candidate) -> None:
    measure, rows = measure_of("time_to_event"), candidate.holdout
    assert measure.losses(rows, rows.target).max() == 0.0
    assert measure.loss(rows, rows.target) == 0.0
    assert measure.loss(rows, -rows.target) == 1.0
    found = measure.compare(rows, rows.target, np.zeros(len(rows)))
    assert (found.mine, found.theirs, found.gain, found.low) == (0.0, 0.5, 1.0, 1.0)
    same = measure.compare(rows, candidate.answer.value, 2 * candidate.answer.value)
    assert (same.gain, same.low, same.high) == (0.0, 0.0, 0.0)


def test_a_kind_whose_waits_are_guessed_is_a_bad_slice(candidate: Candidate) -> None:
    rows = candidate.holdout
    guessed = np.where(rows.columns["kind"] == "flat", -rows.target, rows.target)
    result = judged(bent(candidate, guessed), "slices", rows=20, ratio=1.05)
    assert result.state == "red"
    assert "kind = flat" in result.detail


def test_an_input_that_gives_away_how_long_rows_wait_is_a_leak(candidate: Candidate) -> None:
    leaking = replace(candidate.train, columns={**candidate.train.columns, "dear": candidate.train.target})
    assert judged(bent(candidate, candidate.holdout.target, train=leaking), "leakage").state == "red"


def test_parameters_are_searched_for_by_the_order_of_waits(project: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(project, tmp_path / "tuned"))
    text = BLUEPRINT.replace("horizons = [10, 30]", "tune = { trials = 2, folds = 2 }")
    (folder / "blueprint.toml").write_text(text)
    with opened(folder) as stack:
        stack.train()
        (version,), _ = stack.registry.history("days")
    trials = version.record["trials"]
    assert [(trial["metric"], trial["state"]) for trial in trials] == [("c_index", "complete")] * 2


def test_a_model_of_times_has_no_portable_form(trained: Path, tmp_path: Path) -> None:
    with opened(trained) as stack, pytest.raises(UsageError, match="no portable form"):
        stack.export("days", tmp_path / "out")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[10, 30]", "[30, 10]", r"horizons is \[30, 10\]"),
        ("[10, 30]", '["ten"]', "horizons is"),
        ('"time_to_event"', '"regression"', "horizons is given, and the task is regression"),
        (
            'adapter = "lightgbm", num_iterations = 60, learning_rate = 0.1',
            'adapter = "sklearn"',
            "does no time_to_event",
        ),
    ],
)
def test_what_makes_no_model_of_times_is_told_before_anything_runs(
    project: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    folder = Path(shutil.copytree(project, tmp_path / "wrong"))
    (folder / "blueprint.toml").write_text(BLUEPRINT.replace(old, new, 1))
    with pytest.raises(BlueprintError, match=message), opened(folder) as stack:
        stack.train()


# Rows of one's own


OWN = """\
name = "waits"
[models.days]
task = "time_to_event"
data = { source = "FILE", target = "days", censored = "waiting"TIME, inputs = ["dear", "kind"] }
trainer = { adapter = "lightgbm", num_iterations = 60, learning_rate = 0.1 }
[registry]
adapter = "files"
"""


def own(folder: Path, time: str = "") -> Path:
    homes, labels = waits()
    ended = [sold or NOW for sold in labels["sold_at"].to_pylist()]
    days = [(end - at) / timedelta(days=1) for end, at in zip(ended, labels["listed_at"].to_pylist(), strict=True)]
    table = homes.append_column("days", pa.array(days)).append_column("waiting", labels["waiting"])
    pa.csv.write_csv(table, folder / "rows.csv")
    (folder / "blueprint.toml").write_text(OWN.replace("TIME", time).replace("FILE", str(folder / "rows.csv")))
    return folder


def test_rows_of_a_file_say_how_long_they_wait_and_whether_they_still_do(tmp_path: Path) -> None:
    with opened(own(tmp_path, ', time = "listed_at"')) as stack:
        rows = build(stack, stack.model())
        ((older, newer),) = rows.split(TemporalSplit(folds=1, holdout=0.2))
        assert (older.observed <= newer.asked.min()).all()
        assert stack.train().ok
        stack.promote("days")
        answers = [stack.predict(dear=0.5, kind=kind).data["prediction"] for kind in ("flat", "house")]
    assert answers[1] > 1.5 * answers[0]


def test_without_a_time_rows_are_known_as_they_are(tmp_path: Path) -> None:
    with opened(own(tmp_path)) as stack:
        rows = build(stack, stack.model())
        ((older, _),) = rows.split(TemporalSplit(folds=1, holdout=0.2))
    assert rows.event is not None
    assert older.event is not None
    assert np.array_equal(older.event, rows.event[: len(older)])


def test_rows_of_which_none_has_ended_teach_nothing(tmp_path: Path) -> None:
    folder = own(tmp_path)
    text = (folder / "rows.csv").read_text().replace(",false\n", ",true\n")
    (folder / "rows.csv").write_text(text)
    with opened(folder) as stack, pytest.raises(TrainingError, match="no event has come in any row"):
        stack.train()


# Live


def test_a_report_orders_waits_those_that_go_on_included(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "watched"))
    _, labels = waits()
    with opened(folder) as stack:
        model = rejudge(stack, "days").candidate.model
        with PredictionLog(journal.segments(stack)) as log:
            for name, at in zip(labels["home_id"].to_pylist(), labels["listed_at"].to_pylist(), strict=True):
                rows = stack.features.read("homes@1", {"home_id": [name]}, {})
                log.append(
                    PredictionRows(
                        prediction_ids=[name],
                        prediction=model.predict(rows.columns).value,
                        model="days",
                        version=1,
                        predicted_at=at,
                        asked_at=at,
                        features=rows,
                        keys={"home_id": [name]},
                    )
                )
        outcome = stack.report("days")
        numbers = json.loads(Path(outcome.data["numbers"]).read_text())
    (group,) = numbers["performance"]["groups"]
    assert group["n"] == HOMES
    assert group["judged"]["c_index"]["value"] > 0.6
    assert group["metrics"]["events"] == labels["waiting"].to_pylist().count(False)
    assert "c_index" in outcome.data["headline"]
