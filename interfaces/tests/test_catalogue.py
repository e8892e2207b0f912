"""Definitions as JSON, and the hash of their meaning."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_interfaces.catalogue import canonical, field_from_json, field_to_json, from_json, meaning, to_json
from stackwright_interfaces.definitions import (
    Aggregate,
    Computation,
    Definitions,
    Entity,
    Expectation,
    FeatureService,
    FeatureView,
    Schedule,
    Source,
    Target,
    Transform,
    Window,
)
from stackwright_interfaces.errors import DefinitionError
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

texts = st.text(max_size=8)
abouts = st.fixed_dictionaries(
    {"owner": texts, "description": texts, "tags": st.dictionaries(texts, texts, max_size=2)}
)
spans = st.integers(1, 10**15).map(lambda microseconds: timedelta(microseconds=microseconds))
instants = st.builds(
    lambda hours, micros: datetime.fromtimestamp(micros // 10**6, timezone(timedelta(hours=hours))).replace(
        microsecond=micros % 10**6
    ),
    st.integers(-14, 14),
    st.integers(-(10**16), 10**17),
)
scalars: list[tuple[Type, st.SearchStrategy[Any]]] = [
    (BOOL, st.booleans()),
    (INT64, st.integers(-(2**63), 2**63 - 1)),
    (FLOAT64, st.floats() | st.integers(-9, 9)),
    (STRING, texts),
    (BYTES, st.binary(max_size=4)),
    (TIMESTAMP, instants),
]
compounds: list[tuple[Type, st.SearchStrategy[Any]]] = [
    (decimal(38, 9), st.decimals(-(10**28), 10**28, places=9)),
    (vector(2), st.lists(st.floats(), min_size=2, max_size=2)),
    *((list_of(item), st.lists(st.none() | values, max_size=3)) for item, values in scalars),
]
defaults = st.one_of([st.tuples(st.just(type_), st.none() | values) for type_, values in (*scalars, *compounds)])
plain = st.sampled_from([BOOL, INT64, FLOAT64, STRING, BYTES, TIMESTAMP, decimal(9, 2), list_of(STRING), vector(4)])
sources = st.builds(
    Source,
    event_time=texts,
    created_time=st.none() | texts,
    time_format=st.none() | texts,
    time_zone=st.none() | st.just("Europe/Berlin"),
    rename=st.dictionaries(texts, texts, max_size=2),
    nulls=st.lists(texts, max_size=2).map(tuple),
)


@st.composite
def fields(draw: st.DrawFn, prefix: str, most: int = 3) -> tuple[Field, ...]:
    made = []
    for number in range(draw(st.integers(1, most))):
        about = draw(abouts)
        described = {"description": about["description"], "tags": about["tags"]}
        if draw(st.booleans()):
            type_, default = draw(defaults)
            made.append(Field(f"{prefix}{number}", type_, default, **described))
        else:
            made.append(Field(f"{prefix}{number}", draw(plain), **described))
    return tuple(made)


@st.composite
def entities(draw: st.DrawFn, name: str) -> Entity:
    keys = [Field(f"{name}_k{n}", draw(st.sampled_from([INT64, STRING]))) for n in range(draw(st.integers(1, 2)))]
    return Entity(name=name, keys=tuple(keys), **draw(abouts))


def newest(field: Field) -> tuple[Window, ...]:
    """A window that few types have."""
    if field.type not in (INT64, FLOAT64):
        return ()
    window = Window(name=f"{field.name}_n", aggregate=Aggregate.LAST_N, column=field.name, length=2 * HOUR, n=3)
    return window, replace(window, name=f"{field.name}_r", aggregate=Aggregate.RATIO, n=None, over=field.name)


@st.composite
def views(draw: st.DrawFn, name: str, entity: Entity) -> FeatureView:
    columns = draw(fields(f"{name.replace('/', '_')}_f"))
    window = Window(
        name=f"{columns[0].name}_w",
        aggregate=draw(st.sampled_from([Aggregate.COUNT, Aggregate.LAST])),
        column=columns[0].name,
        length=draw(spans),
        description=draw(texts),
    )
    return FeatureView(
        name=name,
        entity=entity,
        fields=columns,
        version=draw(st.integers(1, 3)),
        source=draw(sources),
        windows=draw(st.sampled_from([(), (window,), (replace(window, slide=window.length),)])) + newest(columns[0]),
        max_age=draw(st.none() | spans),
        event_id=draw(st.sampled_from([None, columns[-1].name])),
        **draw(abouts),
    )


@st.composite
def all_definitions(draw: st.DrawFn) -> Definitions:
    one, other = draw(entities("one")), draw(entities("other"))
    first, second = draw(views("pricing/first", one)), draw(views("second", other))
    request = draw(fields("request"))
    step = Transform(
        name="step",
        inputs=(first.fields[0].name, request[0].name, "at"),
        type=draw(plain),
        function=draw(texts),
        code=draw(texts),
        **draw(abouts),
    )
    service = FeatureService(
        name="pricing/service",
        selections=(
            first.select(),
            first.select(prefix="again_", keys={one.key_names[0]: "again"}),
            second.select(second.fields[0].name),
        ),
        request=request,
        transforms=(step,),
        outputs=draw(st.sampled_from([None, ("step", second.fields[0].name)])),
        version=draw(st.integers(1, 3)),
        **draw(abouts),
    )
    target = Target(
        name="target",
        entity=one,
        value=draw(fields("value", most=1))[0],
        observed=draw(st.none() | texts),
        horizon=draw(st.none() | spans),
        censored=draw(st.none() | texts),
        label_id=draw(st.none() | texts),
        request=request,
        group=draw(st.sampled_from([None, one.key_names[0]])),
        source=draw(sources),
        **draw(abouts),
    )
    return Definitions(entities=(one, other), views=(first, second), services=(service,), targets=(target,))


@settings(deadline=None, max_examples=50)
@given(all_definitions())
def test_definitions_come_back_from_their_json_text(definitions: Definitions) -> None:
    assert from_json(json.loads(json.dumps(to_json(definitions)))) == definitions


@given(defaults)
def test_a_default_of_any_kind_comes_back_from_its_json_text(given: tuple[Type, Any]) -> None:
    field = Field("x", *given)
    again = field_from_json(json.loads(canonical(field_to_json(field))))
    assert again == field
    assert repr(again.default) == repr(field.default)


@pytest.mark.parametrize(
    ("type", "default", "form"),
    [
        (FLOAT64, 2, 2.0),
        (FLOAT64, math.nan, "NaN"),
        (FLOAT64, -math.inf, "-Infinity"),
        (BYTES, b"\x00\xff", "00ff"),
        (TIMESTAMP, datetime(2025, 3, 1, 12, tzinfo=UTC), "2025-03-01T12:00:00+00:00"),
        (decimal(12, 8), Decimal("0.00000010"), "0.00000010"),
        (list_of(BYTES), (b"a", None), ["61", None]),
        (vector(2), (0.5, math.inf), [0.5, "Infinity"]),
        (STRING, None, None),
    ],
)
def test_the_json_forms_of_defaults_are_the_documented_ones(type: Type, default: Any, form: Any) -> None:
    assert field_to_json(Field("x", type, default)) == {"name": "x", "type": str(type), "default": form}


@pytest.mark.parametrize(
    ("type", "form"),
    [
        ("float64", "nan"),
        ("bytes", "0g"),
        ("bytes", 7),
        ("timestamp", "yesterday"),
        ("timestamp", "2025-03-01T12:00:00"),
        ("decimal[4,2]", "one"),
        ("decimal[4,2]", 1.5),
        ("list[bytes]", ["0g"]),
        ("vector[2]", [1.0]),
        ("string", {"a": 1}),
    ],
)
def test_a_json_form_of_another_kind_of_default_is_refused(type: str, form: Any) -> None:
    with pytest.raises(DefinitionError, match=r"default"):
        field_from_json({"name": "x", "type": type, "default": form})


@settings(deadline=None, max_examples=25)
@given(all_definitions())
def test_meanings_survive_the_json_text(definitions: Definitions) -> None:
    again = from_json(json.loads(json.dumps(to_json(definitions))))
    for kind in ("entities", "views", "services", "targets"):
        assert [*map(meaning, getattr(again, kind))] == [*map(meaning, getattr(definitions, kind))]


LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
DETAILS = FeatureView(
    name="details",
    entity=LISTING,
    fields=(Field("price", FLOAT64), Field("rooms", INT64)),
    windows=(Window(name="w", aggregate=Aggregate.SUM, column="price", length=2 * HOUR),),
)
RATIO = replace(DETAILS, windows=(replace(DETAILS.windows[0], aggregate=Aggregate.RATIO),))
STEP = Transform(name="per_room", inputs=("price", "rooms"), type=FLOAT64, code="abc")
SERVICE = FeatureService(name="valuation", selections=(DETAILS.select("price", "rooms"),), transforms=(STEP,))
TARGET = Target(name="sale", entity=LISTING, value=Field("sale_price", FLOAT64))
CLICKS = replace(TARGET, name="clicked", request=(Field("place", INT64),), group="listing_id")

ABOUT: dict[str, Any] = {"owner": "pricing", "description": "as asked", "tags": {"tier": "1"}}


def test_a_target_without_lists_means_what_it_meant_before_there_were_any() -> None:
    assert not {"group", "position"} & set(to_json(Definitions(entities=(LISTING,), targets=(TARGET,)))["targets"][0])
    document = to_json(Definitions(entities=(LISTING,), targets=(replace(CLICKS, position="place"),)))
    assert from_json(document).targets[0] == replace(CLICKS, position="place")


@pytest.mark.parametrize("definition", [LISTING, DETAILS, SERVICE, TARGET], ids=lambda item: item.name)
def test_owner_description_and_tags_are_not_part_of_the_meaning(definition: Any) -> None:
    assert meaning(replace(definition, **ABOUT)) == meaning(definition)


def test_descriptions_within_a_definition_are_not_part_of_its_meaning() -> None:
    about = {"description": "as asked", "tags": {"tier": "1"}}
    price = replace(DETAILS.fields[0], **about)
    window = replace(DETAILS.windows[0], description="two hours")
    view = replace(DETAILS, entity=replace(LISTING, **ABOUT), fields=(price, DETAILS.fields[1]), windows=(window,))
    assert meaning(view) == meaning(DETAILS)
    service = replace(SERVICE, selections=(view.select("price", "rooms"),), transforms=(replace(STEP, **ABOUT),))
    assert meaning(service) == meaning(SERVICE)


def test_the_names_of_keys_in_requests_are_part_of_the_meaning_even_if_a_key_is_called_owner() -> None:
    deed = FeatureView(
        name="deed",
        entity=Entity(name="deed", keys=(Field("owner", INT64), Field("tags", STRING))),
        fields=(Field("price", FLOAT64),),
    )
    plain, buyer, seller = (
        meaning(replace(SERVICE, selections=(deed.select(keys=keys),), transforms=()))
        for keys in ({}, {"owner": "buyer"}, {"owner": "seller"})
    )
    assert len({plain, buyer, seller}) == 3


def test_how_files_are_read_is_not_part_of_the_meaning() -> None:
    source = Source(event_time="listed_on", time_zone="Europe/Berlin")
    assert meaning(replace(DETAILS, source=source)) == meaning(DETAILS)
    assert meaning(replace(TARGET, source=source)) == meaning(TARGET)


@pytest.mark.parametrize(
    ("definition", "change"),
    [
        (LISTING, lambda item: replace(item, keys=(Field("listing_id", STRING),))),
        (DETAILS, lambda item: replace(item, version=2)),
        (DETAILS, lambda item: replace(item, max_age=HOUR)),
        (DETAILS, lambda item: replace(item, event_id="rooms")),
        (DETAILS, lambda item: replace(item, fields=(Field("price", FLOAT64, default=0.0), item.fields[1]))),
        (DETAILS, lambda item: replace(item, fields=(Field("price", INT64), item.fields[1]))),
        (DETAILS, lambda item: replace(item, windows=(replace(item.windows[0], slide=HOUR),))),
        (DETAILS, lambda item: replace(item, windows=(replace(item.windows[0], aggregate=Aggregate.RATIO),))),
        (RATIO, lambda item: replace(item, windows=(replace(item.windows[0], over="rooms"),))),
        (DETAILS, lambda item: replace(item, entity=Entity(name="listing", keys=(Field("listing_id", STRING),)))),
        (SERVICE, lambda item: replace(item, outputs=("price",))),
        (SERVICE, lambda item: replace(item, request=(Field("discount", FLOAT64),))),
        (SERVICE, lambda item: replace(item, transforms=(replace(STEP, code="abd"),))),
        (SERVICE, lambda item: replace(item, selections=(DETAILS.select("rooms", "price"),))),
        (SERVICE, lambda item: replace(item, selections=(replace(DETAILS, max_age=HOUR).select("price", "rooms"),))),
        (TARGET, lambda item: replace(item, horizon=HOUR)),
        (TARGET, lambda item: replace(item, group="listing_id")),
        (CLICKS, lambda item: replace(item, position="place")),
        (TARGET, lambda item: replace(item, value=Field("sale_price", INT64))),
    ],
)
def test_everything_else_is_part_of_the_meaning(definition: Any, change: Callable[[Any], Any]) -> None:
    assert meaning(change(definition)) != meaning(definition)


def test_a_field_that_a_view_gains_changes_the_view_and_no_service_that_does_not_use_it() -> None:
    listing = Entity(name="listing", keys=(Field("listing_id", STRING),))
    window = Window(name="seen", aggregate=Aggregate.SUM, column="weight", length=HOUR)
    fields = (Field("area", FLOAT64), Field("weight", FLOAT64))
    before = FeatureView(name="homes", entity=listing, fields=fields, windows=(window,))
    after = replace(before, fields=(*fields, Field("rooms", INT64)))

    def service(view: FeatureView, *features: str) -> str:
        return meaning(FeatureService(name="valuation", selections=(view.select(*features),)))

    assert meaning(before) != meaning(after)
    assert service(before, "area", "seen") == service(after, "area", "seen")
    assert service(before, "seen") != service(replace(before, fields=(Field("weight", INT64),)), "seen")


def test_the_order_of_definitions_does_not_change_the_json() -> None:
    other = replace(DETAILS, version=2)
    assert to_json(Definitions(views=(other, DETAILS))) == to_json(Definitions(views=(DETAILS, other)))


def test_the_canonical_text_has_sorted_keys_no_spaces_and_no_nan() -> None:
    assert canonical({"b": [1, None], "a": "ä"}) == '{"a":"ä","b":[1,null]}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_the_meaning_of_a_whole_default_is_that_of_its_value() -> None:
    whole, point = (replace(DETAILS.fields[0], default=default) for default in (0, 0.0))
    assert meaning(replace(DETAILS, fields=(whole,), windows=())) == meaning(
        replace(DETAILS, fields=(point,), windows=())
    )


def test_how_rows_come_to_be_is_not_part_of_the_meaning() -> None:
    upkeep = {
        "source": Source(event_time="seen_at", location="details.csv"),
        "expect": (Expectation(column="price", low=0),),
        "schedule": Schedule(every=HOUR),
    }
    assert meaning(replace(DETAILS, **upkeep)) == meaning(DETAILS)
    assert meaning(NIGHTLY) == meaning(replace(NIGHTLY, computed=None, schedule=None))


def test_views_that_others_are_computed_from_are_found_whatever_their_order() -> None:
    found = from_json(json.loads(canonical(to_json(RICH))))
    assert found.views == RICH.views
    weekly = next(view for view in found.views if view.name == "feed_weekly")
    assert weekly.computed is not None
    assert weekly.computed.inputs == (NIGHTLY,)


def test_a_view_that_is_computed_from_itself_is_refused() -> None:
    document = to_json(RICH)
    nightly = next(view for view in document["views"] if view["name"] == "nightly")
    nightly["computed"]["inputs"] = ["feed_weekly@1"]
    with pytest.raises(DefinitionError, match="is not there"):
        from_json(document)


def test_another_format_is_refused_with_what_to_do() -> None:
    with pytest.raises(DefinitionError, match=r"format 2, this version reads 1\. Run: stackwright apply"):
        from_json({**to_json(Definitions()), "format": 2})


def test_a_reference_to_what_is_not_there_is_refused() -> None:
    document = to_json(Definitions(entities=(LISTING,), views=(DETAILS,), services=(SERVICE,)))
    with pytest.raises(DefinitionError, match="view 'details@1' is not there"):
        from_json({**document, "views": []})
    with pytest.raises(DefinitionError, match="entity 'listing' is not there"):
        from_json({**document, "entities": []})


WINDOWED = replace(
    DETAILS,
    name="windowed",
    windows=(
        Window(name="three", aggregate=Aggregate.LAST_N, column="price", n=3, length=HOUR),
        Window(name="share", aggregate=Aggregate.RATIO, column="price", over="rooms", length=HOUR),
    ),
)
NIGHTLY = FeatureView(
    name="nightly",
    entity=LISTING,
    fields=(Field("price", FLOAT64),),
    computed=Computation(inputs=(WINDOWED,), sql="SELECT * FROM windowed", lookback=HOUR),
    schedule=Schedule(every=24 * HOUR),
)
RICH = Definitions(
    entities=(LISTING,),
    views=(
        replace(
            DETAILS,
            fields=(
                *DETAILS.fields,
                Field("seen", TIMESTAMP, datetime(2025, 1, 1, tzinfo=UTC), tags={"tier": "1"}),
                Field("fee", decimal(9, 2), Decimal("1.50")),
                Field("marks", list_of(BYTES), [b"a"], description="as carved"),
                Field("place", vector(2), [0.0, math.nan]),
            ),
            max_age=HOUR,
            event_id="rooms",
            source=Source(location="s3://bucket/details.parquet"),
            expect=(
                Expectation(column="price", required=True, low=0, high=1e9, max_missing=0.1),
                Expectation(column="rooms", one_of=(1, 2, 3)),
                Expectation(column="seen", low=datetime(2025, 1, 1, tzinfo=UTC)),
            ),
            schedule=Schedule(every=HOUR, offset=HOUR / 2, freshness=2 * HOUR, retries=1),
        ),
        NIGHTLY,
        replace(
            NIGHTLY,
            name="feed_weekly",
            computed=Computation(inputs=(NIGHTLY,), function="features.py:weekly", code="ab"),
        ),
        WINDOWED,
    ),
    services=(
        replace(
            SERVICE,
            selections=(DETAILS.select("price", "rooms", keys={"listing_id": "id"}),),
            request=(Field("discount", FLOAT64, math.inf),),
            outputs=("price", "per_room"),
        ),
    ),
    targets=(replace(TARGET, horizon=HOUR, observed="seen_at", **ABOUT),),
)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every member of an object and item of a list, as (what holds it, its name or place)."""
    for name in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, name
        yield from _places(node[name])


odd_values = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 2, 10**30, 0.5, math.nan, math.inf, [], {}, [[]], [None], [{}], {"a": 1}])
    | st.sampled_from(["", "a/b", "__a", "at", "\ud800", "x.y", "details.rooms", "listing", "details@1", "sum", "NaN"])
    | st.sampled_from(["list[list[int64]]", "vector[²]", "vector[0]", "decimal[1]", "int64", "timestamp", "string"])
    | texts
).map(copy.deepcopy)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_document_that_was_tampered_with_is_read_or_refused_as_a_definition_error(data: st.DataObject) -> None:
    document: Any = json.loads(canonical(to_json(RICH)))
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(_places(document))
        holder, name = data.draw(st.sampled_from(places))
        match data.draw(st.sampled_from(["remove", "replace", "copy", "add"])):
            case "remove":
                del holder[name]
            case "replace":
                holder[name] = data.draw(odd_values)
            case "copy":
                other, source = data.draw(st.sampled_from(places))
                holder[name] = copy.deepcopy(other[source]) if source in other or isinstance(other, list) else None
            case "add" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[name]))
            case "add":
                holder[data.draw(texts)] = data.draw(odd_values)
    try:
        found = from_json(document)
    except DefinitionError:
        return
    assert from_json(json.loads(canonical(to_json(found)))) == found


@pytest.mark.parametrize("document", [None, [], "definitions", 1])
def test_what_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(DefinitionError, match=r"^definitions\.json: .* is not an object\. Run: stackwright apply$"):
        from_json(document)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda doc: doc.pop("views"), "definitions.json: 'views' is missing"),
        (lambda doc: doc.update(views={}), "definitions.json: views: {} is not a list"),
        (lambda doc: doc["views"][0].pop("windows"), "definitions.json: views[0]: 'windows' is missing"),
        (lambda doc: doc["views"][0].update(version="1"), "views[0].version: '1' is not a whole number"),
        (lambda doc: doc["views"][0]["fields"][1].update(type=7), "views[0].fields[1].type: 7 is not a text"),
        (lambda doc: doc["views"][0]["fields"][2].update(default="now"), "fields[2].default: 'now' is not a timestamp"),
        (lambda doc: doc["views"][0]["windows"][0].update(aggregate="mode"), "aggregate: 'mode' is not one of those"),
        (lambda doc: doc["views"][0]["windows"][0].update(length_us=10**30), "is not a span of time in microseconds"),
        (
            lambda doc: doc["services"][0]["selections"][0]["keys"].update(listing_id=1),
            "keys.listing_id: 1 is not a text",
        ),
        (lambda doc: doc["entities"].append(doc["entities"][0]), "entities: 'listing' given more than once"),
        (lambda doc: doc["views"].append(doc["views"][0]), "views: 'details@1' given more than once"),
    ],
)
def test_what_is_wrong_with_a_document_is_named(spoil: Callable[[Any], object], message: str) -> None:
    document = json.loads(canonical(to_json(RICH)))
    spoil(document)
    with pytest.raises(DefinitionError) as caught:
        from_json(document)
    assert message in str(caught.value)
