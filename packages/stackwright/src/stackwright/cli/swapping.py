"""Verbs that hold one part against another, and exchange them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stackwright.cli.verb import Options, Verb, open_stack, pairs

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome

_SLOT = "online, offline, registry, trainer, monitor or server; trainer:MODEL where there are several"


def _compare(options: Options) -> Outcome:
    from stackwright.workflows.swapping.compare import compare

    with open_stack(options) as stack:
        return compare(stack, options.slot, options.adapters, pairs(options.set))


def _compare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("slot", metavar="SLOT", help=_SLOT)
    parser.add_argument(
        "adapters",
        nargs="+",
        metavar="ADAPTER",
        help="the adapters, two at most; one alone is compared with what the blueprint names",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the last one")


def _swap(options: Options) -> Outcome:
    from stackwright.workflows.swapping.swap import swap

    with open_stack(options) as stack:
        return swap(stack, options.slot, options.adapter, pairs(options.set), prove=options.prove, move=options.migrate)


def _swap_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("slot", metavar="SLOT", help=_SLOT)
    parser.add_argument("adapter", metavar="ADAPTER", help="the adapter that comes into the slot")
    parser.add_argument(
        "--prove", action="store_true", help="only if its conformance kit passes and no value differs in a comparison"
    )
    parser.add_argument(
        "--migrate", action="store_true", help="move what the old part keeps, and verify it in the new place"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the adapter")


SWAPPING = (
    Verb("compare", "run the project's own workload on two adapters of a slot", _compare, _compare_options),
    Verb("swap", "put another adapter into a slot of the blueprint", _swap, _swap_options),
)
