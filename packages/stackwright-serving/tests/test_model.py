from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import ArtifactError, MissingColumn, ModelError, PredictionError
from stackwright_interfaces.model import Manifest, Predictor
from stackwright_serving import golden
from stackwright_serving.model import LoadedModel
from stackwright_serving.postprocess import compile_steps
from stackwright_serving.probe import probe


def columns(area: float = 50.0, kind: str | None = "flat", rooms: float = 3.0) -> dict[str, np.ndarray]:
    return {"area": np.array([area]), "kind": np.array([kind], dtype=object), "rooms": np.array([rooms])}


def test_a_model_predicts_with_intervals_around_its_answer(model: LoadedModel) -> None:
    answer = model.predict(columns())
    assert answer.value.tolist() == [50_030.0]
    assert answer.lower is not None
    assert answer.upper is not None
    assert answer.lower[0] < 50_030.0 < answer.upper[0]


def test_columns_are_taken_by_name_and_others_passed_over(model: LoadedModel) -> None:
    given = dict(reversed({**columns(), "colour": np.array([1.0])}.items()))
    assert model.predict(given).value.tolist() == [50_030.0]


def test_a_missing_input_is_named(model: LoadedModel) -> None:
    given = columns()
    del given["area"]
    with pytest.raises(MissingColumn, match="'area'"):
        model.predict(given)


def test_an_unknown_category_is_counted_and_a_missing_one_is_not(model: LoadedModel) -> None:
    assert model.predict(columns(kind="castle")).unknown == {"kind": 1}
    assert model.predict(columns(kind=None)).unknown == {}


def test_an_answer_that_is_no_number_is_an_error(model: LoadedModel) -> None:
    with pytest.raises(ModelError, match="row 0 got"):
        model.predict(columns(rooms=float("inf")))


def test_a_row_without_a_needed_value_is_refused(folder: Path, model: LoadedModel) -> None:
    document = model.manifest.to_json()
    document["signature"]["missing"] = {"kind": "refuse"}
    strict = LoadedModel(Manifest.from_json(document), model.predictor)
    assert strict.predict(columns()).value.size == 1
    with pytest.raises(PredictionError, match="row 0: kind is missing"):
        strict.predict(columns(kind=None))


def test_a_model_is_closed_once_no_thread_asks_it_and_is_asked_no_more(model: LoadedModel) -> None:
    asked, go_on, done = threading.Event(), threading.Event(), []

    class Slow(Predictor):
        input = "matrix"

        def predict(self, inputs: Any) -> Any:
            asked.set()
            go_on.wait(5)
            done.append("answered")
            return np.ones(len(inputs))

        def close(self) -> None:
            done.append("closed")

    slow = LoadedModel(model.manifest, Slow())
    asking = threading.Thread(target=slow.predict, args=(columns(),))
    asking.start()
    asked.wait(5)
    threading.Timer(0.1, go_on.set).start()
    slow.close()
    asking.join()
    assert done == ["answered", "closed"]
    with pytest.raises(ModelError, match="closed"):
        slow.predict(columns())


def test_steps_after_the_model_run_in_order() -> None:
    run = compile_steps([{"op": "exp"}, {"op": "clip", "high": 5.0}])
    assert run(np.array([0.0, 9.0])).tolist() == [1.0, 5.0]
    with pytest.raises(ArtifactError, match="unknown step"):
        compile_steps([{"op": "eval"}])


def test_golden_predictions_catch_a_payload_that_answers_differently(folder: Path, model: LoadedModel) -> None:
    assert golden.check(folder, model) == 0.0
    model.predictor.factor = 1000.1  # type: ignore[attr-defined]
    with pytest.raises(ArtifactError, match="golden row"):
        golden.check(folder, model)


@pytest.mark.parametrize("lines", [None, b"{", b"[]", b'{"inputs": 1}', b"\xff"])
def test_golden_rows_that_cannot_be_read_are_told(folder: Path, model: LoadedModel, lines: bytes | None) -> None:
    path = folder / "golden.jsonl"
    if lines is None:
        path.unlink()
    else:
        path.write_bytes(lines)
    with pytest.raises(ArtifactError, match="cannot be read"):
        golden.check(folder, model)


@pytest.mark.parametrize("name", ["factor.txt", "golden.jsonl"])
def test_an_altered_file_is_refused_before_it_is_read(folder: Path, name: str) -> None:
    (folder / name).write_text((folder / name).read_text() + " ")
    with pytest.raises(ArtifactError, match="altered"):
        probe(folder, "no.such.module:Format", project=folder)


FORMATS = """
import os, time
from stackwright_interfaces.model import ModelFormat, Predictor

class Doubling(Predictor):
    def predict(self, inputs):
        return [1.0] * len(inputs)

class Fine(ModelFormat):
    def __init__(self, config, context): pass
    def load(self, folder, manifest, *, threads=1): return Doubling()

class Aborting(Fine):
    def load(self, folder, manifest, *, threads=1): os.abort()

class Hanging(Fine):
    def load(self, folder, manifest, *, threads=1): time.sleep(60)
"""


@pytest.fixture
def formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "probed_formats.py").write_text(FORMATS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("formats")
def test_a_parser_that_aborts_takes_only_the_child_with_it(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="ended with code -6"):
        probe(folder, "probed_formats:Aborting", project=folder)


@pytest.mark.usefixtures("formats")
def test_a_load_that_hangs_is_given_up(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="did not load within 3 s"):
        probe(folder, "probed_formats:Hanging", project=folder, timeout=3.0)


@pytest.mark.usefixtures("formats")
def test_a_probe_tells_of_wrong_golden_predictions(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="golden row 0"):
        probe(folder, "probed_formats:Fine", project=folder)


def test_the_hot_path_imports_no_pandas() -> None:
    code = "import sys, stackwright_serving.app; print({'pandas', 'pyarrow', 'sklearn', 'lightgbm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def ruled(model: LoadedModel, **rules: object) -> LoadedModel:
    document = model.manifest.to_json()
    document["parameters"] = {**document["parameters"], "rules": rules}
    return LoadedModel(Manifest.from_json(document), model.predictor)


def several(areas: list[float], kinds: list[str | None]) -> dict[str, np.ndarray]:
    return {"area": np.array(areas), "kind": np.array(kinds, dtype=object), "rooms": np.full(len(areas), 3.0)}


def test_rows_outside_of_the_selection_are_named_with_their_inputs(model: LoadedModel) -> None:
    strict = ruled(model, select={"area": [20, 100], "kind": ["flat"]})
    given = several([50.0, 10.0, np.nan, 50.0, 100.0], ["flat", "house", "flat", None, "flat"])
    answer = strict.predict(given)
    assert answer.outside == {1: ("area", "kind"), 2: ("area",), 3: ("kind",)}
    assert np.array_equal(answer.value[[0, 1, 4]], model.predict(given).value[[0, 1, 4]])
    assert model.predict(given).outside == {}


def test_a_fallback_stands_for_answers_outside_of_the_selection_even_where_there_is_none(model: LoadedModel) -> None:
    strict = ruled(model, select={"rooms": [0, 10]}, fallback=7.0)
    answer = strict.predict(columns(rooms=float("inf")))
    assert answer.lower is not None
    assert answer.upper is not None
    assert (answer.value.tolist(), answer.lower.tolist(), answer.upper.tolist()) == ([7.0], [7.0], [7.0])


def test_inputs_are_kept_within_their_limits(model: LoadedModel) -> None:
    strict = ruled(model, clip={"area": [40.0, 60.0]})
    given = several([10.0, 40.0, 50.0, 90.0], ["flat"] * 4)
    assert (
        strict.predict(given).value.tolist()
        == model.predict(several([40.0, 40.0, 50.0, 60.0], ["flat"] * 4)).value.tolist()
    )
    assert given["area"].tolist() == [10.0, 40.0, 50.0, 90.0]


def test_answers_and_the_ends_of_their_intervals_keep_within_limits_and_answers_are_rounded(model: LoadedModel) -> None:
    document = model.manifest.to_json()
    document["postprocess"] = [
        *document["postprocess"],
        {"op": "clip", "low": 49_999.0, "high": 50_031.0},
        {"op": "round", "digits": -1},
    ]
    answer = LoadedModel(Manifest.from_json(document), model.predictor).predict(columns())
    assert answer.value.tolist() == [50_030.0]
    assert answer.lower is not None
    assert answer.upper is not None
    assert 49_999.0 <= answer.lower[0] < 50_030.0 <= answer.upper[0] <= 50_031.0
