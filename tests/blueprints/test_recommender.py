"""The recommender blueprint on the sample market, the whole way, by one command."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.monitoring.report import report
from stackwright.workflows.recommending.asking import Question, recommend
from stackwright_interfaces.errors import MonitorError

Run = Callable[..., dict[str, Any]]

SMALL = ("listings=300", "events=5000", "persons=150", "months=6", "live_months=2")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recommender") / "homes"


@pytest.fixture(scope="module")
def first(project: Path, run: Run) -> dict[str, Any]:
    options = [part for option in SMALL for part in ("--set", option)]
    run("new", project, "--blueprint", "recommender", "--sample", *options)
    text = (project / "blueprint.toml").read_text()
    quick = text.replace("folds = 2", "folds = 1, trees = 10, candidates = 20").replace("workers = 2", "workers = 1")
    quick = quick.replace("explore = 0.02", "explore = 0.0")
    quick = quick.replace("min_gain = 0.05 }", "min_gain = 0.05 }, reproducible = false, latency = { lists = 10 }")
    (project / "blueprint.toml").write_text(quick)
    return run("up", "--project", project)


def test_every_step_is_done_in_order_and_every_gate_is_green(first: dict[str, Any]) -> None:
    steps = ["project", "features", "history", "online", "training", "promotion", "lists", "serving"]
    assert [step["step"] for step in first["steps"]] == steps
    assert all(step["changed"] for step in first["steps"][1:])
    assert first["model"] == "homes@1"


def test_lists_are_better_than_what_is_popular_also_for_someone_unknown(first: dict[str, Any]) -> None:
    measured = first["metrics"]
    assert measured["ndcg"] > 1.5 * measured["popular_ndcg"]
    assert measured["session_ndcg"] > measured["popular_ndcg"]
    assert 0 < measured["cold_items"] < 1


def test_the_server_answers_searches_and_follows_what_is_pushed(first: dict[str, Any]) -> None:
    served = first["served"]
    assert served["requests"] > 20
    assert len(served["before"]) == len(served["after"]) == 10
    assert served["before"] != served["after"]


def test_the_lists_that_were_asked_for_on_the_way_are_tests_and_no_report_counts_them(
    project: Path, first: dict[str, Any]
) -> None:
    with Stack(project) as stack:
        with closing(journal.lists(stack)) as reader:
            logged = reader.read("homes").lists
        assert [one["arm"] for one in logged] == ["test"] * (first["served"]["requests"] + 2)
        with pytest.raises(MonitorError, match="no list is logged"):
            report(stack, "homes")


def test_lists_of_all_people_lie_in_a_file(project: Path, first: dict[str, Any]) -> None:
    table = pyarrow.parquet.read_table(project / "lists.parquet")
    assert len(set(table["user"].to_pylist())) == first["lists"]["users"] > 50
    agents = pyarrow.parquet.read_table(project / "sample" / "listings.parquet", columns=["listing_id", "agent_id"])
    of = dict(zip(agents["listing_id"].to_pylist(), agents["agent_id"].to_pylist(), strict=True))
    rows = table.to_pylist()
    for user in sorted({row["user"] for row in rows})[:20]:
        shown = [of[row["item"]] for row in rows if row["user"] == user]
        assert max(shown.count(agent) for agent in shown) <= 3


def test_homes_are_alike_and_strangers_get_a_list_by_what_they_look_at(project: Path, first: dict[str, Any]) -> None:
    home = first["served"]["before"][0]
    with Stack(project) as stack:
        alike = recommend(stack, Question(like=home)).data["items"]
        assert home not in alike
        assert len(alike) == 10
        stranger = recommend(stack, Question(user="nobody", session=alike[:3])).data
    assert not stranger["cold_user"]
    assert not set(alike[:3]) & set(stranger["items"])


@pytest.mark.nightly
def test_a_second_run_finds_nothing_to_do(project: Path, first: dict[str, Any], run: Run) -> None:
    again = run("up", "--project", project)
    assert [step["step"] for step in again["steps"] if step["changed"]] == []
    assert again["model"] == first["model"]
