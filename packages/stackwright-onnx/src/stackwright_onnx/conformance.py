"""What the conformance kit is told of the trainer: a finished model of the kit's rows. Needs the extra ``export``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

_AREA: Final = 120.0
_NO_PLACE: Final = -1.0
_MIDDLE: Final = 430.0


def homes_model(kind: int = TensorProto.DOUBLE, rows: int | None = None, *, sigmoid: bool = False) -> bytes:
    """Return a linear model of area, rooms, place and whether a home is new: 2 a metre, 10 a room, 80 a place.

    A missing area is a middling one; a missing or unknown place counts for none.

    Args:
        kind: type of its numbers.
        rows: of a batch; ``None`` takes any.
        sigmoid: tell how likely a price above the middle is, instead of the price.
    """
    number = helper.tensor_dtype_to_np_dtype(kind)
    share = 1 / 20 if sigmoid else 1.0
    constants = {
        "fillings": np.array([_AREA, 0.0, _NO_PLACE, 0.0], number),
        "plain": np.array([0, 1, 3]),
        "place": np.array([2]),
        "codes": np.array([[0.0, 1.0, 2.0]], number),
        "slopes": share * np.array([[2.0], [10.0], [40.0]], number),
        "places": share * np.array([[0.0], [80.0], [160.0]], number),
        "base": share * np.array([50.0 - _MIDDLE if sigmoid else 50.0], number),
    }
    nodes = [
        helper.make_node("IsNaN", ["rows"], ["missing"]),
        helper.make_node("Where", ["missing", "fillings", "rows"], ["filled"]),
        helper.make_node("Gather", ["filled", "plain"], ["numbers"], axis=1),
        helper.make_node("Gather", ["filled", "place"], ["where"], axis=1),
        helper.make_node("Equal", ["where", "codes"], ["same"]),
        helper.make_node("Cast", ["same"], ["one_hot"], to=kind),
        helper.make_node("MatMul", ["numbers", "slopes"], ["of_numbers"]),
        helper.make_node("MatMul", ["one_hot", "places"], ["of_place"]),
        helper.make_node("Add", ["of_numbers", "of_place"], ["both"]),
        helper.make_node("Add", ["both", "base"], ["worth"]),
        helper.make_node("Sigmoid" if sigmoid else "Identity", ["worth"], ["price"]),
    ]
    graph = helper.make_graph(
        nodes,
        "homes",
        [helper.make_tensor_value_info("rows", kind, [rows, 4])],
        [helper.make_tensor_value_info("price", kind, [rows, 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


class OnnxConformance:
    """A model that is there, and which cases of fitting one say nothing of it."""

    options: ClassVar[Mapping[str, Any]] = {"file": "homes.onnx"}
    files: ClassVar[Mapping[str, bytes]] = {"homes.onnx": homes_model()}
    nonsense: ClassVar[tuple[Mapping[str, Any], ...]] = ({"num_leaves": 3}, {"file": "other.onnx"})
    inapplicable: ClassVar[Mapping[str, str]] = {
        "ClassificationCases": "the model that is brought in tells a price",
        "test_twenty_rows_are_learned_by_heart": "a finished model does not learn",
        "test_rows_of_greater_weight_count_for_more": "a finished model does not learn",
    }
