from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stackwright_features.code import collect, collect_in_child
from stackwright_interfaces.catalogue import from_json, to_json
from stackwright_interfaces.errors import DefinitionError

Project = Callable[..., Path]

VALUATION = """
@transform(inputs=("price", "rooms"), type=FLOAT64)
def per_room(price, rooms):
    return price / rooms

valuation = FeatureService(name="valuation", selections=(details.select(),), transforms=(per_room,))
"""


def test_definitions_at_the_top_of_the_file_are_gathered(project: Project) -> None:
    found = collect(project('sold = Target(name="sold", entity=listing, value=Field("price", FLOAT64))' + VALUATION))
    assert [item.name for item in found.entities] == ["listing"]
    assert [item.ref for item in found.views] == ["details@1"]
    assert [item.ref for item in found.services] == ["valuation@1"]
    assert [item.name for item in found.targets] == ["sold"]


def test_definitions_in_a_list_are_gathered(project: Project) -> None:
    text = 'more = [FeatureView(name=name, entity=listing, fields=(Field("x", FLOAT64),)) for name in ("one", "two")]'
    assert [view.name for view in collect(project(text)).views] == ["details", "one", "two"]


def test_what_a_definition_refers_to_is_gathered_though_it_has_no_name_of_its_own(project: Project) -> None:
    text = """
def service():
    area = Entity(name="area", keys=(Field("code", STRING),))
    view = FeatureView(name="areas", entity=area, fields=(Field("rate", FLOAT64),))
    return FeatureService(name="rates", selections=(view.select(),))

rates = service()
"""
    found = collect(project(text))
    assert [view.name for view in found.views] == ["areas", "details"]
    assert [entity.name for entity in found.entities] == ["area", "listing"]


def test_definitions_of_other_files_of_the_project_are_gathered_where_they_are_imported(project: Project) -> None:
    areas = "from stackwright_interfaces.definitions import *\nfrom stackwright_interfaces.types import *\n"
    areas += 'area = Entity(name="area", keys=(Field("code", STRING),))'
    assert [item.name for item in collect(project("from areas import area", areas=areas)).entities] == [
        "area",
        "listing",
    ]


def test_other_files_are_read_anew_each_time_and_leave_no_module_behind(project: Project) -> None:
    text = "from areas import NAME\nother = Entity(name=NAME, keys=(Field('code', STRING),))"
    assert collect(project(text, areas="NAME = 'one'")).entities[1].name == "one"
    assert collect(project(text, areas="NAME = 'two'")).entities[1].name == "two"
    assert "areas" not in sys.modules


def test_two_different_definitions_of_one_name_are_refused(project: Project) -> None:
    text = 'again = FeatureView(name="details", entity=listing, fields=(Field("price", FLOAT64),))'
    with pytest.raises(DefinitionError, match="two different views are named 'details@1'"):
        collect(project(text))


def test_an_error_in_the_file_is_named_by_line(project: Project) -> None:
    path = project("\n\nanswer = 1 / 0")
    line = path.read_text().splitlines().index("answer = 1 / 0") + 1
    with pytest.raises(DefinitionError) as caught:
        collect(path)
    assert caught.value.where == f"features.py:{line}"
    assert "ZeroDivisionError" in caught.value.found


def test_an_error_in_a_file_it_imports_is_named_there(project: Project) -> None:
    with pytest.raises(DefinitionError) as caught:
        collect(project("import areas", areas="\nx = undefined\n"))
    assert caught.value.where == "areas.py:2"


def test_a_syntax_error_is_named_by_line(project: Project) -> None:
    path = project("def broken(:")
    with pytest.raises(DefinitionError) as caught:
        collect(path)
    assert caught.value.where == f"features.py:{len(path.read_text().splitlines())}"


def test_a_definition_that_does_not_hold_together_keeps_its_own_words(project: Project) -> None:
    with pytest.raises(DefinitionError) as caught:
        collect(project('view = FeatureView(name="a b", entity=listing, fields=())'))
    assert "view 'a b'" in caught.value.where
    assert caught.value.found == "not a usable name"


def test_a_file_that_exits_is_refused(project: Project) -> None:
    with pytest.raises(DefinitionError, match="SystemExit"):
        collect(project("raise SystemExit(3)"))


def test_a_module_that_is_not_installed_is_named(project: Project) -> None:
    with pytest.raises(DefinitionError, match=r"No module named 'not_there'.*Install it"):
        collect(project("import not_there"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"features.py: the file is not there"):
        collect(tmp_path / "features.py")


def test_a_definition_without_a_json_form_is_refused(project: Project) -> None:
    text = 'view = FeatureView(name="x", entity=listing, fields=(), event_id=None, source=Source(nulls=(object(),)))'
    with pytest.raises(DefinitionError, match="no JSON form"):
        collect(project(text))


def test_a_default_of_another_type_is_refused_with_its_line(project: Project) -> None:
    text = 'view = FeatureView(name="x", entity=listing, fields=(Field("x", FLOAT64, default=object()),))'
    with pytest.raises(DefinitionError, match=r"features\.py:\d+: field 'x': the default .* does not fit float64"):
        collect(project(text))


def test_transforms_get_the_place_and_the_hash_of_their_function(project: Project) -> None:
    (service,) = collect(project(VALUATION)).services
    (step,) = service.transforms
    assert step.function == "features.py:per_room"
    assert len(step.code) == 64
    assert step.call is not None


def test_a_transform_without_a_name_at_the_top_is_refused(project: Project) -> None:
    text = """
def make():
    @transform(inputs=("price",), type=FLOAT64)
    def doubled(price):
        return price * 2
    return doubled

doubling = FeatureService(name="doubling", selections=(details.select(),), transforms=(make(),))
"""
    with pytest.raises(DefinitionError, match=r"transform 'doubled'.*no name at the top"):
        collect(project(text))


def test_a_transform_may_name_a_function_of_another_file(project: Project) -> None:
    text = """
step = Transform(name="doubled", inputs=("price",), type=FLOAT64, function="numbers_.py:double")
doubling = FeatureService(name="doubling", selections=(details.select(),), transforms=(step,))
"""
    (service,) = collect(project(text, numbers_="def double(price):\n    return price * 2\n")).services
    assert service.transforms[0].call is not None
    assert len(service.transforms[0].code) == 64


def test_a_child_process_finds_the_same(project: Project) -> None:
    path = project(VALUATION)
    assert collect_in_child(path) == from_json(to_json(collect(path)))


def test_what_the_file_prints_does_not_reach_the_answer_of_the_child(project: Project) -> None:
    path = project("import os\nprint('hello')\nos.write(1, b'world')\n")
    child = subprocess.run(
        [sys.executable, "-m", "stackwright_features.definitions_file", str(path)],
        capture_output=True,
        check=True,
    )
    assert from_json(json.loads(child.stdout)) == collect(path)
    assert b"hello" in child.stderr
    assert b"world" in child.stderr


def test_an_error_in_the_child_is_the_same_error(project: Project) -> None:
    path = project("answer = 1 / 0")
    with pytest.raises(DefinitionError) as here:
        collect(path)
    with pytest.raises(DefinitionError) as there:
        collect_in_child(path)
    assert str(there.value) == str(here.value)


def test_a_child_that_dies_is_reported(project: Project) -> None:
    with pytest.raises(DefinitionError, match="ended with code 7"):
        collect_in_child(project("import os\nos._exit(7)"))


def test_a_file_named_like_a_module_of_the_standard_library_does_not_break_the_child(project: Project) -> None:
    assert (
        collect_in_child(project("", json="raise RuntimeError", types="raise RuntimeError")).views[0].name == "details"
    )
