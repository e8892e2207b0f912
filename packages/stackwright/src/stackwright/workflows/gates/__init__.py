"""Gates: what a staged model must pass before anything points to it."""

from stackwright.workflows.gates import behaviour, delivery, quality
from stackwright.workflows.gates.base import GATES, Candidate, GateResult, run_gates

__all__ = ["GATES", "Candidate", "GateResult", "behaviour", "delivery", "quality", "run_gates"]
