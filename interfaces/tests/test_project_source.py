"""The wording of source that is hashed: the same on every version of Python, and true to what was written."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.project.source import drop_docstring, repr_of, source_of

NEW = "\U0001fae8"
"""A character that Python knows since 3.12."""

WORDINGS = {
    "x = ( 1,2 )  # a comment": "x = (1, 2)",
    """f'{x = !r:>{width}}'""": """f'x = {x!r:>{width}}'""",
    """f'{x = }'""": """f'x = {x!r}'""",
    """f'{row["a"]}'""": """f"{row['a']}\"""",
    r"""f'\'"{x}'""": """f'''\'"{x}'''""",
    """f'''{x}\n"'{y}'''""": '''f"""{x}\\n"'{y}"""''',
    """f'{ {1: 2}[1] }'""": """f'{ {1: 2}[1]}'""",
    """f'{{{x}}}'""": """f'{{{x}}}'""",
    """f'{f"{x}"}'""": """f"{f'{x}'}\"""",
    """f'{a if b else c}{(d, e)}{(lambda: 1)()}'""": """f'{(a if b else c)}{(d, e)}{(lambda: 1)()}'""",
    """f'a' 'b{x}' f'{x}' ''""": """f'ab{{x}}{x}'""",
    """f''""": """f''""",
    """f'{x:{"a"}}'""": """f"{x:{'a'}}\"""",
    """f'{x:"}'""": """f'{x:"}'""",
    r"""f'{x:\n}'""": '''f"""{x:\n}"""''',
    """f'{u"a"}'""": """f"{u'a'}\"""",
    """f'{b"x"}'""": """f"{b'x'}\"""",
    '''f"""{\'\'\'a\nb\'\'\'}"""''': """f'''{\"\"\"a\nb\"\"\"}'''""",
    """f"{'a' 'b'}" '\"\"\"' "'''\"""": r"""f'''{'ab'}\"\"\"\'\'\''''""".replace(r"\"", '"'),
    f"x = u'ä {NEW}'": r"x = u'ä \U0001fae8'",
    f"f'{{x}} {NEW}'": r"""f'{x} \U0001fae8'""",
}


@pytest.mark.parametrize("written", WORDINGS)
def test_source_is_worded_as_python_3_11_words_it(written: str) -> None:
    assert source_of(ast.parse(written)) == WORDINGS[written]


def test_the_tree_stays_as_it_is() -> None:
    tree = ast.parse("f'{x!r}'")
    before = ast.dump(tree)
    source_of(tree)
    assert ast.dump(tree) == before


@given(st.text(), st.text())
def test_the_wording_of_a_formatted_text_gives_that_text(before: str, after: str) -> None:
    value = ast.FormattedValue(value=ast.Name("x", ctx=ast.Load()), conversion=-1)
    parts: list[Any] = [ast.Constant(before), value, ast.Constant(""), ast.Constant(after)]
    tree = ast.fix_missing_locations(ast.Expression(ast.JoinedStr(values=parts)))
    assert eval(source_of(tree), {"x": 12}) == f"{before}12{after}"


@given(st.text())
def test_the_wording_of_a_text_gives_that_text(text: str) -> None:
    tree = ast.fix_missing_locations(ast.Expression(ast.List([ast.Constant(text)], ctx=ast.Load())))
    assert eval(source_of(tree)) == [text]
    assert eval(repr_of({text: text})) == {text: text}


@pytest.mark.parametrize(
    ("written", "bare"),
    [
        ('"""About."""\nx = 1', "x = 1"),
        ('"""About."""', ""),
        ('def f():\n    """About."""', "def f():\n    pass"),
        ('def f():\n    """About."""\n    return 1', "def f():\n    return 1"),
        ("def f():\n    f'{x}'", "def f():\n    f'{x}'"),
        ("", ""),
    ],
)
def test_a_docstring_is_dropped(written: str, bare: str) -> None:
    tree = ast.parse(written)
    drop_docstring(tree.body[0] if tree.body and isinstance(tree.body[0], ast.FunctionDef) else tree)
    assert source_of(tree) == bare
