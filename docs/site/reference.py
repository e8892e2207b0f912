"""Reference pages, made from the code: ``python docs/site/reference.py`` writes those that the repository keeps.

The interfaces' docstrings are laid out by Sphinx, for the site alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pages.adapters import adapters
from pages.blueprint import blueprint
from pages.errors import errors
from pages.hooks import hooks
from pages.interfaces import interfaces
from pages.verbs import verbs

ROOT: Final = Path(__file__).parents[2]
NOTE: Final = "<!-- Made from the code by `nox -s reference`: what is wrong here is to be mended there. -->\n"


def generated() -> Mapping[str, str]:
    """Return page → its text."""
    return {**kept(), "docs/reference/interfaces.md": "\n".join(interfaces())}


def kept() -> Mapping[str, str]:
    """Return the pages that the repository keeps → their text."""
    guide = (ROOT / "docs" / "verbs.md").read_text(encoding="utf-8")
    pages = {
        "verbs": verbs(guide),
        "blueprint": blueprint(),
        "adapters": adapters(),
        "errors": errors(),
        "hooks": hooks(),
    }
    return {f"docs/reference/{name}.md": "\n".join([NOTE, *page]) for name, page in pages.items()}


def main() -> None:
    """Write what the repository keeps."""
    for page, text in kept().items():
        (ROOT / page).parent.mkdir(exist_ok=True)
        (ROOT / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
