"""What the comparison says of others is run, and none of it stands on the page that is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

CLAIMS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("claims.toml").read_text())["claim"]
PAGE = (Path(__file__).parents[2] / "docs" / "comparison.md").read_text()


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim["id"] for claim in CLAIMS])
def test_the_page_says_what_is_claimed(claim: dict[str, Any]) -> None:
    name, _, version = claim["package"].partition("==")
    assert f"`{name}` {version}" in PAGE
    assert " ".join(claim["says"].split()) in " ".join(PAGE.split())


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("claim", CLAIMS, ids=[claim["id"] for claim in CLAIMS])
def test_what_is_claimed_is_seen(claim: dict[str, Any], tmp_path: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "run: pip install uv"
    command = [uv, "run", "--no-project", "--isolated", "--python", "3.11", "--with", claim["package"]]
    quiet = {"HOME": str(tmp_path), "DO_NOT_TRACK": "1", "ZENML_ANALYTICS_OPT_IN": "false"}
    cache = {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")}
    done = subprocess.run(
        [*command, "python", "-c", claim["program"]],
        env={**os.environ, **quiet, **cache},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == claim["prints"]
