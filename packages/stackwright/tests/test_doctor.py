"""The doctor: one line for every look, what mends it where something is wrong, and nothing changed."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stackwright.assembly.discovery import Plugins
from stackwright.assembly.project import Project
from stackwright.assembly.stack import Stack
from stackwright.workflows.doctor import installed, machine, network, state
from stackwright.workflows.doctor.finding import Finding
from stackwright.workflows.doctor.network import Remote
from stackwright.workflows.doctor.places import Places
from stackwright.workflows.doctor.variables import variables

STORE = """
name = "f"
[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "sqlite", path = "data/online.db" }
"""
REDIS = 'name = "r"\n[feature_store]\nonline = { adapter = "redis", url = { env = "REDIS_URL" } }\n'
SERVER = 'name = "s"\n[server]\nadapter = "uvicorn"\nport = PORT\n'


def problems(found: Any) -> list[str]:
    return [f"{each.subject}: {each.found} {each.todo}" for each in found if not each.ok]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server


@pytest.fixture
def closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plugins]:
    """Installs a distribution that offers the registry ``shelf``, and gives the plugins that are installed then."""

    def install(*requires: str, module: str = "", plugin: str = "") -> Plugins:
        folder = tmp_path / "site"
        info = folder / f"stackwright_shelf{len(requires)}-1.0.dist-info"
        info.mkdir(parents=True)
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: stackwright-shelf{len(requires)}\nVersion: 1.0\n{needs}"
        )
        (info / "entry_points.txt").write_text("[stackwright]\nshelf = shelf_plugin\n")
        (folder / "shelf_plugin.py").write_text(plugin or SHELF)
        (folder / "shelf_registry.py").write_text(module)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        monkeypatch.delitem(sys.modules, "shelf_plugin", raising=False)
        return Plugins()

    return install


SHELF = """
from dataclasses import dataclass
from stackwright_interfaces.plugin import AdapterSpec, hookimpl
from stackwright_interfaces.registry import CONTRACT, Registry

@dataclass(frozen=True, kw_only=True)
class Config:
    pass

@hookimpl
def stackwright_adapters():
    spec = {"name": "shelf", "provides": Registry, "contract": CONTRACT, "config": Config}
    return [AdapterSpec(factory="shelf_registry:Shelf", **spec)]
"""


@pytest.fixture
def with_shelf(project: Any, shelf: Any) -> Callable[..., list[Finding]]:
    """Looks at a project whose registry is ``shelf``."""

    def look(*requires: str, module: str = "") -> list[Finding]:
        plugins = shelf(*requires, module=module)
        with Stack(project(blueprint='name = "m"\nregistry = "shelf"\n'), plugins=plugins) as stack:
            return list(installed.parts(Places(stack).choices.values(), plugins, stack.progress))

    return look


def test_a_project_that_is_well_has_a_line_for_each_look_and_is_left_as_it_was(project: Any, run: Any) -> None:
    folder = project(blueprint=STORE)
    before = sorted(folder.rglob("*"))
    ran = run("doctor", "--project", folder, "--json")
    assert ran.code == 0, ran.out
    assert sorted(folder.rglob("*")) == before
    looked = {finding["subject"]: finding for finding in ran.json["findings"]}
    assert {finding["state"] for finding in looked.values()} == {"ok"}
    assert looked["blueprint.toml [feature_store] offline duckdb"]["found"].startswith(
        "stackwright-duckdb 0.1.0, duckdb "
    )
    assert {"Python", "platform", "stackwright", "plugins", "disk", "clock", "blueprint", "time zones"} <= set(looked)


def test_outside_of_a_project_the_machine_is_looked_at(tmp_path: Path, run: Any) -> None:
    ran = run("doctor", "--project", tmp_path / "nowhere")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == "No problem found"
    assert lines[-1].startswith("ok     project") or "is none: the machine alone was looked at" in lines[-1]


def test_every_problem_is_told_at_once_and_ends_with_1(project: Any, run: Any) -> None:
    folder = project(blueprint='name = "f"\nregistry = "fles"\n[journal]\npath = "${PLACE_OF_JOURNAL}"\n')
    (folder / ".stackwright").write_text("")
    ran = run("doctor", "--project", folder)
    assert ran.code == 1
    told = [line for line in ran.out.splitlines() if line.startswith("PROBLEM")]
    assert ran.out.startswith(f"{len(told)} problem")
    assert sum("environment variable PLACE_OF_JOURNAL is not set" in line for line in told) == 1


def test_a_blueprint_that_is_not_toml_is_one_problem(project: Any, run: Any) -> None:
    ran = run("doctor", "--project", project(blueprint="name ="))
    assert ran.code == 1
    assert ran.out.startswith("1 problem, ")


def test_an_adapter_that_is_not_installed_is_told_with_what_installs_it(project: Any, run: Any) -> None:
    ran = run("doctor", "--project", project(blueprint='name = "f"\nregistry = "vault"\n'))
    assert "Run: pip install stackwright-vault" in ran.out
    assert ran.code == 1


def test_a_vendor_below_the_tested_version_is_told_with_what_installs_it(with_shelf: Any) -> None:
    (told,) = problems(with_shelf("numpy>=99"))
    assert told.startswith("blueprint.toml [registry] shelf: stackwright-shelf1 takes numpy>=99, ")
    assert told.endswith(" Run: pip install 'numpy>=99'")


def test_a_vendor_that_is_missing_is_told_with_what_installs_it(with_shelf: Any) -> None:
    (told,) = problems(with_shelf("a-stranger>=1", 'other; extra == "more"'))
    assert told.endswith("takes a-stranger>=1, it is not installed Run: pip install 'a-stranger>=1'")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            "import ctypes; ctypes.CDLL('libnowhere.so.1')",
            "cannot be imported: import shelf_registry: OSError: libnowhere.so.1",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the process was ended by signal 11"),
    ],
    ids=["a library of the system is missing", "it crashes"],
)
def test_an_adapter_that_cannot_be_imported_is_told(with_shelf: Any, module: str, message: str) -> None:
    (told,) = problems(with_shelf(module=module))
    assert message in told
    assert "pip install --force-reinstall stackwright-shelf0" in told


def test_a_broken_plugin_is_named_and_one_that_is_there_twice(shelf: Any) -> None:
    broken = shelf(plugin="raise OSError('no library')")
    assert (
        "plugin shelf: stackwright-shelf0 1.0 is broken: OSError: no library" in problems(installed.plugins(broken))[0]
    )
    twice = shelf("numpy")
    assert any("is offered by stackwright-shelf" in told for told in problems(installed.plugins(twice)))


def test_variables_and_secrets_are_looked_for_and_never_shown(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        'name = "${TOWN}"\n[registry]\nadapter = "files"\nurl = { env = "PLACE" }\n[journal]\npath = { file = "key" }\n'
        '[serving]\ntokens = [{ env = "TOKEN" }]\n[env.staging.registry]\nurl = { env = "STAGING" }\n'
    )
    folder = project(blueprint=text)
    monkeypatch.setenv("TOWN", "swordfish")
    monkeypatch.setenv("TOKEN", "")
    assert [(each.subject, each.found) for each in variables(Project.find(folder, ""))] == [
        (f"secret {folder / 'key'}", "cannot be read (No such file or directory)"),
        ("variable PLACE", "environment variable PLACE is not set"),
        ("variable TOKEN", "is empty"),
        ("variable TOWN", "is set"),
    ]
    assert "variable STAGING" in [each.subject for each in variables(Project.find(folder, "staging"))]


def test_a_port_is_free_taken_or_the_projects_own(project: Any, listening: socket.socket, closed_port: int) -> None:
    found = Project.find(project(), "")
    taken = listening.getsockname()[1]
    assert network.port(found, "server", "127.0.0.1", closed_port).ok
    assert "cannot be listened on (Address already in use)" in network.port(found, "server", "127.0.0.1", taken).found
    found.state.mkdir()
    found.address.write_text(f'{{"url": "http://127.0.0.1:{taken}", "pid": {os.getpid()}}}')
    assert network.port(found, "server", "127.0.0.1", taken).ok


def test_the_port_is_that_of_the_blueprint(project: Any) -> None:
    with Stack(project(blueprint=SERVER.replace("PORT", "8123"))) as stack:
        assert Places(stack).ports == [("blueprint.toml [server]", "127.0.0.1", 8123)]


def test_a_clock_that_runs_behind_what_was_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "definitions.json"
    path.write_text("{}")
    assert machine.clock([path]).ok
    os.utime(path, (time.time() + 3600, time.time() + 3600))
    assert "before" in machine.clock([path]).found
    assert not machine.clock([path]).ok


def test_what_killed_writers_left_and_what_cannot_be_read_is_told(project: Any) -> None:
    found = Project.find(project(), "")
    found.state.mkdir()
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = found.state / f".definitions.json.{dead.pid}.tmp"
    left.write_text("{")
    (found.state / f".steps.json.{os.getpid()}.tmp").write_text("{")
    found.catalogue.write_text('{"views": [')
    assert problems(state.files([found.state])) == [
        f"half-written: {left} was left by a process that was killed Run: rm '{left}'"
    ]
    (told,) = problems(state.documents(found))
    assert told.endswith(f"Run: rm '{found.catalogue}', then: stackwright apply")


HOLDS = """
import fcntl, sys, time
stream = open(sys.argv[1], "a")
fcntl.flock(stream, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(30)
"""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not tell who holds a lock")
def test_a_lock_is_told_with_its_holder_which_is_a_problem_where_it_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "online.db.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        (held,) = state.locks([tmp_path])
        assert (held.ok, f"held by process {holder.pid}" in held.found) == (True, True)
        holder.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
        (stopped,) = state.locks([tmp_path])
        assert stopped.todo == f"Run: kill -CONT {holder.pid}, or: kill -9 {holder.pid}"
        holder.kill()
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(state.locks([tmp_path])) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, which can be read alone."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here; run the tests as root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_small_and_cannot_be_written_is_told(disk: Path) -> None:
    assert any(
        f"GB free below {disk} Free 1.1 GB there" in told for told in problems(machine.disks([disk / "project"]))
    )
    assert f"{disk} cannot be written" in problems(state.folders([disk / "project"]))[0]


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("")
    assert problems(state.folders([tmp_path, tmp_path / "reports"])) == [
        f"folder {tmp_path / 'reports'}: is a file Move it away."
    ]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:swordfish@127.0.0.1:PORT/0",
        "postgresql://u:swordfish@127.0.0.1:PORT/db",
        "s3://b/p?endpoint_url=http://127.0.0.1:PORT",
    ],
)
def test_a_server_that_cannot_be_reached_is_told_without_its_password(closed_port: int, url: str) -> None:
    found = network.reached(Remote("store", url.replace("PORT", str(closed_port))))
    assert found.found == f"127.0.0.1:{closed_port} cannot be reached (Connection refused)"
    assert not found.ok


def test_a_url_that_cannot_be_read_is_told_without_its_password() -> None:
    found = network.reached(Remote("store", "postgresql://u:sw[rd@host/db"))
    assert (found.found, found.ok) == ("its URL cannot be read", False)


def test_a_server_whose_name_is_unknown_is_told() -> None:
    assert "redis.invalid:6379 cannot be reached" in network.reached(Remote("store", "redis://redis.invalid")).found


def test_an_address_that_hides_deep_in_the_options_is_found() -> None:
    options = {"a": ["x", {"b": "https://u:p@host/"}], "path": "data", "file": "file:///srv", "n": 1}
    assert list(network.urls(options)) == ["https://u:p@host/"]


@pytest.mark.parametrize(("password", "ok"), [("swordfish", True), ("herring", False)], ids=["lets in", "refuses"])
def test_a_server_is_asked_by_its_adapter_which_tells_whether_it_lets_in(
    password: str, ok: bool, start_redis: Any, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("stackwright_redis")
    port = start_redis("--requirepass", "swordfish").port
    monkeypatch.setenv("REDIS_URL", f"redis://:{password}@127.0.0.1:{port}/0")
    with Stack(project(blueprint=REDIS)) as stack:
        (found,) = map(network.reached, Places(stack).remotes)
    assert (found.subject, found.ok) == ("blueprint.toml [feature_store] online redis", ok)
    assert found.found.startswith(f"127.0.0.1:{port} answers" if ok else "does not answer: ")


def test_a_journal_on_s3_a_receiver_of_traces_and_a_mail_server_are_reached_too(project: Any) -> None:
    text = (
        'name = "j"\n[journal]\npath = "s3://bucket/journal"\n[serving]\ntraces = "http://127.0.0.1:4318"\n'
        '[monitor.destinations.duty]\nkind = "email"\nhost = "mail.example"\n'
        'sender = "a@b.example"\nto = ["c@d.example"]\n'
    )
    with Stack(project(blueprint=text)) as stack:
        reached = {remote.subject: remote.url for remote in Places(stack).remotes}
    assert reached["blueprint.toml [journal]"] == "s3://bucket/journal"
    assert sorted(reached.values()) == ["http://127.0.0.1:4318", "s3://bucket/journal", "smtp://mail.example:587"]


def test_a_bucket_is_asked_which_tells_whether_it_is_there(s3: Callable[[], str], project: Any) -> None:
    url = s3()
    bucket = urlsplit(url).netloc
    for name, ok in ((bucket, True), ("no-such-bucket", False)):
        with Stack(project(blueprint=f'name = "j"\n[journal]\npath = "{url.replace(bucket, name)}"\n')) as stack:
            (found,) = map(network.reached, Places(stack).remotes)
        assert (found.subject, found.ok) == ("blueprint.toml [journal]", ok)
        assert ok or found.found.startswith("does not answer: ")


@pytest.mark.nightly
def test_a_database_is_asked_which_tells_whether_it_lets_in(
    start_postgres: Any, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("stackwright_postgres")
    from psycopg.conninfo import make_conninfo

    server = start_postgres()
    online = '[feature_store]\nonline = { adapter = "postgres", url = { env = "PLACE" } }\n'
    for url, ok in (
        (server.url(), True),
        (make_conninfo(server.url()), True),
        (server.url(database="no_such_database"), False),
    ):
        monkeypatch.setenv("PLACE", url)
        with Stack(project(blueprint=f'name = "p"\n{online}')) as stack:
            (found,) = map(network.reached, Places(stack).remotes)
        assert found.ok == ok, found


def test_drift_from_the_lock_is_told(project: Any, run: Any) -> None:
    folder = project(blueprint='name = "m"\nregistry = "files"\n')
    run("lock", "--project", folder)
    (folder / "blueprint.toml").write_text('name = "m"\n[registry]\nadapter = "files"\nurl = "elsewhere"\n')
    ran = run("doctor", "--project", folder)
    assert ran.code == 1
    assert "url was not set, is 'elsewhere'" in ran.out
