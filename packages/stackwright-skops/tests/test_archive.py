"""What an archive may hold, that the same fit gives the same bytes, and what is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_skops import allowed
from stackwright_skops.archive import dump, load
from stackwright_skops.trees import check_trees

GROUPS: list[Mapping[str, str]] = [value for name, value in vars(allowed).items() if name.isupper()]
ROWS = np.random.default_rng(0).normal(size=(60, 2))
BOTH = {**allowed.TREES, **allowed.HISTOGRAMS}


def forest() -> RandomForestRegressor:
    return RandomForestRegressor(2, random_state=0).fit(ROWS, ROWS[:, 0])


def boosted() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5, random_state=0).fit(ROWS, ROWS[:, 0])


def stored(model: Any, types: Mapping[str, str] = BOTH) -> bytes:
    return dump(model, types, where="model", todo="Choose another.")


@pytest.mark.parametrize("fit", [forest, boosted])
def test_a_model_answers_alike_after_a_round_trip(fit: Callable[[], Any]) -> None:
    back = load(stored({"model": fit(), "names": ["a"]}), BOTH, "model")
    check_trees(back["model"], "model")
    assert back["names"] == ["a"]
    assert np.array_equal(back["model"].predict(ROWS), fit().predict(ROWS))


@pytest.mark.parametrize("fit", [forest, boosted])
def test_the_same_fit_gives_the_same_bytes(fit: Callable[[], Any]) -> None:
    assert stored(fit()) == stored(fit())


def test_what_is_not_allowed_is_neither_written_nor_read() -> None:
    with pytest.raises(TrainingError, match=r"model: keeps sklearn\.tree\._tree\.Tree, .*Choose another"):
        stored(forest(), {})
    with pytest.raises(TrainingError, match="cannot be stored without pickle"):
        stored(Ridge().set_params(alpha=(number for number in ())))
    with pytest.raises(ArtifactError, match=r"model: needs sklearn\.tree\._tree\.Tree, .*Do not load it"):
        load(stored(forest()), {}, "model")
    with pytest.raises(ArtifactError, match=r"needs fractions\.Fraction"):
        load(skops.io.dumps(FunctionTransformer(kw_args={"x": Fraction(1, 2)})), BOTH, "model")


@pytest.mark.parametrize("content", [b"", b"no archive", stored(Ridge())[:200]], ids=["empty", "text", "cut off"])
def test_damaged_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match="model: damaged"):
        load(content, BOTH, "model")


@pytest.mark.parametrize(
    ("fit", "field", "value"),
    [(forest, "left_child", 10**6), (forest, "feature", -2), (boosted, "right", 0), (boosted, "feature_idx", 9)],
)
def test_an_index_that_leads_out_of_its_tree_is_refused(fit: Callable[[], Any], field: str, value: int) -> None:
    model = load(altered(stored(fit()), field, value), BOTH, "model")
    with pytest.raises(ArtifactError, match="an index that leads out of its arrays"):
        check_trees(model, "model")


def altered(content: bytes, field: str, value: int) -> bytes:
    """Set a field of the root of every tree."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(written, "w") as taken:
        for name in given.namelist():
            data = given.read(name)
            array = np.load(io.BytesIO(data)) if name.endswith(".npy") else np.empty(0)
            if field in (array.dtype.names or ()):
                array[field][0] = value
                kept = io.BytesIO()
                np.save(kept, array)
                data = kept.getvalue()
            taken.writestr(name, data)
    return written.getvalue()


def test_every_allowed_type_exists_in_one_group_and_says_why() -> None:
    names = [name for group in GROUPS for name in group]
    assert len(names) == len(set(names)) > 15
    for path in names:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name), path
    assert all(why for group in GROUPS for why in group.values())
