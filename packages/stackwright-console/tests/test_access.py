"""Who may look, and who may change."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stackwright

TOKEN = "a token of the tests"


def champion(project: Path) -> str:
    with stackwright.load(project, progress=lambda *_: None) as stack:
        (found,) = [item["model"] for item in stack.models().data["models"] if "champion" in item["aliases"]]
    return str(found)


def unlocked(console: Any) -> dict[str, str]:
    answer = console.post("/unlock", f"token={TOKEN.replace(' ', '+')}")
    assert answer.status == 303
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    return {"cookie": answer.headers["set-cookie"].partition(";")[0], "origin": console.url}


def test_without_a_token_nothing_can_be_changed(console: Any, made: Path) -> None:
    assert "Read-only" in console.get("/").text
    assert "Promote" not in console.get("/models/valuation%401").text
    answer = console.post("/promote", "ref=valuation@2&reason=mine", {"origin": console.url})
    assert answer.status == 303
    assert answer.headers["location"] == "/unlock"
    assert console.post("/unlock", "token=").status == 401
    assert champion(made) == "valuation@1"


def test_who_knows_the_token_promotes_and_rolls_back(project: Path, start: Callable[..., Any]) -> None:
    with start(project, token=TOKEN) as console:
        headers = unlocked(console)
        assert "Promote valuation@2" in console.get("/models/valuation%402", headers).text
        assert console.post("/promote", "ref=valuation@2&reason=better", headers).status == 303
        assert champion(project) == "valuation@2"
        assert "better" in console.get("/models/valuation%402").text
        assert console.post("/rollback", "model=valuation&reason=worse", headers).status == 303
        assert champion(project) == "valuation@1"


def test_another_sites_form_is_refused(project: Path, start: Callable[..., Any]) -> None:
    with start(project, token=TOKEN) as console:
        headers = unlocked(console)
        for origin in ("https://elsewhere.example", "http://[", ""):
            sent = {**headers, "origin": origin} if origin else {"cookie": headers["cookie"]}
            assert console.post("/promote", "ref=valuation@2&reason=theirs", sent).status == 403
        assert champion(project) == "valuation@1"


def test_a_wrong_token_opens_nothing_and_a_locked_session_is_over(project: Path, start: Callable[..., Any]) -> None:
    with start(project, token=TOKEN) as console:
        assert console.post("/unlock", "token=another+token").status == 401
        headers = unlocked(console)
        assert console.post("/lock", "", headers).status == 303
        assert console.post("/promote", "ref=valuation@2&reason=mine", headers).headers["location"] == "/unlock"


def test_a_page_that_another_site_points_here_by_name_is_refused(console: Any) -> None:
    assert console.get("/", {"host": "attacker.example"}).status == 400


def test_what_a_gate_refuses_is_refused_here_too(project: Path, start: Callable[..., Any]) -> None:
    with stackwright.load(project, progress=lambda *_: None) as stack:
        stack.retire("valuation@2", reason="no use")
    with start(project, token=TOKEN) as console:
        answer = console.post("/promote", "ref=valuation@2&reason=mine", unlocked(console))
        assert answer.status in (400, 409)
        assert "retired" in answer.text


def test_another_host_than_loopback_needs_a_token_for_every_page(project: Path, start: Callable[..., Any]) -> None:
    command = [sys.executable, "-m", "stackwright.cli.main", "console", "--project", str(project), "--host", "0.0.0.0"]
    bare = {**os.environ, "STACKWRIGHT_CONSOLE_TOKEN": ""}
    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "there is no token" in done.stderr
    with start(project, "--host", "0.0.0.0", token=TOKEN) as console:
        assert console.get("/models").headers["location"] == "/unlock"
        assert console.get("/models", unlocked(console)).status == 200


@pytest.mark.parametrize("token", ["short", "fifteen letters"])
def test_a_token_that_could_be_guessed_is_refused(made: Path, token: str) -> None:
    command = [sys.executable, "-m", "stackwright.cli.main", "console", "--project", str(made), "--port", "0"]
    environment = {**os.environ, "STACKWRIGHT_CONSOLE_TOKEN": token}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "fewer than 16 characters" in done.stderr
    assert token not in done.stderr
