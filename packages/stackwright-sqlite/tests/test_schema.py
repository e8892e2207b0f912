"""Views and the names of their tables."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stackwright_sqlite.places import owner_of


@given(st.text(), st.text())
def test_different_views_have_tables_that_differ_by_more_than_case(first: str, second: str) -> None:
    assert (owner_of(first).lower() == owner_of(second).lower()) == (first == second)


@given(st.text())
def test_no_view_can_leave_the_quotes(view: str) -> None:
    assert owner_of(view).isascii()
    assert owner_of(view).isprintable()
    assert owner_of(view).count('"') == 2


def test_common_names_can_be_read() -> None:
    assert owner_of("pricing/listing@1") == '"view pricing/listing@1"'
    assert owner_of("__watermarks") == '"view __watermarks"'


def test_capitals_are_told_apart_from_small_letters() -> None:
    assert owner_of("Listing@1") == '"view ^4c.isting@1"'
