"""What depends on what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from stackwright.lineage import Graph, Node, Published, graph_of
from stackwright.workflows.features.edits import edits
from stackwright_interfaces.definitions import (
    Aggregate,
    Computation,
    Definitions,
    Entity,
    FeatureService,
    FeatureView,
    Source,
    Target,
    Transform,
    Window,
)
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field

HOME = Entity(name="home", keys=(Field("home_id", STRING),), owner="ada")
AREA = Entity(name="area", keys=(Field("area_id", STRING),))
DAYS = timedelta(days=30)


def definitions(
    *,
    size: Any = FLOAT64,
    location: str = "homes.csv",
    length: timedelta = DAYS,
    code: str = "one",
    owner: str = "bob",
    outputs: tuple[str, ...] | None = None,
    sql: str = "SELECT area_id, avg(size) AS mean FROM homes GROUP BY area_id",
    more: tuple[Field, ...] = (),
    without: str = "",
) -> Definitions:
    homes = FeatureView(
        name="homes", entity=HOME, fields=(Field("size", size), Field("area_id", STRING), *more), owner=owner,
        source=Source(location=location),
    )  # fmt: skip
    visits = FeatureView(
        name="visits", entity=HOME, fields=(Field("minutes", FLOAT64),),
        windows=(
            Window(name="time", aggregate=Aggregate.SUM, column="minutes", length=length),
            Window(name="count", aggregate=Aggregate.COUNT, length=DAYS),
        ),
    )  # fmt: skip
    areas = FeatureView(
        name="areas", entity=AREA, fields=(Field("mean", FLOAT64),), computed=Computation(inputs=(homes,), sql=sql)
    )
    ratio = Transform(name="ratio", inputs=("size", "rooms"), type=FLOAT64, function="f.py:ratio", code=code)
    service = FeatureService(
        name="valuation",
        selections=(
            homes.select("size"), visits.select("time"), areas.select("mean", keys={"area_id": "homes.area_id"})
        ),
        request=(Field("rooms", INT64),), transforms=(ratio,), outputs=outputs,
    )  # fmt: skip
    price = Target(name="price", entity=HOME, value=Field("price", FLOAT64), owner="eve")
    views = tuple(view for view in (homes, visits, areas) if view.name != without)
    services = () if without in ("homes", "visits", "areas", "valuation") else (service,)
    return Definitions(
        entities=(HOME, AREA), views=views, services=services, targets=() if without == "price" else (price,)
    )


MODELS = (
    Published("valuation@1", "valuation@1", "price"),
    Published("valuation@2", "valuation@1", "price", ("champion", "stable"), "bob"),
    Published("other@1", "other@1", "noise", ("champion",)),
)


@pytest.fixture
def graph() -> Graph:
    return graph_of(
        definitions(), MODELS, {"visits@1": ["visits.parquet"]}, {"homes@1": [("rent/lettings:rent@1", "kim")]}
    )


def reached(graph: Graph, *names: str) -> set[str]:
    ways = graph.affected([node for name in names for node in graph.named(name)])
    return {node.name for node, way in ways.items() if len(way) > 1}


ENDPOINTS = {"POST /predict/valuation", "POST /v2/models/valuation/infer"}
SERVED = {"valuation@1", "valuation@2", "valuation@champion", "valuation@stable", *ENDPOINTS}


def test_a_source_reaches_the_endpoints_and_other_teams(graph: Graph) -> None:
    of_homes = {"homes@1", "homes@1:size", "homes@1:area_id", "valuation@1:ratio", "areas@1", "areas@1:mean"}
    assert reached(graph, "homes.csv") == {*of_homes, *SERVED, "rent/lettings:rent@1"}


def test_a_feature_reaches_what_reads_it_and_nothing_beside(graph: Graph) -> None:
    assert reached(graph, "minutes") == {"visits@1:time", *SERVED}
    assert reached(graph, "visits@1:count") == set()
    assert reached(graph, "size") == {
        "valuation@1:ratio", "areas@1", "areas@1:mean", "rent/lettings:rent@1", *SERVED
    }  # fmt: skip


def test_a_key_that_is_derived_of_a_row_is_read(graph: Graph) -> None:
    assert Node("service", "valuation@1") in graph.affected(graph.named("homes@1:area_id"))


def test_a_window_that_counts_rows_depends_on_the_view_alone(graph: Graph) -> None:
    assert "visits@1:count" in reached(graph, "visits.parquet")


def test_a_target_and_an_entity_reach_models(graph: Graph) -> None:
    assert reached(graph, "price") == SERVED
    assert {"homes@1", "visits@1", "price", *SERVED} <= reached(graph, "home")


def test_a_way_leads_from_what_is_changed_to_what_is_reached(graph: Graph) -> None:
    (size,) = graph.named("homes@1:size")
    ways = graph.affected([size])
    assert [str(step) for step in ways[Node("alias", "valuation@champion")]] == [
        "feature homes@1:size", "service valuation@1", "model valuation@2", "alias valuation@champion",
    ]  # fmt: skip


def test_owners_are_kept(graph: Graph) -> None:
    assert graph.owners[Node("feature", "homes@1:size")] == "bob"
    assert graph.owners[Node("import", "rent/lettings:rent@1")] == "kim"
    assert graph.owners[Node("model", "valuation@2")] == "bob"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("homes", {"view homes@1"}),
        ("homes:size", {"feature homes@1:size"}),
        ("ratio", {"feature valuation@1:ratio"}),
        ("valuation", {"service valuation@1", "model valuation@1", "model valuation@2"}),
        ("valuation@1", {"service valuation@1", "model valuation@1"}),
        ("nothing", set()),
    ],
)
def test_a_name_may_be_short(graph: Graph, name: str, meant: set[str]) -> None:
    assert set(map(str, graph.named(name))) == meant


CHANGES: Mapping[str, tuple[Mapping[str, Any], set[tuple[str, str]]]] = {
    "nothing": ({}, set()),
    "an owner": ({"owner": "carl"}, set()),
    "another field": ({"more": (Field("floor", INT64),)}, set()),
    "a type": ({"size": INT64}, {("homes@1:size", "has another type or default")}),
    "a place": ({"location": "s3://homes"}, {("homes@1", "source changed")}),
    "a window": ({"length": DAYS * 2}, {("visits@1:time", "changed")}),
    "a computation": ({"sql": "SELECT area_id, max(size) AS mean FROM homes"}, {("areas@1", "computed changed")}),
    "code": ({"code": "two"}, {("valuation@1:ratio", "computes something else")}),
    "outputs": ({"outputs": ("size",)}, {("valuation@1", "selects, asks for or gives something else")}),
    "a target": ({"without": "price"}, {("price", "is gone")}),
    "a view": ({"without": "visits"}, {("visits@1", "is gone"), ("valuation@1", "is gone")}),
}


@pytest.mark.parametrize(("edit", "found"), CHANGES.values(), ids=CHANGES)
def test_an_edit_is_told_by_what_it_changes(edit: Mapping[str, Any], found: set[tuple[str, str]]) -> None:
    made: Callable[..., Any] = edits
    assert {(item.node.name, item.how) for item in made(definitions(), definitions(**edit))} == found
