"""The flavour ``onnx``: a folder with ``model.onnx``, and ``outputs.json`` where the outputs that answer were named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from stackwright_interfaces.errors import ArtifactError, PredictionError
from stackwright_interfaces.model import Manifest, ModelFormat, Predictor, Signature
from stackwright_interfaces.plugin import Context
from stackwright_onnx.answer import Answer
from stackwright_onnx.feed import Feed
from stackwright_onnx.graph import Graph
from stackwright_onnx.plugin import OnnxFormatConfig
from stackwright_onnx.predictor import OnnxPredictor

PAYLOAD: Final = "model.onnx"
OUTPUTS: Final = "outputs.json"
_TODO: Final = "Restore the file, or publish the model again."


def load(content: bytes, signature: Signature, outputs: Sequence[str], task: str, where: str) -> Predictor:
    """Load a model and try it on made rows.

    Args:
        content: the ONNX model.
        signature: what it must take and give.
        outputs: names of the outputs that answer; empty chooses.
        task: ``"regression"``, ``"classification"``, ...
        where: what an error calls it.

    Raises:
        ArtifactError: onnxruntime refuses it, or it does not fit the signature.
    """
    graph = Graph(content, where)
    feed = Feed(graph, signature, where)
    answer = Answer(graph, outputs, len(signature.outputs), task, where)
    try:
        return OnnxPredictor(graph, feed, answer, signature)
    except PredictionError as error:
        raise ArtifactError(where, f"{error.found} (tried on made rows)", error.todo or _TODO) from error


class OnnxFormat(ModelFormat):
    """Loads ``model.onnx``."""

    flavour: ClassVar[str] = "onnx"

    def __init__(self, config: OnnxFormatConfig, context: Context) -> None:
        del config, context

    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Predictor:
        """Load a folder whose files were verified against its manifest.

        Args:
            threads: predictions use one, whatever is given.

        Raises:
            ArtifactError: ``model.onnx`` is missing or damaged, or does not fit the manifest's signature.
        """
        del threads
        path = folder / PAYLOAD
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ArtifactError(str(path), f"cannot be read ({error})", _TODO) from error
        entry = manifest.files.get(PAYLOAD)
        if entry is not None and entry.size != len(content):
            raise ArtifactError(str(path), f"has {len(content)} bytes, the manifest says {entry.size}", _TODO)
        return load(content, manifest.signature, _outputs(folder / OUTPUTS), manifest.task, str(path))


def _outputs(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        names: list[str] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("not a list of names")
    except (OSError, ValueError) as error:
        raise ArtifactError(str(path), f"damaged ({error})", _TODO) from error
    return names
