"""A ranking from blueprint to answers: searches for homes, of which people take the kind and price that they want."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.measures import measure_of
from stackwright.workflows.gates import Candidate, run_gate
from stackwright.workflows.lineage.rejudging import rejudge
from stackwright_interfaces.errors import BlueprintError, DataError, TrainingError
from stackwright_interfaces.model import Manifest
from stackwright_journal.predictions import PredictionLog
from stackwright_journal.rows import PredictionRows
from stackwright_numerics.split import TemporalSplit

BLUEPRINT = """\
name = "search"

[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "sqlite", path = "data/online.db" }

[models.results]
service = "results@1"
target = "clicked"
task = "ranking"
k = 5
trainer = { adapter = "lightgbm", num_iterations = 40, learning_rate = 0.1 }

[registry]
adapter = "files"

[server]
adapter = "uvicorn"
"""

FEATURES = """\
from stackwright import FLOAT64, INT64, STRING, Entity, FeatureService, FeatureView, Field, Source, Target, transform

home = Entity(name="home", keys=(Field("home_id", STRING),))
homes = FeatureView(
    name="homes",
    entity=home,
    source=Source(event_time="changed_at"),
    fields=(Field("price", FLOAT64), Field("kind", STRING)),
)


@transform(inputs=("price", "budget"), type=FLOAT64)
def share(price, budget):
    return price / budget


@transform(inputs=("kind", "wanted"), type=FLOAT64)
def fits(kind, wanted):
    return (kind == wanted).astype(float)


results = FeatureService(
    name="results",
    selections=(homes.select(),),
    request=(Field("budget", FLOAT64), Field("wanted", STRING)),
    transforms=(share, fits),
)
clicked = Target(
    name="clicked",
    entity=home,
    value=Field("clicked", INT64),
    asked="shown_at",
    happened="clicked_at",
    request=(*results.request, Field("search_id", STRING), Field("place", INT64)),
    group="search_id",
    position="place",
)
"""

HOMES, SEARCHES, SHOWN = 60, 160, 8
START = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Searches:
    """What was shown in each search, and taken: people look at the top, and take what is of their kind and price."""

    homes: pa.Table
    labels: pa.Table


def searches(seed: int = 1, number: int = SEARCHES, start: datetime = START) -> Searches:
    random = np.random.default_rng(seed)
    kinds = np.array(["flat", "house"])
    home_kind, price = kinds[np.arange(HOMES) % 2], np.random.default_rng(0).uniform(100, 500, HOMES).round(1)
    homes = {
        "home_id": [f"h{place:02}" for place in range(HOMES)],
        "changed_at": [START - timedelta(days=9)] * HOMES,
        "price": price,
        "kind": home_kind.tolist(),
    }
    rows: dict[str, list[Any]] = {
        name: [] for name in ("home_id", "search_id", "place", "shown_at", "clicked_at", "clicked", "budget", "wanted")
    }
    for search in range(number):
        shown = random.choice(HOMES, SHOWN, replace=False)
        budget, wanted = round(float(random.uniform(150, 500)), 1), str(random.choice(kinds))
        worth = 2.0 * (home_kind[shown] == wanted) - 4.0 * np.abs(price[shown] / budget - 0.8)
        seen = 1 / (1 + 0.2 * np.arange(SHOWN))
        taken = random.random(SHOWN) < seen / (1 + np.exp(-worth * 2))
        at = start + timedelta(hours=6 * search)
        for place, home in enumerate(shown.tolist()):
            values = (
                f"h{home:02}", f"s{seed}-{search}", place + 1, at + timedelta(seconds=place), at + timedelta(minutes=9),
                int(taken[place]), budget, wanted,
            )  # fmt: skip
            for name, value in zip(rows, values, strict=True):
                rows[name].append(value)
    return Searches(pa.table(homes), pa.table(rows))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with history, online rows and labels, but no model. To be copied or read."""
    folder = tmp_path_factory.mktemp("ranking") / "project"
    folder.mkdir()
    (folder / "blueprint.toml").write_text(BLUEPRINT)
    (folder / "features.py").write_text(FEATURES)
    found = searches()
    pyarrow.parquet.write_table(found.homes, folder / "homes.parquet")
    pyarrow.parquet.write_table(found.labels, folder / "shown.parquet")
    with opened(folder) as stack:
        stack.apply()
        stack.ingest("homes", folder / "homes.parquet")
        stack.materialize()
        stack.label(folder / "shown.parquet")
    return folder


@pytest.fixture(scope="module")
def trained(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a promoted model. To be copied or read."""
    folder = Path(shutil.copytree(project, tmp_path_factory.mktemp("trained") / "project"))
    with opened(folder) as stack:
        outcome = stack.train()
        assert outcome.ok, str(outcome)
        stack.promote("results")
    return folder


def opened(folder: Path) -> NotebookStack:
    return stackwright.load(folder, progress=lambda *_: None)


def changed(project: Path, folder: Path, old: str = "", new: str = "") -> Path:
    """Return a copy of a project, with a change to its blueprint."""
    shutil.copytree(project, folder)
    text = (folder / "blueprint.toml").read_text()
    assert old in text
    (folder / "blueprint.toml").write_text(text.replace(old, new, 1))
    return folder


@pytest.fixture(scope="module")
def candidate(trained: Path) -> Iterator[Candidate]:
    """The published model with its rows, as gates see it."""
    with opened(trained) as stack:
        yield rejudge(stack, "results").candidate


def judged(candidate: Candidate, gate: str, **options: Any) -> Any:
    settings = {**rejudge(candidate.stack, "results").gates[gate], **options}
    return run_gate(candidate, gate, settings)


def states(stack: NotebookStack) -> dict[str, str]:
    (event,) = [event for event in stack.registry.history("results")[1] if event.kind == "evidence"]
    return {gate["name"]: gate["state"] for gate in event.evidence["gates"]}


# Rows


def test_rows_lie_list_by_list_and_carry_their_places(project: Path) -> None:
    with opened(project) as stack:
        rows = build(stack, stack.model())
    assert (len(rows), rows.starts.size, set(rows.sizes.tolist())) == (SEARCHES * SHOWN, SEARCHES, {SHOWN})
    assert rows.position is not None
    assert rows.position[:SHOWN].tolist() == list(range(1, SHOWN + 1))
    assert (np.diff(rows.begun) >= np.timedelta64(0)).all()
    assert not {"search_id", "place"} & set(rows.columns)


def test_no_list_is_cut_though_its_rows_are_of_many_times(project: Path) -> None:
    with opened(project) as stack:
        rows = build(stack, stack.model())
    random = np.random.default_rng(2)
    later = random.integers(0, 3 * 86_400, len(rows)) * np.timedelta64(1_000_000, "us")
    spread = replace(rows, asked=rows.asked + later, observed=rows.observed + later)
    for older, newer in spread.split(TemporalSplit(folds=3, holdout=0.5)):
        assert set(older.sizes.tolist()) == set(newer.sizes.tolist()) == {SHOWN}
        assert not set(np.unique(older.group)) & set(np.unique(newer.group))
        assert older.observed.max() <= newer.begun.min()


def test_lists_that_are_divided_otherwise_are_other_data(project: Path) -> None:
    with opened(project) as stack:
        rows = build(stack, stack.model())
    assert rows.group is not None
    joined = replace(rows, group=rows.group // 2)
    elsewhere = replace(rows, position=rows.position + 1)
    moved = replace(rows, group=rows.group + 7)
    prints = [each.fingerprint()["sha256"] for each in (rows, joined, elsewhere, moved)]
    assert len(set(prints)) == 3
    assert prints[0] == prints[3]


# Training and gates


def test_a_model_of_lists_is_trained_judged_and_published(trained: Path) -> None:
    with opened(trained) as stack:
        (version,), _ = stack.registry.history("results")
        found = states(stack)
        manifest = Manifest.read(stack.registry.fetch(version))
    assert (manifest.task, manifest.parameters["k"], manifest.intervals) == ("ranking", 5, None)
    assert version.record["metrics"]["ndcg"] > 0.8
    assert {"map", "mrr", "recall", "precision", "lists"} <= set(version.record["metrics"])
    silent = {name for name, state in found.items() if state == "not applicable"}
    assert silent == {"champion", "direction", "cases", "slices", "calibration", "recall"}
    assert {found[name] for name in set(found) - silent} == {"green"}


def test_the_model_orders_rows_by_what_people_wanted(trained: Path) -> None:
    with opened(trained) as stack:
        answers = [
            stack.predict(home_id=home, budget=400.0, wanted=wanted).data["prediction"]
            for home in ("h00", "h01")
            for wanted in ("flat", "house")
        ]
    assert answers[0] > answers[1]  # h00 is a flat
    assert answers[3] > answers[2]


def bent(candidate: Candidate, answer: Callable[[Dataset], Any], **changes: Any) -> Candidate:
    """Return a candidate whose answers for the newer rows are these, without a champion."""
    found = replace(candidate, **changes)
    found.__dict__["answer"] = replace(candidate.answer, value=np.asarray(answer(found.holdout), dtype=np.float64))
    found.__dict__["champion"] = None
    return found


def test_an_order_at_random_is_no_better_than_a_constant(candidate: Candidate) -> None:
    result = judged(bent(candidate, lambda rows: np.random.default_rng(1).random(len(rows))), "baseline")
    assert result.state == "red"
    assert "1 - ndcg@5 on" in result.detail
    assert "newer lists" in result.detail


def test_a_model_that_knows_less_than_what_is_popular_is_red(candidate: Candidate) -> None:
    homes = candidate.train.keys["home_id"]
    liked = {home: float(home < "h30") for home in set(homes.tolist())}
    parts = {}
    for name in ("train", "holdout"):
        rows = getattr(candidate, name)
        parts[name] = replace(rows, target=np.array([liked[home] for home in rows.keys["home_id"].tolist()]))
    result = judged(bent(candidate, lambda rows: -rows.columns["share"], **parts), "baseline", min_gain=-9.0)
    assert result.state == "red"
    assert result.evidence["popular"] < 0.01


def test_slices_are_of_searches_and_not_of_what_was_found(candidate: Candidate) -> None:
    result = judged(candidate, "slices", rows=5)
    assert {item["slice"].split(" = ")[0] for item in result.evidence["worst"]} == {"wanted"}
    blind = bent(candidate, lambda rows: np.where(rows.columns["wanted"] == "flat", rows.target, -rows.target))
    result = judged(blind, "slices", rows=5)
    assert result.state == "red"
    assert "wanted = house" in result.detail


def test_the_champion_is_compared_list_by_list(candidate: Candidate, trained: Path, tmp_path: Path) -> None:
    measure, rows = measure_of("ranking", 5), candidate.holdout
    random = np.random.default_rng(0)
    found = measure.compare(rows, rows.target, random.random(len(rows)))
    assert (found.mine, found.gain, found.low) == (0.0, 1.0, 1.0)
    same = measure.compare(rows, rows.columns["share"], rows.columns["share"] * 2)
    assert (same.gain, same.low, same.high) == (0.0, 0.0, 0.0)
    folder = changed(trained, tmp_path / "next", "num_iterations = 40", "num_iterations = 30")
    later = searches(seed=2, number=60, start=START + timedelta(hours=6 * SEARCHES))
    with opened(folder) as stack:
        pyarrow.parquet.write_table(later.labels, folder / "later.parquet")
        stack.label(folder / "later.parquet")
        gates = {"champion": {"rows": 20, "min_gain": -1.0}}
        stack.blueprint.models["results"].gates.update(gates)  # type: ignore[attr-defined]  # a plain dict
        stack.train()
        event = [event for event in stack.registry.history("results")[1] if event.kind == "evidence"][-1]
    (champion,) = [gate for gate in event.evidence["gates"] if gate["name"] == "champion"]
    assert champion["state"] == "green", champion["detail"]
    assert champion["evidence"]["metric"] == "1 - ndcg@5"
    assert 20 <= champion["evidence"]["rows"] < 60


def test_an_input_that_gives_away_what_was_taken_is_a_leak(candidate: Candidate) -> None:
    leaking = replace(candidate.train, columns={**candidate.train.columns, "share": candidate.train.target})
    assert judged(bent(candidate, lambda rows: rows.target, train=leaking), "leakage").state == "red"


# What is refused


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'adapter = "lightgbm", num_iterations = 40, learning_rate = 0.1',
            'adapter = "sklearn"',
            "'sklearn' does no ranking",
        ),
        ('task = "ranking"', 'task = "ranking"\ntransform = "log"', "the task is no regression"),
        ('task = "ranking"', 'task = "regression"', "k is given, and the task is regression"),
        ("k = 5", "k = 0", "k is 0"),
        ("k = 5", "horizons = [3]", "horizons is given, and the task is ranking"),
        ("k = 5", 'tune = { trials = 2, metric = "mape" }', "metric is 'mape'"),
    ],
)
def test_what_makes_no_ranking_is_told_before_anything_runs(
    project: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    folder = changed(project, tmp_path / "wrong", old, new)
    with pytest.raises(BlueprintError, match=message), opened(folder) as stack:
        stack.train()


def test_a_target_without_lists_is_told_before_anything_runs(project: Path, tmp_path: Path) -> None:
    folder = changed(project, tmp_path / "wrong")
    text = FEATURES.replace('    group="search_id",\n    position="place",\n', "").replace(
        '"clicked",', '"clicked_alone",'
    )
    (folder / "features.py").write_text(text)
    blueprint = (folder / "blueprint.toml").read_text().replace('target = "clicked"', 'target = "clicked_alone"')
    (folder / "blueprint.toml").write_text(blueprint)
    with pytest.raises(BlueprintError, match="target 'clicked_alone' names no group"), opened(folder) as stack:
        stack.apply()
    (folder / "features.py").write_text(FEATURES.replace('"clicked",', '"clicked_alone",'))
    with opened(folder) as stack:
        assert stack.apply().ok


def test_lists_of_which_nothing_was_taken_teach_nothing(project: Path, tmp_path: Path) -> None:
    folder = changed(project, tmp_path / "idle")
    shutil.rmtree(folder / "journal")
    labels = searches().labels
    idle = labels.set_column(labels.column_names.index("clicked"), "clicked", pa.array([0] * len(labels)))
    pyarrow.parquet.write_table(idle, folder / "idle.parquet")
    with opened(folder) as stack:
        stack.label(folder / "idle.parquet")
        with pytest.raises(TrainingError, match="0 of 160 lists hold something relevant and something that is not"):
            stack.train()


# Search for parameters, and rows of one's own


def test_parameters_are_searched_for_by_whole_lists(project: Path, tmp_path: Path) -> None:
    folder = changed(
        project, tmp_path / "tuned", "k = 5", "k = 5\ntune = { trials = 2, folds = 2 }\ngates = { smoke = false }"
    )
    with opened(folder) as stack:
        outcome = stack.train()
        trials = stack.registry.history("results")[0][0].record["trials"]
    assert [(trial["metric"], trial["state"]) for trial in trials] == [("ndcg", "complete")] * 2
    assert all(0.5 < trial["value"] < 1 for trial in trials)
    assert outcome.data["model"] == "results@1"


OWN = """\
name = "search"
[models.results]
task = "ranking"
k = 5
data = { source = "FILE", target = "clicked", group = "search_id", position = "place"TIME, inputs = INPUTS }
trainer = { adapter = "lightgbm", num_iterations = 40, learning_rate = 0.1 }
[registry]
adapter = "files"
"""


@pytest.mark.parametrize("time", ["", ', time = "shown_at"'], ids=["without a time", "with one"])
def test_rows_of_a_file_are_ranked_by_the_column_that_names_their_list(tmp_path: Path, time: str) -> None:
    found = searches()
    table = found.labels.join(found.homes.select(["home_id", "price", "kind"]), "home_id")
    fits = pa.array(
        [float(a == b) for a, b in zip(table["kind"].to_pylist(), table["wanted"].to_pylist(), strict=True)]
    )
    (tmp_path / "blueprint.toml").write_text(
        OWN.replace("TIME", time)
        .replace("FILE", str(tmp_path / "rows.csv"))
        .replace("INPUTS", '["price", "budget", "fits"]')
    )
    pa.csv.write_csv(table.append_column("fits", fits), tmp_path / "rows.csv")
    with opened(tmp_path) as stack:
        rows = build(stack, stack.model())
        assert set(rows.sizes.tolist()) == {SHOWN}
        assert stack.train().ok
        stack.promote("results")
        answer = stack.predict(price=200.0, budget=400.0, fits=1.0).data["prediction"]
        assert answer > stack.predict(price=200.0, budget=400.0, fits=0.0).data["prediction"]


def test_a_row_of_no_list_is_told(tmp_path: Path) -> None:
    table = searches().labels
    names = table["search_id"].to_pylist()
    names[3] = None
    table = table.set_column(table.column_names.index("search_id"), "search_id", pa.array(names))
    (tmp_path / "blueprint.toml").write_text(
        OWN.replace("TIME", "").replace("FILE", str(tmp_path / "rows.csv")).replace("INPUTS", '["budget"]')
    )
    pa.csv.write_csv(table, tmp_path / "rows.csv")
    with (
        opened(tmp_path) as stack,
        pytest.raises(DataError, match=r"row \d+ is of no list \(1 of 1280 rows\)"),
    ):
        stack.train()


# Live


def test_the_command_line_trains_promotes_and_serves_a_ranking(project: Path, tmp_path: Path, run: Any) -> None:
    folder = changed(project, tmp_path / "served")
    for verb in ("check", "train", "promote results"):
        ran = run(*verb.split(), "--project", folder, "--json")
        assert ran.code == 0, ran
    command = [sys.executable, "-m", "stackwright.cli.main", "serve", "--project", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            rows = [{"home_id": f"h{home:02}", "budget": 300.0, "wanted": "house"} for home in range(20)]
            answer = asked(folder, {"rows": rows})
        finally:
            server.terminate()
    scores = [item["value"] for item in answer["predictions"]]
    assert np.mean(scores[1::2]) > np.mean(scores[::2])  # the odd homes are houses


def asked(folder: Path, body: Any, timeout: float = 60.0) -> Any:
    """Return the answer of the server of a project, once it is there."""
    address, ends = folder / ".stackwright" / "address.json", time.monotonic() + timeout
    while not address.exists() and time.monotonic() < ends:
        time.sleep(0.05)
    url = json.loads(address.read_text())["url"]
    request = urllib.request.Request(f"{url}/predict", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.loads(answer.read())


def test_a_report_shows_the_ndcg_of_a_window(trained: Path, tmp_path: Path) -> None:
    folder = changed(trained, tmp_path / "watched")
    with opened(folder) as stack:
        answered(stack, searches(seed=5, number=80))
        outcome = stack.report("results")
        numbers = json.loads(Path(outcome.data["numbers"]).read_text())
        half = stack.report("results", end=START + timedelta(days=10))
    (group,) = numbers["performance"]["groups"]
    assert group["n"] == 80 * SHOWN
    verdict = group["judged"]["ndcg"]
    assert verdict["low"] <= verdict["value"] <= verdict["high"]
    assert verdict["value"] == pytest.approx(verdict["expected"], abs=0.1)
    assert "ndcg" in outcome.data["headline"]
    assert "ndcg" in Path(outcome.data["page"]).read_text()
    (before,) = json.loads(Path(half.data["numbers"]).read_text())["performance"]["groups"]
    assert before["n"] < group["n"]


def answered(stack: NotebookStack, found: Searches) -> None:
    """Write predictions of these searches into the log, and their truths into the label log."""
    table = found.labels.to_pydict()
    model = rejudge(stack, "results").candidate.model
    service = stack.service("results@1")
    keys = {"home_id": table["home_id"]}
    request = {name: table[name] for name in ("budget", "wanted")}
    with PredictionLog(journal.segments(stack)) as log:
        for start in range(0, len(table["home_id"]), SHOWN):
            part = slice(start, start + SHOWN)
            asked = table["shown_at"][start] - timedelta(seconds=1)
            rows = stack.features.read(
                service.ref, {name: values[part] for name, values in keys.items()},
                {name: values[part] for name, values in request.items()}, at=asked,
            )  # fmt: skip
            ids = [f"{table['search_id'][start]}-{place}" for place in range(SHOWN)]
            log.append(
                PredictionRows(
                    prediction_ids=ids,
                    prediction=model.predict(rows.columns).value,
                    model="results",
                    version=1,
                    predicted_at=asked,
                    asked_at=asked,
                    features=rows,
                    keys={name: values[part] for name, values in keys.items()},
                )
            )
    path = stack.project.folder / "watched.parquet"
    ids = [f"{search}-{place - 1}" for search, place in zip(table["search_id"], table["place"], strict=True)]
    pyarrow.parquet.write_table(found.labels.append_column("prediction_id", pa.array(ids)), path)
    stack.label(path)
