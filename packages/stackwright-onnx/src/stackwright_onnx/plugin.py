"""The adapters ``onnx``: a trainer that brings in a finished model, and the format that loads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stackwright_interfaces.model import CONTRACT as MODEL_CONTRACT
from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.plugin import AdapterSpec, hookimpl
from stackwright_interfaces.trainer import CONTRACT, Trainer


@dataclass(frozen=True, kw_only=True)
class OnnxConfig:
    """Options of the trainer.

    Args:
        file: the ONNX model.
        outputs: names of the graph's outputs that answer, in the order of the signature's. Empty takes the first that
            fits.
    """

    file: Path
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OnnxFormatConfig:
    """The format has no options."""


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the trainer and the model format."""
    return (
        AdapterSpec(
            name="onnx",
            provides=Trainer,
            contract=CONTRACT,
            config=OnnxConfig,
            factory="stackwright_onnx.trainer:OnnxTrainer",
            conformance="stackwright_onnx.conformance:OnnxConformance",
            description="Brings in an ONNX model that was trained elsewhere.",
        ),
        AdapterSpec(
            name="onnx",
            provides=ModelFormat,
            contract=MODEL_CONTRACT,
            config=OnnxFormatConfig,
            factory="stackwright_onnx.format:OnnxFormat",
            description="Loads ONNX models by onnxruntime, on one thread.",
        ),
    )
