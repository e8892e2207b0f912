"""Gates: what a staged model must pass before anything points to it."""

from stackwright.workflows.gates import behaviour, cases, data, delivery, promises, quality
from stackwright.workflows.gates.base import GATES, Candidate, GateResult, run_gate, run_gates

__all__ = [
    "GATES", "Candidate", "GateResult", "behaviour", "cases", "data", "delivery", "promises", "quality", "run_gate",
    "run_gates",
]  # fmt: skip
