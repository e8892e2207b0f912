"""Errors: one tree, and messages that say where, what was found and what to do."""

from __future__ import annotations

import re

import pytest

from stackwright_interfaces import errors
from stackwright_interfaces.errors import (
    AdapterNotInstalled,
    DataError,
    MissingColumn,
    StackwrightError,
    UnknownName,
    WrongType,
    did_you_mean,
)


def test_a_message_says_where_what_was_found_and_what_to_do() -> None:
    error = StackwrightError("blueprint.toml [registry]", "no adapter named 'mlfow'", "Did you mean 'mlflow'?")
    assert str(error) == "blueprint.toml [registry]: no adapter named 'mlfow'. Did you mean 'mlflow'?"


@pytest.mark.parametrize(
    ("where", "found", "todo", "message"),
    [
        ("", "it failed", "", "it failed."),
        ("here", "it failed.", "", "here: it failed."),
        ("here", "is this right?", "Look.", "here: is this right? Look."),
    ],
)
def test_parts_that_are_missing_leave_no_gap(where: str, found: str, todo: str, message: str) -> None:
    assert str(StackwrightError(where, found, todo)) == message


def test_an_adapter_that_is_not_installed_is_answered_with_the_nearest_name() -> None:
    error = AdapterNotInstalled.named("blueprint.toml [registry]", "mlfow", ["mlflow", "files"])
    assert str(error) == (
        "blueprint.toml [registry]: no adapter named 'mlfow'. Installed: files, mlflow. Did you mean 'mlflow'?"
    )


def test_an_adapter_like_no_other_is_answered_with_the_install_command() -> None:
    error = AdapterNotInstalled.named("blueprint.toml [server]", "bentoml", [])
    assert str(error).endswith("None is installed. Run: pip install stackwright-bentoml")


def test_an_unknown_name_is_answered_with_what_is_applied() -> None:
    assert str(UnknownName.of("service", "plane@1", ["plain@1"])) == (
        "definitions: no service named 'plane@1'. Applied: plain@1. Did you mean 'plain@1'?"
    )
    assert "None is applied. Define it in features.py and run: stackwright apply" in str(
        UnknownName.of("view", "x@1", [])
    )


def test_a_missing_column_is_answered_with_those_that_are_there() -> None:
    error = MissingColumn.of("view 'details@1'", "price", ["prise", "rooms"])
    assert str(error) == ("view 'details@1': column 'price' is missing. Present: prise, rooms. Did you mean 'prise'?")
    assert "Present: none. Add 'price'" in str(MissingColumn.of("here", "price", []))
    assert isinstance(error, DataError)


def test_a_wrong_type_names_both_types() -> None:
    assert str(WrongType.of("labels", "listing_id", "string", "int64")) == (
        "labels: column 'listing_id' holds string, declared is int64. Convert the data or change the definition."
    )


def test_a_name_like_no_other_gets_no_proposal() -> None:
    assert did_you_mean("qqq", ["mlflow", "files"]) == ""


def test_the_tree_at_the_top_of_the_module_is_the_tree_of_the_classes() -> None:
    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([ │├└─]*)([A-Z]\w+(?:Error|\b))", line):
            name = found[2]
            if hasattr(errors, name):
                drawn.append((len(found[1]) // 4, name))
    parents: dict[str, str] = {}
    path: list[str] = []
    for depth, name in drawn:
        path[depth - 1 :] = [name]
        parents[name] = path[-2] if len(path) > 1 else "Exception"
    classes = {
        name: item.__base__.__name__
        for name, item in vars(errors).items()
        if isinstance(item, type) and issubclass(item, StackwrightError)
    }
    assert parents == classes
