"""Verbs of a whole project."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stackwright.cli.verb import Options, Verb, pairs

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome


def _new(options: Options) -> Outcome:
    from stackwright.progress import shown
    from stackwright.workflows.new import new

    with shown(quiet=options.json) as progress:
        return new(
            options.folder, options.blueprint, sample=options.sample, options=pairs(options.set), progress=progress
        )


def _new_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the project folder to make")
    parser.add_argument(
        "--blueprint", default="", metavar="NAME", help="the blueprint to start from: realtime, batch, recommender, ..."
    )
    parser.add_argument("--sample", action="store_true", help="add the blueprint's sample data")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the sample")


def _plugins(_options: Options) -> Outcome:
    from stackwright.workflows.inspection import plugins

    return plugins()


def _check(options: Options) -> Outcome:
    from stackwright.workflows.inspection import check

    return check(options.project, options.env)


def _lock(options: Options) -> Outcome:
    from stackwright.assembly.stack import Stack
    from stackwright.workflows.inspection import lock

    with Stack(options.project, env=options.env) as stack:
        return lock(
            stack, requirements=options.python, pins=options.pins, wheels=options.wheels, upgrade=options.upgrade
        )


def _lock_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--python", type=Path, metavar="FILE", help="write requirements with hashes too, which pip and uv install alike"
    )
    parser.add_argument(
        "--pins",
        type=Path,
        metavar="FILE",
        help="resolve anew, bound by these requirements (default: what is installed)",
    )
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="wheels of what no index has")
    parser.add_argument("--upgrade", action="store_true", help="resolve the environments of isolated parts anew")


PROJECT = (
    Verb("new", "make a project folder from a blueprint", _new, _new_options, in_project=False),
    Verb("plugins", "show what is installed, by slot", _plugins, in_project=False),
    Verb("check", "check the blueprint: every problem at once", _check),
    Verb("lock", "record what the stack is built of, for check to compare", _lock, _lock_options),
)
