"""The realtime blueprint: what it defines, and that its sample fits."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stackwright_blueprints import plugin
from stackwright_interfaces import catalogue
from stackwright_interfaces.definitions import Definitions, FeatureView
from stackwright_interfaces.plugin import Sample
from stackwright_interfaces.types import Field, Kind

ARROW = {
    Kind.BOOL: pa.bool_(),
    Kind.INT64: pa.int64(),
    Kind.FLOAT64: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}
TIME = pa.timestamp("us", tz="UTC")
SPEC = next(spec for spec in plugin.stackwright_blueprints() if spec.name == "realtime")


def view(definitions: Definitions, name: str) -> FeatureView:
    return next(item for item in definitions.views if item.name == name)


def assert_holds(path: Path, fields: Iterable[Field], times: Iterable[str]) -> None:
    schema = pq.read_schema(path)
    assert {field.name: schema.field(field.name).type for field in fields} == {
        field.name: ARROW[field.type.kind] for field in fields
    }
    assert {schema.field(name).type for name in times} == {TIME}


def test_the_plugin_is_found_by_its_entry_point() -> None:
    (entry,) = [found for found in entry_points(group="stackwright") if found.name == "blueprints"]
    assert entry.load() is plugin


def test_every_blueprint_offered_has_its_three_files() -> None:
    assert {path.name for path in SPEC.folder.iterdir() if path.is_file()} == {
        "blueprint.toml",
        "features.py",
        "README.md",
    }


def test_the_blueprint_names_a_service_and_a_target_that_its_features_define(definitions: Definitions) -> None:
    model = tomllib.loads((SPEC.folder / "blueprint.toml").read_text())["models"]["valuation"]
    assert [service.ref for service in definitions.services] == [model["service"]]
    assert [target.name for target in definitions.targets] == [model["target"]]


def test_every_section_of_the_blueprint_says_what_may_be_swapped() -> None:
    lines = (SPEC.folder / "blueprint.toml").read_text().splitlines()
    sections = [place for place, line in enumerate(lines) if line.startswith("[")]
    assert len(sections) == 5
    assert all(lines[place - 1].startswith("#") for place in sections)


def test_the_definitions_survive_their_json_form(definitions: Definitions) -> None:
    read = catalogue.from_json(catalogue.to_json(definitions))
    assert catalogue.to_json(read) == catalogue.to_json(definitions)
    assert len(read.views) == 4


def test_everything_has_an_owner_and_a_description(definitions: Definitions) -> None:
    steps = [step for service in definitions.services for step in service.transforms]
    tagged = [*definitions.entities, *definitions.views, *definitions.services, *definitions.targets]
    assert all(item.owner and item.description for item in [*tagged, *steps])
    assert all(item.tags for item in tagged)
    assert all(column.description for item in definitions.views for column in item.fields)


def test_a_request_needs_the_listing_alone(definitions: Definitions) -> None:
    (service,) = definitions.services
    assert [key.name for key in service.request_keys] == ["listing_id"]
    assert [field.name for field in service.request] == ["condition"]


def test_the_model_reads_no_price_of_the_listing_itself(definitions: Definitions) -> None:
    (service,) = definitions.services
    prices = [field.name for field in service.output_fields if "price" in field.name]
    assert prices == ["median_price_m2", "price_m2_90d"]
    of_listing = [item for item in definitions.views if item.entity.name == "listing"]
    assert not [field.name for item in of_listing for field in item.fields if "price" in field.name]


def test_every_view_has_a_table_with_its_columns(definitions: Definitions, sample: Sample) -> None:
    assert set(sample.views) == {item.name for item in definitions.views}
    for name, path in sample.views.items():
        found = view(definitions, name)
        assert found.source.created_time is not None
        assert_holds(path, (*found.entity.keys, *found.fields), (found.source.event_time, found.source.created_time))


def test_labels_have_the_target_s_columns_and_clocks(definitions: Definitions, sample: Sample) -> None:
    (target,) = definitions.targets
    assert target.observed is not None
    assert target.censored is not None
    for path in (sample.labels[target.name], sample.late_labels[target.name]):
        fields = (*target.entity.keys, target.value, *target.request)
        assert_holds(path, fields, (target.asked, target.happened, target.observed))
        assert pq.read_schema(path).field(target.censored).type == pa.bool_()


def test_requests_have_the_keys_and_request_fields_of_the_service(definitions: Definitions, sample: Sample) -> None:
    (service,) = definitions.services
    assert_holds(sample.requests, (*service.request_keys, *service.request), ("asked_at",))


@pytest.mark.parametrize(
    ("area", "rooms", "expected"),
    [(80.0, 3, 80.0), (80 * 10.7639, 3, 80.0), (-80.0, 3, np.nan), (np.nan, 3, np.nan), (35.0, 0, 35.0)],
    ids=["plain", "square feet", "negative", "missing", "no rooms"],
)
def test_areas_are_mended(features: ModuleType, area: float, rooms: int, expected: float) -> None:
    assert features.area_m2.call(np.array([area]), np.array([float(rooms)])) == pytest.approx([expected], nan_ok=True)


def test_age_is_counted_at_the_asked_instant(features: ModuleType) -> None:
    built = np.array([2000.0, 2000.0, 9999.0, np.nan])
    at = np.array(["2010-06-01", "2025-06-01", "2025-06-01", "2025-06-01"], "datetime64[us]")
    assert features.age.call(built, at).tolist() == pytest.approx([10, 25, np.nan, np.nan], nan_ok=True)


def test_distance_is_nought_at_the_centre_and_grows_by_a_degree_of_latitude(features: ModuleType) -> None:
    latitude, longitude = features.CENTRE
    distance = features.centre_km.call(np.array([latitude, latitude + 1]), np.array([longitude, longitude]))
    assert distance.tolist() == pytest.approx([0, 111.2])


def test_transforms_mend_the_sample_s_dirt(features: ModuleType, sample: Sample) -> None:
    table = pq.read_table(sample.views["listing"], columns=["area", "rooms"])
    area = table["area"].to_numpy()
    mended = features.area_m2.call(area, table["rooms"].to_numpy().astype(np.float64))
    assert np.nanmax(area) > 1_000
    assert np.nanmin(area) < 0
    assert np.nanmin(mended) >= 20
    assert np.nanmax(mended) <= 421
    assert np.isnan(mended).sum() == np.isnan(area).sum() + (area < 0).sum()
