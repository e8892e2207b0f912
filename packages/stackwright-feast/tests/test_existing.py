"""Views that a Feast repository has already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stackwright_feast.existing import definitions_of
from stackwright_feast.plugin import FeastConfig
from stackwright_feast.store import FeastFeatureStore
from stackwright_feast.vendor import feast
from stackwright_features.code import collect
from stackwright_interfaces.definitions import Aggregate, Definitions, Entity, FeatureService, FeatureView, Window
from stackwright_interfaces.errors import DefinitionError, FeatureStoreError
from stackwright_interfaces.feature_store import Status
from stackwright_interfaces.testing.context import NOON, SettableClock, make_context
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field

HOUR = timedelta(hours=1)
SERVICE = "driver_activity@1"
WITHOUT = ("profile",)


@pytest.fixture
def definitions(feast_repo: Path) -> Definitions:
    return definitions_of(feast_repo, without=WITHOUT)


@pytest.fixture
def store(feast_repo: Path, definitions: Definitions, tmp_path: Path) -> Iterator[FeastFeatureStore]:
    opened = FeastFeatureStore(FeastConfig(repo=feast_repo), make_context(tmp_path, SettableClock(NOON)))
    opened.apply(definitions)
    yield opened
    opened.close()


def labels(*asked: tuple[int | None, float]) -> pa.Table:
    """Drivers, each asked for so many hours before noon."""
    return pa.table(
        {
            "note": [f"row {place}" for place in range(len(asked))],
            "driver_id": pa.array([driver for driver, _ in asked], pa.int64()),
            "event_time": pa.array([NOON - hours * HOUR for _, hours in asked], pa.timestamp("us", "UTC")),
        }
    )


def values(rows: Any, name: str) -> list[Any]:
    """A column of an online answer, ``None`` for null."""
    return [None if value != value else value for value in rows.columns[name].tolist()]


def test_the_registry_gives_entities_views_and_services(definitions: Definitions) -> None:
    (view,) = definitions.views
    assert view.entity.keys == (Field("driver_id", INT64),)
    assert [(field.name, field.type) for field in view.fields] == [
        ("conv_rate", FLOAT64),
        ("trips", INT64),
        ("city", STRING),
    ]
    assert (view.max_age, view.owner, view.tags["team"]) == (timedelta(days=1), "fleet@example.org", "fleet")
    assert view.source.created_time == "created"
    (service,) = definitions.services
    assert [output.name for output in service.output_fields] == ["trips", "conv_rate"]


def test_a_type_without_a_counterpart_is_named_with_its_field(feast_repo: Path) -> None:
    with pytest.raises(DefinitionError, match=r"'profile' is a Json"):
        definitions_of(feast_repo)


def test_a_view_that_is_not_there_is_named(feast_repo: Path) -> None:
    with pytest.raises(DefinitionError, match=r"customers.*It has: driver_stats"):
        definitions_of(feast_repo, views=["customers"])


def test_two_lines_in_a_features_file_are_enough(feast_repo: Path, tmp_path: Path) -> None:
    file = tmp_path / "features.py"
    file.write_text(
        "from stackwright_feast.existing import definitions_of\n"
        f"feast = definitions_of({str(feast_repo)!r}, without=['profile'])\n"
        "views, services = feast.views, feast.services\n"
    )
    found = collect(file)
    assert [view.ref for view in found.views] == ["driver_stats@1"]
    assert [service.ref for service in found.services] == [SERVICE]


def test_a_join_reads_the_source_as_of_each_label_and_keeps_the_labels(store: FeastFeatureStore) -> None:
    asked = labels((2, 0), (1, 0), (1, 2), (None, 0), (9, 0), (1, 5), (1, 5.1), (2, 6), (2, 5.9), (1, 2))
    answer = pa.table(store.join(SERVICE, asked))
    assert answer.column_names == [*asked.column_names, "trips", "conv_rate"]
    assert answer.select(asked.column_names).equals(asked)
    assert answer["conv_rate"].to_pylist() == [None, 0.75, 0.25, None, None, 0.5, None, 0.125, None, 0.25]
    assert answer["trips"].to_pylist() == [None, None, 20, None, None, 10, None, 40, None, 20]


def test_label_rows_that_the_default_store_of_feast_loses_are_answered(feast_repo: Path, tmp_path: Path) -> None:
    configuration = feast_repo / "feature_store.yaml"
    configuration.write_text(configuration.read_text().replace("duckdb", "dask"))
    store = FeastFeatureStore(FeastConfig(repo=feast_repo), make_context(tmp_path, SettableClock(NOON)))
    store.apply(definitions_of(feast_repo, without=WITHOUT))
    answer = pa.table(store.join(SERVICE, labels((2, 0), (1, 2), (9, 0), (1, 2), (2, 6), (2, 5.9))))
    assert answer["conv_rate"].to_pylist() == [None, 0.25, None, 0.25, 0.125, None]
    store.materialize(at=NOON)
    assert values(store.read(SERVICE, {"driver_id": [1]}, at=NOON), "conv_rate") == [0.75]
    store.close()


def test_known_by_passes_over_rows_written_down_later(store: FeastFeatureStore) -> None:
    answer = pa.table(store.join(SERVICE, labels((1, 2), (1, -1)), known_by=True))
    assert answer["conv_rate"].to_pylist() == [0.5, 0.75]


def test_as_of_is_refused_since_feast_does_not_know(store: FeastFeatureStore) -> None:
    with pytest.raises(FeatureStoreError, match="does not record when rows were ingested"):
        store.join(SERVICE, labels((1, 0)), as_of=NOON)


def test_an_online_read_finds_what_was_materialised(store: FeastFeatureStore) -> None:
    told: list[tuple[str, int, int]] = []
    (report,) = store.materialize(at=NOON, progress=lambda *step: told.append(step))
    assert (report.view, report.rows, report.written) == ("driver_stats@1", 1, 1)
    assert told == [("driver_stats@1", 1, 1)]
    read = store.read(SERVICE, {"driver_id": [9, 1, None, 1]}, at=NOON)
    assert values(read, "conv_rate") == [None, 0.75, None, 0.75]
    assert [Status(status) for status in read.statuses["conv_rate"]] == [
        Status.NOT_FOUND,
        Status.PRESENT,
        Status.NOT_FOUND,
        Status.PRESENT,
    ]
    assert [Status(status) for status in read.statuses["trips"]][:2] == [Status.NOT_FOUND, Status.NULL]
    assert str(read.events["driver_stats@1"][1]) == "2026-03-14T11:00:00.000000"


def test_an_expired_online_row_says_so(store: FeastFeatureStore) -> None:
    store.materialize(at=NOON)
    read = store.read(SERVICE, {"driver_id": [1]}, at=NOON + 24 * HOUR)
    assert Status(read.statuses["conv_rate"][0]) is Status.EXPIRED
    assert values(read, "conv_rate") == [None]


def test_rows_that_feast_brought_online_are_read(store: FeastFeatureStore, feast_repo: Path) -> None:
    theirs = feast.FeatureStore(repo_path=str(feast_repo))
    frame = pa.table(
        {
            "driver_id": [7],
            "conv_rate": [0.5],
            "trips": [3],
            "city": ["x"],
            "profile": ["{}"],
            "event_timestamp": pa.array([NOON], pa.timestamp("us", "UTC")),
            "created": pa.array([NOON], pa.timestamp("us", "UTC")),
        }
    )
    theirs.write_to_online_store("driver_stats", frame.to_pandas())
    read = store.read(SERVICE, {"driver_id": [7]}, at=NOON)
    assert (values(read, "trips"), values(read, "conv_rate")) == ([3.0], [0.5])


def test_feast_reads_what_was_materialised_here(store: FeastFeatureStore, feast_repo: Path) -> None:
    store.materialize(at=NOON)
    theirs = feast.FeatureStore(repo_path=str(feast_repo))
    found = theirs.get_online_features(["driver_stats:conv_rate", "driver_stats:city"], [{"driver_id": 1}]).to_dict()
    assert found == {"driver_id": [1], "conv_rate": [0.75], "city": [None]}
    assert theirs.get_feature_view("driver_stats").most_recent_end_time == NOON


def test_a_late_row_is_picked_up_and_an_older_window_never_goes_back(
    store: FeastFeatureStore, feast_repo: Path, write_drivers: Callable[..., None]
) -> None:
    store.materialize(at=NOON)
    write_drivers(feast_repo, [(1, 0.5, 0, 0.875, 1, "late"), (3, 2, 0, 0.375, 2, "new")])
    store.materialize(at=NOON)
    for _ in range(2):
        assert values(store.read(SERVICE, {"driver_id": [1, 3]}, at=NOON), "conv_rate") == [0.875, 0.375]
        store.materialize(at=NOON - 3 * HOUR)


@pytest.mark.parametrize("change", ["windows", "field", "age"])
def test_a_view_that_is_not_what_feast_has_is_refused(
    store: FeastFeatureStore, definitions: Definitions, change: str
) -> None:
    (view,) = definitions.views
    window = Window(name="rows", aggregate=Aggregate.COUNT, length=HOUR)
    changed = {
        "windows": replace(view, name="other", windows=(window,)),
        "field": replace(view, name="other", fields=(Field("conv_rate", STRING),)),
        "age": replace(view, name="other", max_age=HOUR),
    }[change]
    with pytest.raises(DefinitionError, match="other@1"):
        store.apply(Definitions(entities=definitions.entities, views=(changed,)))


def test_rows_are_neither_ingested_into_their_views_nor_deleted_from_them(store: FeastFeatureStore) -> None:
    rows = pa.table(
        {
            "driver_id": [1],
            "conv_rate": [0.5],
            "trips": [3],
            "city": ["x"],
            "event_timestamp": pa.array([NOON], pa.timestamp("us", "UTC")),
            "created": pa.array([NOON], pa.timestamp("us", "UTC")),
        }
    )
    with pytest.raises(FeatureStoreError, match="come from its source in Feast"):
        store.ingest("driver_stats@1", rows)
    with pytest.raises(FeatureStoreError, match="cannot delete rows of its sources"):
        store.delete("driver", {"driver_id": [1]})


def test_a_service_reads_their_views_and_new_ones_side_by_side(
    store: FeastFeatureStore, definitions: Definitions, feast_repo: Path
) -> None:
    (theirs,) = definitions.views
    ratings = FeatureView(name="ratings", entity=theirs.entity, fields=(Field("stars", INT64),))
    service = FeatureService(name="both", selections=(theirs.select("conv_rate"), ratings.select()))
    entity: Entity = theirs.entity
    store.apply(Definitions(entities=(entity,), views=(theirs, ratings), services=(service,)))
    times = pa.array([NOON - HOUR], pa.timestamp("us", "UTC"))
    store.ingest("ratings@1", pa.table({"driver_id": [1], "stars": [5], "event_time": times}))
    store.materialize(at=NOON)
    answer = pa.table(store.join("both@1", labels((1, 0), (1, 2))))
    assert answer.select(["conv_rate", "stars"]).to_pylist() == [
        {"conv_rate": 0.75, "stars": 5},
        {"conv_rate": 0.25, "stars": None},
    ]
    read = store.read("both@1", {"driver_id": [1]}, at=NOON)
    assert (values(read, "conv_rate"), values(read, "stars")) == ([0.75], [5.0])
    owners = feast.FeatureStore(repo_path=str(feast_repo))
    assert [view.name for view in owners.list_feature_views()] == ["driver_stats"]
