"""A project's modules: what the hash of one covers, and how they are imported beside those of others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from stackwright_interfaces.errors import ProjectError
from stackwright_interfaces.project.hashing import module_hash
from stackwright_interfaces.project.modules import Project

MODEL = '''
"""A model."""
import helpers
from shapes import circle

class MyModel:
    """Its docstring."""

    def predict(self, X):  # a comment
        return [helpers.answer() + circle.area] * len(X)

    def __format__(self, form):
        return f'{circle.area:"^9}\\n'
'''

Write = Callable[..., Project]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files into the project, ``shapes__base`` into shapes/base.py."""

    def written(**files: str) -> Project:
        for name, source in files.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(source)
        return Project(tmp_path)

    return written


@pytest.fixture
def project(write: Write, tmp_path: Path) -> Project:
    write(
        my_model=MODEL,
        helpers="def answer():\n    return 1.0\n",
        shapes__circle="from . import base\narea = base.side ** 2\n",
        shapes__base="side = 2.0\n",
        features="unused = 1\n",
    )
    (tmp_path / "shapes" / "__init__.py").write_text("")
    return Project(tmp_path)


def test_the_hash_of_code_is_the_same_on_every_version_of_python(project: Project) -> None:
    assert module_hash(project, "my_model") == "8e3eb2344b9e6052cecb347446850e93b1ea95239cf2c6d63e1e71804cd0eba8"


def test_comments_docstrings_and_layout_leave_the_hash_as_it_was(write: Write, project: Project) -> None:
    before = module_hash(project, "my_model")
    other = MODEL.replace("A model.", "My model.").replace("  # a comment", "").replace("[help", "[\n            help")
    write(my_model=other)
    assert module_hash(project, "my_model") == before


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("helpers.py", "def answer():\n    return 2.0\n"),
        ("shapes/__init__.py", "from sys import path\n"),
        ("shapes/base.py", "side = 3.0\n"),
    ],
)
def test_code_that_the_module_imports_changes_the_hash(project: Project, file: str, source: str) -> None:
    before = module_hash(project, "my_model")
    (project.folder / file).write_text(source)
    assert module_hash(project, "my_model") != before


def test_code_that_the_module_does_not_import_leaves_the_hash(write: Write, project: Project) -> None:
    before = module_hash(project, "my_model")
    write(features="unused = 2\n")
    assert module_hash(project, "my_model") == before


def test_an_import_of_the_project_inside_a_function_is_refused_unless_it_may_be_late(write: Write) -> None:
    late = "def f():\n    import json\n    from helpers import answer\n"
    project = write(my_model=late, helpers="def answer():\n    return 1\n")
    with pytest.raises(ProjectError, match=r"my_model\.py:3: a function imports 'helpers' of the project"):
        module_hash(project, "my_model")
    before = module_hash(project, "my_model", late=True)
    write(helpers="def answer():\n    return 2\n")
    assert module_hash(project, "my_model", late=True) != before


def test_modules_that_import_each_other_are_hashed(write: Write) -> None:
    assert len(module_hash(write(my_model="import helpers\n", helpers="import my_model\n"), "my_model")) == 64


def test_a_file_that_cannot_be_parsed_is_named(write: Write) -> None:
    project = write(my_model="import helpers\n", helpers="x = 1\ndef f(:\n")
    with pytest.raises(ProjectError, match=r"helpers\.py:2: SyntaxError: .*Correct the line"):
        module_hash(project, "my_model")


@pytest.mark.parametrize("act", [module_hash, Project.load], ids=["hash", "load"])
def test_a_module_that_is_not_there_is_refused_with_the_nearest_one(
    project: Project, act: Callable[[Project, str], object]
) -> None:
    with pytest.raises(ProjectError, match=r"module 'my_modle': .* has no such module\. Did you mean 'my_model'"):
        act(project, "my_modle")


def test_nothing_is_run_for_a_hash(write: Write) -> None:
    assert module_hash(write(my_model="raise SystemExit('it ran')\n"), "my_model")


def test_a_module_is_imported_anew_each_time(write: Write) -> None:
    project = write(my_model="from helpers import answer\n", helpers="answer = 1\n")
    assert project.load("my_model").answer == 1
    write(helpers="answer = 2\n")
    assert project.load("my_model").answer == 2


def test_modules_stay_loaded_for_their_project_and_for_nobody_else(write: Write) -> None:
    project = write(my_model="import helpers\n", helpers="", shapes__circle="")
    loaded = project.load("my_model")
    with project.importable():
        import my_model
        import shapes.circle
    assert my_model is loaded is project.loaded("my_model")
    assert project.loaded("shapes.circle") is shapes.circle
    assert not {"my_model", "helpers", "shapes", "shapes.circle"} & set(sys.modules)


def test_modules_that_others_have_imported_stay_as_they_were(project: Project) -> None:
    stranger = ModuleType("helpers")
    stranger.__file__ = str(project.folder / "helpers.py")
    sys.modules["helpers"] = stranger
    path = list(sys.path)
    try:
        assert project.load("my_model").helpers is not stranger
        assert sys.modules["helpers"] is stranger
    finally:
        del sys.modules["helpers"]
    assert sys.path == path


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import nothing_of_this_name", r"my_model\.py:1: ModuleNotFoundError: .* Install it"),
        ("x = 1\nimport helpers", r"helpers\.py:2: ZeroDivisionError: .* Correct the line"),
        ("def f(:", r"my_model\.py:1: SyntaxError: "),
        ("price = 1\nx = prise", r"my_model\.py:2: NameError: .* Did you mean 'price'"),
        ("x = prise", r"my_model\.py:1: NameError: .* Correct the line"),
        ("raise SystemExit(3)", r"my_model\.py:1: SystemExit: 3"),
    ],
)
def test_a_module_that_fails_names_file_and_line(write: Write, source: str, told: str) -> None:
    project = write(my_model=source, helpers="\n1 / 0\n")
    with pytest.raises(ProjectError, match=told):
        project.load("my_model")


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("my_model.py", True),
        ("shapes/circle.py", True),
        (".venv/lib/site.py", False),
        ("env/lib/site-packages/numpy.py", False),
        ("../other.py", False),
    ],
)
def test_a_file_is_the_project_s_own_below_its_folder_and_outside_of_environments(
    tmp_path: Path, file: str, own: bool
) -> None:
    assert Project(tmp_path).owns(str(Path(tmp_path, file).resolve())) is own
    assert not Project(tmp_path).owns(None)


def test_an_environment_in_the_folder_is_not_the_project_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    assert not Project(tmp_path).owns(str(tmp_path / "env" / "lib" / "site.py"))
