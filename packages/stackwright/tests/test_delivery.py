"""Versions on their way to users, on running servers: swaps under load, trials, verification, environments."""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import stackwright
from stackwright.assembly.project import Project
from stackwright.cli.delivery import share
from stackwright.workflows import journal
from stackwright.workflows.live.endpoint import Endpoint
from stackwright.workflows.live.process import serving
from stackwright.workflows.versions.challengers import challenger_of
from stackwright_interfaces.errors import ModelNotFound, PromotionRefused, UsageError

Run = Callable[..., Any]

ENVIRONMENTS = """
[env.staging]
registry = { url = "registry-staging" }
[env.staging.deploy]
url = "${STAGING_URL}"
wait = 20
[env.production]
registry = { url = "registry-production" }
[env.production.journal]
path = "journal-production"
[env.production.deploy]
after = "staging"
url = "${PRODUCTION_URL}"
wait = 20
[env.empty]
registry = { url = "registry-empty" }
[env.empty.deploy]
url = "http://127.0.0.1:9"
wait = 0
[env.twin.deploy]
url = "http://127.0.0.1:9"
[env.shared.deploy]
url = "http://127.0.0.1:9"
alias = "shared"
wait = 0
"""


def quiet(folder: Path, env: str = "") -> Any:
    return stackwright.load(folder, env=env, progress=lambda *_: None)


@pytest.fixture(scope="session")
def two(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the champion 1 and another version, 2, which is no worse; two workers serve. To be copied."""
    folder = Path(shutil.copytree(served, tmp_path_factory.mktemp("two") / "project"))
    text = (folder / "blueprint.toml").read_text().replace("num_iterations = 30", "num_iterations = 31")
    (folder / "blueprint.toml").write_text(text + "workers = 2\n")
    with quiet(folder) as stack:
        outcome = stack.train()
        assert outcome.ok, str(outcome)
        assert outcome.data["model"] == "valuation@2"
    return folder


@dataclass
class Server:
    """A running server and its project."""

    folder: Path
    url: str
    stack: Any

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)

    def predict(self, home: int) -> dict[str, Any]:
        connection = self.connect()
        connection.request("POST", "/predict/valuation", json.dumps({"home_id": f"{home:04}", "rooms": 3}))
        response = connection.getresponse()
        body: dict[str, Any] = json.loads(response.read())
        connection.close()
        assert response.status == 200, body
        return body

    def until_served(self, version: int, trial: tuple[float, bool] | None = None) -> None:
        """Wait until many looks in a row, which reach both workers, find a version, and share and shadow beside it."""
        deadline = time.monotonic() + 20
        while {self._look() for _ in range(20)} != {(version, trial)}:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def _look(self) -> tuple[int, tuple[float, bool] | None]:
        connection = self.connect()
        connection.request("GET", "/models")
        (model,) = json.loads(connection.getresponse().read())["models"]
        connection.close()
        beside = model.get("challenger")
        return model["version"], (beside["share"], beside["shadow"]) if beside else None

    def reset(self) -> None:
        """Serve version 1 alone."""
        if challenger_of(self.stack, "valuation") is not None:
            self.stack.canary("valuation", end=True)
        self.stack.promote("valuation@1", force=True, reason="a new test")
        self.until_served(1)


@pytest.fixture(scope="module")
def server(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = Path(shutil.copytree(two, tmp_path_factory.mktemp("live") / "project"))
    with quiet(folder) as stack, serving(Project.find(folder)) as url:
        yield Server(folder, url, stack)


@dataclass
class Load:
    """Clients that ask on and on, and keep what they were answered."""

    server: Server
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def client(self, start: int) -> None:
        connection = self.server.connect()
        for number in itertools.count(start):
            if self.done.is_set():
                break
            body = json.dumps({"home_id": f"{number % 300:04}", "rooms": 3})
            connection.request("POST", "/predict/valuation", body)
            response = connection.getresponse()
            self.answers.append((response.status, json.loads(response.read())))
        connection.close()


@contextmanager
def under_load(server: Server, clients: int = 6) -> Iterator[Load]:
    load = Load(server)
    threads = [threading.Thread(target=load.client, args=(number * 50,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.done.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()


def test_a_promotion_and_a_roll_back_under_load_lose_no_request(server: Server) -> None:
    server.reset()
    with under_load(server) as load:
        server.stack.promote("valuation@2")
        server.until_served(2)
        server.stack.rollback("valuation")
        server.until_served(1)
    assert len(load.answers) > 200
    assert {status for status, _ in load.answers} == {200}
    versions = Counter((answer["version"], answer["digest"]) for _, answer in load.answers)
    assert {version for version, _ in versions} == {1, 2}
    assert len(versions) == 2, "a version has one digest in every answer"
    time.sleep(1.5)  # what is queued is written after a second
    ids = {row["prediction_id"]: answer for _, answer in load.answers for row in answer["predictions"]}
    logged = journal.predictions(server.stack).find_all(list(ids))
    assert set(logged) == set(ids)
    assert all(logged[name]["version"] == answer["version"] for name, answer in ids.items())


def test_a_canary_answers_for_its_share_and_the_journal_says_so(server: Server, run: Run) -> None:
    server.reset()
    begun = run("canary", "valuation", 2, "--share", "40%", "--project", server.folder, "--json")
    assert begun.code == 0, begun.err
    assert (begun.json["challenger"], begun.json["share"], begun.json["shadow"]) == ("valuation@2", 0.4, False)
    server.until_served(1, (0.4, False))
    first = {home: server.predict(home) for home in range(60)}
    again = {home: server.predict(home) for home in range(60)}
    arms = Counter(answer["arm"] for answer in first.values())
    assert 10 < arms["canary"] < 40
    for home, answer in first.items():
        assert answer["version"] == {"live": 1, "canary": 2}[answer["arm"]]
        assert answer["arm"] == again[home]["arm"]
    time.sleep(1.5)
    ids = {answer["predictions"][0]["prediction_id"]: answer["arm"] for answer in first.values()}
    logged = journal.predictions(server.stack).find_all(list(ids))
    assert {name: record["arm"] for name, record in logged.items()} == ids
    ended = run("canary", "valuation", "--end", "--project", server.folder)
    assert (ended.code, ended.out.splitlines()[0]) == (0, "valuation@2 is on trial no more")
    server.until_served(1)


def test_a_shadow_leaves_its_predictions_in_the_journal_alone(server: Server) -> None:
    server.reset()
    server.stack.canary("valuation", 2, shadow=True)
    server.until_served(1, (0.0, True))
    answers = [server.predict(home) for home in range(10)]
    assert {(answer["arm"], answer["version"]) for answer in answers} == {("live", 1)}
    time.sleep(2)
    wanted = {answer["request_id"] for answer in answers}
    logged = [line for line in journal.predictions(server.stack).records() if line["request_id"] in wanted]
    assert Counter((line["arm"], line["version"]) for line in logged) == {("live", 1): 10, ("shadow", 2): 10}


def test_verify_is_green_for_what_is_served_and_says_what_it_held(server: Server, run: Run) -> None:
    server.reset()
    ran = run("verify", server.url, "home_id=0007", "rooms=3", "--project", server.folder, "--json", "--p99-ms", "5000")
    assert ran.code == 0, ran.out
    (model,) = ran.json["models"]
    assert (model["model"], model["ok"]) == ("valuation@1", True)
    assert {check["name"]: check["passed"] for check in model["checks"]} == dict.fromkeys(
        ("ready", "version", "schema", "golden", "errors", "keys", "latency"), True
    )
    time.sleep(1.5)
    arms = Counter(line["arm"] for line in journal.predictions(server.stack).records() if not line["keys"])
    assert set(arms) == {"test"}, "golden rows are no predictions that a report judges"


def test_verify_is_red_where_another_version_answers_or_too_slowly(server: Server, run: Run) -> None:
    server.reset()
    ran = run("verify", server.url, "--model", "valuation@2", "--p99-ms", "0.001", "--project", server.folder)
    assert ran.code == 1
    assert ran.out.startswith(f"{server.url} does not hold: ")
    lines = {line.split()[1]: line for line in ran.out.splitlines() if line.startswith("valuation@2")}
    assert "RED" in lines["version"]
    assert "RED" in lines["golden"]
    assert "RED" in lines["latency"]
    assert "green" in lines["errors"]
    nobody = run("verify", "http://127.0.0.1:9", "--project", server.folder)
    assert (nobody.code, "cannot be asked" in nobody.err) == (1, True)
    assert run("verify", "somewhere", "--project", server.folder).code == 2


@pytest.fixture(scope="module")
def environments(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Staging and production, each with a registry and a server of its own that run version 1."""
    folder = Path(shutil.copytree(two, tmp_path_factory.mktemp("environments") / "project"))
    (folder / "blueprint.toml").write_text((folder / "blueprint.toml").read_text().replace("workers = 2\n", ""))
    (folder / "blueprint.toml").write_text((folder / "blueprint.toml").read_text() + ENVIRONMENTS)
    with pytest.MonkeyPatch.context() as patch, quiet(folder) as stack:
        patch.setenv("STAGING_URL", "http://127.0.0.1:9")
        patch.setenv("PRODUCTION_URL", "http://127.0.0.1:9")
        for env in ("staging", "production"):
            shutil.copytree(folder / "registry", folder / f"registry-{env}")
            with quiet(folder, env) as other:
                other.apply()
        for env in ("empty", "shared"):
            with quiet(folder, env) as other:
                other.apply()
        with serving(Project.find(folder, "staging")) as staging, serving(Project.find(folder, "production")) as live:
            patch.setenv("STAGING_URL", staging)
            patch.setenv("PRODUCTION_URL", live)
            stack.promote("valuation@2")
            yield folder


def champion(folder: Path, env: str) -> str | None:
    with quiet(folder, env) as stack:
        found = [model for model in stack.models().data["models"] if stack.champion in model["aliases"]]
        return found[0]["digest"] if found else None


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://127.0.0.1:port", "http://[::1", "127.0.0.1:8080"])
def test_what_is_no_address_of_a_server_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of a server"):
        Endpoint(url)


def test_one_digest_goes_through_staging_to_production_and_back_where_it_does_not_hold(
    environments: Path, run: Run
) -> None:
    base = ("--project", environments)
    digests = {env: champion(environments, env) for env in ("", "staging", "production")}
    assert digests["staging"] == digests["production"] != digests[""]
    early = run("deploy", "production", *base)
    assert (early.code, "it was never verified there" in early.err) == (1, True)

    staged = run("deploy", "staging", *base, "--json")
    assert staged.code == 0, staged.out
    (model,) = staged.json["models"]
    assert (model["from"], model["digest"], model["ok"]) == ("valuation@2", digests[""], True)
    assert champion(environments, "staging") == digests[""]

    text = (environments / "blueprint.toml").read_text()
    strict = text.replace('after = "staging"', 'after = "staging"\np99_ms = 0.0001')
    (environments / "blueprint.toml").write_text(strict)
    refused = run("deploy", "production", *base)
    assert refused.code == 1
    assert "does not hold and was taken back; the environment runs @1 again" in refused.out
    assert champion(environments, "production") == digests["production"]
    (environments / "blueprint.toml").write_text(text)

    live = run("deploy", "production", "home_id=0007", "rooms=3", *base, "--json")
    assert live.code == 0, live.out
    assert {check["name"]: check["passed"] for check in live.json["models"][0]["checks"]}["keys"] is True
    assert champion(environments, "production") == digests[""]
    with quiet(environments, "production") as stack:
        told = [event.why for event in stack.registry.history("valuation")[1]]
    assert told[-2] == "deployed from environment 'staging'"
    assert told[-1].startswith("verified at ")

    (environments / "blueprint.toml").write_text(strict)
    later = run("deploy", "production", *base)
    assert (later.code, "it was verified before, and stays" in later.out) == (1, True)
    assert champion(environments, "production") == digests[""]
    (environments / "blueprint.toml").write_text(text)


def test_a_first_version_that_does_not_hold_leaves_an_environment_empty(environments: Path, run: Run) -> None:
    ran = run("deploy", "empty", "--project", environments)
    assert ran.code == 1
    assert "the environment runs none" in ran.out
    assert champion(environments, "empty") is None


def test_environments_that_share_a_registry_need_an_alias_each(environments: Path, run: Run) -> None:
    twin = run("deploy", "twin", "--project", environments)
    assert (twin.code, "are those of the blueprint as it stands" in twin.err) == (1, True)
    shared = run("deploy", "shared", "--project", environments, "--json")
    assert shared.code == 1, "nobody answers there"
    assert shared.json["models"][0]["rolled_back"] is True
    assert champion(environments, "shared") is None


def test_an_environment_without_an_address_or_a_name_is_told(environments: Path, run: Run) -> None:
    text = (environments / "blueprint.toml").read_text()
    (environments / "blueprint.toml").write_text(text + "[env.bare]\n")
    ran = run("deploy", "bare", "--project", environments)
    assert (ran.code, "[env.bare.deploy]: url is not set" in ran.err) == (1, True)
    assert run("deploy", "", "--project", environments).code == 2
    assert "there is no such environment" in run("deploy", "nowhere", "--project", environments).err
    (environments / "blueprint.toml").write_text(text)


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("0.05", 0.05), ("100%", 1.0), ("0", 0.0)])
def test_a_share_is_a_number_or_in_per_cent(text: str, value: float) -> None:
    assert share(text) == value


@pytest.mark.parametrize("text", ["", "5%%", "101%", "-1", "2", "a", "nan"])
def test_what_is_no_share_is_a_mistake_of_usage(text: str, run: Run, tmp_path: Path) -> None:
    assert run("canary", "valuation", 1, f"--share={text}", "--project", tmp_path).code == 2


@pytest.fixture
def trial(two: Path, tmp_path: Path) -> Iterator[Any]:
    with quiet(Path(shutil.copytree(two, tmp_path / "trial"))) as stack:
        yield stack


def test_a_trial_is_begun_told_changed_and_ended_as_an_alias(trial: Any) -> None:
    with pytest.raises(ModelNotFound, match="no version is on trial"):
        trial.canary("valuation")
    assert trial.canary("valuation", 2, share=0.05, by=["home_id"]).data["changed"]
    generation = trial.registry.generation()
    assert trial.canary("valuation").data | {"changed": 0} == {
        "model": "valuation",
        "champion": "valuation@1",
        "challenger": "valuation@2",
        "share": 0.05,
        "shadow": False,
        "by": ["home_id"],
        "changed": 0,
    }
    trial.canary("valuation", share=0.2, shadow=True)
    assert trial.registry.generation() != generation, "servers look for this"
    found = challenger_of(trial, "valuation")
    assert found is not None
    assert (found.share, found.shadow, found.by) == (0.2, True, ())
    assert trial.canary("valuation", end=True).data["was"] == "valuation@2"
    assert challenger_of(trial, "valuation") is None


def test_promoting_the_version_on_trial_ends_the_trial(trial: Any) -> None:
    trial.canary("valuation", 2, share=0.5)
    trial.promote("valuation@2")
    assert challenger_of(trial, "valuation") is None
    assert trial.models().data["models"][0]["aliases"] == ["champion"]


def test_an_alias_that_was_moved_by_promote_is_a_shadow(trial: Any) -> None:
    trial.promote("valuation@2", alias="challenger")
    found = challenger_of(trial, "valuation")
    assert found is not None
    assert (found.version.version, found.share, found.shadow) == (2, 0.0, True)


def test_what_cannot_be_tried_is_refused(trial: Any) -> None:
    with pytest.raises(PromotionRefused, match="it is the champion itself"):
        trial.canary("valuation", 1, share=0.5)
    with pytest.raises(UsageError, match="neither share nor shadow is given"):
        trial.canary("valuation", 2)
    with pytest.raises(UsageError, match="is neither a key nor a request field"):
        trial.canary("valuation", 2, share=0.5, by=["user"])
    with pytest.raises(UsageError, match="no reason is given"):
        trial.canary("valuation", 2, share=0.5, force=True)
    trial.retire("valuation@2")
    with pytest.raises(PromotionRefused, match="retired it"):
        trial.canary("valuation", 2, share=0.5, force=True, reason="try")
