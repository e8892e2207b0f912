"""The recipes for schedulers: they are what their schedulers read, and every command in them is one of ours."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from stackwright.cli.parsing import parser

RECIPES = Path(__file__).parents[2] / "docs" / "schedulers"
COMMAND = re.compile(r"stackwright ([^'\"&\n]+)")


class Tasks:
    """Stands in for Airflow: tasks in the order in which they follow each other."""

    def __init__(self) -> None:
        self.dags: dict[str, list[tuple[str, str]]] = {}
        self.commands: dict[str, str] = {}
        outer, self._dag = self, ""

        class DAG:
            def __init__(self, name: str, **_given: Any) -> None:
                self.name = name

            def __enter__(self) -> None:
                outer._dag = self.name
                outer.dags[self.name] = []

            def __exit__(self, *_: object) -> None:
                outer._dag = ""

        class BashOperator:
            def __init__(self, *, task_id: str, bash_command: str) -> None:
                self.task_id = task_id
                outer.commands[f"{outer._dag}.{task_id}"] = bash_command

            def __rshift__(self, other: Any) -> Any:
                outer.dags[outer._dag].append((self.task_id, other.task_id))
                return other

        self.DAG, self.BashOperator = DAG, BashOperator


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Tasks:
    tasks = Tasks()
    names = ["airflow", "airflow.sdk", "airflow.providers", "airflow.providers.standard"]
    names += ["airflow.providers.standard.operators", "airflow.providers.standard.operators.bash"]
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["airflow.sdk"].DAG = tasks.DAG  # type: ignore[attr-defined]
    sys.modules[names[-1]].BashOperator = tasks.BashOperator  # type: ignore[attr-defined]
    return tasks


def assert_a_command(text: str) -> str:
    words = shlex.split(text.replace("{{ data_interval_end.isoformat() }}", "2026-01-01T00:00:00+00:00"))
    verb: str = parser().parse_args(words).verb
    return verb


@pytest.mark.parametrize("name", ["crontab", "Jenkinsfile", "github-actions.yml"])
def test_every_command_of_a_recipe_is_one_of_ours(name: str) -> None:
    verbs = [assert_a_command(found) for found in COMMAND.findall((RECIPES / name).read_text())]
    wanted = ["train", "promote", "deploy"]
    assert [verb for verb in verbs if verb in wanted] == ["train", "promote", "deploy", "deploy"]


def test_the_dags_run_the_verbs_in_their_order(airflow: Tasks) -> None:
    runpy.run_path(str(RECIPES / "airflow_dag.py"))
    assert airflow.dags["valuations_nightly"] == [("ingest", "score")]
    weekly = ["train", "promote", "stage", "verify", "release", "report"]
    assert airflow.dags["valuations_weekly"] == list(pairwise(weekly))
    verbs = {name: assert_a_command(line.removeprefix("stackwright ")) for name, line in airflow.commands.items()}
    assert verbs["valuations_nightly.score"] == "job"
    assert [verbs[f"valuations_weekly.{name}"] for name in weekly] == [
        "train", "promote", "deploy", "verify", "deploy", "report",
    ]  # fmt: skip


def test_the_workflow_is_one_that_github_reads() -> None:
    found = yaml.safe_load((RECIPES / "github-actions.yml").read_text())
    (job,) = found["jobs"].values()
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    assert found[True]["schedule"] == [{"cron": "0 5 * * 0"}]  # YAML 1.1 reads the key `on` as true


def test_each_line_of_the_crontab_has_five_fields_and_a_command() -> None:
    lines = [line for line in (RECIPES / "crontab").read_text().splitlines() if line and line[0] in "0123456789*"]
    assert len(lines) == 5
    for line in lines:
        *fields, command = line.split(maxsplit=5)
        assert all(re.fullmatch(r"\*(/\d+)?|\d+", field) for field in fields)
        assert command.startswith("cd $PROJECT && stackwright ")


def test_the_page_names_every_recipe() -> None:
    page = (RECIPES.parent / "schedulers.md").read_text()
    assert all(f"schedulers/{path.name}" in page for path in RECIPES.iterdir() if path.is_file())
