"""Several models in one blueprint, one of them in a namespace: each trained, served and watched by its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from stackwright.assembly.project import Project
from stackwright.workflows.live.process import serving

SECOND = """
[models."pricing/rough"]
service = "valuation@1"
target = "sale_price"
trainer = "sklearn"
interval = 0
"""
AT = "2024-12-01T00:00:00Z"


@pytest.fixture(scope="module")
def two(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(served, tmp_path_factory.mktemp("two") / "project"))
    blueprint = folder / "blueprint.toml"
    blueprint.write_text(blueprint.read_text() + SECOND)
    return folder


@pytest.fixture
def both(two: Path, run: Any) -> Path:
    """The project with both models promoted."""
    assert run("train", "pricing/rough", "--project", two).code == 0
    assert run("promote", "pricing/rough", "--project", two).code == 0
    return two


def post(url: str, document: Any) -> Any:
    with urlopen(
        Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"}), timeout=30
    ) as answer:
        return json.load(answer)


def get(url: str) -> Any:
    with urlopen(url, timeout=30) as answer:
        return json.load(answer)


def test_a_verb_that_needs_one_model_asks_which(both: Path, run: Any) -> None:
    ran = run("train", "--project", both)
    assert (ran.code, "2 models are defined. Name one of them. Defined: pricing/rough, valuation." in ran.err) == (
        1,
        True,
    )
    ran = run("predict", "home_id=0001", "rooms=2", "--project", both)
    assert (ran.code, "Name one of them" in ran.err) == (1, True)


def test_each_answers_by_its_name(both: Path, run: Any) -> None:
    line = ("predict", "home_id=0001", "rooms=2", "--at", AT, "--project", both, "--json")
    first = run(*line, "--model", "valuation").json
    second = run(*line, "--model", "pricing/rough@champion").json
    assert (first["model"], second["model"]) == ("valuation@1", "pricing/rough@1")
    assert first["prediction"] != second["prediction"]


def test_all_are_listed(both: Path, run: Any) -> None:
    models = run("models", "--project", both, "--json").json["models"]
    assert sorted(model["model"] for model in models) == ["pricing/rough@1", "valuation@1"]


def test_one_server_serves_them_all_and_each_is_watched_apart(both: Path, run: Any) -> None:
    body = {"home_id": "0001", "rooms": 2}
    with serving(Project.find(both)) as url:
        rough = post(f"{url}/predict/pricing/rough?at={AT}", body)
        fine = post(f"{url}/predict/valuation?at={AT}", body)
        assert get(f"{url}/v2/models/pricing/rough")["name"] == "pricing/rough"
        assert get(f"{url}/v2/models/pricing/rough/versions/1")["versions"] == ["1"]
        assert get(f"{url}/v2/models/pricing/rough/ready")["ready"] is True
        paths = get(f"{url}/openapi.json")["paths"]
        assert {"/predict/pricing/rough", "/predict/valuation"} <= set(paths)
        with pytest.raises(HTTPError) as refused:
            post(f"{url}/predict", body)
        assert refused.value.code in (400, 404)
        assert "pricing/rough" in refused.value.read().decode()
        with pytest.raises(HTTPError, match="404"):
            post(f"{url}/predict/pricing/none", body)
    for name, answer in (("pricing/rough", rough), ("valuation", fine)):
        assert (answer["model"], answer["version"]) == (name, 1)
        report = run("report", name, "--project", both, "--json")
        assert report.code == 0, report
        assert Path(report.json["page"]).is_file()
