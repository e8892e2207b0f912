"""A blueprint's text with another part in it: what is put there is there, and every other byte is what it was."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright.assembly.editing import put_back, put_part, put_value, to_toml
from stackwright_interfaces.errors import BlueprintError

ONLINE = ("feature_store", "online")

FORMS = {
    "lines of Windows": """\
[feature_store.online]\r
adapter = "sqlite"\r
path = "a.db" # here\r
\r
[registry]\r
adapter = "files"\r
""",
    "one line": """\
# The stack of the valuation team.
name = "homes" # ours

[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = {adapter="sqlite",  path = 'data/{online}.db'}   # read by all workers

[registry]
adapter = "files"
""",
    "a name alone": """\
name = "homes"
[feature_store]
online = "sqlite" # read by all
""",
    "a table": """\
name = "homes"

[feature_store.online]   # read by all
# where it lies
adapter = "sqlite"
path = "data/online.db" # on the fast disk
cache_mb = 64

# published models
[registry]
adapter = "files"
""",
    "a table within a table": """\
name = "homes"
feature_store = { online = { adapter = "sqlite", path = "a.db" }, offline = "duckdb" }
""",
    "quoted keys and long texts": '''\
name = """
[feature_store]
online = { adapter = "no" }
"""
["feature_store"] # odd, and allowed
note = [ # online = "no"
  "]", 1,
]
"online" = { adapter = 'sqlite', path = "a\\"}.db" }
last = 1979-05-27 07:32:00
''',
    "no end of line": """\
[feature_store.online]
adapter = "sqlite"
path = "a.db\"""",
}


def at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_the_part_is_put_in_and_put_back_to_the_byte(text: str) -> None:
    edit = put_part(text, ONLINE, "redis", {"url": "redis://h/0", "pool_size": 4})
    wanted = copy.deepcopy(tomllib.loads(text))
    wanted["feature_store"]["online"] = {"adapter": "redis", "url": "redis://h/0", "pool_size": 4}
    assert tomllib.loads(edit.text) == wanted
    back = put_back(edit.text, ONLINE, edit.before, edit.after)
    assert back is not None
    assert back.text == text


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_nothing_outside_of_the_part_changes(text: str) -> None:
    edit = put_part(text, ONLINE, "redis", {"url": "redis://h/0"})
    start = text.index(edit.before)
    assert edit.text == text[:start] + edit.after + text[start + len(edit.before) :]


def test_ends_of_lines_stay_what_they_are() -> None:
    edit = put_part(FORMS["lines of Windows"], ONLINE, "redis", {"url": "redis://h/0"})
    assert edit.text.count("\n") == edit.text.count("\r\n") == 6


def test_comments_and_options_that_stay_keep_their_lines() -> None:
    edit = put_part(FORMS["a table"], ONLINE, "sqlite", {"path": "data/online.db", "cache_mb": 32})
    assert edit.text == FORMS["a table"].replace("cache_mb = 64", "cache_mb = 32")
    edit = put_part(FORMS["a table"], ONLINE, "redis", {"url": "redis://h/0"})
    assert '[feature_store.online]   # read by all\n# where it lies\nadapter = "redis"\nurl = ' in edit.text
    assert "fast disk" not in edit.text


def test_what_was_changed_since_is_not_put_back() -> None:
    edit = put_part(FORMS["one line"], ONLINE, "redis", {"url": "redis://h/0"})
    assert put_back(edit.text.replace("/0", "/1"), ONLINE, edit.before, edit.after) is None


@pytest.mark.parametrize(
    "text",
    [
        '[feature_store]\noffline = "duckdb"\n',
        '[feature_store]\nonline.adapter = "sqlite"\nonline.path = "a.db"\n',
    ],
    ids=["absent", "dotted"],
)
def test_a_form_that_cannot_be_changed_is_refused_and_named(text: str) -> None:
    with pytest.raises(BlueprintError, match=r"blueprint.toml \[feature_store.online\].*by hand"):
        put_part(text, ONLINE, "redis", {})


def test_a_list_of_names_is_one_value() -> None:
    text = '[monitor]\nreports = [ "evidently" ] # for people\nwindow = 7\n'
    edit = put_value(text, ("monitor", "reports"), [{"adapter": "other", "rows": 5}])
    assert edit.text == text.replace('[ "evidently" ]', '[{ adapter = "other", rows = 5 }]')


NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)
KEYS = st.one_of(NAMES, st.text(max_size=6))
PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
OPTIONS = st.dictionaries(KEYS.filter(lambda key: key != "adapter"), VALUES, max_size=4)


def as_table(options: dict[str, Any]) -> str:
    lines = [f"{to_toml({key: value})[2:-2]} # {number}" for number, (key, value) in enumerate(options.items())]
    return "\n".join(['[feature_store.online] # "[', 'adapter = "old"', *lines, ""])


@given(OPTIONS, OPTIONS, st.booleans())
def test_any_options_go_there_and_back_in_both_forms(old: dict[str, Any], new: dict[str, Any], inline: bool) -> None:
    part = to_toml({"adapter": "old", **old})
    start = f"[feature_store]\nonline = {part} # {{\n" if inline else as_table(old)
    text = f'name = "a" # [x]\n{start}\n[registry] # files\nadapter = "files"\n'
    edit = put_part(text, ONLINE, "new", new)
    assert at(tomllib.loads(edit.text), ONLINE) == {"adapter": "new", **new}
    assert tomllib.loads(edit.text)["registry"] == {"adapter": "files"}
    back = put_back(edit.text, ONLINE, edit.before, edit.after)
    assert back is not None
    assert back.text == text
