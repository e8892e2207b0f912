"""Pages of headings, lines and tables, as Markdown or as one HTML file without scripts or remote parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from stackwright.assembly.project import write_atomically
from stackwright.workflows.outcome import Table, show
from stackwright_interfaces.errors import UsageError

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
th { background: #f4f4f4; }
.ok { color: #17632a; } .warn { color: #7a4b00; font-weight: 600; } .alarm { color: #a11212; font-weight: 700; }
.insufficient { color: #555; }
"""


def document(title: str, body: str) -> str:
    """Return an HTML file of a title and what stands in its body."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{body}</main></body></html>\n'


@dataclass(frozen=True)
class Section:
    """A heading with lines and tables under it."""

    heading: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands under the heading."""
        return not self.lines and not any(table.rows for table in self.tables)


@dataclass(frozen=True)
class Page:
    """A title, and sections; empty ones are left out."""

    title: str
    lead: str
    sections: Sequence[Section]

    def markdown(self) -> str:
        """Return the page as Markdown."""
        parts = [f"# {_plain(self.title)}", _plain(self.lead)]
        for section in self._filled():
            parts.append(f"## {_plain(section.heading)}")
            if section.lines:
                parts.append("\n".join(f"- {_plain(line)}" for line in section.lines))
            parts += [_markdown_table(table) for table in section.tables if table.rows]
        return "\n\n".join(part for part in parts if part) + "\n"

    def html(self) -> str:
        """Return the page as HTML."""
        body = [f"<h1>{escape(self.title)}</h1><p>{escape(self.lead)}</p>"]
        for section in self._filled():
            items = "".join(f"<li>{escape(line)}</li>" for line in section.lines)
            tables = "".join(table._repr_html_() for table in section.tables if table.rows)
            body.append(f"<h2>{escape(section.heading)}</h2>{f'<ul>{items}</ul>' if items else ''}{tables}")
        return document(self.title, "".join(body))

    def _filled(self) -> list[Section]:
        return [section for section in self.sections if not section.is_empty]

    def write(self, path: Path) -> None:
        """Write the page into a file that ends in ``.md`` or ``.html``.

        Raises:
            UsageError: it ends in something else.
            ProjectError: it cannot be written.
        """
        write_atomically(path, _FORMS[check_suffix(path)](self).encode())


_FORMS: Final[Mapping[str, Callable[[Page], str]]] = {".md": Page.markdown, ".html": Page.html}


def check_suffix(path: Path) -> str:
    """Return the suffix of a file that a page can be written into.

    Raises:
        UsageError: it has another one.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMS:
        raise UsageError(str(path), f"suffix {path.suffix!r} is not known", "Give a file that ends in .md or .html.")
    return suffix


def _markdown_table(table: Table) -> str:
    lines = [table.headings, ["---"] * len(table.headings), *([show(cell) for cell in row] for row in table.rows)]
    return "\n".join("| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Return a text as one line that Markdown takes as it stands."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    for mark in "\\`*_[":
        line = line.replace(mark, "\\" + mark)
    return line
