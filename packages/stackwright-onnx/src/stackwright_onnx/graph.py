"""An ONNX graph, loaded by onnxruntime."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Final

from stackwright_interfaces.errors import ArtifactError, PredictionError

_OTHER_FILES: Final = re.compile(rb"\x0a(?:\x08|\x88\x80*\x00)location")
"""How a tensor names the file that holds its values, in protobuf's bytes: key ``location`` of its external data."""

_NOISE: Final = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/\S+ |onnxruntime::[^\n]*\) (?=[A-Z!])"
)
_LONGEST: Final = 400


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Args:
        name: its name.
        kind: onnxruntime's text, ``tensor(float)`` say.
        shape: sizes; ``None`` where one is left open.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]

    @classmethod
    def of(cls, node: Any) -> Port:
        """Read a node of a session; sizes that have a name are open."""
        return cls(node.name, node.type, tuple(size if isinstance(size, int) else None for size in node.shape or ()))

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} ({self.kind}[{sizes}])"


class Graph:
    """A session of onnxruntime: one thread, the processor alone, the same bits for the same input.

    Args:
        content: the model's bytes.
        where: what an error calls it.

    Raises:
        ArtifactError: it is damaged, keeps values in other files, or is of an opset or operator that onnxruntime does
            not know.
    """

    def __init__(self, content: bytes, where: str) -> None:
        self._where = where
        runtime = _runtime()
        if _OTHER_FILES.search(content):
            todo = "Save the model as one file: onnx.save(model, path, save_as_external_data=False)."
            raise ArtifactError(where, "keeps the values of tensors in other files", todo)
        try:
            self._session = runtime.InferenceSession(content, _options(runtime), providers=["CPUExecutionProvider"])
        except Exception as error:
            found = f"onnxruntime {runtime.__version__} cannot load it ({_message(error)})"
            todo = "Restore the file, export it with a lower opset and IR version, or install a newer onnxruntime."
            raise ArtifactError(where, found, todo) from error
        self.inputs = tuple(map(Port.of, self._session.get_inputs()))
        self.outputs = tuple(map(Port.of, self._session.get_outputs()))

    def run(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """Return the named outputs.

        Raises:
            PredictionError: the graph failed.
        """
        try:
            answer: list[Any] = self._session.run(list(outputs), dict(feed))
        except Exception as error:
            raise PredictionError(self._where, _message(error), "Look at the inputs.") from error
        return answer


@cache
def _runtime() -> Any:
    runtime = import_module("onnxruntime")
    runtime.disable_telemetry_events()
    return runtime


def _options(runtime: Any) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    return options


def _message(error: Exception) -> str:
    text = " ".join(_NOISE.sub("", str(error)).split())
    return text if len(text) <= _LONGEST else f"… {text[-_LONGEST:]}"  # the reason stands at the end
