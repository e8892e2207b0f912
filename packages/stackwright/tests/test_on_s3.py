"""Registry, journal and shared catalogue on S3: the same verbs, nothing of them in the project folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from stackwright.assembly.project import Project
from stackwright.workflows.live.process import serving
from stackwright_storage import open_storage

AT = "2024-12-01T00:00:00Z"


@pytest.fixture
def remote(filled: Path, tmp_path: Path, s3: Callable[[], str]) -> tuple[Path, str]:
    """A project with history, whose models and journal lie in a bucket; and the bucket's URL."""
    folder, url = Path(shutil.copytree(filled, tmp_path / "project")), s3()
    shutil.rmtree(folder / "journal")
    blueprint = folder / "blueprint.toml"
    text = blueprint.read_text()
    assert 'adapter = "files"\n' in text
    text = text.replace('adapter = "files"\n', f'adapter = "files"\nurl = "{url.replace("some/prefix", "models")}"\n')
    blueprint.write_text(text + f'\n[journal]\npath = "{url.replace("some/prefix", "journal")}"\n')
    return folder, url


def test_a_model_is_trained_promoted_served_and_watched(remote: tuple[Path, str], market: Any, run: Any) -> None:
    folder, url = remote
    at = ("--project", folder)
    for line in (("label", market.sales), ("train",), ("promote", "valuation")):
        ran = run(*line, *at)
        assert ran.code == 0, ran
    with serving(Project.find(folder)) as address:
        body = json.dumps({"home_id": "0001", "rooms": 2}).encode()
        request = Request(f"{address}/predict/valuation?at={AT}", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=30) as response:
            assert json.load(response)["predictions"][0]["value"] > 0
    report = run("report", *at, "--json")
    assert report.code == 0, report
    keys = list(open_storage(url.replace("some/prefix", "journal")).list())
    assert [key.split("/")[0] for key in keys].count("predictions") >= 1
    assert any(key.startswith("labels/") for key in keys)
    assert any(
        "versions/valuation/0000001.json" in key for key in open_storage(url.replace("some/prefix", "models")).list()
    )
    assert not (folder / "registry").exists()
    assert not (folder / "journal").exists()
    assert not list((folder / ".stackwright" / "spool").rglob("*.jsonl"))


def test_a_catalogue_in_a_bucket_is_shared_by_its_url(
    project_in: Any, tmp_path: Path, s3: Callable[[], str], run: Any
) -> None:
    url = s3()
    store = '[feature_store]\noffline = { adapter = "duckdb", path = "data" }\n'
    blueprint = f'name = "a"\n{store}[catalogue]\nurl = "{url}"\nnamespace = "pricing"\n'
    folder = project_in(tmp_path / "a", blueprint, [('name="homes"', 'name="pricing/homes"')])
    assert run("apply", "--project", folder).code == 0
    other = project_in(tmp_path / "b", blueprint.replace('"pricing"', '"search"'))
    (entry, *_) = run("features", "living", "pricing", "--project", other, "--json").json["features"]
    assert entry["feature"] == "pricing/homes@1:area"
