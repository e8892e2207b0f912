"""What ``[recommenders.NAME]`` says: mistakes that no training and no request would tell are told by check."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackwright.cli.main import main

BLUEPRINT = """\
name = "x"

[recommenders.x]
trainer = "recommender"

[recommenders.x.interactions]
source = "looks.csv"
user = "user"
item = "item"
{interactions}

[recommenders.x.list]
rules = [{rules}]

{more}

[registry]
adapter = "files"
"""


def told(
    folder: Path, capsys: pytest.CaptureFixture[str], *, interactions: str = "", rules: str = "", more: str = ""
) -> str:
    """Return what check says of a blueprint that it refuses."""
    text = BLUEPRINT.format(interactions=interactions, rules=rules, more=more)
    (folder / "blueprint.toml").write_text(text, encoding="utf-8")
    assert main(["check", "--project", str(folder)]) == 1
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (
            '{ pin = { item = "a", place = 2 } }, { pin = { item = "b", place = 2 } }',
            "several items are pinned at place 2",
        ),
        ("{ boost = { by = nan, items = ['a'] } }", "by is nan"),
        ("{ boost = { by = inf, items = ['a'] } }", "by is inf"),
        ("{ pin = { item = ['a'], place = 1 } }", "item is ('a',), no text and no whole number"),
        ("{ hide = { items = [['a']] } }", "items holds ['a'], no text and no whole number"),
        ("{ hide = { groups = [1.5] } }", "groups holds 1.5, no text and no whole number"),
        ("{ hide = { items = 'a' } }", "items is 'a', no list"),
    ],
)
def test_rules_that_every_request_would_fail_by_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rules: str, found: str
) -> None:
    assert found in told(tmp_path, capsys, rules=rules)


@pytest.mark.parametrize("role", ["since", "until"])
def test_times_of_items_need_times_of_interactions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], role: str
) -> None:
    items = f'[recommenders.x.items]\nsource = "items.csv"\nitem = "item"\n{role} = "when"'
    assert "the interactions have no time" in told(tmp_path, capsys, more=items)


def test_a_delimiter_is_of_ascii(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "delimiter is '§'" in told(tmp_path, capsys, interactions='delimiter = "§"')
