"""Verbs of those who write plugins."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stackwright.cli.verb import Options, Verb, pairs

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome


def _conform(options: Options) -> Outcome:
    from stackwright.assembly.options import from_text
    from stackwright.progress import shown
    from stackwright.workflows.adapters.conformance import conform, find

    spec = find(options.name, options.slot)
    given = {key: from_text(spec, key, text) for key, text in pairs(options.set).items()}
    with shown(quiet=options.json) as progress:
        found = conform(spec, given, only=options.case, patience=options.patience, progress=progress)
    return found.outcome


def _conform_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the installed adapter")
    parser.add_argument("--slot", metavar="SLOT", help="the slot it is tested for, where its name stands for several")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the adapter")
    parser.add_argument("--case", default="", metavar="TEXT", help="only cases whose name contains this")
    parser.add_argument(
        "--patience", type=float, default=300.0, metavar="SECONDS", help="how long one case may take (default: 300)"
    )


def _new_adapter(options: Options) -> Outcome:
    from stackwright.workflows.adapters.new import new_adapter

    return new_adapter(options.slot, options.name, options.folder)


def _new_adapter_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("slot", metavar="SLOT", help="what the adapter is for; `stackwright plugins` shows the slots")
    parser.add_argument("name", metavar="NAME", help="its name in a blueprint")
    parser.add_argument(
        "folder", type=Path, nargs="?", metavar="DIR", help="the folder to make (default: stackwright-NAME)"
    )


PLUGINS = (
    Verb(
        "new-adapter",
        "write the package of a new adapter, whose kit runs at once",
        _new_adapter,
        _new_adapter_options,
        in_project=False,
    ),
    Verb(
        "conform",
        "run the conformance kit on an installed adapter, and show which cases it meets",
        _conform,
        _conform_options,
        in_project=False,
    ),
)
