"""The project's code: other code than a model was trained with is refused before it runs."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import Manifest, describe_files
from stackwright_interfaces.project.hashing import module_hash
from stackwright_interfaces.project.modules import Project
from stackwright_python.format import PythonFormat

MODEL = '''
"""A model."""
import helpers
from shapes import circle

class MyModel:
    """Its docstring."""

    def get_parameters(self):
        return {}

    def train(self, X, y):  # a comment
        return self

    def predict(self, X):
        return [helpers.answer() + circle.area] * len(X)
'''


@pytest.fixture
def project(desk: Any) -> Project:
    desk.write(MODEL)
    desk.write("def answer():\n    return 1.0\n", "helpers.py")
    desk.write("", "shapes/__init__.py")
    desk.write("from . import base\narea = base.side ** 2\n", "shapes/circle.py")
    desk.write("side = 2.0\n", "shapes/base.py")
    desk.write("unused = 1\n", "features.py")
    return Project(desk.project)


def test_a_model_is_loaded_with_the_code_that_it_was_trained_with(desk: Any, project: Project) -> None:
    loaded = desk.load(desk.save(desk.fit(MODEL)))
    assert loaded.predict({name: [1.0] for name in ("area", "rooms", "place", "new")}).tolist() == [5.0]


def test_other_code_is_refused_before_its_first_line_runs(desk: Any, project: Project) -> None:
    folder = desk.save(desk.fit(MODEL))
    desk.write("raise SystemExit('it ran')\n", "shapes/base.py")
    with pytest.raises(ArtifactError, match="is not the code that the model was trained with"):
        desk.load(folder)


def test_code_that_is_gone_is_refused(desk: Any, project: Project) -> None:
    folder = desk.save(desk.fit(MODEL))
    (desk.project / "my_model.py").unlink()
    with pytest.raises(ArtifactError, match="module 'my_model'"):
        desk.load(folder)


def test_a_hash_in_the_manifest_counts_as_well(desk: Any, project: Project) -> None:
    fitted = desk.fit(MODEL)
    desk.load(desk.save(fitted, code=fitted.code))
    with pytest.raises(ArtifactError, match="is not the code"):
        desk.load(desk.save(fitted, code={"my_model:MyModel": "0" * 64}))


def test_the_trainer_tells_the_hash_without_running_anything(desk: Any) -> None:
    desk.write("raise SystemExit('it ran')\nclass MyModel: ...\n")
    assert desk.trainer().code() == {"my_model:MyModel": module_hash(Project(desk.project), "my_model")}


def test_each_fit_runs_the_code_as_it_is_by_then(desk: Any, project: Project, columns: Any) -> None:
    assert desk.fit(MODEL).predictor().predict(columns())[0] == 5.0
    desk.write("def answer():\n    return 2.0\n", "helpers.py")
    assert desk.fit(MODEL).predictor().predict(columns())[0] == 6.0


def test_modules_that_others_have_imported_stay_as_they_were(desk: Any, project: Project) -> None:
    stranger = type(sys)("helpers")
    stranger.__file__ = str(project.folder / "helpers.py")
    sys.modules["helpers"] = stranger
    path = list(sys.path)
    try:
        desk.fit(MODEL)
        assert sys.modules["helpers"] is stranger
    finally:
        del sys.modules["helpers"]
    assert sys.path == path
    assert not {"my_model", "shapes", "shapes.base"} & set(sys.modules)


@pytest.mark.parametrize(
    "head", ["", "[]", "{}", '{"class": 1}', '{"class": "a:B", "code": "", "config": [], "own": 1}']
)
def test_a_damaged_head_is_refused(desk: Any, project: Project, head: str) -> None:
    folder = desk.save(desk.fit(MODEL))
    manifest = Manifest.read(folder)
    (folder / "model.json").write_text(head)
    replace(manifest, files=describe_files(folder)).write(folder)
    with pytest.raises(ArtifactError, match=r"model\.json.*damaged"):
        desk.load(folder)


def test_the_format_finds_the_project_where_it_stands_if_nobody_tells(
    desk: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = desk.save(desk.fit(MODEL))
    monkeypatch.chdir(desk.project)
    assert PythonFormat(None, None).load(folder, Manifest.read(folder))
