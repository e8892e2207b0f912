"""A recommender in the console: its versions and gates, its lists over time, a list by hand; in a real browser too."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.monitoring.rules import FIRST
from stackwright_console.desk import Desk
from stackwright_console.pages.monitors import monitor
from stackwright_console.rendering import render
from stackwright_interfaces.testing import recommender_town as town
from stackwright_journal.list_records import FOLDER, ClickRecord, ListRecord
from stackwright_journal.predictions import PredictionLog

WEEK = timedelta(days=7)
BEGIN = FIRST + ((datetime.now(UTC) - FIRST) // WEEK - 4) * WEEK
PATHS = ("/", "/models", "/models/homes%401", "/monitors", "/monitors/homes", "/playground?model=homes", "/runs")

BLUEPRINT = """\
name = "homes"

[recommenders.homes]
trainer = { adapter = "recommender", folds = 1, retrievers = ["popular"], trees = 5 }
interactions = { source = "looks.csv", user = "user", item = "item", time = "time" }
gates = { reproducible = false, latency = false, artifact = false, candidate_recall = false, baseline = { min_gain = -1.0 } }

[registry]
adapter = "files"

[monitor.rules.clicks]
watch = "ctr"
"""  # noqa: E501


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a promoted recommender, three weeks of lists that are clicked ever less, and a report."""
    folder = tmp_path_factory.mktemp("lists") / "homes"
    folder.mkdir()
    pyarrow.csv.write_csv(town.interactions().table, folder / "looks.csv")
    (folder / "blueprint.toml").write_text(BLUEPRINT)
    with stackwright.load(folder, progress=lambda *_: None, clock=lambda: BEGIN) as stack:
        stack.train()
        stack.promote("homes")
        with PredictionLog(journal.segments(stack), name=FOLDER) as log:
            for week, ctr in enumerate((0.4, 0.2, 0.2)):
                for record in _week(week, ctr):
                    log.append(record)
    with stackwright.load(folder, progress=lambda *_: None, clock=lambda: BEGIN + 3 * WEEK) as stack:
        stack.watch()
        stack.report("homes", start=BEGIN)
    return folder


def _week(week: int, ctr: float) -> Iterator[Any]:
    random = np.random.default_rng(week)
    for place in range(150):
        at = BEGIN + week * WEEK + timedelta(hours=1 + place)
        items = [f"h{number:03}" for number in random.choice(40, 5, replace=False)]
        name, ones = f"{week}-{place}", np.ones(5)
        yield ListRecord(
            list_id=name,
            predicted_at=at,
            model="homes",
            version=1,
            digest="sha256:1",
            items=items,
            scores=ones,
            propensities=ones,
            cold=random.random(5) < 0.1,
            user=f"p{place % 50}",
            flags=["cold_user"] if place % 10 == 0 else [],
        )
        for rank, item in enumerate(items):
            if random.random() < ctr / (1 + rank):
                yield ClickRecord(list_id=name, item=item, value=1, observed=at, predicted_at=at)


@pytest.fixture(scope="module")
def lists(homes: Path, start: Callable[..., Any]) -> Iterator[Any]:
    """The console over it, without a token."""
    with start(homes) as found:
        yield found


def test_a_version_shows_its_gates_with_the_numbers_they_went_by(lists: Any) -> None:
    text = lists.get("/models/homes%401").text
    assert "Recommend with it" in text
    assert re.search(r"<td>baseline</td>\s*<td>popular</td>", text)
    assert "middling histories" in text
    assert "homes@1" in lists.get("/models?model=homes").text
    assert "recommendation" in lists.get("/").text


def test_lists_are_shown_by_position_with_intervals_and_over_the_weeks(lists: Any) -> None:
    text = lists.get("/monitors/homes").text
    for title in ("Clicks by position, newest window", "Clicks a shown item", "Novelty", "Cold start"):
        assert f">{title}</title>" in text
    first = re.search(r'<th scope="row">1</th><td>([^<]+)</td><td>([^<]+)</td><td>([^<]+)</td>', text)
    assert first is not None
    share, low, high = map(float, first.groups())
    assert low < share < high
    assert len(re.findall(r"<td>window</td>", text)) == 3
    assert "2 windows in alarm" in text
    assert re.search(r"<td>\s*<span class=\"bad\">alarm</span>", lists.get("/monitors").text)


def test_a_report_of_lists_opens_apart_from_the_console(lists: Any) -> None:
    (path,) = re.findall(r'href="(/monitors/homes/[^"]+lists\.html)"', lists.get("/monitors/homes").text)
    answer = lists.get(path)
    assert answer.status == 200
    assert "Lists of homes" in answer.text


def test_a_list_is_asked_for_by_hand(lists: Any) -> None:
    body = "model=homes&sent=yes&user=p01&n=3"
    text = lists.post("/playground", body).text
    assert "homes@1: 3 of" in text
    assert "no number" in lists.post("/playground", "model=homes&sent=yes&n=many").text


def test_a_recommender_that_showed_nothing_yet_says_what_to_run(homes: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(homes, tmp_path / "homes", ignore=shutil.ignore_patterns("journal", "reports")))
    with stackwright.load(folder, progress=lambda *_: None) as stack, closing(Desk(folder)) as desk:
        text = render(monitor(stack, desk, {"name": "homes"}), unlocked=False, can_unlock=False)
    assert "Run: stackwright report" in text


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()


def test_a_browser_finds_no_script_nothing_from_elsewhere_and_no_broken_rule(page: Any, lists: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in PATHS:
        page.goto(lists.url + path)
        assert page.locator("script").count() == 0, path
        assert page.locator("text=Read-only").is_visible()
    assert {url.startswith((lists.url, "data:")) for url in asked} == {True}
    for scheme, paths in {"light": ("/models/homes%401", "/monitors/homes"), "dark": ("/monitors/homes",)}.items():
        page.emulate_media(color_scheme=scheme)
        for path in paths:
            page.goto(lists.url + path)
            broken = [(item["id"], item["nodes"][0]["html"]) for item in Axe().run(page).response["violations"]]
            assert broken == [], (scheme, path)


def test_a_narrow_window_scrolls_tables_and_not_the_page(page: Any, lists: Any) -> None:
    page.set_viewport_size({"width": 380, "height": 800})
    for path in PATHS[2:6]:
        page.goto(lists.url + path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
