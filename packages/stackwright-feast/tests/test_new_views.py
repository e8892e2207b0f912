"""New views in a Feast repository: what is left there, for Feast and on the disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stackwright_feast.existing import definitions_of
from stackwright_feast.plugin import FeastConfig
from stackwright_feast.store import FeastFeatureStore
from stackwright_feast.vendor import feast
from stackwright_features.arrow import arrow_type
from stackwright_interfaces.definitions import Definitions, Entity, FeatureService, FeatureView, Source
from stackwright_interfaces.errors import BlueprintError, DefinitionError, FeatureStoreError, StoreTimeout
from stackwright_interfaces.testing.context import NOON, SettableClock, make_context
from stackwright_interfaces.types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    STRING,
    TIMESTAMP,
    Field,
    Type,
    decimal,
    list_of,
    vector,
)

HOUR = timedelta(hours=1)
HOME = Entity(name="home", keys=(Field("home_id", INT64),))
HOMES = FeatureView(
    name="market/homes",
    entity=HOME,
    fields=(Field("price", FLOAT64), Field("area", STRING)),
    source=Source(created_time="created_time"),
)
SERVICE = FeatureService(name="pricing", selections=(HOMES.select(),))
HOMES_IN_FEAST = "market__homes__v1"

Open = Callable[..., FeastFeatureStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Open:
    """Open a store over a folder of the test."""

    def open_store(repo: str = "repo", **config: Any) -> FeastFeatureStore:
        return FeastFeatureStore(
            FeastConfig(repo=Path(repo), **config), make_context(tmp_path, SettableClock(NOON + 9 * HOUR))
        )

    return open_store


def definitions(*services: FeatureService) -> Definitions:
    """The services, and what they need."""
    views = {item.view.ref: item.view for service in services for item in service.selections}
    entities = {view.entity.name: view.entity for view in views.values()}
    return Definitions(entities=tuple(entities.values()), views=tuple(views.values()), services=services)


def homes(*rows: tuple[int, float, float | None, str | None], delay: timedelta = timedelta(0)) -> pa.Table:
    """Homes: number, hours after noon, price, area."""
    event = [NOON + hours * HOUR for _, hours, *_ in rows]
    return pa.table(
        {
            "home_id": pa.array([row[0] for row in rows], pa.int64()),
            "price": pa.array([row[2] for row in rows], pa.float64()),
            "area": pa.array([row[3] for row in rows], pa.string()),
            "event_time": pa.array(event, pa.timestamp("us", "UTC")),
            "created_time": pa.array([at + delay for at in event], pa.timestamp("us", "UTC")),
        }
    )


def labels(*asked: tuple[Any, float], key: str = "home_id", type: Type = INT64) -> pa.Table:
    """Keys, each asked for so many hours after noon."""
    return pa.table(
        {
            key: pa.array([item for item, _ in asked], arrow_type(type)),
            "event_time": pa.array([NOON + hours * HOUR for _, hours in asked], pa.timestamp("us", "UTC")),
        }
    )


def test_a_repository_is_made_where_there_is_none(open_store: Open, tmp_path: Path) -> None:
    open_store().apply(definitions(SERVICE))
    configuration = (tmp_path / "repo/feature_store.yaml").read_text()
    assert "type: duckdb" in configuration
    assert "entity_key_serialization_version: 3" in configuration
    theirs = feast.FeatureStore(repo_path=str(tmp_path / "repo"))
    view = theirs.get_feature_view(HOMES_IN_FEAST)
    assert {"price", "area"} <= {field.name for field in view.features}
    assert view.join_keys == ["home_id"]


def test_feast_joins_and_reads_new_views_by_itself(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.apply(definitions(SERVICE))
    store.ingest(HOMES.ref, homes((1, 0, 1.0, "north"), (1, 2, 2.0, "south"), (1, 2, 2.0, "south")))
    store.ingest(HOMES.ref, homes((1, 2, 3.0, "south"), delay=HOUR))
    store.materialize(at=NOON + 5 * HOUR)
    theirs = feast.FeatureStore(repo_path=str(tmp_path / "repo"))
    features = [f"{HOMES_IN_FEAST}:price", f"{HOMES_IN_FEAST}:area"]
    frame = labels((1, 1), (1, 3)).rename_columns(["home_id", "event_timestamp"]).to_pandas()
    assert theirs.get_historical_features(frame, features).to_df().sort_values("event_timestamp")["price"].tolist() == [
        1.0,
        3.0,
    ]
    online = theirs.get_online_features(features, [{"home_id": 1}]).to_dict()
    assert (online["price"], online["area"]) == ([3.0], ["south"])


def test_feast_itself_does_not_materialise_new_views(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.apply(definitions(SERVICE))
    store.ingest(HOMES.ref, homes((1, 0, 1.0, "north")))
    feast.FeatureStore(repo_path=str(tmp_path / "repo")).materialize_incremental(end_date=NOON + HOUR)
    assert store.materialize(at=NOON + HOUR)[0].written == 1


VALUES: dict[Type, Any] = {
    BOOL: True,
    INT64: -(2**63),
    FLOAT64: 0.1,
    STRING: "a\0ä",
    BYTES: b"\0\xff",
    TIMESTAMP: NOON.replace(microsecond=7),
    decimal(20, 3): Decimal("12345678901234567.125"),
    list_of(STRING): ["a", None, ""],
    list_of(TIMESTAMP): [NOON],
    vector(2): [0.5, -1.0],
}


@pytest.mark.parametrize("known_by", [False, True], ids=["by Feast", "above it"])
def test_values_of_every_type_come_back_on_both_paths(open_store: Open, known_by: bool) -> None:
    fields = tuple(Field(f"f{number}", type_) for number, type_ in enumerate(VALUES))
    view = FeatureView(name="every", entity=HOME, fields=fields)
    service = FeatureService(name="every", selections=(view.select(),))
    store = open_store()
    store.apply(definitions(service))
    columns = {item.name: pa.array([VALUES[item.type], None], arrow_type(item.type)) for item in fields}
    times = pa.array([NOON, NOON], pa.timestamp("us", "UTC"))
    store.ingest(view.ref, pa.table({"home_id": [1, 2], **columns, "event_time": times}))
    store.materialize(at=NOON)
    answer = pa.table(store.join(service.ref, labels((2, 1), (1, 1)), known_by=known_by))
    assert answer.select(list(columns)).schema.types == [arrow_type(item.type) for item in fields]
    assert answer.slice(1).select(list(columns)).to_pylist() == [
        {item.name: VALUES[item.type] for item in fields},
    ]
    assert set(answer.slice(0, 1).select(list(columns)).to_pylist()[0].values()) == {None}
    read = store.read(service.ref, {"home_id": [1]}, at=NOON)
    assert read.columns["f3"].tolist() == ["a\0ä"]
    assert read.columns["f4"].tolist() == [b"\0\xff"]
    assert str(read.columns["f5"][0]) == "2026-03-14T12:00:00.000007"
    assert read.columns["f6"].tolist() == [Decimal("12345678901234567.125")]
    assert read.columns["f7"].tolist() == [["a", None, ""]]


@pytest.mark.parametrize(
    ("type_", "keys"),
    [(BOOL, [True, False]), (STRING, ["a\0b", ""]), (BYTES, [b"\0\xff\0", b""]), (INT64, [-1, 2**62])],
)
def test_keys_of_every_type_are_told_apart(open_store: Open, type_: Type, keys: list[Any]) -> None:
    entity = Entity(name="thing", keys=(Field("thing_id", type_), Field("part", STRING)))
    view = FeatureView(name="things", entity=entity, fields=(Field("x", INT64),))
    service = FeatureService(name="things", selections=(view.select(),))
    store = open_store()
    store.apply(definitions(service))
    asked = labels(*((key, 0) for key in keys), key="thing_id", type=type_).append_column("part", pa.array(["p", "q"]))
    store.ingest(view.ref, asked.append_column("x", pa.array([1, 2])))
    store.materialize(at=NOON)
    assert pa.table(store.join(service.ref, asked))["x"].to_pylist() == [1, 2]
    read = store.read(service.ref, {"thing_id": [*keys, keys[0]], "part": ["p", "q", "q"]}, at=NOON)
    assert [None if value != value else value for value in read.columns["x"]] == [1.0, 2.0, None]


def test_fields_whose_names_feast_would_lose_are_joined_all_the_same(open_store: Open) -> None:
    view = FeatureView(name="points", entity=HOME, fields=tuple(Field(name, FLOAT64) for name in ("x", "y", "place_y")))
    service = FeatureService(name="points", selections=(view.select(),))
    store = open_store()
    store.apply(definitions(service))
    rows = labels((1, 0)).append_column("x", [[1.0]]).append_column("y", [[2.0]]).append_column("place_y", [[3.0]])
    store.ingest(view.ref, rows)
    answer = pa.table(store.join(service.ref, labels((1, 1))))
    assert answer.select(["x", "y", "place_y"]).to_pylist() == [{"x": 1.0, "y": 2.0, "place_y": 3.0}]


def test_the_values_of_a_deleted_key_are_nowhere_on_the_disk(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.apply(definitions(SERVICE))
    store.ingest(HOMES.ref, homes((1, 0, 1.0, "Gruenauer Strasse"), (2, 0, 2.0, "elsewhere")))
    store.materialize(at=NOON)
    assert store.delete("home", {"home_id": [1]}) == 1
    store.close()
    for file in (tmp_path / "repo").rglob("*.parquet"):
        assert "Gruenauer Strasse" not in str(pq.ParquetFile(file).read().to_pylist())
    found = feast.FeatureStore(repo_path=str(tmp_path / "repo")).get_online_features(
        [f"{HOMES_IN_FEAST}:area"], [{"home_id": 1}, {"home_id": 2}]
    )
    assert found.to_dict()["area"] == [None, "elsewhere"]


def test_a_source_that_a_crash_left_behind_is_made_anew(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.apply(definitions(SERVICE))
    newest = tmp_path / "repo/data/stackwright" / HOMES_IN_FEAST / "newest.parquet"
    before = newest.read_bytes()
    store.ingest(HOMES.ref, homes((1, 0, 1.0, "north")))
    newest.write_bytes(before)
    again = open_store()
    again.apply(definitions(SERVICE))
    assert pa.table(again.join(SERVICE.ref, labels((1, 0))))["price"].to_pylist() == [1.0]


def test_a_damaged_history_is_named(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.apply(definitions(SERVICE))
    (tmp_path / "repo/data/stackwright" / HOMES_IN_FEAST / "history.parquet").write_bytes(b"PAR1")
    with pytest.raises(FeatureStoreError, match=r"history\.parquet"):
        store.ingest(HOMES.ref, homes((1, 0, 1.0, "north")))


def test_rows_of_the_history_that_cannot_be_read_are_told_as_such(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.apply(definitions(SERVICE))
    store.ingest(HOMES.ref, homes(*((number, 0, float(number), "north") for number in range(1000))))
    path = tmp_path / "repo/data/stackwright" / HOMES_IN_FEAST / "history.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(2000) + content[2004:])
    with pytest.raises(FeatureStoreError, match=r"history\.parquet: the file is damaged"):
        store.ingest(HOMES.ref, homes((1, 1, 1.0, "north")))


def test_too_little_memory_to_sort_is_told_and_nothing_is_lost(open_store: Open) -> None:
    store = open_store()
    store.apply(definitions(SERVICE))
    store.ingest(HOMES.ref, homes((1, 0, 1.0, "north")))
    narrow = open_store(sort_memory="1KB")
    narrow.apply(definitions(SERVICE))
    with pytest.raises(FeatureStoreError, match="Set sort_memory higher"):
        narrow.ingest(HOMES.ref, homes((1, 1, 2.0, "south")))
    assert pa.table(store.join(SERVICE.ref, labels((1, 2))))["price"].to_pylist() == [1.0]


def test_an_error_of_feast_names_the_view(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.apply(definitions(SERVICE))
    (tmp_path / "repo/data/stackwright" / HOMES_IN_FEAST / "newest.parquet").unlink()
    with pytest.raises(FeatureStoreError, match=f"{HOMES_IN_FEAST}.*Feast failed"):
        store.join(SERVICE.ref, labels((1, 0)))


def test_views_with_one_name_in_feast_are_refused(open_store: Open) -> None:
    other = replace(HOMES, name="market__homes")
    with pytest.raises(DefinitionError, match="market/homes@1"):
        open_store().apply(definitions(SERVICE, FeatureService(name="other", selections=(other.select(),))))


def test_a_view_of_the_owner_is_not_overwritten(open_store: Open, feast_repo: Path) -> None:
    view = feast.FeatureStore(repo_path=str(feast_repo)).get_feature_view("driver_stats")
    driver = definitions_of(feast_repo, without=["profile"]).entities[0]
    ours = FeatureView(name="driver_stats", entity=driver, fields=(Field("x", INT64),))
    store = open_store("their_repo", project="drivers")
    store.apply(definitions(FeatureService(name="x", selections=(ours.select(),))))
    assert feast.FeatureStore(repo_path=str(feast_repo)).get_feature_view("driver_stats") == view
    theirs = feast.FeatureStore(repo_path=str(feast_repo))
    renamed = theirs.get_feature_view("driver_stats")
    renamed.name = "cars__v1"
    theirs.apply([theirs.get_entity("driver"), renamed], skip_feature_view_validation=True)
    with pytest.raises(DefinitionError, match="cars__v1"):
        store.apply(definitions(FeatureService(name="cars", selections=(replace(ours, name="cars").select(),))))


def test_new_views_need_the_duckdb_store(open_store: Open, tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/feature_store.yaml").write_text(
        "project: other\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
    )
    with pytest.raises(FeatureStoreError, match="offline store duckdb, found is dask"):
        open_store().apply(definitions(SERVICE))


def test_a_configuration_that_feast_does_not_read_is_named(open_store: Open, tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/feature_store.yaml").write_text("project: other\nonline_store: {type: nowhere}\n")
    with pytest.raises(FeatureStoreError, match=r"feature_store\.yaml"):
        open_store().apply(definitions(SERVICE))


def test_a_project_that_is_no_name_is_refused(open_store: Open) -> None:
    with pytest.raises(BlueprintError, match="my-project"):
        open_store(project="my-project")


def test_a_deadline_that_passed_is_told(open_store: Open) -> None:
    store = open_store()
    store.apply(definitions(SERVICE))
    with pytest.raises(StoreTimeout):
        store.read(SERVICE.ref, {"home_id": [1]}, at=NOON, timeout=-1.0)


QUIETLY = """
import sys
from pathlib import Path
from datetime import UTC, datetime, timedelta
import pyarrow as pa
from stackwright_feast.existing import definitions_of
from stackwright_feast.plugin import FeastConfig
from stackwright_feast.store import FeastFeatureStore
from stackwright_interfaces.testing.context import NOON, SettableClock, make_context

repo = Path(sys.argv[1])
store = FeastFeatureStore(FeastConfig(repo=repo), make_context(repo.parent, SettableClock(NOON)))
store.apply(definitions_of(repo, without=["profile"]))
store.materialize(at=NOON)
labels = pa.table({"driver_id": [1], "event_time": pa.array([NOON], pa.timestamp("us", "UTC"))})
assert pa.table(store.join("driver_activity@1", labels))["conv_rate"].to_pylist() == [0.75]
assert store.read("driver_activity@1", {"driver_id": [1]}, at=NOON).columns["conv_rate"].tolist() == [0.75]
store.close()
"""


@pytest.mark.nightly
def test_nothing_is_printed(feast_repo: Path, tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", QUIETLY, str(feast_repo)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


def test_threads_read_whole_rows_while_another_materialises(open_store: Open) -> None:
    store = open_store()
    store.apply(definitions(SERVICE))
    keys = list(range(50))
    seen: set[tuple[float, str]] = set()

    def look() -> None:
        read = store.read(SERVICE.ref, {"home_id": keys}, at=NOON + 9 * HOUR)
        seen.update(zip(read.columns["price"].tolist(), read.columns["area"].tolist(), strict=True))

    store.ingest(HOMES.ref, homes(*((key, 0, 0.0, "0") for key in keys)))
    store.materialize(at=NOON)
    with ThreadPoolExecutor(4) as threads:
        for step in range(1, 4):
            store.ingest(HOMES.ref, homes(*((key, step, float(step), str(step)) for key in keys)))
            looking = [threads.submit(look) for _ in range(4)]
            store.materialize(at=NOON + step * HOUR)
            for task in looking:
                task.result()
    look()
    assert (3.0, "3") in seen
    assert all(str(int(price)) == area for price, area in seen)
