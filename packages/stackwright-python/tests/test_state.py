"""What a model without ``save`` is kept as, and that it comes back the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_python import state


class Kept:
    """Stands for a class of the project."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, Kept):
        return type(left) is type(right) and same(vars(left), vars(right))
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind in "fM")
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right or (left != left and right != right)


def there_and_back(value: Any, folder: Path) -> Any:
    for path in folder.iterdir():
        path.unlink()
    state.write(value, folder, lambda kind: kind is Kept, "model")
    return state.read(folder, lambda reference: {"Kept": Kept}[reference.rpartition(":")[2]])


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
ARRAYS = arrays(st.sampled_from([np.float64, np.int32, np.bool_, "<U3", "datetime64[s]"]), array_shapes(max_side=3))
VALUES = st.recursive(
    st.one_of(PLAIN, ARRAYS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(), st.just("is")), inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b_", "c"]), inner, max_size=3).map(
            lambda values: Kept(**dict(sorted(values.items())))
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES)
def test_any_plain_value_comes_back_as_it_was(tmp_path: Path, value: Any) -> None:
    assert same(value, there_and_back(value, tmp_path))


def test_tables_come_back_as_they_were(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": np.array(["x", None], dtype=object)}, index=["p", "q"])
    pd.testing.assert_frame_equal(there_and_back(frame, tmp_path), frame, check_index_type=False)
    pd.testing.assert_series_equal(there_and_back(frame["a"], tmp_path), frame["a"], check_index_type=False)
    assert list(there_and_back(frame.columns, tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("trees", [False, True])
def test_estimators_inside_of_a_model_come_back(tmp_path: Path, trees: bool) -> None:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.random.default_rng(0).normal(size=(50, 3))
    last = RandomForestRegressor(3, random_state=0) if trees else Ridge()
    model = Kept(inner={"first": make_pipeline(StandardScaler(), last).fit(rows, rows[:, 0])})
    back = there_and_back(model, tmp_path)
    assert np.array_equal(back.inner["first"].predict(rows), model.inner["first"].predict(rows))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Kept(deep=[1, {"file": open}]), r"model\.deep\[1\]\['file'\]\[1\]: a builtins.* cannot be kept"),
        (Kept(lock=Path()), r"model\.lock: a pathlib\.\w*Path cannot be kept as it is\. .*write save and load"),
        (Kept(function=len), r"model\.function"),
        (Kept(rows=np.ma.masked_equal([1, 2], 2)), r"model\.rows: a numpy\.ma\S*MaskedArray cannot be kept as it is"),
        (st.none(), r"model: a hypothesis"),
    ],
)
def test_what_cannot_be_kept_is_named_by_its_attribute(tmp_path: Path, value: Any, told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        there_and_back(value, tmp_path)


def test_an_estimator_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.preprocessing import FunctionTransformer

    fitted = HistGradientBoostingRegressor(max_iter=1).fit([[0.0]] * 30, [0.0] * 30)
    with pytest.raises(TrainingError, match=r"model\.inner: a Hist\w+: keeps sklearn.*trainer sklearn"):
        there_and_back(Kept(inner=fitted), tmp_path)
    with pytest.raises(TrainingError, match="which no model folder may hold"):
        there_and_back(FunctionTransformer(print), tmp_path)


def test_a_value_that_leads_back_to_itself_is_refused(tmp_path: Path) -> None:
    value = Kept()
    value.again = [value]
    with pytest.raises(TrainingError, match=r"model\.again\[0\]: it leads back to itself"):
        there_and_back(value, tmp_path)


@pytest.mark.parametrize(
    "tree",
    [
        {"is": "object", "class": "os:system", "attributes": {}},
        {"is": "object", "class": "pathlib:Path", "attributes": {}},
        {"is": "estimator", "file": "../estimator-0.skops"},
        {"is": "estimator", "file": "state.json"},
        {"is": "array", "name": "7"},
        {"is": "pickle", "value": "x"},
        {"value": 1},
    ],
)
def test_a_tree_that_asks_for_anything_else_is_refused(tmp_path: Path, tree: Any) -> None:
    (tmp_path / "state.json").write_text(json.dumps(tree))
    with pytest.raises(ArtifactError, match="damaged"):
        state.read(tmp_path, {}.__getitem__)


def test_an_array_that_is_a_pickle_is_refused(tmp_path: Path) -> None:
    there_and_back(np.zeros(3), tmp_path)
    np.savez(tmp_path / "arrays.npz", **{"0": np.array([Kept()], dtype=object)})
    with pytest.raises(ArtifactError, match="damaged"):
        state.read(tmp_path, {}.__getitem__)


def test_a_tree_of_a_forest_whose_index_leads_out_is_refused(tmp_path: Path) -> None:
    import io
    import zipfile

    from sklearn.tree import DecisionTreeRegressor

    rows = np.random.default_rng(0).normal(size=(50, 2))
    there_and_back(DecisionTreeRegressor(max_leaf_nodes=4).fit(rows, rows[:, 0]), tmp_path)
    path, written = tmp_path / "estimator-0.skops", io.BytesIO()
    with zipfile.ZipFile(path) as given_, zipfile.ZipFile(written, "w") as taken:
        for name in given_.namelist():
            data = given_.read(name)
            if name.endswith(".npy") and "left_child" in (np.load(io.BytesIO(data)).dtype.names or ()):
                nodes, stored = np.load(io.BytesIO(data)), io.BytesIO()
                nodes["left_child"][0] = 10**6
                np.save(stored, nodes)
                data = stored.getvalue()
            taken.writestr(name, data)
    path.write_bytes(written.getvalue())
    with pytest.raises(ArtifactError, match="an index that leads out of its arrays"):
        state.read(tmp_path, {}.__getitem__)
