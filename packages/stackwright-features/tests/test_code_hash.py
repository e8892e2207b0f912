from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stackwright_features.code import collect, load_transforms
from stackwright_interfaces.catalogue import from_json, to_json
from stackwright_interfaces.definitions import FeatureService, Transform
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.types import FLOAT64

Project = Callable[..., Path]

SERVICE = '\nvaluation = FeatureService(name="valuation", selections=(details.select(),), transforms=(step,))\n'


def service_of(path: Path) -> FeatureService:
    (service,) = from_json(to_json(collect(path))).services
    return service


def code_of(path: Path) -> str:
    return service_of(path).transforms[0].code


@pytest.fixture
def hash_of(project: Project) -> Callable[..., str]:
    """The hash of the transform ``step`` of a file."""

    def compute(features: str, **others: str) -> str:
        return code_of(project(features + SERVICE, **others))

    return compute


HashOf = Callable[..., str]

PLAIN = """
@transform(inputs=("price",), type=FLOAT64)
def step(price):
    return price * 2
"""


@pytest.mark.parametrize(
    "same",
    [
        PLAIN.replace("    return", "    # twice\n\n    return"),
        PLAIN.replace("price * 2", "(price  *  2)"),
        PLAIN.replace("    return", '    """Double."""\n    return'),
        PLAIN.replace("def step(price)", "def step(price: np.ndarray) -> np.ndarray"),
        PLAIN.replace("type=FLOAT64", 'type=FLOAT64, owner="pricing"'),
        "UNUSED = 1\n" + PLAIN,
    ],
    ids=["comment", "layout", "docstring", "annotations", "owner", "unused constant"],
)
def test_what_changes_no_result_changes_no_hash(hash_of: HashOf, same: str) -> None:
    assert hash_of(same) == hash_of(PLAIN)


def test_another_body_is_another_hash(hash_of: HashOf) -> None:
    assert hash_of(PLAIN.replace("2", "3")) != hash_of(PLAIN)


USES = {
    "constant": ("FACTOR = {}\n", "price * FACTOR"),
    "array": ("TABLE = np.array([1.0, {}])\n", "price * TABLE[0]"),
    "mapping": ("RATES = {{'a': [{}]}}\n", "price * RATES['a'][0]"),
    "function": ("def factor():\n    return {}\n", "price * factor()"),
    "constant of a function": ("F = {}\ndef factor():\n    return F\n", "price * factor()"),
    "class": (
        "class Scale:\n    factor = {}\n    def by(self, x):\n        return x * self.factor\n",
        "Scale().by(price)",
    ),
    "base class": ("class Base:\n    factor = {}\nclass Scale(Base):\n    pass\n", "price * Scale.factor"),
    "another transform": (
        '@transform(inputs=("price",), type=FLOAT64)\ndef other(price):\n    return price * {}\n',
        "other.call(price)",
    ),
    "wrapped function": (
        "import functools\n@functools.lru_cache\ndef factor():\n    return {}\n",
        "price * factor()",
    ),
    "partial": ("import functools, operator\nscale = functools.partial(operator.mul, {})\n", "scale(price)"),
    "lambda": ("scale = lambda x: x * {}\n", "scale(price)"),
    "enum": ("import enum\nclass Factor(enum.Enum):\n    ONE = {}\n", "price * Factor.ONE.value"),
}


@pytest.mark.parametrize("use", USES)
def test_what_a_function_uses_of_its_file_is_part_of_its_hash(hash_of: HashOf, use: str) -> None:
    definition, body = USES[use]
    first, again, other = (
        hash_of(definition.format(number) + PLAIN.replace("price * 2", body)) for number in (5, 5, 6)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("imported", "body"),
    [
        ("import rates", "price * rates.factor()"),
        ("import rates as other", "price * other.factor()"),
        ("from rates import factor", "price * factor()"),
    ],
)
def test_what_a_function_uses_of_other_files_of_the_project_is_part_of_its_hash(
    hash_of: HashOf, imported: str, body: str
) -> None:
    text = imported + "\n" + PLAIN.replace("price * 2", body)
    rates = "F = {}\nUNUSED = {}\ndef factor():\n    return F\n"
    first = hash_of(text, rates=rates.format(5, 1))
    assert hash_of(text, rates=rates.format(5, 2)) == first
    assert hash_of(text, rates=rates.format(6, 1)) != first


def test_a_function_keeps_its_hash_when_it_moves_to_another_file(hash_of: HashOf) -> None:
    text = PLAIN.replace("price * 2", "price * factor()")
    here = hash_of("def factor():\n    return 5\n" + text)
    assert hash_of("from rates import factor\n" + text, rates="def factor():\n    return 5\n") == here


def test_functions_that_call_each_other_have_a_hash(hash_of: HashOf) -> None:
    text = "def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - {})\n"
    body = PLAIN.replace("price * 2", "price * even(4)")
    assert hash_of(text.format(1) + body) == hash_of(text.format(1) + body)
    assert hash_of(text.format(1) + body) != hash_of(text.format(2) + body)


def test_what_a_factory_closes_over_is_part_of_the_hash(hash_of: HashOf) -> None:
    text = """
def times(factor):
    @transform(inputs=("price",), type=FLOAT64, name="step")
    def inner(price):
        return price * factor
    return inner

step = times({})
"""
    assert hash_of(text.format(2)) == hash_of(text.format(2))
    assert hash_of(text.format(2)) != hash_of(text.format(3))


def test_the_value_of_a_default_argument_is_part_of_the_hash(hash_of: HashOf) -> None:
    text = "FACTOR = {}\n" + PLAIN.replace("def step(price)", "def step(price, factor=FACTOR)")
    assert hash_of(text.format(2)) != hash_of(text.format(3))


def test_installed_code_counts_by_its_name(hash_of: HashOf) -> None:
    text = "from math import {0} as f\n" + PLAIN.replace("price * 2", "price * f(2.0)")
    assert hash_of(text.format("sqrt")) != hash_of(text.format("exp"))


def test_something_whose_content_cannot_be_hashed_is_refused_by_name(hash_of: HashOf) -> None:
    text = "class Model:\n    def __init__(self):\n        self.factor = 2\nMODEL = Model()\n"
    with pytest.raises(DefinitionError, match=r"features.py:\d+ → MODEL: it uses a Model"):
        hash_of(text + PLAIN.replace("price * 2", "price * MODEL.factor"))


def test_a_late_import_of_the_project_is_refused(hash_of: HashOf) -> None:
    text = PLAIN.replace("    return", "    import rates\n    return")
    with pytest.raises(DefinitionError, match=r"imports 'rates'.*Import it at the top"):
        hash_of(text, rates="F = 1")


def test_functions_are_loaded_from_the_project(project: Project) -> None:
    path = project("import rates\n" + PLAIN.replace("2", "rates.F") + SERVICE, rates="F = 5")
    functions = load_transforms(service_of(path), path.parent)
    assert functions["step"](np.array([1.0, 2.0])).tolist() == [5.0, 10.0]


def test_functions_defined_in_this_process_need_no_file() -> None:
    step = Transform(name="double", inputs=("at",), type=FLOAT64, call=lambda x: x * 2)
    service = FeatureService(name="s", transforms=(step,), outputs=())
    assert load_transforms(service, None)["double"](3) == 6


def test_code_that_is_not_what_was_applied_is_refused(project: Project) -> None:
    service = service_of(project("import rates\n" + PLAIN.replace("2", "rates.F") + SERVICE, rates="F = 5"))
    path = project("import rates\n" + PLAIN.replace("2", "rates.F") + SERVICE, rates="F = 6")
    with pytest.raises(DefinitionError, match=r"the code of 'features.py:step' is not the code that was applied"):
        load_transforms(service, path.parent)


def test_a_function_that_is_gone_is_named(project: Project) -> None:
    service = service_of(project(PLAIN + SERVICE))
    path = project()
    with pytest.raises(DefinitionError, match=r"there is no function 'features.py:step'"):
        load_transforms(service, path.parent)


@pytest.mark.parametrize("function", ["../other.py:step", "/etc/other.py:step", "features.py", ""])
def test_a_function_outside_the_project_is_refused(project: Project, function: str) -> None:
    path = project(PLAIN)
    step = Transform(name="step", inputs=("at",), type=FLOAT64, function=function, code="0" * 64)
    with pytest.raises(DefinitionError, match=r"Name one of the project as 'file.py:name'"):
        load_transforms(FeatureService(name="s", transforms=(step,), outputs=()), path.parent)


def test_without_a_project_a_function_in_a_file_is_refused() -> None:
    step = Transform(name="step", inputs=("at",), type=FLOAT64, function="features.py:step", code="0" * 64)
    with pytest.raises(DefinitionError, match="no project is given"):
        load_transforms(FeatureService(name="s", transforms=(step,), outputs=()), None)


def test_the_hash_is_the_same_on_every_version_of_python(hash_of: HashOf) -> None:
    text = """
SHOWN = "\\U0001fae8 ä"
def told(row, width=9):
    return f"it's {row['a']!r:>{width}}" + f'{row:"^9}\\n' + SHOWN
""" + PLAIN.replace("    return", "    if price is None:\n        raise ValueError(told(price))\n    return")
    assert hash_of(text) == "b7710640f247a38d844b00a0870b21e59eb6207752fdbb45ce378510088d2c35"
