"""Command lines are completed: verbs, options, and the names of the project, in real shells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackwright.cli.verbs import VERBS

HEAVY = "{'numpy', 'pyarrow', 'duckdb', 'lightgbm', 'rich', 'stackwright.assembly.plan'} & set(sys.modules)"


@pytest.fixture
def ends(run: Any) -> Callable[[str], list[str]]:
    """Give what may end a line."""

    def ends(line: str) -> list[str]:
        ran = run("completion", "bash", f"--line={line}")
        assert (ran.code, ran.err) == (0, "")
        return list(ran.out.splitlines())

    return ends


def test_verbs_are_completed(ends: Any) -> None:
    assert set(ends("stackwright ")) == {*(verb.name for verb in VERBS if " " not in verb.name), "--help", "--version"}
    assert set(ends("stackwright de")) == {"delete-entity", "deploy", "decisions"}
    assert ends("./bin/stackwright materi") == ["materialize"]
    assert ends("stackwright nosuchverb ") == []


def test_the_second_word_of_a_verb_stands_beside_what_the_first_one_takes(ends: Any, filled: Path) -> None:
    assert ends("stackwright models sh") == ["show"]
    assert ends(f"stackwright models --project {filled} ") == ["valuation"]
    assert set(ends("stackwright runs ")) >= {"compare", "show"}
    assert ends("stackwright runs compare --j") == ["--json"]


def test_options_are_completed_but_for_those_that_are_there(ends: Any) -> None:
    assert set(ends("stackwright promote --")) == {
        "--help",
        "--alias",
        "--force",
        "--reason",
        "--json",
        "--project",
        "--env",
    }
    assert ends("stackwright promote --force --f") == []
    assert ends("stackwright completion ") == ["bash", "zsh", "fish"]


def test_names_of_the_project_are_completed_where_they_are_taken(ends: Any, filled: Path) -> None:
    at = f"--project {filled}"
    assert ends(f"stackwright ingest {at} h") == ["homes@1"]
    assert ends(f"stackwright ingest {at} homes@1 ") == []
    assert set(ends(f"stackwright materialize {at} homes@1 ")) == {"homes@1", "visits@1"}
    assert ends(f"stackwright training-set --project={filled} v") == ["valuation@1"]
    assert ends(f"stackwright delete-entity {at} ") == ["home"]
    assert ends(f"stackwright predict {at} --model ") == ["valuation"]
    assert ends(f"stackwright predict {at} --model=val") == ["--model=valuation"]
    assert "realtime" in ends("stackwright new town --blueprint ")
    assert {"uvicorn", "files"} <= set(ends("stackwright image out --for "))
    assert ends("stackwright conform sqli") == ["sqlite"]
    assert ends("stackwright swap online sqli") == ["sqlite"]
    assert ends("stackwright conform sqlite --slot onl") == ["online"]


def test_environments_and_jobs_are_those_of_the_blueprint(ends: Any, project: Any) -> None:
    folder = project(blueprint='name = "a"\n[env.staging.registry]\nadapter = "files"\n[jobs.nightly]\n[jobs.weekly]\n')
    assert ends(f"stackwright check --project {folder} --env ") == ["staging"]
    assert ends(f"stackwright deploy --project {folder} s") == ["staging"]
    assert ends(f"stackwright job --project {folder} ") == ["nightly", "weekly"]


@pytest.mark.parametrize("blueprint", ["name =", 'name = "a"\nmodels = 3\n'])
def test_a_project_that_cannot_be_read_has_no_names_and_is_no_error(ends: Any, project: Any, blueprint: str) -> None:
    assert ends(f"stackwright train --project {project(blueprint=blueprint)} ") == []
    assert ends("stackwright train --project '/no where/ at all' ") == []


def test_a_shell_that_shows_meanings_gets_them(run: Any) -> None:
    assert run("completion", "fish", "--line=stackwright roll").out == "rollback\tpoint an alias back to where it was\n"
    assert (
        run("completion", "zsh", "--line=stackwright che").out == "check:check the blueprint: every problem at once\n"
    )


def test_completing_imports_nothing_heavy(filled: Path, unmeasured: dict[str, str]) -> None:
    line = f"stackwright ingest --project {filled} h"
    code = (
        "import sys; from stackwright.cli.main import main\n"
        f"main(['completion', 'bash', '--line={line}'])\nprint('heavy', sorted({HEAVY}))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=unmeasured, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["homes@1", "heavy []"]


@pytest.fixture
def shell(filled: Path, program: Callable[..., str]) -> Callable[..., str]:
    """Run a script in a shell, in the project, with our program on the path."""

    def shell(name: str, script: str) -> str:
        variables = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            [program(name, name), "-c", script], cwd=filled, env=variables, capture_output=True, text=True, check=True
        )
        return done.stdout

    return shell


IN_BASH = """
source <(stackwright completion bash)
complete -p stackwright >&2
COMP_LINE='@LINE@'; COMP_POINT=${#COMP_LINE}
_stackwright stackwright
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("stackwright materi", ["materialize"]),
        ("stackwright ingest ho", ["homes@1"]),
        ("stackwright ingest homes@", ["1"]),
        ("stackwright predict --model=va", ["valuation"]),
        ("stackwright ingest homes@1 ./fil", [""]),
    ],
)
def test_bash_completes(shell: Any, line: str, words: list[str]) -> None:
    assert shell("bash", IN_BASH.replace("@LINE@", line)).splitlines() == words


def test_fish_completes(shell: Any) -> None:
    script = "stackwright completion fish | source; complete --do-complete 'stackwright ingest ho'"
    assert shell("fish", script).splitlines() == ["homes@1"]


IN_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
expect() { zpty -r shell found "*$1*" && print -r -- "$found"; }
zpty -w shell "PS1=; autoload -U compinit; compinit -u -d .zcompdump"
zpty -w shell "source <(stackwright completion zsh); echo set''up"
expect setup >/dev/null
zpty -n -w shell $'stackwright materi\\t'
expect 'materialize'
zpty -d shell
"""


def test_zsh_completes(shell: Any) -> None:
    assert "materialize" in shell("zsh", IN_ZSH)
