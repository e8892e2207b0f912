"""Verbs of the machine and of the command line itself."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from stackwright.cli.verb import Options, Verb

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome

SHELLS = ("bash", "zsh", "fish")


def _doctor(options: Options) -> Outcome:
    from stackwright.progress import shown
    from stackwright.workflows.doctor.examination import doctor

    with shown(quiet=options.json) as progress:
        return doctor(options.project, options.env, progress=progress)


def _version(_options: Options) -> Outcome:
    from stackwright.workflows.about import about

    return about()


def _completion(options: Options) -> None:
    from stackwright.cli.completion import SCRIPTS, listed

    sys.stdout.write(SCRIPTS[options.shell] if options.line is None else listed(options.shell, options.line))


def _completion_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")
    parser.add_argument(
        "--line", metavar="TEXT", help="tell what may end this line, up to the cursor; the script asks it"
    )


MACHINE = (
    Verb("doctor", "find what is wrong with this machine or project, and say how to mend it", _doctor),
    Verb("version", "tell what is installed, as a report of a bug needs it", _version, in_project=False),
    Verb(
        "completion",
        "write a script that completes command lines in a shell",
        _completion,
        _completion_options,
        in_project=False,
    ),
)
