"""Prediction through the C library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stackwright_interfaces.errors import ArtifactError, PluginError, PredictionError
from stackwright_interfaces.model import Manifest, Signature, SupportsContributions, describe_files
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, TaskKind
from stackwright_lightgbm import native
from stackwright_lightgbm.format import LightGBMFormat, LightGBMPredictor
from stackwright_lightgbm.links import link_of
from stackwright_lightgbm.plugin import LightGBMFormatConfig

Fit = Callable[..., FittedModel]

CELLS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([np.nan, 0.0, -0.0, 1.0, 2.0, 3.0, 55.5, 120.0]),
)


@pytest.fixture
def text(fit: Fit, tmp_path: Path) -> str:
    fit().save(tmp_path)
    return (tmp_path / "model.txt").read_text()


def load(text: str, folder: Path, signature: Signature = SIGNATURE) -> LightGBMPredictor:
    folder.mkdir(exist_ok=True)
    (folder / "model.txt").write_text(text)
    manifest = Manifest(flavour="lightgbm", files=describe_files(folder), signature=signature, task="regression")
    predictor = LightGBMFormat(LightGBMFormatConfig(), make_context(folder)).load(folder, manifest)
    assert isinstance(predictor, LightGBMPredictor)
    return predictor


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.data())
def test_numbers_are_the_same_bits_as_those_of_booster_predict(text: str, data: st.DataObject) -> None:
    import lightgbm

    rows = data.draw(st.integers(1, 40))
    matrix = data.draw(arrays(np.float64, (rows, 4), elements=CELLS))
    expected = lightgbm.Booster(model_str=text).predict(matrix, num_threads=1)
    assert np.array_equal(LightGBMPredictor(text.encode()).predict(matrix), expected)


@pytest.mark.parametrize("kind", [kind for kind in TaskKind if kind is not TaskKind.TIME_TO_EVENT])
def test_every_task_predicts_as_booster_does(fit: Fit, tmp_path: Path, kind: TaskKind) -> None:
    import lightgbm

    fitted = fit(kind=kind)
    fitted.save(tmp_path)
    matrix = Homes.make(100, seed=2, unknown=True).inputs("matrix")
    expected = lightgbm.Booster(model_file=str(tmp_path / "model.txt")).predict(matrix)
    assert np.array_equal(fitted.predictor().predict(matrix), expected)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda matrix: np.repeat(matrix, 2, axis=0)[::2], np.float32])
def test_any_layout_of_the_matrix_is_read(text: str, layout: Callable[..., np.ndarray]) -> None:
    matrix = np.round(Homes.make(100, seed=2).inputs("matrix"))
    predictor = LightGBMPredictor(text.encode())
    assert np.array_equal(predictor.predict(layout(matrix)), predictor.predict(matrix))


@pytest.mark.parametrize("shape", [(4,), (1, 3), (2, 5), (2, 4, 1)])
def test_a_matrix_of_another_shape_is_refused(text: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(PredictionError, match="n × 4"):
        LightGBMPredictor(text.encode()).predict(np.zeros(shape))


LINKS = {
    "identity": lambda raw: raw,
    "exp": np.exp,
    "logistic": lambda raw: 1 / (1 + np.exp(-raw)),
    "square": lambda raw: np.sign(raw) * raw**2,
}


@pytest.mark.parametrize(
    ("kind", "settings", "link"),
    [
        (TaskKind.REGRESSION, {}, "identity"),
        (TaskKind.REGRESSION, {"objective": "poisson"}, "exp"),
        (TaskKind.REGRESSION, {"objective": "gamma"}, "exp"),
        (TaskKind.REGRESSION, {"objective": "huber"}, "identity"),
        (TaskKind.REGRESSION, {"reg_sqrt": True}, "square"),
        (TaskKind.CLASSIFICATION, {}, "logistic"),
        (TaskKind.CLASSIFICATION, {"sigmoid": 0.7}, "logistic"),
        (TaskKind.RANKING, {}, "identity"),
    ],
)
def test_contributions_and_base_add_up_to_what_the_prediction_follows_from(
    fit: Fit, kind: TaskKind, settings: dict[str, Any], link: str
) -> None:
    predictor = fit(settings, kind=kind).predictor()
    assert isinstance(predictor, SupportsContributions)
    matrix = Homes.make(50, seed=2, unknown=True).inputs("matrix")
    found = predictor.contributions(matrix)
    assert found.values.shape == (50, 4)
    assert found.link == link
    assert np.ptp(found.base) == 0.0
    raw = found.base + found.values.sum(axis=1)
    assert np.allclose(LINKS[link](raw), predictor.predict(matrix), rtol=1e-9, atol=1e-12)
    assert predictor.contributions(matrix[:0]).values.shape == (0, 4)


def test_an_unknown_objective_explains_nothing(text: str) -> None:
    other = re.sub("objective=.*", "objective=multiclass_thing", text)
    assert link_of(other.encode()) is None


def test_a_closed_predictor_refuses_to_predict(text: str) -> None:
    predictor = LightGBMPredictor(text.encode())
    predictor.close()
    with pytest.raises(PredictionError, match="closed"):
        predictor.predict(np.zeros((1, 4)))


def test_the_format_imports_neither_lightgbm_nor_what_it_drags_in(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text(text)
    code = (
        "import json, sys, numpy\n"
        "from stackwright_lightgbm.format import LightGBMPredictor\n"
        "predicted = LightGBMPredictor(open(sys.argv[1], 'rb').read()).predict(numpy.zeros((1, 4)))\n"
        "print(json.dumps([sorted({name.partition('.')[0] for name in sys.modules}), predicted.tolist()]))\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.txt")], capture_output=True, text=True, check=True
    )
    modules, predicted = json.loads(child.stdout)
    assert not {"lightgbm", "sklearn", "pandas", "scipy"} & set(modules)
    assert predicted == LightGBMPredictor(text.encode()).predict(np.zeros((1, 4))).tolist()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.7, 0.95, 0.999])
def test_a_text_cut_short_is_refused_before_lightgbm_sees_it(text: str, tmp_path: Path, share: float) -> None:
    with pytest.raises(ArtifactError, match=r"model\.txt"):
        load(text[: int(share * len(text))], tmp_path / "model")


@pytest.mark.parametrize("line", ["version=v4", "num_class=1", "feature_names=area rooms place new"])
def test_a_line_that_is_gone_is_noticed(text: str, tmp_path: Path, line: str) -> None:
    gone = text.replace(f"{line}\n", "", 1)
    assert gone != text
    with pytest.raises(ArtifactError):
        load(gone, tmp_path / "model")


def test_a_text_that_lost_a_part_of_a_tree_is_refused(text: str, tmp_path: Path) -> None:
    at = text.index("leaf_value=", text.index("Tree=7"))
    with pytest.raises(ArtifactError, match="damaged at tree 8"):
        load(text[:at] + text[at + 3 :], tmp_path / "model")


def test_inputs_in_another_order_are_refused(text: str, tmp_path: Path) -> None:
    turned = Signature(inputs=SIGNATURE.inputs[::-1], outputs=SIGNATURE.outputs)
    with pytest.raises(ArtifactError, match="area, rooms, place, new"):
        load(text, tmp_path / "model", turned)


def test_a_missing_payload_is_refused(tmp_path: Path) -> None:
    manifest = Manifest(flavour="lightgbm", files={}, signature=SIGNATURE, task="regression")
    with pytest.raises(ArtifactError, match="cannot be read"):
        LightGBMFormat(LightGBMFormatConfig(), make_context(tmp_path)).load(tmp_path, manifest)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "find_spec", lambda name: None)
    native.library.cache_clear()
    with pytest.raises(PluginError, match="pip install"):
        native.library()
    native.library.cache_clear()
