"""``python -m stackwright_features.definitions_file PATH`` prints the definitions of a file as JSON.

On standard output stands the JSON alone: what the file prints goes to standard error. A file that fails gives
``{"error": {"where": ..., "found": ..., "todo": ...}}`` and exit code 1.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from stackwright_features.code import collect
from stackwright_interfaces.catalogue import to_json
from stackwright_interfaces.errors import StackwrightError


def main(path: Path) -> int:
    """Print the definitions of a file, and return the exit code."""
    sys.stdout.flush()
    answer_to = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    answer: dict[str, Any]
    try:
        answer, code = to_json(collect(path)), 0
    except StackwrightError as error:
        answer, code = {"error": {"where": error.where, "found": error.found, "todo": error.todo}}, 1
    sys.stdout.flush()
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        json.dump(answer, out)
    return code


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m stackwright_features.definitions_file PATH")
    sys.exit(main(Path(sys.argv[1])))
