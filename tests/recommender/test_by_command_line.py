"""MovieLens 100k by the command line alone: columns are named, and what is trained is as good as asked for."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

Run = Callable[..., dict[str, Any]]

BLUEPRINT = """\
name = "movies"

[recommenders.movies]
trainer = "recommender"
holdout = { HOLDOUT }

[recommenders.movies.interactions]
source = "u.data"
names = ["user", "item", "rating", "time"]
delimiter = "\\t"
user = "user"
item = "item"
rating = "rating"
time = "time"

[registry]
adapter = "files"
"""


SECONDS = 600
"""Of CPU: five minutes of two cores."""


def train(project: Path) -> tuple[dict[str, Any], float]:
    """Train as a user does; return what came of it, and the CPU seconds of the process and its children."""
    command = [sys.executable, "-m", "stackwright.cli.main", "train", "--project", str(project), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.nightly
@pytest.mark.timeout(1800)  # of CPU it may take SECONDS; a busy machine gives them late
@pytest.mark.parametrize(
    ("holdout", "least"),
    [('how = "random", share = 0.25, seed = 42', 0.499), ('how = "last", share = 0.25', 0.304)],
    ids=["drawn by item", "the newest of each user"],
)
def test_a_file_with_names_of_its_columns_gives_a_recommender_as_good_as_asked_for(
    holdout: str, least: float, data: Callable[[str], Path], tmp_path: Path, run: Run
) -> None:
    shutil.copy(data("movielens_100k") / "u.data", tmp_path)
    (tmp_path / "blueprint.toml").write_text(BLUEPRINT.replace("HOLDOUT", holdout))
    run("check", "--project", tmp_path)
    trained, busy = train(tmp_path)
    assert busy < SECONDS
    assert trained["metrics"]["ndcg"] >= least
    assert all(trained["gates"].values())
    run("promote", "movies", "--project", tmp_path)
    found = run("recommend", "--user", "196", "-n", 10, "--project", tmp_path)
    assert len(found["items"]) == 10
    written = run("recommend", "--to", tmp_path / "lists.parquet", "--project", tmp_path)
    assert written["users"] == 943
    assert pyarrow.parquet.read_table(tmp_path / "lists.parquet").num_rows == 9_430
