"""Imports modules in a process of its own, so that one that crashes or takes long does not take the doctor along.

``python -m stackwright.workflows.doctor.importing MODULE DISTRIBUTION...`` imports the module, and what the
distributions installed; what fails it says on its last line, and ends with 1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module, metadata


def main(module: str, distributions: list[str]) -> int:
    """Import a module, and the packages of distributions; return the exit code."""
    for name in (module, *(package for found in distributions for package in packages(found))):
        try:
            import_module(name)
        except BaseException as error:  # noqa: BLE001 -- a stranger's module may raise anything
            sys.stderr.write(f"\nimport {name}: {type(error).__name__}: {error}\n".replace("\n", " ").strip() + "\n")
            return 1
    return 0


def packages(distribution: str) -> Iterator[str]:
    """Give the top-level package that is named as its distribution, or all of them where none is."""
    files = metadata.distribution(distribution).files or []
    found = {file.parts[0] for file in files if len(file.parts) == 2 and file.name == "__init__.py"}
    named = found & {distribution.replace("-", "_").lower()}
    yield from sorted(name for name in named or found if name.isidentifier() and not name.startswith("_"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
