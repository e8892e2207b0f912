"""A model of ONNX as a folder that predicts by onnxruntime and numpy, where stackwright is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stackwright
from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright_interfaces.model import Signature
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, Field
from stackwright_serving.model import LoadedModel

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

FLOAT, DOUBLE, TEXT = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.STRING
WHOLE, TRUTH = onnx.TensorProto.INT64, onnx.TensorProto.BOOL
PLACES = {"keys_strings": ["house", ""], "values_floats": [0.4, 0.2], "default_float": 0.1}


def make(nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], constants: dict[str, Any]) -> bytes:
    """Return the bytes of a model: nodes are ``(operator, inputs, outputs, attributes)``."""
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node(kind, given, taken, **more) for kind, given, taken, more in nodes],
        "graph",
        [helper.make_tensor_value_info(name, *what) for name, what in inputs.items()],
        [helper.make_tensor_value_info(name, *what) for name, what in outputs.items()],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return content


def by_name() -> bytes:
    """Return a model of the market's log prices that takes each input by its name, texts as texts."""
    numbers = ["area", "visits_30d", "rooms", "room_size"]
    nodes = [
        ("Concat", numbers, ["rows"], {"axis": 1}),
        ("IsNaN", ["rows"], ["missing"], {}),
        ("Where", ["missing", "middle", "rows"], ["filled"], {}),
        ("MatMul", ["filled", "slope"], ["sum"], {}),
        ("LabelEncoder", ["kind"], ["of_kind"], {"domain": "ai.onnx.ml", **PLACES}),
        ("Add", ["sum", "of_kind"], ["both"], {}),
        ("Add", ["both", "base"], ["price"], {}),
        ("Neg", ["price"], ["other"], {}),
    ]
    constants = {
        "middle": np.array([90, 3, 3, 30], np.float32),
        "slope": np.array([[0.009], [0.01], [0.001], [0.001]], np.float32),
        "base": np.array([11.0], np.float32),
    }
    inputs = {**{name: (FLOAT, [None, 1]) for name in numbers}, "kind": (TEXT, [None, 1])}
    return make(nodes, inputs, {"other": (FLOAT, [None, 1]), "price": (FLOAT, [None, 1])}, constants)


@pytest.fixture(scope="module")
def project(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose newest version is an imported model."""
    folder = Path(shutil.copytree(served, tmp_path_factory.mktemp("onnx") / "project"))
    (folder / "model.onnx").write_bytes(by_name())
    text = (folder / "blueprint.toml").read_text()
    before = 'trainer = { adapter = "lightgbm", num_iterations = 30, learning_rate = 0.1, min_data_in_leaf = 5 }'
    assert before in text
    gates = ", ".join(f"{gate} = false" for gate in GATE_OPTIONS)
    after = f'trainer = {{ adapter = "onnx", file = "model.onnx", outputs = ["price"] }}\ngates = {{ {gates} }}'
    (folder / "blueprint.toml").write_text(text.replace(before, after))
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.train()
    return folder


@pytest.fixture(scope="module")
def exported(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("device") / "valuation"
    with stackwright.load(project) as stack:
        stack.export("valuation", out)
    return out


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that holds onnxruntime and numpy, and no other."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("numpy", "onnxruntime"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        for path in (package, package.with_name(f"{name}.libs")):
            if path.exists():
                (folder / path.name).symlink_to(path)
    return folder


def alone(folder: Path, *arguments: str, site: Path | None = None, lines: str = "") -> Any:
    """Run the exported program with packages of this folder alone."""
    command = [sys.executable, "-S", "-P", str(folder / "predict.py"), *arguments]
    env = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    env |= {} if site is None else {"PYTHONPATH": str(site)}
    return subprocess.run(command, input=lines, capture_output=True, text=True, check=False, cwd=folder, env=env)


ROWS: list[dict[str, Any]] = [
    {"area": 70.0, "kind": "flat", "visits_30d": 3, "rooms": 2, "room_size": 35.0},
    {"area": 70.0, "kind": "castle", "visits_30d": 3, "rooms": 2, "room_size": 35.0},
    {"area": None, "kind": None, "visits_30d": None, "rooms": None, "room_size": None},
    {"area": 300.0, "kind": "house", "visits_30d": 0, "rooms": 0, "room_size": -1.0},
]


def test_the_folder_holds_the_graph_and_a_program_that_asks_it(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {
        "README.md", "golden.jsonl", "graph.py", "model.onnx", "predict.py", "schema.json",
    }  # fmt: skip
    assert (exported / "model.onnx").read_bytes() == by_name()
    assert json.loads((exported / "schema.json").read_text())["graph_outputs"] == ["price"]
    assert "Python 3.10 or later, and onnxruntime and numpy." in (exported / "README.md").read_text()


def test_it_answers_as_stackwright_does_by_onnxruntime_and_numpy_alone(
    exported: Path, project: Path, site: Path
) -> None:
    done = alone(exported, "--check", site=site)
    assert (done.returncode, done.stderr) == (0, "")
    done = alone(exported, site=site, lines="\n".join(map(json.dumps, ROWS)))
    given = [json.loads(line) for line in done.stdout.splitlines()]
    columns = {
        name: np.array([row[name] for row in ROWS], dtype=object if name == "kind" else np.float64) for name in ROWS[0]
    }
    with stackwright.load(project) as stack:
        (*_, version), _ = stack.registry.history("valuation")
        model = LoadedModel.published(version, stack.registry.fetch(version), stack.model_format("onnx"))
        expected = model.predict(columns)
    assert expected.lower is not None
    for name, values in (("prediction", expected.value), ("lower", expected.lower), ("upper", expected.upper)):
        np.testing.assert_allclose([row[name] for row in given], values, rtol=1e-6)


def test_what_is_not_installed_is_named(exported: Path) -> None:
    done = alone(exported, "--check")
    assert (done.returncode, "No module named 'numpy'" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def side_by_side(kind: int, rows: int | None) -> bytes:
    nodes: list[Any] = [
        ("IsNaN", ["rows"], ["missing"], {}),
        ("Where", ["missing", "zero", "rows"], ["filled"], {}),
        ("ReduceSum", ["filled", "axis"], ["out"], {"keepdims": 1}),
    ]
    constants = {"zero": np.zeros(1, np.float32 if kind == FLOAT else np.float64), "axis": np.array([1])}
    return make(nodes, {"rows": (kind, [rows, 4])}, {"out": (kind, [rows, 1])}, constants)


def of_classes(*, maps: bool) -> bytes:
    """Return a model that gives a class, and chances of both: in two columns, or by class."""
    nodes: list[Any] = [
        ("Cast", ["rooms"], ["rooms_"], {"to": FLOAT}),
        ("Cast", ["new"], ["new_"], {"to": FLOAT}),
        ("Concat", ["area", "rooms_", "new_"], ["all"], {"axis": 1}),
        ("LabelEncoder", ["kind"], ["of_kind"], {"domain": "ai.onnx.ml", **PLACES}),
        ("ReduceMean", ["all"], ["mean"], {"axes": [1]}),
        ("Mul", ["mean", "of_kind"], ["raw"], {}),
        ("Sigmoid", ["raw"], ["one"], {}),
        ("Sub", ["unit", "one"], ["none"], {}),
        ("Concat", ["none", "one"], ["chances"], {"axis": 1}),
        ("ArgMax", ["chances"], ["class"], {"axis": 1, "keepdims": 0}),
    ]
    inputs = {
        "area": (FLOAT, [None, 1]),
        "kind": (TEXT, [None, 1]),
        "rooms": (WHOLE, [None, 1]),
        "new": (TRUTH, [None, 1]),
    }
    chances = {"chances": (FLOAT, [None, 2])}
    if not maps:
        return make(nodes, inputs, {"class": (WHOLE, [None]), **chances}, {"unit": np.ones(1, np.float32)})
    nodes.append(("ZipMap", ["chances"], ["by_class"], {"domain": "ai.onnx.ml", "classlabels_int64s": [0, 1]}))
    content = onnx.load_from_string(make(nodes, inputs, {"class": (WHOLE, [None])}, {"unit": np.ones(1, np.float32)}))
    kinds = onnx.helper.make_map_type_proto(WHOLE, onnx.helper.make_tensor_type_proto(FLOAT, []))
    content.graph.output.append(onnx.helper.make_value_info("by_class", onnx.helper.make_sequence_type_proto(kinds)))
    told: bytes = content.SerializeToString()
    return told


GRAPHS: dict[str, tuple[bytes, str]] = {
    "floats side by side": (side_by_side(FLOAT, None), "regression"),
    "doubles, seven rows at a time": (side_by_side(DOUBLE, 7), "regression"),
    "chances in two columns": (of_classes(maps=False), "classification"),
    "chances by class": (of_classes(maps=True), "classification"),
}
INPUTS = Signature(
    inputs=(Field("area", FLOAT64), Field("kind", STRING), Field("rooms", INT64), Field("new", BOOL)),
    outputs=(Field("out", FLOAT64),),
    categories={"kind": ("flat", "house")},
)


@pytest.mark.parametrize(("content", "task"), GRAPHS.values(), ids=GRAPHS)
def test_graphs_are_asked_as_stackwright_asks_them(content: bytes, task: str, tmp_path: Path) -> None:
    from stackwright.portable.graph import Graph
    from stackwright_onnx.format import load

    (tmp_path / "model.onnx").write_bytes(content)
    theirs = load(content, INPUTS, [], task, "model.onnx")
    schema = {"task": task, "inputs": [{"name": field.name} for field in INPUTS.inputs]}
    mine = Graph(tmp_path / "model.onnx", schema)
    columns = {
        "area": np.array([70.5, -3.0, 0.25]),
        "kind": np.array(["flat", "castle", "house"], dtype=object),
        "rooms": np.array([2.0, 0.0, 40.0]),
        "new": np.array([1.0, 0.0, 0.0]),
    }
    codes = {"flat": 0.0, "house": 1.0}
    for row, expected in enumerate(theirs.predict(columns)):
        values = [columns[name][row] for name in columns]
        values[1] = values[1] if "kind" in mine.texts else codes.get(values[1], 2.0)
        assert mine.predict(values) == pytest.approx(expected, rel=1e-6)


def test_a_missing_value_that_the_graph_cannot_hold_is_told(tmp_path: Path) -> None:
    from stackwright.portable.graph import Graph

    (tmp_path / "model.onnx").write_bytes(of_classes(maps=False))
    schema = {"task": "classification", "inputs": [{"name": field.name} for field in INPUTS.inputs]}
    with pytest.raises(ValueError, match="rooms: is missing"):
        Graph(tmp_path / "model.onnx", schema).predict([1.0, "flat", float("nan"), 0.0])
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match="cannot load it"):
        Graph(tmp_path / "model.onnx", schema)
