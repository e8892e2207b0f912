"""The console in a real browser: by keyboard, by the rules of accessibility, offline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

PATHS = (
    "/", "/features", "/features/listing%401", "/runs", "/models", "/models/valuation%401",
    "/lineage?name=listing%401", "/monitors/valuation", "/playground", "/nowhere",
)  # fmt: skip


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()


def test_no_page_breaks_a_rule_of_accessibility(page: Any, console: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for path in PATHS:
            page.goto(console.url + path)
            broken = [(item["id"], item["nodes"][0]["html"]) for item in Axe().run(page).response["violations"]]
            assert broken == [], (scheme, path)


def test_pages_ask_for_nothing_but_the_console(page: Any, console: Any) -> None:
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    for path in PATHS[:-1]:
        page.goto(console.url + path)
    assert {url.startswith((console.url, "data:")) for url in asked} == {True}
    assert said == []


def test_the_whole_console_is_gone_through_by_keyboard(page: Any, console: Any) -> None:
    page.goto(console.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/features")
    page.get_by_label("Words").focus()
    page.keyboard.type("area")
    page.keyboard.press("Enter")
    page.wait_for_url("**/features?words=area")
    page.get_by_role("link", name="listing@1:area").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("heading", level=1).text_content() == "listing@1"


def test_a_node_of_the_drawing_leads_to_its_own_lineage(page: Any, console: Any) -> None:
    page.goto(console.url + "/lineage?kind=view&name=listing%401")
    page.locator("svg a", has_text="listing@1:area").click()
    assert page.get_by_role("group", name="Lineage of feature listing@1:area").is_visible()


def test_a_narrow_window_scrolls_tables_and_not_the_page(page: Any, console: Any) -> None:
    page.set_viewport_size({"width": 380, "height": 800})
    for path in PATHS:
        page.goto(console.url + path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
