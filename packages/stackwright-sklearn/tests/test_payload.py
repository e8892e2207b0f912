"""What a payload may hold, that it is the same bytes for the same fit, and what is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import Predictor, Signature
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, TaskKind

Fit = Callable[..., FittedModel]
Load = Callable[..., Predictor]

CHOICES: list[dict[str, Any]] = [
    {"max_iter": 10},
    {"max_iter": 10, "max_features": 0.5, "early_stopping": True},
    {"estimator": "sklearn.linear_model.Ridge"},
    {"estimator": "sklearn.ensemble.RandomForestRegressor", "n_estimators": 3},
    {"estimator": "sklearn.neural_network.MLPRegressor", "hidden_layer_sizes": [5], "tol": 1e9},
]

FIT_ELSEWHERE = """
import hashlib, json, sys
from pathlib import Path
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import Task, TaskKind
from stackwright_sklearn.plugin import SklearnConfig
from stackwright_sklearn.trainer import SklearnTrainer

folder = Path(sys.argv[1])
trainer = SklearnTrainer(SklearnConfig(), make_context(folder))
task = Task(kind=TaskKind.REGRESSION, signature=SIGNATURE)
rows = Homes.make(150, seed=1).data(task.kind, "matrix")
for params in json.loads(sys.argv[2]):
    trainer.fit(task, rows, None, params, seed=3, threads=1).save(folder)
    print(hashlib.sha256((folder / "model.skops").read_bytes()).hexdigest())
"""


def bytes_of(fitted: FittedModel, folder: Path) -> bytes:
    fitted.save(folder)
    return (folder / "model.skops").read_bytes()


def store(folder: Path, **content: Any) -> None:
    """Store by skops alone what no trainer of ours would."""
    import skops.io

    (folder / "model.skops").write_bytes(skops.io.dumps({"inputs": ["area", "rooms", "place", "new"], **content}))


def test_another_process_writes_the_same_bytes(fit: Fit, tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIT_ELSEWHERE, str(tmp_path), json.dumps(CHOICES)],
        env={**os.environ, "PYTHONHASHSEED": "11"},
        capture_output=True,
        text=True,
        check=True,
    )
    ours = [hashlib.sha256(bytes_of(fit(params), tmp_path)).hexdigest() for params in CHOICES]
    assert child.stdout.split() == ours
    assert len(set(ours)) == len(CHOICES)


@pytest.mark.parametrize("params", [CHOICES[0], CHOICES[3]])
def test_more_threads_grow_the_same_trees(fit: Fit, tmp_path: Path, params: dict[str, Any]) -> None:
    rows = Homes.make(3000, seed=5)
    one, two = (
        zipfile.ZipFile(io.BytesIO(bytes_of(fit(params, rows=rows, threads=threads), tmp_path))) for threads in (1, 2)
    )
    assert one.namelist() == two.namelist()
    assert all(one.read(name) == two.read(name) for name in one.namelist() if name.endswith(".npy"))


def test_nothing_of_the_clock_or_of_memory_is_in_the_payload(fit: Fit, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(bytes_of(fit(), tmp_path))) as archive:
        entries = archive.infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    arrays = [entry.filename for entry in entries if entry.filename != "schema.json"]
    assert arrays == [f"{number:06d}.npy" for number in range(len(arrays))]


def test_a_function_is_refused_by_name(load: Load, tmp_path: Path) -> None:
    from sklearn.preprocessing import FunctionTransformer

    store(tmp_path, model=FunctionTransformer(os.system))
    with pytest.raises(ArtifactError, match=r"needs (posix|nt)\.system"):
        load(tmp_path)


def test_a_partial_of_a_function_that_is_not_allowed_is_refused(load: Load, tmp_path: Path) -> None:
    from functools import partial

    from sklearn.preprocessing import FunctionTransformer

    store(tmp_path, model=FunctionTransformer(partial(os.makedirs, "made")))
    with pytest.raises(ArtifactError, match=r"needs os\.makedirs"):
        load(tmp_path)


def test_a_type_off_the_list_is_refused_by_name_before_anything_is_built(
    fit: Fit, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.linear_model import LinearRegression

    built: list[str] = []

    class Uninvited(LinearRegression):
        def __setstate__(self, state: Any) -> None:
            built.append("uninvited")

    def noticed(cls: type) -> Any:
        built.append("ours")
        return object.__new__(cls)

    module = type(sys)("strangers")
    Uninvited.__module__, Uninvited.__qualname__ = module.__name__, "Uninvited"
    module.Uninvited = Uninvited  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    store(tmp_path, before=LinearRegression(), model=Uninvited())
    monkeypatch.setattr(LinearRegression, "__new__", noticed)
    with pytest.raises(ArtifactError, match=r"needs strangers\.Uninvited, which no model folder may hold"):
        load(tmp_path)
    assert built == []


def test_a_pickle_is_refused_and_not_run(load: Load, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (ran,)

    (tmp_path / "model.skops").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ArtifactError, match=r"model\.skops"):
        load(tmp_path)
    assert not ran.exists()


@pytest.mark.parametrize("model", [3, "sklearn.linear_model.Ridge", [1.5], {"a": None}])
def test_what_does_not_predict_is_refused(load: Load, tmp_path: Path, model: Any) -> None:
    store(tmp_path, model=model)
    with pytest.raises(ArtifactError, match="does not predict"):
        load(tmp_path)


def test_a_model_that_was_never_fitted_is_refused(load: Load, tmp_path: Path) -> None:
    from sklearn.linear_model import Ridge

    store(tmp_path, model=Ridge())
    with pytest.raises(ArtifactError, match="damaged, or no model"):
        load(tmp_path)


def test_a_payload_without_its_inputs_is_refused(load: Load, tmp_path: Path) -> None:
    import skops.io

    (tmp_path / "model.skops").write_bytes(skops.io.dumps([1]))
    with pytest.raises(ArtifactError, match="damaged, or no model"):
        load(tmp_path)


def test_a_missing_payload_is_refused(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        load(tmp_path)


def test_inputs_in_another_order_are_refused(fit: Fit, load: Load, tmp_path: Path) -> None:
    fit().save(tmp_path)
    turned = Signature(inputs=SIGNATURE.inputs[::-1], outputs=SIGNATURE.outputs)
    with pytest.raises(ArtifactError, match="the model takes area, rooms, place, new; the manifest names new, "):
        load(tmp_path, turned)


def test_a_model_of_another_width_than_its_inputs_is_refused(load: Load, tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    store(tmp_path, model=LinearRegression().fit(np.eye(3), np.arange(3)))
    with pytest.raises(ArtifactError, match="takes 3 inputs; the manifest names 4"):
        load(tmp_path)


def test_a_model_of_another_task_is_refused(fit: Fit, load: Load, tmp_path: Path) -> None:
    fit(kind=TaskKind.CLASSIFICATION).save(tmp_path)
    with pytest.raises(ArtifactError, match="HistGradientBoostingClassifier; the manifest says regression"):
        load(tmp_path)


def test_a_byte_altered_anywhere_never_ends_in_anything_but_a_refusal_or_a_predictor(
    fit: Fit, load: Load, tmp_path: Path
) -> None:
    whole = bytes_of(fit({"estimator": "sklearn.tree.DecisionTreeRegressor", "max_leaf_nodes": 5}), tmp_path)
    rows = Homes.make(5).inputs("matrix")
    random, refused = np.random.default_rng(0), 0
    for place in random.integers(0, len(whole), 30):
        content = bytearray(whole)
        content[place] ^= int(random.integers(1, 256))
        (tmp_path / "model.skops").write_bytes(content)
        try:
            load(tmp_path).predict(rows)
        except ArtifactError:
            refused += 1
    assert refused > 20


def alter(content: bytes, field: str, change: Callable[[Any], None]) -> bytes:
    """Change the first array of records that has a field; the archive is whole again."""
    written, left = io.BytesIO(), True
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(written, "w") as taken:
        for name in given.namelist():
            data = given.read(name)
            array = np.load(io.BytesIO(data)) if name.endswith(".npy") else np.empty(0)
            if left and field in (array.dtype.names or ()):
                change(array)
                stored, left = io.BytesIO(), False
                np.save(stored, array)
                data = stored.getvalue()
            taken.writestr(name, data)
    assert not left
    return written.getvalue()


def set_inner(field: str, value: Any) -> Callable[[Any], None]:
    """Set a field of the root, which every way down passes."""

    def change(nodes: Any) -> None:
        nodes[field][0] = value

    return change


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 10**6), ("left", 0), ("right", 0), ("feature_idx", 99), ("feature_idx", -1), ("feature_idx", 1)],
)
def test_an_index_out_of_a_tree_of_gradient_boosting_is_refused(
    fit: Fit, load: Load, tmp_path: Path, field: str, value: int
) -> None:
    rows = Homes.make(150, seed=1)
    by_place = Homes(rows.columns, (rows.columns["place"] == "hill").astype(np.float64))
    content = bytes_of(fit({"max_iter": 1}, rows=by_place), tmp_path)
    (tmp_path / "model.skops").write_bytes(alter(content, "feature_idx", set_inner(field, value)))
    with pytest.raises(ArtifactError, match="an index that leads out of its arrays"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"), [("left_child", 10**6), ("right_child", 0), ("feature", 4), ("feature", -2)]
)
@pytest.mark.parametrize(
    "params",
    [
        {"estimator": "sklearn.tree.DecisionTreeRegressor"},
        {"estimator": "sklearn.ensemble.RandomForestRegressor", "n_estimators": 2},
        {"estimator": "sklearn.ensemble.GradientBoostingRegressor", "n_estimators": 2, "max_features": 1},
    ],
)
def test_an_index_out_of_a_decision_tree_is_refused(
    fit: Fit, load: Load, tmp_path: Path, params: dict[str, Any], field: str, value: int
) -> None:
    content = bytes_of(fit(params), tmp_path)
    if value == 4 and "Gradient" in params["estimator"]:
        value = 99
    (tmp_path / "model.skops").write_bytes(alter(content, "left_child", set_inner(field, value)))
    with pytest.raises(ArtifactError, match="an index that leads out of its arrays"):
        load(tmp_path)
