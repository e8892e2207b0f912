"""``stackwright``: parses a command line, runs one verb, prints what it did.

Exit codes: 0 done, 1 a problem was found, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stackwright.cli.verb import Verb
from stackwright.cli.verbs import VERBS
from stackwright_interfaces.errors import StackwrightError, UsageError

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome

_COLLECT_EVERY: Final = 50_000
"""Objects made between two collections: modules live to the end, and by default they are searched over and over."""


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    Args:
        only: the one verb to know; parsing a line needs no other.
    """
    top = argparse.ArgumentParser(
        prog="stackwright",
        description="Machine-learning stacks, built from parts.",
        epilog="stackwright VERB --help says more about a verb.",
    )
    top.add_argument("--version", action="store_true", help="the same as the verb version")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in (verb for verb in VERBS if only in (None, verb.name)):
        sub = verbs.add_parser(verb.name, help=verb.summary, description=verb.description or verb.summary)
        verb.configure(sub)
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        if verb.in_project:
            sub.add_argument("--project", type=Path, default=Path(), metavar="DIR", help="the project (default: here)")
            environment = "lay [env.NAME] over the blueprint (default: $STACKWRIGHT_ENV)"
            sub.add_argument("--env", metavar="NAME", help=environment)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit code."""
    gc.set_threshold(_COLLECT_EVERY)
    given = joined(sys.argv[1:] if arguments is None else arguments)
    only = next((verb.name for verb in VERBS if [verb.name] == [*given[:1]]), None)
    options = parser(only).parse_args(given)
    try:
        outcome = _run(next(verb for verb in VERBS if verb.name == options.verb), options)
    except StackwrightError as error:
        return _fail(error, as_json=options.json)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What was finished is kept; the same command goes on from there.\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0 if outcome is None or outcome.ok else 1


def joined(given: Sequence[str]) -> list[str]:
    """Return a command line with a verb of two words (``models show``) as one, and ``--version`` as the verb."""
    if given[:1] == ["--version"]:
        return ["version", *given[1:]]
    both = " ".join(given[:2])
    return [both, *given[2:]] if any(verb.name == both for verb in VERBS) else list(given)


def _run(verb: Verb, options: argparse.Namespace) -> Outcome | None:
    from stackwright.assembly.secrets import redact

    outcome = verb.run(options)
    if outcome is None:
        return None
    text = json.dumps(outcome.to_json(), indent=1, default=str) if options.json else str(outcome)
    sys.stdout.write(redact(text) + "\n")
    sys.stdout.flush()
    return outcome


def _fail(error: StackwrightError, *, as_json: bool) -> int:
    from stackwright.assembly.secrets import redact

    if as_json:
        from stackwright.assembly.plan import problems_of

        problems: list[Any] = [vars(problem) for problem in problems_of(error)]
        sys.stdout.write(redact(json.dumps({"ok": False, "problems": problems}, indent=1)) + "\n")
    else:
        sys.stderr.write(redact(f"{error}\n"))
    return 2 if isinstance(error, UsageError) else 1


if __name__ == "__main__":
    sys.exit(main())
