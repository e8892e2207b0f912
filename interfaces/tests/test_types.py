"""Types and fields."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    NO_DEFAULT,
    STRING,
    TIMESTAMP,
    Field,
    Kind,
    Type,
    decimal,
    list_of,
    vector,
)

PLAIN = [BOOL, INT64, FLOAT64, STRING, BYTES, TIMESTAMP]

types = st.one_of(
    st.sampled_from(PLAIN),
    st.sampled_from(PLAIN).map(list_of),
    st.integers(1, 4096).map(vector),
    st.integers(1, 38).flatmap(
        lambda precision: st.integers(0, precision).map(lambda scale: decimal(precision, scale))
    ),
)


@given(types)
def test_the_text_form_of_a_type_reads_back_as_the_type(type: Type) -> None:
    assert Type.parse(str(type)) == type


def test_the_text_forms_are_the_documented_ones() -> None:
    shown = [str(each) for each in (FLOAT64, TIMESTAMP, vector(8), list_of(INT64), decimal(18, 2))]
    assert shown == ["float64", "timestamp", "vector[8]", "list[int64]", "decimal[18,2]"]


def test_spaces_in_a_text_form_do_not_matter() -> None:
    assert Type.parse("decimal[18, 2]") == decimal(18, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "int",
        "float32",
        "FLOAT64",
        "int64[3]",
        "list",
        "list[]",
        "list[vector[2]]",
        "list[list[int64]]",
        "vector",
        "vector[0]",
        "vector[-1]",
        "vector[two]",
        "decimal",
        "decimal[39,0]",
        "decimal[0,0]",
        "decimal[4,5]",
        "decimal[4]",
        "vector[²]",
        "vector[9999999999]",
        "decimal[٤,٢]",
        "list[int64",
    ],
)
def test_a_text_that_names_no_type_is_refused_with_the_list_of_types(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"not a type of the list\. Use one of: bool, int64"):
        Type.parse(text)


def test_every_kind_has_a_type() -> None:
    assert {each.kind for each in (*PLAIN, decimal(4, 2), list_of(BOOL), vector(1))} == set(Kind)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Type(Kind.LIST),
        lambda: Type(Kind.LIST, item=vector(2)),
        lambda: Type(Kind.LIST, item="int64"),  # type: ignore[arg-type]
        lambda: Type(Kind.LIST, item=INT64, size=2),
        lambda: Type(Kind.VECTOR),
        lambda: Type(Kind.VECTOR, size=-1),
        lambda: Type(Kind.VECTOR, size=2.0),  # type: ignore[arg-type]
        lambda: Type(Kind.VECTOR, size=2, item=FLOAT64),
        lambda: Type(Kind.DECIMAL),
        lambda: Type(Kind.DECIMAL, precision=39),
        lambda: Type(Kind.DECIMAL, precision=4, scale=5),
        lambda: Type(Kind.DECIMAL, precision=4, scale=-1),
        lambda: Type(Kind.INT64, precision=4),
        lambda: Type("list", item=INT64),  # type: ignore[arg-type]
        lambda: list_of(list_of(INT64)),
        lambda: vector(0),
        lambda: decimal(40, 2),
    ],
)
def test_a_type_is_refused_that_lacks_what_its_kind_needs_or_has_more(make: Callable[[], Type]) -> None:
    with pytest.raises(DefinitionError, match=r"^type .*\. Use "):
        make()


@pytest.mark.parametrize("name", ["", "two words", "1st", "a-b", "a.b", "a/b", "__event", None])
def test_a_field_needs_a_usable_name(name: Any) -> None:
    with pytest.raises(DefinitionError, match="not a usable name"):
        Field(name, INT64)


def test_a_field_needs_a_type_of_the_list() -> None:
    with pytest.raises(DefinitionError, match=r"field 'price': type <class 'float'> is no Type\. Use FLOAT64"):
        Field("price", float)  # type: ignore[arg-type]


def test_no_default_is_told_apart_from_a_default_of_none() -> None:
    assert not Field("price", FLOAT64).has_default
    assert Field("price", FLOAT64, default=0.0).has_default
    assert Field("price", FLOAT64, default=None).has_default
    assert repr(NO_DEFAULT) == "NO_DEFAULT"


def test_a_copy_of_a_field_without_a_default_has_none_either() -> None:
    field = Field("price", FLOAT64)
    for again in (copy.deepcopy(field), pickle.loads(pickle.dumps(field))):
        assert not again.has_default
        assert again == field


@pytest.mark.parametrize(
    ("type", "default", "kept"),
    [
        (FLOAT64, 2, 2.0),
        (decimal(6, 2), 3, Decimal("3.00")),
        (decimal(6, 2), Decimal("-0"), Decimal("0.00")),
        (decimal(38, 0), 10**38 - 1, Decimal(10**38 - 1)),
        (
            TIMESTAMP,
            datetime(2025, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            datetime(2024, 12, 31, 23, tzinfo=UTC),
        ),
        (list_of(INT64), [1, None], (1, None)),
        (list_of(TIMESTAMP), [datetime(2025, 1, 1, tzinfo=UTC)], (datetime(2025, 1, 1, tzinfo=UTC),)),
        (list_of(STRING), [], ()),
        (vector(2), [1, 0.5], (1.0, 0.5)),
    ],
)
def test_a_default_is_kept_in_the_form_of_its_type(type: Type, default: Any, kept: Any) -> None:
    assert repr(Field("x", type, default).default) == repr(kept)
    assert Field("x", type, default) == Field("x", type, kept)


@pytest.mark.parametrize(
    ("type", "default", "todo"),
    [
        (BOOL, 1, "Give True or False."),
        (INT64, True, "Give an int of 64 bits."),
        (INT64, 1.0, "Give an int of 64 bits."),
        (INT64, 2**63, "Give an int of 64 bits."),
        (FLOAT64, "1.5", "Give a float, or an int that a float holds exactly."),
        (FLOAT64, False, "Give a float"),
        (FLOAT64, 2**53 + 1, "Give a float"),
        (FLOAT64, 10**400, "Give a float"),
        (STRING, b"a", "Give a str that UTF-8 can encode."),
        (STRING, "\ud800", "Give a str that UTF-8 can encode."),
        (BYTES, "a", "Give bytes."),
        (TIMESTAMP, datetime(2025, 1, 1), "Give a datetime with a time zone."),  # noqa: DTZ001 -- that is the point
        (TIMESTAMP, "2025-01-01T00:00:00Z", "Give a datetime with a time zone."),
        (TIMESTAMP, datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "Give a datetime with a time zone."),
        (decimal(4, 2), 1.5, "Give a Decimal or int of at most 4 digits, of these 2 after the point."),
        (decimal(4, 2), Decimal("0.001"), "Give a Decimal"),
        (decimal(4, 2), 100, "Give a Decimal"),
        (decimal(4, 2), Decimal("NaN"), "Give a Decimal"),
        (decimal(4, 2), Decimal("sNaN"), "Give a Decimal"),
        (decimal(4, 2), Decimal("Infinity"), "Give a Decimal"),
        (list_of(INT64), 1, "Give a list of int64 values."),
        (list_of(INT64), ["1"], "Give a list of int64 values."),
        (list_of(STRING), "ab", "Give a list of string values."),
        (vector(2), [1.0], "Give a list of 2 floats."),
        (vector(2), [1.0, None], "Give a list of 2 floats."),
        (vector(2), "ab", "Give a list of 2 floats."),
    ],
)
def test_a_default_that_does_not_fit_its_type_is_refused(type: Type, default: Any, todo: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Field("x", type, default)
    assert str(caught.value).startswith("field 'x': the default ")
    assert f" does not fit {type}. {todo}" in str(caught.value)


def test_fields_with_the_same_default_are_alike_though_nan_is_unlike_itself() -> None:
    one, other = float("nan"), float("-nan")
    assert Field("x", FLOAT64, one) == Field("x", FLOAT64, other)
    assert Field("x", vector(2), [one, 0.0]) == Field("x", vector(2), [other, 0.0])
    assert Field("x", FLOAT64, one) != Field("x", FLOAT64, 0.0)
    assert Field("x", FLOAT64) != Field("x", FLOAT64, None)
    assert Field("x", FLOAT64) != "x"


@pytest.mark.parametrize("about", [{"description": None}, {"tags": ["a"]}, {"tags": {"tier": 1}}])
def test_descriptions_and_tags_of_a_field_are_texts(about: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="Give texts, and a dictionary of texts as tags"):
        Field("x", FLOAT64, **about)


def test_fields_of_unhashable_defaults_and_tags_can_be_keys_of_a_dictionary() -> None:
    field = Field("tags", list_of(STRING), default=["a"], tags={"team": "pricing"})
    assert {field: 1}[field] == 1
