"""Verbs that look after models in use: parity, the watch, what it decided, and arms compared."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from stackwright.cli.verb import Options, Verb, count, one_model, open_stack, seconds, time

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome


def _parity(options: Options) -> Outcome:
    from stackwright.workflows.monitoring.parity import parity

    with open_stack(options) as stack:
        return parity(
            stack,
            options.model,
            start=options.since,
            end=options.until,
            rows=options.rows,
            tolerance=options.tolerance,
        )


def _parity_options(parser: argparse.ArgumentParser) -> None:
    one_model(parser)
    parser.add_argument("--since", type=time, metavar="TIME", help="first asked instant (default: the first)")
    parser.add_argument("--until", type=time, metavar="TIME", help="end of the window (default: now)")
    parser.add_argument(
        "--rows", type=count, default=1000, metavar="N", help="answers that are compared (default: 1000)"
    )
    parser.add_argument(
        "--tolerance", type=float, default=1e-5, metavar="X", help="by which a prediction may differ (default: 1e-05)"
    )


def _watch(options: Options) -> Outcome:
    from stackwright.workflows.monitoring.watch import watch, watch_on

    if not options.once:
        watch_on(
            lambda: open_stack(options),
            options.model,
            act=not options.dry_run,
            every=options.every,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
    with open_stack(options) as stack:
        return watch(stack, options.model, act=not options.dry_run)


def _watch_options(parser: argparse.ArgumentParser) -> None:
    one_model(parser)
    parser.add_argument("--once", action="store_true", help="one round, for a scheduler")
    parser.add_argument(
        "--every", type=seconds, default=300.0, metavar="SECONDS", help="pause between two rounds (default: 300.0)"
    )
    parser.add_argument("--dry-run", action="store_true", help="tell what an alert calls for, and do not do it")


def _decisions(options: Options) -> Outcome:
    from stackwright.workflows.monitoring.decisions import decisions

    with open_stack(options) as stack:
        return decisions(stack, options.model, number=options.number)


def _decisions_options(parser: argparse.ArgumentParser) -> None:
    one_model(parser)
    parser.add_argument("--number", type=int, metavar="N", help="one of them, with all its evidence")


def _experiment(options: Options) -> Outcome:
    from stackwright.workflows.monitoring.experiment import experiment

    with open_stack(options) as stack:
        return experiment(stack, options.name, start=options.since, end=options.until)


def _experiment_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="only this experiment")
    parser.add_argument("--since", type=time, metavar="TIME", help="when it began (default: when the trial did)")
    parser.add_argument("--until", type=time, metavar="TIME", help="look as of then (default: now)")


MONITORING = (
    Verb("parity", "hold live answers against the offline path as it was known then", _parity, _parity_options),
    Verb("watch", "judge windows, alert, retrain or roll back, and tell people", _watch, _watch_options),
    Verb("decisions", "show what was decided about models, and why", _decisions, _decisions_options),
    Verb("experiment", "compare live, canary and shadow on declared metrics", _experiment, _experiment_options),
)
