from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stackwright.assembly.blueprint import BlueprintProblems, read
from stackwright_interfaces.errors import BlueprintError

Write = Callable[[str], Path]

MODEL = """
name = "avm"
[models.valuation]
service = "valuation@1"
target = "sale_price"
trainer = "lightgbm"
"""


def problems(path: Path) -> list[str]:
    with pytest.raises(BlueprintProblems) as caught:
        read(path)
    return [str(problem) for problem in caught.value.problems]


def test_a_name_alone_is_a_blueprint(write: Write) -> None:
    assert read(write('name = "avm"')).name == "avm"


def test_an_adapter_may_be_a_bare_name_or_a_table_with_options(write: Write) -> None:
    blueprint = read(
        write('name = "avm"\nregistry = "files"\n[feature_store]\noffline = { adapter = "duckdb", path = "d" }')
    )
    assert blueprint.registry is not None
    assert blueprint.registry.adapter == "files"
    assert blueprint.offline is not None
    assert blueprint.offline.options == {"path": "d"}


def test_a_whole_feature_store_is_named_without_halves(write: Write) -> None:
    blueprint = read(write('name = "avm"\n[feature_store]\nadapter = "feast"\nrepo = "r"'))
    assert blueprint.feature_store is not None
    assert blueprint.feature_store.options == {"repo": "r"}
    assert blueprint.offline is None


def test_every_problem_is_told_at_once(write: Write) -> None:
    found = problems(
        write('nme = "avm"\nuse_case = "realtme"\n[models.valuation]\nservice = 3\nholdout = 2\ntrainer = {}')
    )
    text = "\n".join(found)
    for part in (
        "unknown key 'nme'",
        "name is missing",
        "'realtme'",
        "service is 3",
        "holdout is 2",
        "no adapter is named",
    ):
        assert part in text
    assert "target is missing" in text


def test_the_near_name_is_offered(write: Write) -> None:
    assert "Did you mean 'realtime'?" in problems(write('name = "a"\nuse_case = "realtme"'))[0]
    assert "Did you mean 'registry'?" in problems(write('name = "a"\n[registri]\nadapter = "files"'))[0]


def test_variables_are_replaced_everywhere(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET", "prod")
    blueprint = read(write('name = "a"\n[registry]\nadapter = "files"\nurl = "reg/${BUCKET}"'))
    assert blueprint.registry is not None
    assert blueprint.registry.options["url"] == "reg/prod"


def test_an_unset_variable_is_named_with_its_place(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUCKET", raising=False)
    (found,) = problems(write('name = "a"\n[registry]\nadapter = "files"\nurl = "${BUCKET}"'))
    assert "registry url: environment variable BUCKET is not set. Run: export BUCKET=..." in found


def test_broken_toml_names_the_line(write: Write) -> None:
    with pytest.raises(BlueprintError, match="line 2"):
        read(write('name = "a"\nuse_case = \n'))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BlueprintError, match="stackwright new"):
        read(tmp_path / "blueprint.toml")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("holdout = true", "holdout is True, a bool"),
        ("interval = 1.5", "interval is 1.5. Give a number from 0 to 0.999"),
        ('transform = "lag"', "Did you mean 'log'?"),
        ('task = "regresion"', "Did you mean 'regression'?"),
        ('where = { price = "high" }', "price is 'high'. Give [lowest, highest]"),
        ("gates = 3", "gates is 3, a int"),
        ("sed = 3", "Did you mean 'seed'?"),
    ],
)
def test_a_wrong_model_key_says_what_to_do(write: Write, line: str, part: str) -> None:
    assert part in "\n".join(problems(write(MODEL + line)))
