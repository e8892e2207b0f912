"""What a graph may take and give, what is refused, and that a row's answer is its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from stackwright_interfaces.errors import ArtifactError, PredictionError
from stackwright_interfaces.model import Manifest, Predictor, Signature
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, Field, vector
from stackwright_onnx.format import OnnxFormat
from stackwright_onnx.plugin import OnnxFormatConfig

Load = Callable[..., Predictor]
Make = Callable[..., bytes]

FLOAT, DOUBLE, WHOLE, TEXT, TRUTH = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT64,
    TensorProto.STRING,
    TensorProto.BOOL,
)
STRANGE = Homes.make(200, seed=3, missing=0.3, unknown=True)


def signature(*inputs: Field, outputs: int = 1, **categories: tuple[str, ...]) -> Signature:
    names = [Field(f"out{place}", FLOAT64) for place in range(outputs)]
    return Signature(inputs=inputs, outputs=tuple(names), categories=categories)


def objects(*values: Any) -> Any:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


@pytest.mark.parametrize("kind", [FLOAT, DOUBLE])
def test_one_input_gets_the_matrix(load: Load, homes_model: Callable[..., bytes], kind: int) -> None:
    predictor = load(homes_model(kind))
    rows = Homes.make(200, seed=2)
    assert np.abs(predictor.predict(rows.columns) - rows.price).mean() < 25
    assert np.isfinite(predictor.predict(STRANGE.columns)).all()


@pytest.mark.parametrize("kind", [FLOAT, DOUBLE])
@pytest.mark.parametrize("rows", [None, 1, 7])
def test_a_row_gets_the_same_bits_in_any_batch(
    load: Load, homes_model: Callable[..., bytes], kind: int, rows: int | None
) -> None:
    predictor = load(homes_model(kind, rows))
    whole = predictor.predict(STRANGE.columns)
    for size in (1, 3, 32, 50):
        parts = [predictor.predict(STRANGE.take(slice(at, at + size)).columns) for at in range(0, 200, size)]
        assert np.array_equal(np.concatenate(parts), whole)


def test_inputs_of_the_signatures_names_get_columns(load: Load, make_model: Make) -> None:
    places = {"keys_strings": ["hill", ""], "values_floats": [10.0, 20.0], "default_float": 30.0}
    nodes = [
        ("Cast", ["rooms"], ["rooms_"], {"to": FLOAT}),
        ("Cast", ["new"], ["new_"], {"to": FLOAT}),
        ("LabelEncoder", ["place"], ["place_"], {"domain": "ai.onnx.ml", **places}),
        ("Add", ["area", "rooms_"], ["a"], {}),
        ("Add", ["a", "new_"], ["b"], {}),
        ("Add", ["b", "place_"], ["out"], {}),
    ]
    inputs = {
        "place": (TEXT, [None, 1]),
        "new": (TRUTH, [None, 1]),
        "rooms": (WHOLE, [None, 1]),
        "area": (FLOAT, [None, 1]),
    }
    predictor = load(make_model(nodes, inputs, {"out": (FLOAT, [None, 1])}))
    columns = {
        "area": np.array([100.0, 200.0, 300.0]),
        "rooms": np.array([1.0, 2.0, 3.0]),
        "place": objects("hill", None, "moon"),
        "new": np.array([1.0, 0.0, 1.0]),
    }
    assert predictor.predict(columns).tolist() == [112.0, 222.0, 334.0]
    with pytest.raises(PredictionError, match=r"'rooms' is missing.*int64.*default"):
        predictor.predict({**columns, "rooms": np.array([1.0, np.nan, 3.0])})
    with pytest.raises(PredictionError, match="column 'new' is missing"):
        predictor.predict({name: columns[name] for name in ("area", "rooms", "place")})
    with pytest.raises(PredictionError, match="columns of"):
        predictor.predict({**columns, "rooms": np.array([1.0])})
    with pytest.raises(PredictionError, match="'area' does not hold float64"):
        predictor.predict({**columns, "area": objects("a", "b", "c")})


def test_a_text_goes_into_a_number_as_its_code(load: Load, make_model: Make) -> None:
    graph = make_model([("Identity", ["place"], ["out"], {})], {"place": (FLOAT, [None])}, {"out": (FLOAT, [None])})
    predictor = load(graph, signature(Field("place", STRING), place=("hill", "mill")))
    assert predictor.predict({"place": objects("mill", "moon")}).tolist() == [1.0, 2.0]
    assert np.isnan(predictor.predict({"place": objects(None)})).all()


def test_vectors_go_into_inputs_of_their_own(load: Load, make_model: Make) -> None:
    graph = make_model(
        [("MatMul", ["shape", "ones"], ["out"], {})],
        {"shape": (FLOAT, [None, 3])},
        {"out": (FLOAT, [None, 1])},
        {"ones": np.ones((3, 1), np.float32)},
    )
    predictor = load(graph, signature(Field("shape", vector(3))))
    assert predictor.predict({"shape": objects([1.0, 2.0, 3.0], (4, 5, 6))}).tolist() == [6.0, 15.0]
    assert np.isnan(predictor.predict({"shape": objects(None)})).all()
    with pytest.raises(PredictionError, match="has not 3 components"):
        predictor.predict({"shape": objects([1.0, 2.0], [1.0, 2.0])})


def test_vectors_and_numbers_go_side_by_side_into_one_input(load: Load, make_model: Make) -> None:
    graph = make_model(
        [("MatMul", ["rows", "weights"], ["out"], {})],
        {"rows": (DOUBLE, [None, 3])},
        {"out": (DOUBLE, [None, 1])},
        {"weights": np.array([[1.0], [10.0], [100.0]])},
    )
    predictor = load(graph, signature(Field("shape", vector(2)), Field("area", FLOAT64)))
    assert predictor.predict({"area": np.array([3.0]), "shape": objects([1.0, 2.0])}).tolist() == [321.0]


def test_several_outputs_come_from_one_of_so_many_columns_or_from_as_many(load: Load, make_model: Make) -> None:
    wanted = signature(Field("a", FLOAT64), Field("b", FLOAT64), outputs=2)
    inputs = {"rows": (FLOAT, [None, 2])}
    one = make_model([("Neg", ["rows"], ["out"], {})], inputs, {"out": (FLOAT, [None, 2])})
    assert load(one, wanted).predict({"a": np.array([1.0, 3.0]), "b": np.array([2.0, 4.0])}).tolist() == [
        [-1.0, -2.0],
        [-3.0, -4.0],
    ]
    constants = {"first": np.array([0]), "second": np.array([1])}
    nodes = [("Gather", ["rows", name], [f"{name}_out"], {"axis": 1}) for name in constants]
    two = make_model(nodes, inputs, {f"{name}_out": (FLOAT, [None, 1]) for name in constants}, constants)
    assert load(two, wanted).predict({"a": np.array([1.0]), "b": np.array([2.0])}).tolist() == [[1.0, 2.0]]
    turned = load(two, wanted, outputs='["second_out", "first_out"]')
    assert turned.predict({"a": np.array([1.0]), "b": np.array([2.0])}).tolist() == [[2.0, 1.0]]
    assert turned.predict({"a": np.empty(0), "b": np.empty(0)}).shape == (0, 2)
    chosen = load(two, signature(*wanted.inputs), outputs='["second_out"]')
    assert chosen.predict({"a": np.array([1.0]), "b": np.array([2.0])}).tolist() == [2.0]


CLASSES = [
    ("Sigmoid", ["rows"], ["one"], {}),
    ("Sub", ["whole", "one"], ["zero"], {}),
    ("Concat", ["zero", "one"], ["both"], {"axis": 1}),
    ("ArgMax", ["both"], ["label"], {"axis": 1, "keepdims": 0}),
]


@pytest.mark.parametrize("maps", [False, True])
def test_a_classifier_gives_the_probability_of_one(load: Load, make_model: Make, maps: bool) -> None:
    import onnx

    nodes = list(CLASSES)
    if maps:
        nodes.append(("ZipMap", ["both"], ["maps"], {"domain": "ai.onnx.ml", "classlabels_int64s": [0, 1]}))
    content = make_model(
        nodes,
        {"rows": (FLOAT, [None, 1])},
        {"label": (WHOLE, [None]), **({} if maps else {"both": (FLOAT, [None, 2])})},
        {"whole": np.array([1.0], np.float32)},
    )
    if maps:
        model = onnx.load_from_string(content)
        value = onnx.helper.make_map_type_proto(TensorProto.INT64, onnx.helper.make_tensor_type_proto(FLOAT, []))
        model.graph.output.append(onnx.helper.make_value_info("maps", onnx.helper.make_sequence_type_proto(value)))
        content = model.SerializeToString()
    predictor = load(content, signature(Field("a", FLOAT64)), "classification")
    assert predictor.predict({"a": np.array([0.0, 2.0, -2.0])}) == pytest.approx([0.5, 0.880797, 0.119203], abs=1e-6)


def identity(make_model: Make, **more: Any) -> bytes:
    ends: dict[str, Any] = {"inputs": {"rows": (FLOAT, [None, 4])}, "outputs": {"out": (FLOAT, [None, 4])}, **more}
    return make_model([("Identity", ["rows"], ["out"], {})], **ends)


def test_an_opset_of_the_future_is_refused(load: Load, make_model: Make) -> None:
    with pytest.raises(ArtifactError, match=r"onnxruntime \d.* cannot load it \(.*[Oo]pset.*lower opset"):
        load(identity(make_model, opsets=[("", 99)]))


def test_an_operator_that_is_not_known_is_refused(load: Load, make_model: Make) -> None:
    graph = make_model(
        [("Strange", ["rows"], ["out"], {"domain": "my.own"})],
        {"rows": (FLOAT, [None, 4])},
        {"out": (FLOAT, [None, 1])},
        opsets=[("", 17), ("my.own", 1)],
    )
    with pytest.raises(ArtifactError, match="Strange"):
        load(graph)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"rows": (FLOAT, [None, 3])}, r"takes rows \(tensor\(float\)\[\?, 3\]\); the signature has 4 numbers a row"),
        ({"rows": (FLOAT, [None, 2, 2])}, "the signature has 4 numbers a row"),
        ({"rows": (TEXT, [None, 4])}, "the signature has 4 numbers a row"),
    ],
)
def test_an_input_of_another_shape_is_refused(load: Load, make_model: Make, inputs: Any, told: str) -> None:
    ((_, (kind, shape)),) = inputs.items()
    with pytest.raises(ArtifactError, match=told):
        load(identity(make_model, inputs=inputs, outputs={"out": (kind, shape)}))


def test_inputs_of_other_names_are_refused(load: Load, make_model: Make) -> None:
    graph = make_model(
        [("Add", ["area", "size"], ["out"], {})],
        {"area": (FLOAT, [None, 1]), "size": (FLOAT, [None, 1])},
        {"out": (FLOAT, [None, 1])},
    )
    with pytest.raises(ArtifactError, match="the signature has area, rooms, place, new"):
        load(graph)
    with pytest.raises(ArtifactError, match="the signature has 'size' as vector"):
        load(graph, signature(Field("area", FLOAT64), Field("size", vector(2))))


def test_outputs_that_do_not_fit_are_refused(load: Load, make_model: Make) -> None:
    texts = make_model(
        [("Cast", ["rows"], ["out"], {"to": TEXT})], {"rows": (FLOAT, [None, 4])}, {"out": (TEXT, [None, 4])}
    )
    with pytest.raises(ArtifactError, match=r"no output that holds numbers\. It has out \(tensor\(string\)"):
        load(texts)
    with pytest.raises(ArtifactError, match=r"out give 4 numbers a row, the signature has 1 outputs.*outputs ="):
        load(identity(make_model))
    with pytest.raises(ArtifactError, match=r"no output 'price'\. It has out \(tensor"):
        load(identity(make_model), outputs='["price"]')


@pytest.mark.parametrize("outputs", ["{}", "[1]", "[", '"out"'])
def test_a_damaged_choice_of_outputs_is_refused(load: Load, homes_model: Callable[..., bytes], outputs: str) -> None:
    with pytest.raises(ArtifactError, match=r"outputs\.json: damaged"):
        load(homes_model(), outputs=outputs)


def test_tensors_kept_in_other_files_are_refused(
    load: Load, make_model: Make, tmp_path: Path, monkeypatch: Any
) -> None:
    import onnx

    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(np.ones(4, np.float32).tobytes())
    weights = TensorProto(name="w", data_type=FLOAT, dims=[4, 1], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="weights.bin")
    model = onnx.load_from_string(
        make_model([("MatMul", ["rows", "w"], ["out"], {})], {"rows": (FLOAT, [None, 4])}, {"out": (FLOAT, [None, 1])})
    )
    model.graph.initializer.append(weights)
    with pytest.raises(ArtifactError, match="in other files"):
        load(model.SerializeToString())


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"pickle", b"\x08\x08", b"PK\x03\x04" * 20])
def test_what_is_no_model_is_refused(load: Load, content: bytes) -> None:
    with pytest.raises(ArtifactError, match="cannot load it"):
        load(content)


def test_a_model_cut_short_anywhere_is_refused(load: Load, homes_model: Callable[..., bytes]) -> None:
    whole = homes_model()
    for length in range(0, len(whole), 23):
        with pytest.raises(ArtifactError):
            load(whole[:length])


def test_a_file_shorter_than_the_manifest_says_is_refused(tmp_path: Path, homes_model: Callable[..., bytes]) -> None:
    (tmp_path / "model.onnx").write_bytes(homes_model())
    from stackwright_interfaces.model import describe_files

    manifest = Manifest(flavour="onnx", files=describe_files(tmp_path), signature=SIGNATURE, task="regression")
    (tmp_path / "model.onnx").write_bytes(homes_model()[:-2])
    loads = OnnxFormat(OnnxFormatConfig(), make_context(tmp_path))
    with pytest.raises(ArtifactError, match="the manifest says"):
        loads.load(tmp_path, manifest)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        loads.load(tmp_path, manifest)


def test_a_byte_altered_anywhere_ends_in_a_refusal_or_in_a_predictor(
    load: Load, homes_model: Callable[..., bytes]
) -> None:
    whole, random, refused = homes_model(), np.random.default_rng(0), 0
    for place in random.integers(0, len(whole), 150):
        content = bytearray(whole)
        content[place] ^= int(random.integers(1, 256))
        try:
            load(bytes(content)).predict(STRANGE.columns)
        except (ArtifactError, PredictionError):
            refused += 1
    assert refused > 30


def test_a_tree_that_asks_for_an_input_that_is_not_there_is_refused(load: Load, make_model: Make) -> None:
    attributes = {
        "n_targets": 1,
        "nodes_featureids": [99999, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_nodeids": [0, 1, 2],
        "nodes_treeids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "target_ids": [0, 0],
        "target_nodeids": [1, 2],
        "target_treeids": [0, 0],
        "target_weights": [1.0, 2.0],
    }
    graph = make_model(
        [("TreeEnsembleRegressor", ["rows"], ["out"], {"domain": "ai.onnx.ml", **attributes})],
        {"rows": (FLOAT, [None, 4])},
        {"out": (FLOAT, [None, 1])},
    )
    with pytest.raises(ArtifactError, match="99999"):
        load(graph)


def test_a_closed_predictor_refuses_to_predict(load: Load, homes_model: Callable[..., bytes]) -> None:
    predictor = load(homes_model())
    predictor.close()
    with pytest.raises(PredictionError, match="closed"):
        predictor.predict(STRANGE.columns)


def test_onnxruntime_says_nothing(
    load: Load, homes_model: Callable[..., bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    load(homes_model()).predict(STRANGE.columns)
    with pytest.raises(ArtifactError):
        load(b"no model")
    assert capfd.readouterr() == ("", "")


def test_nothing_imports_onnxruntime_before_a_load(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from stackwright_onnx.format import OnnxFormat\n"
        "from stackwright_onnx.trainer import OnnxTrainer\n"
        "OnnxFormat(None, None)\n"
        "print({'onnxruntime', 'onnx'} & set(sys.modules))\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "set()"


def test_whole_numbers_and_truths_are_tried_as_such(load: Load, make_model: Make) -> None:
    inputs = {"count": (WHOLE, [None]), "new": (TRUTH, [None])}
    nodes = [("Cast", ["new"], ["new_"], {"to": WHOLE}), ("Mul", ["count", "new_"], ["out"], {})]
    predictor = load(
        make_model(nodes, inputs, {"out": (WHOLE, [None])}), signature(Field("count", INT64), Field("new", BOOL))
    )
    answer = predictor.predict({"count": np.array([3.0, 4.0]), "new": np.array([1.0, 0.0])})
    assert answer.dtype == np.float64
    assert answer.tolist() == [3.0, 0.0]


@pytest.mark.parametrize("value", [-1.0, 256.0, np.inf])
def test_a_number_that_the_graph_cannot_hold_does_not_wrap_around(load: Load, make_model: Make, value: float) -> None:
    nodes = [("Cast", ["count"], ["out"], {"to": FLOAT})]
    predictor = load(
        make_model(nodes, {"count": (TensorProto.UINT8, [None])}, {"out": (FLOAT, [None])}),
        signature(Field("count", INT64)),
    )
    assert predictor.predict({"count": np.array([0.0, 255.0])}).tolist() == [0.0, 255.0]
    with pytest.raises(PredictionError, match=rf"'count' holds {value:g}"):
        predictor.predict({"count": np.array([0.0, value])})
