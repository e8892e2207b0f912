"""Recommenders by the command line: from a file of interactions to lists, past the gates."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import pytest

from stackwright.assembly.recommender_part import HoldoutPart
from stackwright.assembly.stack import Stack
from stackwright.cli.main import main
from stackwright.notebook import NotebookStack
from stackwright.workflows.recommending import tables
from stackwright.workflows.recommending.holding_out import arranged, hold_out
from stackwright_interfaces.errors import DataError, MissingColumn, TrainingError, WrongType
from stackwright_interfaces.recommender import AtMost, Interactions, Pinned
from stackwright_interfaces.testing import recommender_town as town

BLUEPRINT = """\
name = "homes"

[recommenders.homes]
trainer = { adapter = "recommender", folds = 1, candidates = 15, trees = 10 }
holdout = { share = 0.25 }
gates = { latency = { lists = 10 }, candidate_recall = { share = 0.3 } }

[recommenders.homes.interactions]
source = "looks.csv"
user = "who"
item = "what"
time = "when"

[recommenders.homes.items]
source = "homes.parquet"
item = "item"
attributes = ["kind"]
numbers = ["rooms"]
group = "agent"
price = "asking"
until = "sold"

[recommenders.homes.list]
n = 5
rules = [{ at_most = { count = 3 } }]

[registry]
adapter = "files"
"""


OFF = "reproducible = false, latency = false, contract = false, artifact = false"
"""Gates that need not judge twice."""


def write_town(folder: Path) -> None:
    looks = town.interactions().table.rename_columns(["who", "what", "when"])
    pyarrow.csv.write_csv(looks, folder / "looks.csv")
    pyarrow.parquet.write_table(town.items().table, folder / "homes.parquet")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("homes")
    write_town(folder)
    (folder / "blueprint.toml").write_text(BLUEPRINT)
    return folder


@pytest.fixture(scope="module")
def trained(project: Path) -> dict[str, Any]:
    with NotebookStack(project, progress=lambda *_: None) as stack:
        data = dict(stack.train().data)
        stack.promote("homes")
    return data


@pytest.fixture
def ask(project: Path, trained: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def ask(*arguments: object, code: int = 0) -> dict[str, Any]:
        assert main([*map(str, arguments), "--project", str(project), "--json"]) == code
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return ask


def test_training_judges_by_what_was_held_out_and_passes_every_gate(trained: dict[str, Any]) -> None:
    assert trained["model"] == "homes@1"
    assert set(trained["gates"]) == {
        "contract", "reproducible", "baseline", "candidate_recall", "champion", "artifact", "latency",
    }  # fmt: skip
    assert all(trained["gates"].values())
    measured = trained["metrics"]
    assert measured["ndcg"] > 1.5 * measured["popular_ndcg"]
    assert measured["session_ndcg"] > measured["cold_ndcg"]
    assert measured["candidate_recall"] >= measured["recall"]
    assert 0 < measured["coverage"] <= 1


def test_the_same_data_and_settings_are_not_learned_again(ask: Callable[..., Any]) -> None:
    again = ask("train")
    assert again["changed"] is False
    assert again["model"] == "homes@1"


def test_models_and_runs_tell_of_it(ask: Callable[..., Any], trained: dict[str, Any]) -> None:
    (model,) = ask("models")["models"]
    assert model["aliases"] == ["champion"]
    assert model["gates"] == "green"
    (run,) = [run for run in ask("runs")["runs"] if run["status"] == "finished"]
    assert {"interactions", "fit", "evaluate", "refit", "gates", "publish"} <= set(run["steps"])
    card = ask("models show", "homes")
    assert card["task"] == "recommendation"
    assert card["metrics"] == trained["metrics"]
    assert [item["slice"] for item in card["slices"]] == ["short histories", "middling histories", "long histories"]
    assert sum(item["users"] for item in card["slices"]) == town.PEOPLE
    assert card["data"]["train"]["rows"] == town.interactions().table.num_rows


def test_a_person_gets_a_list_by_the_rules_of_the_blueprint(ask: Callable[..., Any]) -> None:
    found = ask("recommend", "--user", "p01")
    assert len(found["items"]) == 5
    assert not set(found["items"]) & town.seen("p01")
    agents = dict(zip(*(town.items().table[name].to_pylist() for name in ("item", "agent")), strict=True))
    shown = [agents[home] for home in found["items"]]
    assert max(shown.count(agent) for agent in shown) <= 3
    assert not found["cold_user"]


def test_a_search_a_session_and_what_is_alike_are_asked_for_by_hand(ask: Callable[..., Any]) -> None:
    search = ask("recommend", "homes@1", "--user", "p01", "--candidates", "h010,h011,nowhere", "-n", 2)
    assert sorted(search["items"]) == ["h010", "h011"]
    assert search["unknown"] == ["nowhere"]
    lofts = [home for home, kind in town.KIND.items() if kind == "loft"][:3]
    session = ask("recommend", "--session", ",".join(lofts))
    assert [town.KIND[home] for home in session["items"]].count("loft") >= 3
    alike = ask("recommend", "--like", lofts[0])
    assert [town.KIND[home] for home in alike["items"]].count("loft") >= 3
    assert ask("recommend", "--user", "stranger")["cold_user"]
    cheap = ask("recommend", "--user", "p01", "--budget", 105_000, "-n", 50)
    assert set(cheap["items"]) <= {f"h{number:03}" for number in range(6)}


def test_what_is_not_known_is_told(ask: Callable[..., Any]) -> None:
    (problem,) = ask("recommend", "--like", "nowhere", code=2)["problems"]
    assert "'nowhere' is not in the catalogue" in problem["found"]
    (problem,) = ask("recommend", "home", code=1)["problems"]
    assert "stackwright train" in problem["todo"] or "home" in problem["where"]


def test_what_predicts_rows_says_that_a_recommender_does_not(ask: Callable[..., Any], tmp_path: Path) -> None:
    for arguments in (["predict", "who=p01"], ["predict", "who=p01", "--model", "homes"]):
        (problem,) = ask(*arguments, code=2)["problems"]
        assert problem["todo"] == "Run: stackwright recommend"
    (problem,) = ask("export", "homes", tmp_path / "out", code=2)["problems"]
    assert problem["todo"] == "Write its lists for the device: stackwright recommend homes@1 --to OUT"


def test_the_lists_of_all_users_are_written_as_each_would_get_them(
    ask: Callable[..., Any], tmp_path: Path, project: Path
) -> None:
    at = "2024-02-01T00:00:00Z"
    written = ask("recommend", "--to", tmp_path / "lists.parquet", "--at", at)
    assert written["users"] == town.PEOPLE
    table = pyarrow.parquet.read_table(tmp_path / "lists.parquet")
    assert table.column_names == ["user", "position", "item", "score", "cold", "model", "asked_at"]
    rows = [row for row in table.to_pylist() if row["user"] == "p07"]
    assert [row["position"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["item"] for row in rows] == ask("recommend", "--user", "p07", "--at", at)["items"]
    assert table["asked_at"][0].as_py() == datetime(2024, 2, 1, tzinfo=UTC)
    ask("recommend", "--to", tmp_path / "lists.csv", "--at", at, "-n", 1)
    assert pyarrow.csv.read_csv(tmp_path / "lists.csv").num_rows == town.PEOPLE
    refused = ask("recommend", "--to", tmp_path / "more.parquet", "--user", "p01", code=2)
    assert "lists of all users" in refused["problems"][0]["found"]
    assert not list((project / ".stackwright" / "cache").glob("lists-*"))


def test_what_came_since_tells_it_from_the_champion(tmp_path: Path) -> None:
    write_town(tmp_path)
    looks = pyarrow.csv.read_csv(tmp_path / "looks.csv")
    early = pc.less(looks["when"], pa.scalar(town.START + timedelta(days=10)).cast(looks["when"].type))
    quick = f"gates = {{ {OFF}, baseline = false, champion = {{ users = 20, min_gain = -0.3 }} }}"
    text = BLUEPRINT.replace("gates = { latency = { lists = 10 }, candidate_recall = { share = 0.3 } }", quick)
    text = text.replace("trees = 10", 'trees = 2, retrievers = ["sequences", "popular"]')
    (tmp_path / "blueprint.toml").write_text(text)
    with NotebookStack(tmp_path, progress=lambda *_: None) as stack:
        pyarrow.csv.write_csv(looks.filter(early), tmp_path / "looks.csv")
        stack.train()
        stack.promote("homes")
        pyarrow.csv.write_csv(looks, tmp_path / "looks.csv")
        stack.train()
        gates = {gate["name"]: gate for gate in stack.models_show("homes").data["gates"]}
        held = gates["champion"]
        assert held["state"] == "green"
        assert held["evidence"]["champion"] == "homes@1"
        assert 20 <= held["evidence"]["users"] < town.PEOPLE
        assert held["evidence"]["low"] < held["evidence"]["model"] - held["evidence"]["champion_ndcg"]
        assert stack.promote("homes").data["before"] == 1


def test_a_red_gate_refuses_promotion_and_roll_back_and_retirement_work(
    project: Path, trained: dict[str, Any], ask: Callable[..., Any]
) -> None:
    gates = "gates = { latency = { lists = 10 }, candidate_recall = { share = 0.3 } }"
    text = BLUEPRINT.replace(gates, f"gates = {{ {OFF}, baseline = {{ min_gain = 90.0 }} }}")
    (project / "blueprint.toml").write_text(text.replace("trees = 10", "trees = 11"))
    red = ask("train", "homes", code=1)
    assert red["gates"]["baseline"] is False
    refused = ask("promote", "homes@2", code=1)
    assert "baseline is red" in refused["problems"][0]["found"]
    ask("promote", "homes@2", "--force", "--reason", "to see")
    assert ask("rollback")["model"] == "homes@1"
    assert ask("retire", "homes@2")["retired"]
    (project / "blueprint.toml").write_text(BLUEPRINT)
    del trained


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (('user = "who"\n', ""), "user is missing"),
        (('adapter = "recommender"', 'adapter = "recomender"'), "recomender"),
        (("trees = 10", "tres = 10"), "unknown key 'tres'"),
        (("trees = 10", "trees = 0"), "trees is 0"),
        (("share = 0.25", "share = 1.5"), "share is 1.5"),
        (("latency =", "latencies ="), "no gate 'latencies'"),
        (("lists = 10", "list = 10"), "unknown option 'list'"),
        (("at_most", "most"), "is no rule"),
        (("count = 3", "count = 0"), "count is 0"),
        (('time = "when"\n', ""), "how is 'last'"),
        (("[recommenders.homes.list]", "[models.homes]\n[recommenders.homes.list]"), "is a model too"),
        (("[registry]", "[recommenders.homes.session]\nservice = 's@1'\nfeature = 'f'\n[registry]"), "no online store"),
        (('adapter = "files"', 'adapter = "files"\n[models.other]'), "service is missing"),
    ],
)
def test_check_tells_what_is_wrong_with_a_recommender(
    tmp_path: Path, change: tuple[str, str], found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = BLUEPRINT.replace(*change)
    if "how is" in found:
        text = text.replace("holdout = { share = 0.25 }", 'holdout = "last"')
    (tmp_path / "blueprint.toml").write_text(text)
    assert main(["check", "--project", str(tmp_path)]) == 1
    assert found in capsys.readouterr().out


def read(folder: Path, text: str) -> tables.Tables:
    (folder / "blueprint.toml").write_text(text)
    with Stack(folder) as stack:
        return tables.read(stack, stack.recommender())


def bare(interactions: str, more: str = "") -> str:
    return (
        f'name = "x"\n[recommenders.x]\ntrainer = "recommender"\ninteractions = {{ {interactions} }}\n{more}\n'
        '[registry]\nadapter = "files"\n'
    )


def test_a_file_without_a_header_is_read_by_names_of_columns(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("196\t242\t3\t881250949\n186\t302\t2\t891717742\n")
    named = 'source = "u.data", names = ["u", "i", "r", "t"], delimiter = "\\t"'
    found = read(tmp_path, bare(f'{named}, user = "u", item = "i", time = "t", rating = "r", relevant_from = 3'))
    table = found.interactions.table
    assert table["user"].to_pylist() == [196, 186]
    assert table["time"][0].as_py() == datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC)
    assert table["weight"].to_pylist() == [1.0, 0.0]
    assert found.fingerprint()["rows"] == 2


@pytest.mark.parametrize(
    ("lines", "options", "error", "told"),
    [
        ("a,b\n1,2\n", "", MissingColumn, "user"),
        ("user,item\n1,\n", "", DataError, "holds nothing in row 1"),
        ("user,item,w\n1,2,much\n", ', weight = "w"', DataError, "much"),
        ("user,item,t\n1,2,yesterday\n", ', time = "t"', WrongType, "yesterday"),
        ("user,item\n", "", DataError, "no rows"),
    ],
)
def test_what_cannot_be_used_of_a_file_is_told_with_its_place(
    tmp_path: Path, lines: str, options: str, error: type[Exception], told: str
) -> None:
    (tmp_path / "looks.csv").write_text(lines)
    with pytest.raises(error, match=told):
        read(tmp_path, bare(f'source = "looks.csv", user = "user", item = "item"{options}', 'holdout = "random"'))


def test_of_several_rows_of_an_item_the_newest_counts_and_the_earliest_since(tmp_path: Path) -> None:
    (tmp_path / "looks.csv").write_text("user,item,t\n1,a,1\n")
    rows = "item,at,kind,area\na,2024-01-02,flat,2\nb,2024-01-01,loft|new,7\na,2024-01-03,house,3\na,2024-01-01,,1\n"
    (tmp_path / "items.csv").write_text(rows)
    items = 'items = { source = "items.csv", item = "item", time = "at", since = "at", attributes = ["kind"], '
    items += 'numbers = ["area"] }'
    found = read(tmp_path, bare('source = "looks.csv", user = "user", item = "item", time = "t"', items)).items
    assert found is not None
    rows_of = {row["item"]: row for row in found.table.to_pylist()}
    assert rows_of["a"]["kind"] == ["house"]
    assert rows_of["b"]["kind"] == ["loft", "new"]
    assert rows_of["a"]["area"] == 3.0
    assert rows_of["a"][found.columns["since"]] == datetime(2024, 1, 1, tzinfo=UTC)


def pairs(*rows: tuple[int, int, int]) -> Interactions:
    user, item, time = zip(*rows, strict=True)
    stamps = pa.array([1_000_000 * second for second in time], pa.timestamp("us", "UTC"))
    table = pa.table({"user": pa.array(user), "item": pa.array(item), "time": stamps})
    return Interactions(table=table, columns=("user", "item", "time"))


def test_the_newest_of_each_user_are_held_out_and_pairs_whole(tmp_path: Path) -> None:
    rows = pairs((1, 10, 5), (1, 11, 1), (1, 12, 2), (1, 13, 3), (1, 11, 9), (2, 10, 1))
    held = hold_out(rows, HoldoutPart(how="last", share=0.25))
    assert held.wanted == {1: {11: 9.0}}
    assert sorted(held.older.table["item"].to_pylist()) == [10, 10, 12, 13]
    assert held.asked == {1: 9.0}
    assert held.seen == {1: (12, 13, 10)}
    assert held.users == {10: 2, 12: 1, 13: 1}
    assert held.people == 2


def test_drawn_ones_are_a_share_of_each_items_interactions() -> None:
    rng = np.random.default_rng(0)
    drawn = {(int(user), int(item)) for user, item in rng.integers(0, 12, (90, 2))}
    rows = pairs(*[(user, item, 0) for user, item in sorted(drawn)])
    held = hold_out(rows, HoldoutPart(how="random", share=0.25, seed=3))
    table = rows.table
    for item in set(table["item"].to_pylist()):
        whole, kept = (part["item"].to_pylist().count(item) for part in (table, held.older.table))
        assert kept == np.round(0.75 * whole)
    again = hold_out(rows, HoldoutPart(how="random", share=0.25, seed=3))
    assert again.wanted == held.wanted
    assert hold_out(rows, HoldoutPart(how="random", share=0.25, seed=4)).wanted != held.wanted


def test_what_is_learned_from_comes_in_the_order_of_items_whatever_the_order_of_the_source() -> None:
    rows = pairs((1, 12, 5), (1, 10, 5), (2, 11, 1), (1, 11, 5))
    assert arranged(rows).table["item"].to_pylist() == [10, 11, 11, 12]
    assert arranged(rows).table["user"].to_pylist() == [1, 2, 1, 1]


def test_nothing_to_hold_out_is_refused() -> None:
    with pytest.raises(TrainingError, match="nothing liked to hold out"):
        hold_out(pairs((1, 10, 1), (2, 11, 2)), HoldoutPart(how="last", share=0.1))


def test_rules_of_a_blueprint_are_those_of_the_contract(tmp_path: Path) -> None:
    rules = (
        "[recommenders.x.list]\nrules = [{ at_most = { count = 2, of = 'area' } }, { pin = { item = 'a', place = 1 } }]"
    )
    text = bare('source = "x.csv", user = "u", item = "i"', rules)
    (tmp_path / "blueprint.toml").write_text(text)
    assert Stack(tmp_path).recommender().list.rules == (AtMost(2, "area"), Pinned("a", 1))
