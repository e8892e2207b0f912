"""The site: it builds without a warning, opens offline, leads nowhere that is not there, and is searched there."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
REMOTE = re.compile(r"^(https?:)?//")
FETCHED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}


class Page(HTMLParser):
    """What a page fetches, links to, and can be linked to at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.ids.add(given.get("id", ""))
        self.fetched |= {given[name] for kind, name in FETCHED if kind == tag and name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``nox -s docs`` builds it."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "docs" / "site" / "build.py"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def test_every_page_has_its_place_on_the_site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    build = importlib.import_module("build")
    build.stage(tmp_path)
    staged = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.md"))
    named = [line.removeprefix("/") for line in build.contents(staged) if line.startswith("/")]
    assert len(named) == len(set(named))
    assert {*named, "docs/index"} == {page.removesuffix(".md") for page in staged}


@pytest.mark.nightly
def test_every_page_of_the_docs_is_on_the_site(site: Path) -> None:
    for page in (*ROOT.glob("docs/*.md"), *ROOT.glob("docs/howto/*.md"), *ROOT.glob("docs/decisions/*.md")):
        assert (site / page.relative_to(ROOT)).with_suffix(".html").exists(), page


@pytest.mark.nightly
def test_no_page_fetches_anything_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    assert {url for page in pages.values() for url in page.fetched if REMOTE.match(url)} == set()
    styles = [path.read_text(encoding="utf-8", errors="replace") for path in site.rglob("*.css")]
    assert styles
    assert not [text for text in styles if re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", text)]


@pytest.mark.nightly
def test_every_link_and_anchor_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    assert list(_broken(pages)) == []


def _broken(pages: dict[Path, Page]) -> Iterator[str]:
    for path, page in pages.items():
        for link in (link for link in page.links | page.fetched if not REMOTE.match(link) and ":" not in link):
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].ids if target in pages else {unquote(parts.fragment)}
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in known):
                yield f"{path}: {link}"


@pytest.mark.nightly
def test_the_search_finds_in_a_browser_without_a_server_and_asks_nobody(
    site: Path, program: Callable[..., str]
) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as driver:
        path = program("chromium", "chromium")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(f"{(site / 'search.html').as_uri()}?q=quarantine")
        page.wait_for_selector("#search-results li")
        found = [item.inner_text() for item in page.query_selector_all("#search-results li a")]
        browser.close()
    assert "Verbs and their options" in found
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.nightly
def test_adapters_stand_there_with_their_keys(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "docs" / "reference" / "adapters.html").read_text(encoding="utf-8"))
    assert "connections that one handle opens at most" in text
    assert "lmdb (online)" in text
