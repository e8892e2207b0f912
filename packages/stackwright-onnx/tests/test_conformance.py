"""The kit of trainers and their format, on a model of the kit's rows that was finished before."""

from __future__ import annotations

from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of
from stackwright_interfaces.trainer import Trainer
from stackwright_onnx import plugin

TestOnnxTrainer = cases_of(spec_of(plugin, Trainer))
TestOnnxFormat = cases_of(spec_of(plugin, ModelFormat))
