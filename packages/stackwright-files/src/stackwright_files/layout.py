"""Where everything lies.

::

    versions/NAME/0000007.json      one published version; immutable; its presence is the publication
    files/NAME/STAGE/...            the files of a version, as its record says; invisible until there is one
    staging/NAME/STAGE.json         a publication under way, or killed
    journal/0000000042.json         one line, and what all aliases point to after it; immutable
    runs/ID.json                    one run; replaced as it goes on

``NAME`` may hold one slash. The parts that follow it start with a digit, which no part of a name does, so that a model
``a`` and a model ``a/b`` never share a key.
"""

from __future__ import annotations

import re
from datetime import datetime
from secrets import token_hex
from typing import Final

from stackwright_interfaces.registry_names import check_run_id

VERSIONS: Final = "versions/"
JOURNAL: Final = "journal/"
RUNS: Final = "runs/"

_VERSION: Final = re.compile(r"versions/(?P<name>.+)/(?P<number>\d{7})\.json")
_LINE: Final = re.compile(r"journal/(?P<number>\d{10})\.json")


def version_key(name: str, number: int) -> str:
    """Return the key of a version's record."""
    return f"{VERSIONS}{name}/{number:07d}.json"


def version_of(key: str) -> tuple[str, int] | None:
    """Return the model's name and the number that a version's key stands for."""
    match = _VERSION.fullmatch(key)
    return None if match is None else (match["name"], int(match["number"]))


def new_stage(at: datetime) -> str:
    """Return a name that no other publication has."""
    return f"{at:%Y%m%dT%H%M%S}-{token_hex(6)}"


def files_prefix(name: str, stage: str) -> str:
    """Return the prefix of the keys of a publication's files."""
    return f"files/{name}/{stage}/"


def staging_prefix(name: str) -> str:
    """Return the prefix of the keys of a model's publications under way."""
    return f"staging/{name}/"


def line_key(number: int) -> str:
    """Return the key of a journal line."""
    return f"{JOURNAL}{number:010d}.json"


def line_number(key: str) -> int:
    """Return the number of a journal line, 0 if the key is no line's."""
    match = _LINE.fullmatch(key)
    return 0 if match is None else int(match["number"])


def run_key(id_: str) -> str:
    """Return the key of a run.

    Raises:
        UsageError: a run cannot have this id.
    """
    check_run_id(id_)
    return f"{RUNS}{id_}.json"
