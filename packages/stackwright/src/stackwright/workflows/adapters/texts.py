"""What the files of a new adapter's package say, and how Python writes imports and docstrings."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from textwrap import wrap
from typing import Final

Imports = set[tuple[str, str]]
"""Modules and what is imported of each."""

_WIDTH: Final = 120


def imports(names: Imports, own: str = "-") -> str:
    """Return import statements: the standard library's, others', the package's own."""

    def kind(module: str) -> int:
        return 2 if module.startswith(own) else int(module.startswith("stackwright_"))

    blocks = []
    for _, block in groupby(sorted(names, key=lambda item: (kind(item[0]), *item)), lambda item: kind(item[0])):
        lines = []
        for module, found in groupby(block, lambda item: item[0]):
            named = [name for _, name in found]
            lines += [_import(module, [name]) for name in named if " as " in name]
            lines.append(_import(module, sorted((name for name in named if " as " not in name), key=_order)))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _import(module: str, names: Iterable[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    return (
        line if len(line) <= _WIDTH else "\n    ".join([f"from {module} import (", *(f"{n}," for n in names)]) + "\n)"
    )


def docstring(summary: str) -> list[str]:
    """Return the lines of a method's docstring."""
    if len(summary) + 14 <= _WIDTH:
        return [f'        """{summary}"""']
    first, *more = wrap(summary, 100)
    return [f'        """{first}', *(f"        {line}" for line in more), '        """']


def _order(name: str) -> tuple[int, str]:
    """Order names as isort does: constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


PYPROJECT: Final = """\
[project]
name = "{distribution}"
version = "0.1.0"
description = "The {slot} {name} of stackwright."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["stackwright-interfaces{bounds}"]

[project.optional-dependencies]
testing = [{testing}]

[project.entry-points.stackwright]
{name} = "{module}.plugin"

[build-system]
requires = ["hatchling>=1.25"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]

[tool.ruff]
line-length = 120
"""

README: Final = """\
# {distribution}

The {slot} `{name}` of stackwright. To be written, in `src`:

{methods}

Try it, as often as you like:

```sh
pip install -e '.[testing]'
stackwright conform {name} --slot {slot}
```

`pytest tests` runs the same. Options of the adapter are the fields of its configuration in `plugin.py`, which imports
no vendor; what the adapter can do beyond its contract is declared there too, and the kit then tests it.
"""

PLUGIN: Final = '''\
"""What this distribution offers. No vendor is imported here."""

from __future__ import annotations

{imports}


{configs}

@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the adapter."""
    return (
{specs}    )
'''

CONFIG: Final = '''\
@dataclass(frozen=True, kw_only=True)
class {config}:
    """The keys that a blueprint may set."""
{options}'''

SPEC: Final = """\
        AdapterSpec(
            name="{name}",
            provides={provides},
            contract={contract},
            config={config},
            factory="{factory}",{told}
            description="To be described.",
        ),
"""

ADAPTER: Final = '''\
"""The adapter ``{name}``: what its contract asks for, to be written."""

from __future__ import annotations

{imports}


{classes}'''

CONFORMANCE: Final = '''\
"""What the conformance kit is told of the adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Told:
    """Goes over the cases of the kit."""

    def send(self, folder: Path, *events: dict[str, Any]) -> None:
        """Put events, as JSON objects, into the stream that a source built for this folder reads."""
        raise NotImplementedError("send is to be written")
'''

TESTS: Final = '''\
"""The kit's cases; ``stackwright conform {name}`` runs the same."""

from __future__ import annotations

{imports}

{tests}'''
