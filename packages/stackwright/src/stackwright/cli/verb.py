"""What a verb is, and what the verbs share: the stack they work on, and the forms of their arguments."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from stackwright_interfaces.errors import UsageError

if TYPE_CHECKING:
    from stackwright.assembly.stack import Stack
    from stackwright.workflows.outcome import Outcome

Options = argparse.Namespace

_DAY: Final = 86_400.0
_CENTURY: Final = 36_525.0


@dataclass(frozen=True)
class Verb:
    """One verb of the command line."""

    name: str
    summary: str
    run: Callable[[Options], Outcome | None]
    configure: Callable[[argparse.ArgumentParser], None] = lambda _parser: None
    description: str = ""
    in_project: bool = True


@contextmanager
def open_stack(options: Options) -> Iterator[Stack]:
    """Open the stack of a command line; say so where it differs from its lock."""
    from stackwright.assembly.stack import Stack
    from stackwright.progress import shown

    with shown(quiet=options.json) as progress, Stack(options.project, env=options.env, progress=progress) as stack:
        _tell_of_drift(stack)
        yield stack


def _tell_of_drift(stack: Stack) -> None:
    """Say in one line that a stack differs from its lock; ``check`` says how."""
    if stack.project.lock.exists():
        from stackwright.assembly.blueprint import BlueprintProblems
        from stackwright.workflows.inspection import drifted

        found = []
        with suppress(BlueprintProblems):  # the verb tells them, or mends them as apply does
            found = drifted(stack)
        if found:
            sys.stderr.write(f"{len(found)} differences from the lock, the first: {found[0]} All: stackwright check\n")


def time(text: str) -> datetime:
    """Return an instant given as ISO 8601; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment.astimezone(UTC)  # near the ends of the calendar there is no such instant
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 time, 2025-03-01T00:00:00Z say") from error
    return moment


def seconds(text: str) -> float:
    """Return a time in seconds: more than none, at most a century."""
    return _lasting(text, "seconds", _CENTURY * _DAY)


def days(text: str) -> float:
    """Return a time in days: more than none, at most a century."""
    return _lasting(text, "days", _CENTURY)


def _lasting(text: str, unit: str, longest: float) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found <= longest:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of {unit} above 0, at most {longest:.0f}")
    return found


def count(text: str) -> int:
    """Return a number of things: a whole one, at least 1."""
    try:
        found = int(text)
    except ValueError:
        found = 0
    if found < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return found


def items(text: str) -> list[str]:
    """Return identifiers given with commas between them."""
    return [one.strip() for one in text.split(",") if one.strip()]


def pairs(given: list[str]) -> dict[str, str]:
    """Return ``KEY=VALUE`` arguments as a dictionary."""
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"argument {pair!r}", "is not KEY=VALUE", "Write listing_id=L1, say.")
        found[name] = value
    return found


def part_of_a_database(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what to read of a database."""
    parser.add_argument("--table", metavar="NAME", help="the table to read, where the source is a database")
    parser.add_argument("--query", metavar="SQL", help="a SELECT to read, where the source is a database")


def one_model(parser: argparse.ArgumentParser) -> None:
    """Add the name of a model, which may be left out."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="only this model")
