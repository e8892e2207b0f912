"""Secrets are named in a blueprint by their place, reach the adapter, and are shown nowhere."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.assembly.blueprint import read
from stackwright.assembly.options import configure
from stackwright.assembly.plan import plan
from stackwright.assembly.secrets import Revealed, Secret, redact
from stackwright_interfaces.definitions import Definitions
from stackwright_serving.logs import EcsFormatter

SHELF = """
name = "avm"
[feature_store]
offline = { adapter = "shelf", path = "data", password = { env = "SHELF_PASSWORD" } }
"""
REGISTRY = 'name = "avm"\n[registry]\nadapter = "files"\nurl = { env = "REGISTRY_URL" }\n'


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SHELF_PASSWORD", 'sword"fish\\ü')
    return 'sword"fish\\ü'


def test_an_adapter_gets_the_value_and_its_configuration_shows_a_mask(
    write: Any, plugins: Any, password: str, tmp_path: Path
) -> None:
    choice = plan(read(write(SHELF)), plugins, Definitions()).choices["offline"]
    config = configure(choice.part, choice.spec, tmp_path)
    assert config.password == password
    assert isinstance(config.password, str)
    assert "fish" not in repr(config)
    assert "fish" not in f"{config} {config!r} {[config]}"


def test_a_plan_and_its_digest_know_the_place_alone(
    write: Any, plugins: Any, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plan(read(write(SHELF)), plugins, Definitions())
    assert "fish" not in repr(first)
    monkeypatch.setenv("SHELF_PASSWORD", "barracuda")
    assert plan(read(write(SHELF)), plugins, Definitions()).digest == first.digest
    elsewhere = write(SHELF.replace("SHELF_PASSWORD", "OTHER_PASSWORD"))
    assert plan(read(elsewhere), plugins, Definitions()).digest != first.digest


def test_a_message_that_quotes_a_secret_shows_a_mask(project: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_URL", "swordfish")
    folder = project(blueprint=REGISTRY)
    (folder / "swordfish").write_text("a file where a folder is meant")
    for more in ((), ("--json",)):
        ran = run("models", "--project", folder, *more)
        assert ran.code == 1
        assert f"{folder}/***" in ran.out + ran.err
        assert "swordfish" not in ran.out + ran.err


def test_the_password_inside_a_secret_address_is_masked_alone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:open%20sesame@redis:6379/0")
    Secret(env="REDIS_URL").reveal("here", Path())
    assert redact("denied: open%20sesame") == "denied: ***"
    assert redact("denied: open sesame") == "denied: ***"


def test_secrets_are_found_in_their_json_form(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('a"b\\cö\n')
    value = Secret(file="secret").reveal("here", tmp_path)
    assert redact(json.dumps({"found": f"wrong password {value}"})) == '{"found": "wrong password ***"}'


def test_a_short_secret_masks_no_ordinary_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "a")
    assert Secret(env="SHORT").reveal("here", Path()) == "a"
    assert redact("data") == "data"


def test_lines_of_the_log_are_masked_with_their_stack_traces() -> None:
    line = EcsFormatter(lambda text: text.replace("swordfish", "***"))
    try:
        raise ValueError("refused swordfish")
    except ValueError as error:
        record = logging.LogRecord("a", 40, "f", 1, "with swordfish", (), (ValueError, error, error.__traceback__))
    text = line.format(record)
    assert "swordfish" not in text
    assert json.loads(text)["error.message"] == "refused ***"


def test_a_notebook_shows_no_secret(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_URL", "registry-swordfish")
    with stackwright.load(project(blueprint=REGISTRY)) as stack:
        assert isinstance(stack.registry.history(), tuple)
        assert "swordfish" not in stack._repr_html_() + repr(stack) + repr(vars(stack))


def test_a_revealed_value_is_a_text_in_every_other_way() -> None:
    value = Revealed("swordfish")
    assert (value, f"{value}", value.upper()) == ("swordfish", "swordfish", "SWORDFISH")
    assert repr(value) == "'***'"
