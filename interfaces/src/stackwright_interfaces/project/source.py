"""Source without what changes no result, in one wording whatever Python reads it.

The wording is that of :func:`ast.unparse` in Python 3.11. Later versions put f-strings otherwise, and texts with
characters that Python 3.11 does not know; these are worded here.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

from stackwright_interfaces.project.characters import is_newer

_QUOTES: Final = ("'", '"', '"""', "'''")
_NO_CONVERSION: Final = -1


def source_of(tree: ast.AST) -> str:
    """Return a syntax tree as source, without comments and layout. The tree stays as it is."""
    return ast.unparse(_Worded().visit(deepcopy(tree)))


def repr_of(value: Any) -> str:
    """Return the ``repr`` of a value as Python 3.11 gives it."""
    shown = repr(value)
    return shown if shown.isascii() else "".join(_escaped(part) if is_newer(part) else part for part in shown)


def drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Take the docstring out of a module, class or function."""
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body[:1] = [] if len(node.body) > 1 or isinstance(node, ast.Module) else [ast.Pass()]


class _Worded(ast.NodeTransformer):
    """Puts names in place of what versions of Python word differently: a name is written as it is."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and any(map(is_newer, node.value)):
            return _as_name(f"{node.kind or ''}{repr_of(node.value)}")
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        parts = [(_part(value), isinstance(value, ast.Constant)) for value in _values(node)]
        return _as_name(f"f{_quoted_parts(parts)}")

    def visit_TemplateStr(self, node: ast.AST) -> ast.AST:
        """Leave it to Python, which has them since 3.14."""
        return node


class _Inside(ast.NodeTransformer):
    """Words what stands inside of an f-string's braces, where texts are kept free of backslashes."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return _as_name(f"{node.kind or ''}{_quoted(node.value)}") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return _as_name(f"f{_quoted(_joined(node))}")


def _as_name(written: str) -> ast.Name:
    return ast.Name(id=written, ctx=ast.Load())


def _values(node: ast.JoinedStr) -> list[ast.expr]:
    """Return the parts of an f-string; texts beside each other are one, and empty ones none."""
    found: list[ast.expr] = []
    for value in node.values:
        if not isinstance(value, ast.Constant):
            found.append(value)
        elif found and isinstance(found[-1], ast.Constant):
            found[-1] = ast.Constant(f"{found[-1].value!s}{value.value!s}")
        elif value.value:
            found.append(value)
    return found


def _joined(node: ast.JoinedStr) -> str:
    return "".join(map(_part, _values(node)))


def _part(value: ast.expr) -> str:
    match value:
        case ast.Constant():
            return str(value.value).replace("{", "{{").replace("}", "}}")
        case ast.FormattedValue():
            written = _expression(value.value)
            space = " " if written.startswith("{") else ""
            conversion = "" if value.conversion == _NO_CONVERSION else f"!{chr(value.conversion)}"
            form = f":{_joined(value.format_spec)}" if isinstance(value.format_spec, ast.JoinedStr) else ""
            return f"{{{space}{written}{conversion}{form}}}"
        case _:
            raise TypeError(f"{type(value).__name__} in an f-string")


def _expression(node: ast.expr) -> str:
    """Return what stands in braces, in parentheses where the braces need them: as where ``if`` comes after it."""
    after = " if _ else _"
    whole = ast.IfExp(test=_as_name("_"), body=_Inside().visit(node), orelse=_as_name("_"))
    return ast.unparse(whole).removesuffix(after)


def _quoted(text: str) -> str:
    written, fitting = _within(text, _QUOTES, "\n\t")
    return f"{fitting[0]}{written}{fitting[0]}"


def _quoted_parts(parts: Sequence[tuple[str, bool]]) -> str:
    """Return the parts of an f-string in quotes that fit all; texts are told from braces by the flag."""
    quotes: Sequence[str] = _QUOTES
    written = []
    for text, plain in parts:
        shown, fitting = _within(text, quotes, "" if plain else "\n\t")
        if not set(fitting) & set(quotes):
            return f"'''{''.join(_bare_repr(text) for text, _ in parts)}'''"
        written.append(shown)
        quotes = fitting
    return f"{quotes[0]}{''.join(written)}{quotes[0]}"


def _within(text: str, quotes: Sequence[str], kept: str) -> tuple[str, Sequence[str]]:
    """Return a text as it stands between quotes, and which of some quotes fit around it, the best first.

    Args:
        text: the text.
        quotes: those to choose from.
        kept: unprintable characters that need no backslash.
    """
    written = "".join(part if part in kept or _is_plain(part) else _escaped(part) for part in text)
    fitting = [quote for quote in quotes if quote not in written and (len(quote) == 3 or "\n" not in written)]
    if not fitting:
        shown = repr_of(text)
        return shown[1:-1], [next((quote for quote in quotes if shown[0] in quote), shown[0])]
    if not written:
        return written, fitting
    last = written[-1]
    fitting.sort(key=lambda quote: quote[0] == last)
    return (f"{written[:-1]}\\{last}" if fitting[0][0] == last else written), fitting


def _bare_repr(text: str) -> str:
    """Return the ``repr`` of a text inside single quotes, without them."""
    return repr_of(f'"{text}')[2:-1]


def _is_plain(character: str) -> bool:
    return character != "\\" and character.isprintable() and not is_newer(character)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
