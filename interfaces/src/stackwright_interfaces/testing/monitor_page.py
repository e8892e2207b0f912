"""What a page of a report would load when it is opened."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

_LOADING: Final = {
    "audio": ("src",),
    "base": ("href",),
    "embed": ("src",),
    "form": ("action",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "video": ("src", "poster"),
}
"""Element → attributes whose address a browser opens by itself; an ``<a>`` waits for a click."""

_STYLE: Final = re.compile(r"""(?:url\(|@import)\s*(?:url\()?\s*['"]?\s*([^'")\s;]+)""")


def loaded_from_elsewhere(page: Path) -> list[str]:
    """Return what a page loads that it does not hold itself, by elements and styles; scripts are not run."""
    reader = _Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    return [address for address in reader.loaded if not address.startswith(("data:", "#", "about:"))]


class _Reader(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in _LOADING.get(tag, ()):
                self.loaded.append((value or "").strip())
            elif name == "style":
                self.loaded += _STYLE.findall(value or "")
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.loaded += _STYLE.findall(data)
