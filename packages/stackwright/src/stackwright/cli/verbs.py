"""The verbs, in the order of the work. Workflows are imported when a verb runs."""

from __future__ import annotations

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

__all__ = ["VERBS", "Verb"]

VERBS: tuple[Verb, ...] = (
    *PROJECT, *FEATURES, *MODELLING, *LINEAGE, *LIVE, *MONITORING, *SWAPPING, *CONSOLE, *PLUGINS, *MACHINE,
)  # fmt: skip
