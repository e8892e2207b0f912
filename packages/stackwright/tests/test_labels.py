"""Ground truth: whatever says it and whenever it comes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.monitoring.labels import choose_target
from stackwright_interfaces.definitions import Definitions
from stackwright_interfaces.errors import UnknownName, UsageError, WrongType
from stackwright_interfaces.types import INT64, Field

HEADER = "home_id,asked_at,sold_at,known_at,rooms,price"

Write = Callable[..., Path]


@pytest.fixture
def stack(filled: Path, tmp_path: Path) -> Iterator[Any]:
    folder = Path(shutil.copytree(filled, tmp_path / "project", ignore=shutil.ignore_patterns("data", "journal")))
    with stackwright.load(folder) as opened:
        yield opened


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*rows: str, more: str = "") -> Path:
        path = tmp_path / "labels.csv"
        path.write_text("\n".join([HEADER + more, *rows]) + "\n")
        return path

    return write


def row(home: str, price: str = "5", known: str = "2024-02-01T00:00:00Z", more: str = "") -> str:
    return f"{home},2024-01-01T00:00:00Z,2024-01-09T00:00:00Z,{known},2,{price}{more}"


def truths(stack: Any) -> dict[str, float]:
    table = journal.labels(stack, stack.target("sale_price")).read()
    return dict(zip(table["home_id"].to_pylist(), table["price"].to_pylist(), strict=True))


def test_labels_are_added_once_and_revised_by_later_ones(stack: Any, write: Write) -> None:
    assert stack.label(write(row("001"), row("002", "7.0"))).title == "Added 2 labels of sale_price"
    again = stack.label(write(row("001"), row("002", "8", "2024-03-01T00:00:00Z")))
    assert (again.data["added"], again.data["revisions"], again.data["duplicates"]) == (1, 1, 1)
    assert truths(stack) == {"001": 5.0, "002": 8.0}


def test_rows_that_cannot_be_labels_are_set_apart_with_the_reason(stack: Any, write: Write) -> None:
    outcome = stack.label(write(row("1"), row("2", ""), row("3", known="2024-01-02T00:00:00Z"), row("")))
    assert (outcome.data["added"], outcome.data["quarantined"]) == (1, 3)
    assert sorted(outcome.notes) == [
        "1 rows set apart: neither an entity key nor a prediction id.",
        "1 rows set apart: no value.",
        "1 rows set apart: observed before it happened.",
    ]


def test_a_key_that_reads_na_is_a_key_and_a_value_that_does_is_missing(stack: Any, write: Write) -> None:
    outcome = stack.label(write(row("NA"), row("null"), row("3", "NA")))
    assert outcome.notes == ("1 rows set apart: no value.",)
    assert truths(stack) == {"NA": 5.0, "null": 5.0}


def test_times_of_which_none_can_be_read_are_told_by_their_line(stack: Any, write: Write) -> None:
    with pytest.raises(WrongType, match=r"labels\.csv line 2: column 'known_at' holds 'soon', which is no time"):
        stack.label(write(row("1", known="soon"), row("2", known="later")))


def test_retractions_and_revision_numbers_are_read_from_text(stack: Any, write: Write) -> None:
    stack.label(write(row("1", more=",1,false"), row("2", more=",1,false"), more=",revision,retracted"))
    outcome = stack.label(
        write(row("1", "9", more=",2.0,FALSE"), row("2", "", more=",2,true"), more=",revision,retracted")
    )
    assert outcome.notes == ()
    assert truths(stack) == {"1": 9.0}


def test_times_without_a_zone_are_counted(stack: Any, write: Write) -> None:
    outcome = stack.label(write(row("1").replace("Z", "")))
    assert outcome.notes == ("3 times without a zone were taken as UTC; declare Source(time_zone=...).",)


def test_a_target_must_be_named_where_several_could_be_meant(stack: Any) -> None:
    price = stack.target("sale_price")
    rent = type(price)(name="rent", entity=price.entity, value=Field("rent", INT64))
    stack.definitions = Definitions(entities=stack.definitions.entities, targets=(price, rent))
    assert choose_target(stack, None) == price, "the only one that a model learns"
    assert choose_target(stack, "rent") == rent
    with pytest.raises(UnknownName, match=r"no target named 'rents'.*Did you mean 'rent'"):
        choose_target(stack, "rents")
    stack.blueprint.models.clear()
    with pytest.raises(UsageError, match=r"--target: 2 targets are applied. Name one: rent, sale_price"):
        choose_target(stack, None)
    stack.definitions = Definitions()
    with pytest.raises(UsageError, match=r"no target is applied\. Define one in features\.py"):
        choose_target(stack, None)
