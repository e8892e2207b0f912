"""The command line: exit codes, JSON, what is imported, and being cut off."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.cli.verbs import VERBS
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.trainer import CONTRACT as TRAINERS

HEAVY = "{'numpy', 'pandas', 'pyarrow', 'duckdb', 'lightgbm', 'rich', 'uvicorn'} & set(sys.modules)"

LINES = [
    ("plugins", "plugins"),
    ("check --project PROJECT", "plan"),
    ("apply --project PROJECT", "views"),
    ("ingest homes MARKET/homes.csv --project PROJECT", "added"),
    ("materialize --at 2024-12-01T00:00:00Z --project PROJECT", "views"),
    ("features area --project PROJECT", "features"),
    ("train --project PROJECT", "metrics"),
    ("runs --project PROJECT", "runs"),
    ("models --project PROJECT", "models"),
    ("promote valuation --project PROJECT", "alias"),
    ("predict home_id=0001 rooms=3 --project PROJECT", "prediction"),
    ("score MARKET/sales.csv PROJECT/out.csv --project PROJECT", "rows"),
    ("label MARKET/sales.csv --project PROJECT", "duplicates"),
    ("new PROJECT/new --blueprint realtime", "project"),
]


def module(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stackwright.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(("line", "key"), LINES, ids=[line.split()[0] for line, _ in LINES])
def test_every_verb_gives_its_result_as_one_json_document(
    line: str, key: str, work: Path, market: Any, run: Any
) -> None:
    words = line.replace("PROJECT", str(work)).replace("MARKET", str(market.folder)).split()
    ran = run(*words, "--json")
    assert ran.code == 0, ran
    assert ran.json["ok"] is True
    assert key in ran.json
    assert ran.err == ""


def test_a_rollback_gives_json_too(work: Path, tmp_path: Path, run: Any) -> None:
    with stackwright.load(work) as stack:
        (version,), _ = stack.registry.history()
        folder = Path(shutil.copytree(stack.registry.fetch(version), tmp_path / "model", copy_function=shutil.copyfile))
        replace(Manifest.read(folder), code={"by": "hand"}).write(folder)
        stack.registry.publish("valuation", folder, {})
    at = ("--project", work, "--json")
    assert run("promote", "valuation", "--force", "--reason", "trial", *at).json["model"] == "valuation@2"
    assert run("rollback", *at).json == {"ok": True, "model": "valuation@1", "before": 2}


def test_a_secret_is_used_and_shown_nowhere(work: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "registry").rename(work / "swordfish")
    text = (work / "blueprint.toml").read_text()
    (work / "blueprint.toml").write_text(
        text.replace('adapter = "files"', 'adapter = "files"\nurl = { env = "PLACE" }')
    )
    monkeypatch.setenv("PLACE", "swordfish")
    checked = run("check", "--project", work, "--json")
    listed = run("models", "--project", work, "--json")
    assert listed.json["models"][0]["model"] == "valuation@1"
    assert "swordfish" not in checked.out + checked.err + listed.out + listed.err
    monkeypatch.delenv("PLACE")
    assert run("check", "--project", work).code == 0
    assert "environment variable PLACE is not set" in run("models", "--project", work).err


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_takes_json_and_those_on_a_project_its_folder(verb: Any, run: Any) -> None:
    told = run(verb.name, "--help")
    assert told.code == 0
    assert "--json" in told.out
    anywhere = ("new", "plugins", "new-adapter", "conform", "version", "completion")
    assert ("--project DIR" in told.out) == (verb.name not in anywhere)


def test_the_help_names_every_verb_with_what_it_does(run: Any) -> None:
    told = " ".join(run("--help").out.split())
    for verb in VERBS:
        assert f"{verb.name} {verb.summary}" in told


def test_a_line_that_names_no_verb_is_answered_with_the_help(run: Any) -> None:
    ran = run()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == run("--help").out
    assert "Begin: stackwright new DIR --blueprint realtime --sample" in ran.err


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from stackwright.cli.main import main\n"
        "try: main(['--help'])\n"
        f"finally: print('heavy', sorted({HEAVY}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "heavy []", done.stderr


def test_the_version_is_told_with_all_that_a_report_of_a_bug_needs(run: Any) -> None:
    told = run("--version")
    assert told.out == run("version").out
    assert told.out.startswith("stackwright 0.")
    document = run("--version", "--json").json
    assert document["interfaces"].startswith("0.")
    assert document["python"].startswith(platform.python_version())
    (adapter,) = [each for each in document["adapters"] if (each["slot"], each["adapter"]) == ("trainer", "lightgbm")]
    assert (adapter["distribution"], adapter["contract"]) == ("stackwright-lightgbm", TRAINERS)
    assert adapter["vendors"]["lightgbm"] == metadata.version("lightgbm")
    assert f"lightgbm {metadata.version('lightgbm')}" in told.out


def test_the_version_imports_nothing_heavy(unmeasured: dict[str, str]) -> None:
    code = f"import sys; from stackwright.cli.main import main\nmain(['--version'])\nprint('heavy', sorted({HEAVY}))"
    done = subprocess.run([sys.executable, "-c", code], env=unmeasured, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "heavy []", done.stderr


def test_a_project_is_found_where_the_command_runs(filled: Path) -> None:
    done = module("check", "--json", cwd=filled)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plan"]["offline"] == "duckdb"


def test_a_mistake_ends_the_process_with_1_and_without_a_traceback(tmp_path: Path) -> None:
    done = module("check", "--project", tmp_path)
    assert done.returncode == 1
    assert "no blueprint.toml here" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_problems_of_a_blueprint_are_told_at_once_and_the_exit_code_is_1(project: Any, run: Any) -> None:
    folder = project(blueprint='nme = "a"\nregistry = "fils"\n[compute]\nadapter = "local"\nworker = 2\n')
    ran = run("check", "--project", folder)
    assert ran.code == 1
    assert ran.out.startswith("4 problems\n")
    assert [problem["found"] for problem in run("check", "--project", folder, "--json").json["problems"]] == [
        "unknown key 'nme'",
        "name is missing",
        "no adapter named 'fils'. Installed: files, mlflow.",
        "unknown key 'worker'",
    ]


def test_a_reader_that_goes_away_is_no_error() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "stackwright.cli.main", "plugins"]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupted_verb_says_what_is_kept_and_ends_with_130(
    filled: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stackwright.workflows.inspection.check", interrupted)
    ran = run("check", "--project", filled)
    assert ran.code == 130
    assert ran.err.startswith("Interrupted.")


def test_installed_parts_are_listed_by_slot_with_where_they_come_from(run: Any) -> None:
    listed = {(row["slot"], row["name"]): row for row in run("plugins", "--json").json["plugins"]}
    assert listed["registry", "files"]["distribution"] == "stackwright-files"
    assert listed["online", "sqlite"]["capabilities"] == ["readers"]
    assert listed["blueprint", "realtime"]["state"] == "ready"
    assert ("sample", "market") in listed


def test_features_are_found_by_name_tag_owner_entity_and_text(filled: Path, run: Any) -> None:
    def found(*words: str) -> list[str]:
        return [entry["feature"] for entry in run("features", *words, "--project", filled, "--json").json["features"]]

    assert found("area") == ["homes@1:area", "valuation@1:room_size"]
    assert found("team", "listing") == ["homes@1:kind"]
    assert found("ADA", "living") == ["homes@1:area"]
    assert found("visits_30d") == ["visits@1:visits_30d"]
    assert found("no such thing") == []
    assert len(found()) == 5


def test_where_nothing_is_applied_no_feature_is_found_and_that_is_told(project: Any, run: Any) -> None:
    assert run("features", "--project", project(blueprint='name = "a"\n')).out.endswith("Run: stackwright apply\n")


def test_a_table_shows_numbers_short_and_nothing_as_a_dash(filled: Path, run: Any) -> None:
    lines = run("features", "minutes", "--project", filled).out.splitlines()
    assert lines[0] == "1 features"
    assert lines[1].split() == ["feature", "type", "entity", "owner", "used", "by", "description"]
    assert lines[2].split() == ["visits@1:minutes", "float64", "home", "-", "-", "-"]
