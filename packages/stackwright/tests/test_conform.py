"""``stackwright conform``: an installed adapter put through its kit, without a test file of its author's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from servers import PostgresServer, RedisServer

from stackwright.assembly.blueprint import BlueprintProblems
from stackwright.workflows.adapters.conformance import conform, find
from stackwright.workflows.adapters.new import new_adapter
from stackwright_interfaces.errors import AdapterNotInstalled, PluginError, UsageError
from stackwright_storage import open_storage

STORE = {
    "write": """
        greatest = {row.key: row for row in sorted(rows, key=lambda row: row.order, reverse=True)[::-1]}
        held = self.rows
        taken = [greatest[row.key] is row and row.order > held.get((view, row.key), NONE).order for row in rows]
        held.update({(view, row.key): row for row, took in zip(rows, taken, strict=True) if took})
        return taken
""",
    "read": """
        found = [[self.rows.get((view, key)) for key in some] for view, some in zip(views, keys, strict=True)]
        return [[None if row is None else row.payload for row in rows] for rows in found]
""",
    "scan": "return iter([row for (name, _), row in self.rows.items() if name == view])",
    "drop": """
        wanted = None if keys is None else set(keys)
        gone = [place for place in self.rows if place[0] == view and (wanted is None or place[1] in wanted)]
        for place in gone:
            del self.rows[place]
        return len(gone)
""",
}
"""Bodies of an online store in memory."""

Written = Callable[..., Path]


@pytest.fixture
def shelf(tmp_path: Path, install: Callable[[Path], None]) -> Written:
    """Writes and installs the online store ``shelf``, with these bodies of its methods, and this declaration."""

    def write(bodies: Mapping[str, str] = STORE, told: str = "") -> Path:
        folder = tmp_path / "shelf"
        new_adapter("online", "shelf", folder)
        home = folder / "src/stackwright_shelf"
        adapter = (home / "adapter.py").read_text()
        for method, body in bodies.items():
            line = f'raise NotImplementedError("ShelfOnlineStore.{method} is to be written")'
            assert line in adapter
            adapter = adapter.replace(line, body.strip())
        adapter = adapter.replace("self.config = config", "self.rows: dict[tuple[str, bytes], OnlineRow] = {}")
        (home / "adapter.py").write_text(f"{adapter}\n\nNONE = OnlineRow(b'', b'', b'')\n")
        if told:
            (home / "conformance.py").write_text(f"class Told:\n    {told}\n")
            plugin = (home / "plugin.py").read_text()
            named = 'conformance="stackwright_shelf.conformance:Told",\n            description='
            (home / "plugin.py").write_text(plugin.replace("description=", named))
        install(folder)
        return folder

    return write


def test_an_adapter_that_is_right_conforms(shelf: Written) -> None:
    shelf()
    found = conform(find("shelf"), only="token")
    assert found.ok, found.outcome
    assert {case.result for case in found.cases} == {"passed"}
    tokens = [case.name for case in found.cases if case.title == "tokens compare as unsigned bytes"]
    assert len(set(tokens)) == 8, "each set of parameters is a case"


def test_what_an_adapter_gets_wrong_is_told_with_what_was_found(shelf: Written) -> None:
    shelf({**STORE, "read": "return [[None for _ in some] for some in keys]"})
    found = conform(find("shelf"), only="a_new_key_is_stored")
    (case,) = found.cases
    assert not found.ok
    assert (case.result, case.title) == ("failed", "a new key is stored")
    assert "[[None]] == [[b'one']]" in case.reason
    assert "testing/online_store.py" in case.detail


def test_a_capability_that_is_not_declared_need_not_be_met(shelf: Written) -> None:
    shelf()
    found = conform(find("shelf"), only="reader_refuses")
    (case,) = found.cases
    assert (case.name, case.result) == ("test_a_reader_refuses_to_write_and_to_drop", "not applicable")
    assert case.reason == "it does not declare readers"


def test_the_declaration_of_an_adapter_says_what_it_cannot_meet_and_what_says_nothing_of_it(shelf: Written) -> None:
    broken = {**STORE, "write": "return [True for _ in rows]"}
    unmet = '{"test_an_equal_token_is_not_stored_again": "it forgets"}'
    shelf(broken, told=f'unmet = {unmet}\n    inapplicable = {{"test_an_empty_payload_is_not_absence": "it has none"}}')
    found = conform(find("shelf"), only="an_e")
    told = {case.name: (case.result, case.reason) for case in found.cases}
    assert told["test_an_equal_token_is_not_stored_again"] == ("expected failure", "it forgets")
    assert told["test_an_empty_payload_is_not_absence"] == ("not applicable", "it has none")


def test_half_of_a_store_meets_the_cases_of_a_whole_one(shelf: Written) -> None:
    shelf(told="durable = False")
    found = conform(find("shelf"), only="newer")
    assert found.ok, found.outcome
    assert [(number, met) for number, _, met in found.matrix] == [("26", "yes"), ("33", "yes")]
    assert "a newer null wins over an older value" in str(found.outcome)


@pytest.mark.nightly
def test_a_case_of_a_whole_store_that_is_not_met_is_told_with_its_number_and_reason(shelf: Written) -> None:
    shelf({**STORE, "drop": "return 0"}, told="durable = False")
    found = conform(find("shelf"), only="test_a_deleted_key_is_gone")
    assert not found.ok
    assert found.matrix == (("41", "a deletion reaches both paths, and a replay does not undo it", "no"),)
    assert [note[:15] for note in found.notes] == ["shelf, case 41:"]
    assert "a deleted key is gone on both paths" in str(found.outcome)


@pytest.mark.nightly
def test_a_declaration_may_speak_of_the_cases_of_the_half_and_of_the_whole_store(shelf: Written) -> None:
    told = {"test_a_newer_null_wins_over_an_older_value": "one", "test_an_equal_token_is_not_stored_again": "other"}
    shelf(told=f"inapplicable = {told}")
    whole = conform(find("shelf"), only="test_a_newer_null")
    assert [(case.result, case.reason) for case in whole.cases] == [("not applicable", "one")]
    assert [met for _, _, met in whole.matrix] == ["not applicable"]
    (half,) = conform(find("shelf"), only="test_an_equal_token").cases
    assert half.reason == "other"


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("adapter", "slot"), [("duckdb", "offline"), ("sqlite", "online"), ("memory", "offline")])
def test_every_case_of_a_whole_store_is_shown(adapter: str, slot: str) -> None:
    found = conform(find(adapter, slot))
    assert found.ok, found.outcome
    assert [(int(number), met) for number, _, met in found.matrix] == [(case, "yes") for case in range(1, 46)]


BY_NIGHT = pytest.param("", marks=[pytest.mark.nightly, pytest.mark.timeout(900)])


@pytest.mark.parametrize("only", ["newer", BY_NIGHT])
def test_nothing_is_left_on_a_redis_server(start_redis: Callable[..., RedisServer], only: str) -> None:
    server = start_redis("--appendonly", "no")
    found = conform(find("redis", "online"), {"url": server.url}, only=only)
    assert found.ok, found.outcome
    assert found.matrix
    with server.raw() as raw:
        assert raw.keys() == []


@pytest.mark.parametrize(
    ("adapter", "only"),
    [
        ("storage", "can_be_stored"),
        ("files", "same_digest_again"),
        pytest.param("storage", "", marks=pytest.mark.nightly),
    ],
)
def test_nothing_is_left_on_s3(s3: Callable[[], str], adapter: str, only: str) -> None:
    url = s3()
    found = conform(find(adapter), {"url": url.replace("some/prefix", "some/{name}")}, only=only)
    assert found.ok, found.outcome
    assert list(open_storage(url.replace("some/prefix", "some")).list()) == []


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_nothing_is_left_on_a_postgresql_server(start_postgres: Callable[[], PostgresServer]) -> None:
    server = start_postgres()
    found = conform(find("postgres", "online"), {"url": server.url()})
    assert found.ok, found.outcome
    assert found.matrix
    with psycopg.connect(server.url()) as raw:
        assert raw.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == []


@pytest.mark.nightly
@pytest.mark.parametrize("adapter", ["python", "onnx"])
def test_a_trainer_of_what_a_project_holds_brings_it_along(adapter: str) -> None:
    found = conform(find(adapter, "trainer"))
    assert found.ok, found.outcome
    assert found.counts["passed"] > 30


@pytest.mark.nightly
def test_what_is_met_after_all_is_a_failure(shelf: Written) -> None:
    shelf(told='unmet = {"test_a_new_key_is_stored": "it forgets"}')
    (case,) = conform(find("shelf"), only="a_new_key_is_stored").cases
    assert (case.result, case.reason) == ("failed", "[XPASS(strict)] it forgets")


@pytest.mark.nightly
def test_a_declaration_of_a_test_that_does_not_exist_is_told(shelf: Written) -> None:
    shelf(told='inapplicable = {"test_gone": "it was renamed"}')
    with pytest.raises(PluginError, match="inapplicable names test_gone, which is no test"):
        conform(find("shelf"), only="a_new_key_is_stored")


def test_a_declaration_that_cannot_be_imported_is_told(shelf: Written) -> None:
    folder = shelf(told="durable = False")
    (folder / "src/stackwright_shelf/conformance.py").write_text("import no_such_vendor\n")
    with pytest.raises(PluginError, match=r"'stackwright_shelf.conformance:Told' cannot be imported .*no_such_vendor"):
        conform(find("shelf"))


def test_a_case_that_hangs_fails_and_the_others_have_not_been_run(shelf: Written) -> None:
    shelf({**STORE, "write": "import time; time.sleep(600)"})
    found = conform(find("shelf"), only="tokens_compare", patience=2)
    assert found.cases[0].reason == "it did not end within 2 seconds"
    assert [case.result for case in found.cases] == ["failed", *["not run"] * 7]
    assert not found.ok
    assert "may be there yet, under names with kit_" in found.notes[-1]


def test_a_case_that_takes_the_process_with_it_fails(shelf: Written) -> None:
    shelf({**STORE, "write": "import os; os._exit(7)"})
    first, *others = conform(find("shelf"), only="tokens_compare").cases
    assert (first.result, first.reason) == ("failed", "the process ended with code 7")
    assert {case.result for case in others} == {"not run"}


def test_an_option_is_of_the_adapter_and_of_its_kind() -> None:
    with pytest.raises(BlueprintProblems, match=r"unknown key 'pth'\. Did you mean 'path'"):
        conform(find("sqlite"), {"pth": "x"})
    with pytest.raises(BlueprintProblems, match="timeout is 'long', a str"):
        conform(find("redis", "online"), {"timeout": "long"})


def test_an_option_that_must_be_given_is_asked_for() -> None:
    with pytest.raises(UsageError, match=r"adapter 'postgres': url must be given. Add: --set url=\.\.\."):
        conform(find("postgres"))


def test_tests_are_kept_apart_on_a_server_that_they_share() -> None:
    with pytest.raises(UsageError, match=r"prefix is 'production', but every test needs one of its own"):
        conform(find("redis", "online"), {"prefix": "production"})


def test_a_storage_is_tested_by_its_url(tmp_path: Path) -> None:
    found = conform(find("storage"), {"url": f"{tmp_path}/{{name}}"}, only="as_it_was_put")
    assert (found.ok, found.slot) == (True, "storage"), found.outcome
    assert [path.name[:4] for path in tmp_path.iterdir()] == ["kit_"]
    with pytest.raises(UsageError, match="every test needs one of its own"):
        conform(find("storage"), {"url": str(tmp_path)})


def test_paths_lie_in_folders_of_the_kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = conform(find("sqlite"), {"path": "data/online.db"}, only="a_new_key_is_stored")
    assert found.ok, found.outcome
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_adapter_has_or_that_several_have_is_told() -> None:
    with pytest.raises(AdapterNotInstalled, match="Did you mean 'sqlite'"):
        find("sqlit")
    with pytest.raises(AdapterNotInstalled, match=r"no adapter named 'sqlite'\. Installed: .*files"):
        find("sqlite", "registry")
    with pytest.raises(UsageError, match=r"fills the slots offline and online\. Add: --slot offline"):
        find("memory")
    with pytest.raises(UsageError, match=r"there is no such slot\. Did you mean 'online'"):
        find("memory", "onlin")


def test_without_the_kit_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(PluginError, match=r"Run: pip install 'stackwright-interfaces\[testing\]'"):
        conform(find("sqlite"))


def test_the_engine_itself_imports_no_pytest(unmeasured: dict[str, str]) -> None:
    code = "import sys, stackwright.workflows.adapters.conformance; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=unmeasured, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_command_line_prints_the_matrix_and_ends_with_1_on_a_failure(shelf: Written, run: Any) -> None:
    shelf({**STORE, "read": "return [[None for _ in some] for some in keys]"})
    done = run("conform", "shelf", "--case", "tokens_compare")
    assert done.code == 1
    assert "shelf (online): does not conform; 8 failed" in done.out
    assert "tokens compare as unsigned bytes  failed  " in done.out
    good = run("conform", "shelf", "--slot", "online", "--case", "reader_refuses", "--json")
    assert (good.code, good.json["counts"]) == (0, {"not applicable": 1})
    assert good.json["cases"][0]["reason"] == "it does not declare readers"


def test_options_of_the_command_line_are_read_as_the_adapter_takes_them(run: Any) -> None:
    done = run("conform", "sqlite", "--set", "path=x.db", "--set", "no=1", "--json")
    assert (done.code, "unknown key 'no'" in done.out) == (1, True)
    assert run("conform", "sqlite", "--set", "path").code == 2
