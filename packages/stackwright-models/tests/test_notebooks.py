"""The example notebooks: told at once what one learns, kept without outputs, and run whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))

RUN = """
import ast, json, sys

scope = {"__name__": "__main__"}
for number, cell in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))["cells"]):
    if cell["cell_type"] == "code":
        tree = ast.parse("".join(cell["source"]))
        shown = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), scope)
        value = None if shown is None else eval(compile(shown, f"cell {number}", "eval"), scope)
        if hasattr(value, "_repr_html_"):
            assert value._repr_html_(), number
print("whole")
"""


def cells_of(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["ranking", "time_to_sale", "valuation"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_lines_tell_what_one_learns(path: Path) -> None:
    first = cells_of(path)[0]
    assert first["cell_type"] == "markdown"
    assert first["source"][0].startswith("# ")
    assert "You learn" in "".join(first["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in cells_of(path) if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_whole(path: Path, tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-4000:]
    assert child.stdout.endswith("whole\n")
