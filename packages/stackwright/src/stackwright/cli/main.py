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
from typing import TYPE_CHECKING, Any, Final

from stackwright.cli.parsing import joined, parsed, parser
from stackwright.cli.verb import Verb
from stackwright.cli.verbs import VERBS
from stackwright_interfaces.errors import StackwrightError, UsageError

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome

_COLLECT_EVERY: Final = 50_000
"""Objects made between two collections: modules live to the end, and by default they are searched over and over."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit code."""
    gc.set_threshold(_COLLECT_EVERY)
    given = joined(sys.argv[1:] if arguments is None else arguments)
    if not given:
        sys.stderr.write(parser().format_help())
        return 2
    try:
        options = parsed(given)
    except UsageError as error:
        return _fail(error, as_json="--json" in given)
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
