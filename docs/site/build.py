"""Builds the documentation as a site that opens offline: ``python docs/site/build.py OUT``. A warning fails.

Pages stay where they lie, beside what they are about, and are read there as well. The build lays them out as they lie
in the repository, turns links to code, which is not on the site, into plain text, and adds what is generated from code.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from reference import generated
from sphinx.cmd.build import main as sphinx

SITE = Path(__file__).parent
ROOT = SITE.parents[1]
INDEX = Path("docs/index.md")
PAGES = ("docs/**/*.md", "blueprints/*/README.md", "interfaces/README.md", "packages/*/README.md", "CONTRIBUTING.md")
FIRST = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html"><title>stackwright</title>\n'

_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?!https?:|mailto:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def build(out: Path) -> int:
    """Build the site into a folder; return Sphinx's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        stage(source)
        code = sphinx(["-q", "-W", "--keep-going", "-c", str(SITE), "-d", f"{folder}/_build", folder, str(out)])
    (out / "index.html").write_text(FIRST, encoding="utf-8")
    return int(code)


def stage(source: Path) -> None:
    """Lay out every page as it is built."""
    pages = sorted(path.relative_to(ROOT) for pattern in PAGES for path in ROOT.glob(pattern))
    staged = {page: relinked((ROOT / page).read_text(encoding="utf-8"), page, pages) for page in pages}
    staged |= {Path(page): text for page, text in generated().items()}
    staged[INDEX] += "\n".join(contents(sorted(map(str, staged))))
    for page, text in staged.items():
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        (source / page).write_text(text, encoding="utf-8")
    if (ROOT / "docs/images").exists():
        shutil.copytree(ROOT / "docs/images", source / "docs/images")


def relinked(text: str, page: Path, pages: Sequence[Path]) -> str:
    """Return a page whose links to folders lead to their pages, and whose links to code are plain text."""

    def link(found: re.Match[str]) -> str:
        target = (ROOT / page.parent / found["path"]).resolve()
        path = found["path"]
        if target.is_dir() and (target / "README.md").relative_to(ROOT) in pages:
            path, target = f"{path.rstrip('/')}/README.md", target / "README.md"
        if target.suffix in (".png", ".jpg") or not target.exists() or target.relative_to(ROOT) in pages:
            return f"[{found['text']}]({path}{found['anchor'] or ''})"
        return found["text"]

    return _LINK.sub(link, text)


def contents(pages: Sequence[str]) -> Iterator[str]:
    """Give the table of contents that ``nav.toml`` describes."""
    sections = tomllib.loads((SITE / "nav.toml").read_text(encoding="utf-8"))["section"]
    for section in sections:
        yield "\n```{toctree}\n:hidden:\n:caption: " + section["title"] + "\n"
        for pattern in section["pages"]:
            yield from (f"/{page.removesuffix('.md')}" for page in pages if Path(page).match(pattern))
        yield "```\n"


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).absolute()))
