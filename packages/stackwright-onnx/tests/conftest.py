"""Graphs made by hand, and ways to load them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stackwright_interfaces.model import Manifest, Predictor, Signature, describe_files
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE
from stackwright_onnx import conformance
from stackwright_onnx.format import OnnxFormat
from stackwright_onnx.plugin import OnnxFormatConfig

FLOAT, DOUBLE, INT64, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING


def make(
    nodes: Sequence[Any],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    constants: dict[str, Any] | None = None,
    *,
    opsets: Sequence[tuple[str, int]] = (("", 17), ("ai.onnx.ml", 3)),
) -> bytes:
    """Return the bytes of a model: nodes are ``(operator, inputs, outputs, attributes)``."""
    graph = helper.make_graph(
        [helper.make_node(kind, given, taken, **more) for kind, given, taken, more in nodes],
        "graph",
        [helper.make_tensor_value_info(name, *what) for name, what in inputs.items()],
        [helper.make_tensor_value_info(name, *what) for name, what in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*item) for item in opsets], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


Load = Callable[..., Predictor]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a model, as published with outputs of these names."""

    def run(
        content: bytes, signature: Signature = SIGNATURE, task: str = "regression", outputs: str | None = None
    ) -> Predictor:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / "model.onnx").write_bytes(content)
        if outputs is not None:
            (folder / "outputs.json").write_text(outputs)
        manifest = Manifest(flavour="onnx", files=describe_files(folder), signature=signature, task=task)
        return OnnxFormat(OnnxFormatConfig(), make_context(tmp_path)).load(folder, manifest)

    return run


@pytest.fixture
def homes_model() -> Callable[..., bytes]:
    return conformance.homes_model


@pytest.fixture
def make_model() -> Callable[..., bytes]:
    return make


@pytest.fixture(scope="session", autouse=True)
def onnx_is_recent_enough() -> None:
    assert onnx.defs.onnx_opset_version() >= 17
