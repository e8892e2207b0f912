"""The verbs, in the order of the work. Workflows are imported when a verb runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stackwright.cli.console import CONSOLE
from stackwright.cli.features import FEATURES
from stackwright.cli.lineage import LINEAGE
from stackwright.cli.live import LIVE
from stackwright.cli.machine import MACHINE
from stackwright.cli.modelling import MODELLING
from stackwright.cli.monitoring import MONITORING
from stackwright.cli.plugins import PLUGINS
from stackwright.cli.project import PROJECT
from stackwright.cli.swapping import SWAPPING
from stackwright.cli.verb import Verb

__all__ = ["GROUPS", "VERBS", "Verb"]

GROUPS: Final[Mapping[str, tuple[Verb, ...]]] = {
    "a project": PROJECT,
    "features": FEATURES,
    "models": MODELLING,
    "what came from what": LINEAGE,
    "models in use": LIVE,
    "looking after them": MONITORING,
    "exchanging parts": SWAPPING,
    "a page of all": CONSOLE,
    "writing plugins": PLUGINS,
    "this machine": MACHINE,
}
VERBS: Final = tuple(verb for group in GROUPS.values() for verb in group)
