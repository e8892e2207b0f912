"""Rankings and times to an event from a notebook to live answers, past the gates of any model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMRanker
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import stackwright_models as sm
from stackwright_interfaces.errors import ArtifactError, DataError, StackwrightError, TrainingError
from stackwright_interfaces.model import Manifest, ModelRef

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
trainer = { adapter = "lightgbm" }

[models.days]
service = "homes@1"
target = "sold"
task = "time_to_event"
horizons = [10, 30]
trainer = { adapter = "lightgbm" }

[registry]
adapter = "files"
"""

FEATURES = """\
from stackwright import FLOAT64, INT64, STRING, Entity, FeatureService, FeatureView, Field, Source, Target, transform

home = Entity(name="home", keys=(Field("home_id", STRING),))
homes = FeatureView(
    name="homes",
    entity=home,
    source=Source(event_time="listed_at"),
    fields=(Field("price", FLOAT64), Field("kind", STRING)),
)


@transform(inputs=("price", "budget"), type=FLOAT64)
def share(price, budget):
    return price / budget


@transform(inputs=("kind", "wanted"), type=FLOAT64)
def fits(kind, wanted):
    return (kind == wanted).astype(float)


asked = (Field("budget", FLOAT64), Field("wanted", STRING))
results = FeatureService(name="results", selections=(homes.select(),), request=asked, transforms=(share, fits))
service = FeatureService(name="homes", selections=(homes.select(),))
clicked = Target(
    name="clicked",
    entity=home,
    value=Field("clicked", INT64),
    asked="shown_at",
    happened="clicked_at",
    request=(*asked, Field("search_id", STRING), Field("place", INT64)),
    group="search_id",
    position="place",
)
sold = Target(
    name="sold",
    entity=home,
    value=Field("paid", FLOAT64),
    asked="listed_at",
    happened="sold_at",
    observed="known_at",
    censored="waiting",
)
"""

HOMES, SEARCHES, SHOWN = 400, 150, 8
START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=HOMES // 4 + 10)
QUICK = {"n_estimators": 40, "n_jobs": 1}


def homes() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return homes, four a day, and what is known of their sales: houses wait long, and so do the dear."""
    random = np.random.default_rng(4)
    place = np.arange(HOMES)
    price, house = random.uniform(100, 500, HOMES).round(1), place % 2 == 1
    days = random.exponential(np.where(house, 20.0, 5.0) * np.exp(8 * np.abs(price / 400 - 0.75) - 2))
    listed = pd.Series(START + pd.to_timedelta(6 * place, unit="h"))
    sold = (listed + pd.to_timedelta(days, unit="D")).dt.round("us")
    waiting = sold > NOW
    known = {"home_id": [f"h{number:03}" for number in place], "listed_at": listed}
    rows = pd.DataFrame({**known, "price": price, "kind": np.where(house, "house", "flat")})
    labels = {"sold_at": sold.mask(waiting), "known_at": sold.mask(waiting, NOW), "waiting": waiting}
    return rows, pd.DataFrame({**known, **labels, "paid": np.where(waiting, np.nan, 1.0)})


def searches(found: pd.DataFrame) -> pd.DataFrame:
    """Return what was shown after the homes were listed, and taken: what is of the kind and price that was wanted."""
    random = np.random.default_rng(1)
    rows = []
    for search in range(SEARCHES):
        budget, wanted = round(float(random.uniform(150, 500)), 1), str(random.choice(["flat", "house"]))
        at = NOW + timedelta(hours=6 * search)
        shown = found.iloc[random.choice(HOMES, SHOWN, replace=False)]
        worth = 2.0 * (shown["kind"] == wanted).to_numpy() - 4.0 * np.abs(shown["price"].to_numpy() / budget - 0.8)
        taken = random.random(SHOWN) < 1 / (1 + 0.2 * np.arange(SHOWN)) / (1 + np.exp(-2 * worth))
        for place, (home, clicked) in enumerate(zip(shown["home_id"], taken, strict=True)):
            times = {"shown_at": at + timedelta(seconds=place), "clicked_at": at + timedelta(minutes=9)}
            told = {"home_id": home, "search_id": f"s{search}", "place": place + 1, "clicked": int(clicked)}
            rows.append({**told, **times, "budget": budget, "wanted": wanted})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with history, online rows and labels, but no model. To be copied or read."""
    import stackwright

    folder = tmp_path_factory.mktemp("outcomes") / "project"
    folder.mkdir()
    (folder / "blueprint.toml").write_text(BLUEPRINT)
    (folder / "features.py").write_text(FEATURES)
    found, sales = homes()
    for name, table in (("homes", found), ("sold", sales), ("clicked", searches(found))):
        table.to_parquet(folder / f"{name}.parquet", index=False)
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.apply()
        stack.ingest("homes", folder / "homes.parquet")
        stack.materialize()
        for target in ("sold", "clicked"):
            stack.label(folder / f"{target}.parquet", target=target)
    return folder


@pytest.fixture
def stack(project: Path, tmp_path: Path) -> Iterator[Any]:
    """A copy of the project, opened."""
    import stackwright

    folder = shutil.copytree(project, tmp_path / "work")
    with stackwright.load(folder, progress=lambda *_: None) as opened:
        yield opened


def publish(stack: Any, estimator: Any, found: Any, name: str, **given: Any) -> Any:
    rows = {"time": found.time, "keys": found.keys, "observed": found.observed, **given}
    return sm.publish(stack, estimator, name, found.X, found.y, **rows)


def manifest_of(stack: Any, name: str) -> Manifest:
    return Manifest.read(stack.registry.fetch(stack.registry.resolve(ModelRef.parse(name))))


def assert_each_row_is_answered_by_itself(stack: Any, name: str, found: Any) -> None:
    manifest = manifest_of(stack, name)
    folder = stack.registry.fetch(stack.registry.resolve(ModelRef.parse(name)))
    predictor = stack.model_format(manifest.flavour).load(folder, manifest)
    columns = {column: found.X[column].to_numpy() for column in found.X}
    whole = predictor.predict(columns)
    assert np.ptp(whole, axis=0).min() > 0
    for rows in (slice(0, 1), slice(7, 10), slice(5, 52)):
        part = predictor.predict({column: values[rows] for column, values in columns.items()})
        assert np.array_equal(part, whole[rows])


def states(stack: Any, name: str) -> dict[str, str]:
    (event,) = [event for event in stack.registry.history(name)[1] if event.kind == "evidence"]
    return {gate["name"]: gate["state"] for gate in event.evidence["gates"]}


def test_a_ranker_passes_the_gates_is_promoted_and_answers_as_in_the_notebook(stack: Any) -> None:
    found = sm.training_set(stack, "results")
    ranker = sm.Ranker(**QUICK)
    outcome = publish(stack, ranker, found, "results", group=found.group, position=found.position)
    assert outcome.ok, str(outcome)
    manifest = manifest_of(stack, "results")
    assert (manifest.flavour, manifest.task, manifest.parameters["k"]) == ("sklearn", "ranking", 5)
    assert {"contract", "smoke", "reproducible", "baseline", "artifact", "servable", "latency"} <= set(
        outcome.data["gates"]
    )
    assert states(stack, "results")["baseline"] == "green"
    assert outcome.data["metrics"]["ndcg"] > 0.7
    stack.promote("results")
    assert_each_row_is_answered_by_itself(stack, "results", found)

    learned = found.rows(np.arange(manifest.data["rows"]))
    mine = clone(ranker).fit(learned.X, learned.y, group=learned.group, position=learned.position.astype(int))
    assert manifest.data["rows"] % SHOWN == 0
    for place in (0, 5, len(found.X) - 1):
        asked = found.keys.iloc[place].to_dict()
        live = stack.predict(model_ref="results@champion", **asked).data["prediction"]
        assert live == pytest.approx(float(mine.predict(found.X.iloc[[place]])[0]), rel=1e-12)


def test_a_time_to_event_answers_days_and_chances_as_in_the_notebook(stack: Any) -> None:
    found = sm.training_set(stack, "days", censored=True)
    model = sm.TimeToEvent(sm.tabular("classification", n_estimators=40, num_leaves=8, n_jobs=1), periods=10)
    outcome = publish(stack, model, found, "days")
    assert outcome.ok, str(outcome)
    manifest = manifest_of(stack, "days")
    assert [output.name for output in manifest.signature.outputs] == ["sold", "within_10", "within_30"]
    assert outcome.data["metrics"]["c_index"] > 0.6
    stack.promote("days")
    assert_each_row_is_answered_by_itself(stack, "days", found)

    folder = stack.registry.fetch(stack.registry.resolve(ModelRef.parse("days")))
    fewer = replace(manifest, signature=replace(manifest.signature, outputs=manifest.signature.outputs[:2]))
    with pytest.raises(ArtifactError, match="2 horizons; the manifest names 2 outputs"):
        stack.model_format("sklearn").load(folder, fewer)

    rows = manifest.data["rows"]
    older, cut = found.rows(np.arange(rows)), found.time.iloc[rows]
    later = (older.observed > cut).to_numpy()
    watched = ((cut - older.time) / pd.Timedelta(days=1)).to_numpy()
    known = pd.DataFrame({
        "event": older.y["event"].to_numpy() & ~later,
        "duration": np.where(later, watched, older.y["duration"]),
    })  # fmt: skip
    assert (older.y["event"].to_numpy() & later).sum() > 10
    mine = clone(model).fit(older.X, known)
    for place in (0, 1, HOMES - 1):
        live = stack.predict(model_ref="days@champion", **found.keys.iloc[place].to_dict()).data
        asked = found.X.iloc[[place]]
        assert live["prediction"] == pytest.approx(float(mine.predict(asked)[0]), rel=1e-9)
        chances = 1 - mine.predict_survival(asked, [10, 30])[0]
        assert [live["outputs"][name] for name in ("within_10", "within_30")] == pytest.approx(chances, rel=1e-9)


def test_a_chance_within_a_longer_time_than_is_known_is_refused(stack: Any) -> None:
    path = stack.project.blueprint
    path.write_text(path.read_text().replace("[10, 30]", "[10, 300]"))
    with pytest.raises(TrainingError, match="and a horizon is 300"):
        publish(stack, sm.TimeToEvent(sm.tabular("classification", **QUICK)), sm.training_set(stack, "days"), "days")


def test_the_training_set_tells_the_list_and_the_place_of_each_row(stack: Any) -> None:
    found = sm.training_set(stack, "results")
    some = found.rows(np.arange(SHOWN))
    assert set(some.group) == {"s0"}
    assert some.position.tolist() == list(range(1, SHOWN + 1))
    assert sm.training_set(stack, "days").group is None


Change = Callable[[Any], tuple[Any, dict[str, Any]]]

REFUSED: dict[str, tuple[str, Change, str]] = {
    "lists": ("results", lambda _: (sm.Ranker(), {}), "a ranking without group"),
    "another": ("results", lambda found: (LGBMRanker(), {"group": found.group}), "LGBMRanker ranks"),
    "place": ("days", lambda found: (sm.TimeToEvent(), {"position": found.time}), "answers a time to event"),
    "window": ("days", lambda _: (sm.TimeToEvent(window=30), {}), "window is 30"),
    "pipeline": (
        "days",
        lambda _: (make_pipeline(FunctionTransformer(), sm.TimeToEvent()), {}),
        "inside of a pipeline",
    ),
}


@pytest.mark.parametrize(("name", "change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_judged_or_served_is_told_before_anything_is_done(
    stack: Any, name: str, change: Change, message: str
) -> None:
    found = sm.training_set(stack, name, censored=name == "days")
    estimator, given = change(found)
    with pytest.raises(StackwrightError, match=message):
        publish(stack, estimator, found, name, **given)
    assert stack.runs(name).data["runs"] == []


def test_estimators_of_other_tasks_than_the_models_are_refused(stack: Any) -> None:
    found = sm.training_set(stack, "results")
    with pytest.raises(TrainingError, match="TimeToEvent does not fit the task ranking"):
        stack.publish(
            sm.TimeToEvent(),
            "results",
            columns={name: found.X[name].to_numpy() for name in found.X},
            target=found.y.to_numpy(),
            asked=found.time.dt.tz_localize(None).to_numpy().astype("datetime64[us]"),
            keys={name: found.keys[name].to_numpy() for name in found.keys},
            group=found.group.to_numpy(),
        )
    with pytest.raises(DataError, match="a ranking is of lists"):
        publish(stack, sm.tabular(), found, "results")
    times = sm.training_set(stack, "days")
    with pytest.raises(TrainingError, match="does not fit the task time_to_event"):
        publish(stack, sm.tabular(), times, "days")
