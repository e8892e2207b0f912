"""The kit of trainers and their format."""

from __future__ import annotations

from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of
from stackwright_interfaces.trainer import Trainer
from stackwright_lightgbm import plugin

TestLightGBMTrainer = cases_of(spec_of(plugin, Trainer))
TestLightGBMFormat = cases_of(spec_of(plugin, ModelFormat))
