"""Environments: one blueprint, a few lines of difference, and nothing shared by accident."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.assembly.blueprint import BlueprintProblems, read
from stackwright.assembly.plan import plan
from stackwright_interfaces.definitions import Definitions
from stackwright_interfaces.errors import BlueprintError

Write = Callable[[str], Path]

BASE = """
name = "avm"
registry = "files"
[feature_store]
offline = { adapter = "duckdb", path = "data", threads = 2 }
online = { adapter = "sqlite", path = "data/online.db" }
[models.valuation]
service = "valuation@1"
target = "sale_price"
trainer = { adapter = "lightgbm", objective = "regression" }
where = { price = [1, 10] }
"""


def laid(write: Write, layer: str, env: str = "staging") -> Any:
    return read(write(BASE + layer), env)


def test_without_an_environment_the_blueprint_stands_as_it_is(write: Write) -> None:
    path = write(BASE + '[env.staging]\nname = "avm-staging"\n')
    assert (read(path).name, read(path).env) == ("avm", "")
    assert read(path) == read(write(BASE))


def test_an_environment_replaces_keys_and_keeps_the_others(write: Write) -> None:
    blueprint = laid(write, '[env.staging.feature_store]\noffline = { path = "staging/data" }\n')
    assert (blueprint.name, blueprint.env) == ("avm", "staging")
    assert blueprint.offline.adapter == "duckdb"
    assert blueprint.offline.options == {"path": "staging/data", "threads": 2}
    assert blueprint.online.options == {"path": "data/online.db"}


def test_another_adapter_brings_its_own_options_alone(write: Write) -> None:
    blueprint = laid(write, '[env.staging.feature_store]\nonline = { adapter = "memory", size = 3 }\n')
    assert (blueprint.online.adapter, blueprint.online.options) == ("memory", {"size": 3})
    blueprint = laid(write, '[env.staging]\nregistry = "mlflow"\n')
    assert (blueprint.registry.adapter, blueprint.registry.options) == ("mlflow", {})


def test_options_are_laid_over_an_adapter_that_is_named_by_a_text(write: Write) -> None:
    blueprint = laid(write, '[env.staging.registry]\nurl = "staging/registry"\n')
    assert (blueprint.registry.adapter, blueprint.registry.options) == ("files", {"url": "staging/registry"})


def test_lists_are_replaced_and_slots_and_models_can_be_added(write: Write) -> None:
    layer = """
[env.staging.models.valuation]
where = { price = [5, 9] }
[env.staging.models.rent]
service = "rent@1"
target = "rent"
trainer = "sklearn"
[env.staging.server]
adapter = "uvicorn"
"""
    blueprint = laid(write, layer)
    assert blueprint.models["valuation"].where == {"price": [5, 9]}
    assert sorted(blueprint.models) == ["rent", "valuation"]
    assert blueprint.server.adapter == "uvicorn"
    assert laid(write, layer, "").server is None


def test_an_environment_that_is_not_defined_names_those_that_are(write: Write) -> None:
    with pytest.raises(BlueprintError, match=r"\[env.stagin\]: there is no such environment. Did you mean 'staging'"):
        laid(write, "[env.staging]\n", "stagin")
    with pytest.raises(BlueprintError, match=r"no such environment. Defined: none."):
        laid(write, "", "staging")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("[env]\nstaging = 3\n", r"blueprint.toml \[env.staging\]: is 3. Write a table."),
        ("[env.staging]\nserve = 3\n", r"blueprint.toml \[env.staging\]: unknown key 'serve'. Did you mean 'server'"),
        ("[env.staging.env.x]\n", r"blueprint.toml \[env.staging\]: unknown key 'env'"),
        ('[env."a b"]\n', r"'a b' is not a usable name"),
    ],
)
def test_a_mistake_in_an_environment_is_told_even_where_none_is_chosen(write: Write, layer: str, message: str) -> None:
    with pytest.raises(BlueprintProblems, match=message):
        laid(write, layer, "")


def test_a_mistake_that_an_environment_makes_is_told_with_its_name(write: Write) -> None:
    with pytest.raises(BlueprintProblems, match=r"blueprint.toml \(env staging\) \[models.valuation\]: holdout is 7"):
        laid(write, "[env.staging.models.valuation]\nholdout = 7\n")


def test_variables_of_other_environments_need_not_be_set(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = '[env.staging.registry]\nurl = "${STAGING_REGISTRY}"\n'
    assert laid(write, layer, "").registry.options == {}
    with pytest.raises(BlueprintProblems, match="environment variable STAGING_REGISTRY is not set"):
        laid(write, layer)
    monkeypatch.setenv("STAGING_REGISTRY", "there")
    assert laid(write, layer).registry.options == {"url": "there"}


STAGING = """
[env.staging.feature_store]
offline = { path = "staging" }
online = { path = "staging/online.db" }
"""


@pytest.fixture
def both(project: Any, write: Write) -> Path:
    store = 'name = "f"\n[feature_store]\noffline = { adapter = "duckdb", path = "data" }\n'
    return Path(project(blueprint=store + 'online = { adapter = "sqlite", path = "data/online.db" }\n' + STAGING))


def test_each_environment_has_its_own_features_and_state(both: Path, market: Any, run: Any) -> None:
    base, staging = ("--project", both, "--json"), ("--project", both, "--env", "staging", "--json")
    assert run("apply", *staging).json["changed"] is True
    assert run("ingest", "homes", market.homes, *staging).json["added"] == 300
    assert run("features", *base).json["features"] == []
    assert run("apply", *base).json["changed"] is True
    assert run("ingest", "homes", market.homes, *base).json["added"] == 300
    assert (both / "staging" / "homes@1").is_dir()
    assert (both / ".stackwright" / "env-staging" / "definitions.json").is_file()


def test_the_variable_chooses_where_the_option_is_not_given(
    both: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKWRIGHT_ENV", "staging")
    assert run("check", "--project", both, "--json").json["env"] == "staging"
    assert run("check", "--project", both, "--env", "", "--json").json["env"] == ""
    with stackwright.load(both) as stack:
        assert stack.blueprint.offline.options["path"] == "staging"
    with stackwright.load(both, env="") as stack:
        assert stack.blueprint.offline.options["path"] == "data"


def test_an_unknown_environment_is_a_problem_of_the_blueprint(both: Path, run: Any) -> None:
    ran = run("check", "--project", both, "--env", "stagng")
    assert (ran.code, ran.out.splitlines()[0]) == (
        1,
        "blueprint.toml [env.stagng]: there is no such environment. Did you mean 'staging'?",
    )


def test_the_digest_of_a_plan_tells_environments_apart(both: Path) -> None:
    digests = set()
    for env in ("", "staging"):
        with stackwright.load(both, env=env) as stack:
            digests.add(plan(stack.blueprint, stack.plugins, Definitions()).digest)
    assert len(digests) == 2
