"""What each page shows, and what it says where something is not there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.outcome import Table
from stackwright_console.page import Page, Section
from stackwright_console.pages.monitors import monitor, monitors
from stackwright_console.rendering import render

PATHS = (
    "/", "/features", "/features/listing%401", "/worth", "/runs", "/models", "/models/valuation%401", "/lineage",
    "/lineage?name=listing%401", "/monitors", "/monitors/valuation", "/playground", "/unlock",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_every_page_loads_nothing_from_elsewhere_and_runs_nothing(console: Any, path: str) -> None:
    answer = console.get(path)
    assert answer.status == 200
    assert re.findall(r"<script|https?://(?!www\.w3\.org/2000/svg)", answer.text) == []
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]


def test_the_stack_is_drawn_with_the_adapters_of_its_blueprint(console: Any) -> None:
    text = console.get("/").text
    for adapter in ("duckdb", "sqlite", "lightgbm", "files", "uvicorn"):
        assert f">{adapter}</text>" in text
    assert "registry gives champions to server" in text


def test_features_are_found_by_words(console: Any) -> None:
    text = console.get("/features?words=area").text
    assert "listing@1:area" in text
    assert "listing@1:rooms" not in text


def test_a_view_tells_its_owner_columns_statistics_and_who_would_feel_a_change(console: Any) -> None:
    text = console.get("/features/listing%401").text
    for part in ("valuation-team", "energy_label", "1 ingestions kept", "POST /predict/valuation", "online up to"):
        assert part in text


def test_what_a_view_is_worth_is_told_with_what_is_unknown(console: Any) -> None:
    text = console.get("/worth?words=listing%401:area").text
    assert "reads of the last 30 days" in text
    assert "stackwright ablate valuation" in text


def test_a_run_tells_its_cost_metrics_parameters_and_log(console: Any) -> None:
    first = re.search(r'href="(/runs/[0-9a-f]+)"', console.get("/runs").text)
    assert first is not None
    text = console.get(first[1]).text
    for part in ("cpu", "mdape", "learning_rate", "gates"):
        assert part in text


def test_runs_are_listed_with_the_metric_that_tells_most_and_their_instants(console: Any) -> None:
    text = console.get("/runs").text
    assert '<option value="mape" selected>' in text
    assert re.search(r"<td>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC</td>", text)


def test_a_column_of_numbers_alone_is_set_as_figures() -> None:
    table = Table(("what", "mixed", "figure"), [("a", "text", 1), ("b", 2, None)])
    text = render(Page("T", "Runs", sections=(Section("S", tables=(table,)),)), unlocked=False, can_unlock=False)
    assert re.findall(r"<td([^>]*)>", text) == ["", "", ' class="number"'] * 2


def test_two_runs_are_put_side_by_side(console: Any) -> None:
    text = console.get("/runs/compare?first=valuation@1&second=valuation@2").text
    assert "valuation@1 and valuation@2" in text
    assert "started" in text or "run" in text


def test_a_version_shows_its_gates_card_aliases_and_history(console: Any) -> None:
    text = console.get("/models/valuation%401").text
    for part in ("leakage", "green", "champion", "the first", "Limits", "sha256:"):
        assert part in text


def test_lineage_goes_forwards_and_back(console: Any) -> None:
    text = console.get("/lineage?kind=feature&name=listing%401:area").text
    under = {re.findall(">([^<]+)</h2>", part)[0]: part for part in text.split("<section")[1:]}
    assert "listings.parquet" in under["It comes from"]
    assert "POST /predict/valuation" in under["Who would feel a change"]


def test_a_prediction_is_traced_to_the_files_it_learned_from(console: Any, made: Path) -> None:
    with stackwright.load(made, progress=lambda *_: None) as stack:
        answered = next(iter(journal.predictions(stack).records()))
    text = console.get(f"/trace?prediction={answered['prediction_id']}").text
    assert "valuation@1" in text
    assert "listings.parquet" in text


def test_reports_are_shown_over_time_and_open_apart_from_the_console(console: Any) -> None:
    page = console.get("/monitors/valuation").text
    found = re.search(r'href="(/monitors/valuation/[^"]+/report\.html)"', page)
    assert found is not None
    report = console.get(found[1])
    assert report.status == 200
    assert report.headers["content-security-policy"].startswith("sandbox")


def test_damaged_reports_are_passed_over_and_told(project: Path) -> None:
    desk: Any = None
    with stackwright.load(project, progress=lambda *_: None) as stack:
        for place, text in enumerate(("{", "[]", "{}", '{"at": 5}')):
            folder = stack.project.reports / "valuation" / f"broken-{place}"
            folder.mkdir()
            (folder / "report.json").write_text(text)
        html = render(monitor(stack, desk, {"name": "valuation"}), unlocked=False, can_unlock=False)
        assert "1 reports" in html
        for place in range(4):
            assert f"The report broken-{place} is damaged and passed over." in html
        assert render(monitors(stack, desk, {}), unlocked=False, can_unlock=False)


@pytest.mark.parametrize(
    "path",
    [
        "/monitors/valuation/../report.html",
        "/monitors/valuation/%2e%2e/blueprint.toml",
        "/monitors/valuation/x/report.html",
        "/monitors/%2e%2e/%2e%2e/report.html",
    ],
)
def test_no_other_file_is_given_out(console: Any, path: str) -> None:
    assert console.get(path).status in (400, 404)


def test_the_playground_predicts_and_explains(console: Any, made: Path) -> None:
    listing = json.loads(_first_request(made))["listing_id"]
    form = f"model=valuation&field.listing_id={listing}&field.condition=3"
    text = console.post("/playground", form).text
    assert "valuation@1: " in text
    assert "What each input added" in text
    assert "seconds old" in text


def _first_request(made: Path) -> str:
    import pyarrow.parquet

    row = pyarrow.parquet.read_table(made / "sample" / "requests.parquet").slice(0, 1).to_pylist()[0]
    return json.dumps(row, default=str)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/features/listings%401", "listing@1"),
        ("/models/valuation%4099", "no version 99"),
        ("/runs/ffffffff", "ffffffff"),
        ("/lineage?name=nothing", "nothing"),
        ("/monitors/nothing", "nothing"),
        ("/decisions/valuation/99", "events"),
        ("/trace?prediction=nothing", "nothing"),
        ("/nowhere", "no such page"),
    ],
)
def test_what_is_not_there_is_told_on_a_page(console: Any, path: str, told: str) -> None:
    answer = console.get(path)
    assert answer.status in (400, 404)
    assert told in answer.text
    assert "Traceback" not in answer.text


def test_a_blueprint_that_is_broken_meanwhile_is_told_and_mended(project: Path, start: Callable[..., Any]) -> None:
    blueprint = project / "blueprint.toml"
    text = blueprint.read_text()
    with start(project) as console:
        assert console.get("/").status == 200
        blueprint.write_text(text.replace('adapter = "duckdb"', 'adapter = "duckbd"'))
        broken = console.get("/")
        assert (broken.status, "duckbd" in broken.text) == (400, True)
        blueprint.write_text(text)
        assert console.get("/").status == 200


def test_ten_thousand_runs_are_listed_page_by_page(project: Path, start: Callable[..., Any]) -> None:
    runs = project / "registry" / "runs"
    first = next(runs.glob("*.json"))
    document = json.loads(first.read_text())
    for number in range(10_000):
        id_ = f"{number:032x}"
        (first.parent / f"{id_}.json").write_text(json.dumps({**document, "id": id_}))
    with start(project) as console:
        text = console.get("/runs").text
        assert "10,002 runs, page 1 of 201" in text
        last = console.get("/runs?page=201").text
        assert last.count('href="/runs/') < 10
