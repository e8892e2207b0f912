"""What can go wrong with a server, and what is said about it."""

from __future__ import annotations

import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_postgres import writing
from stackwright_postgres.online import PostgresOnlineStore
from stackwright_postgres.plugin import PostgresConfig

OpenStore = Callable[..., PostgresOnlineStore]

ROWS = [OnlineRow(b"key %d" % number, b"token", b"payload %d" % number) for number in range(100)]
KEYS = [row.key for row in ROWS]
PASSWORD = "hunter2secret"


def actions(store: PostgresOnlineStore) -> list[Callable[[], object]]:
    return [
        lambda: store.read(["view"], [[b"k"]]),
        lambda: store.read(["view"], [KEYS]),
        lambda: list(store.scan("view")),
        lambda: store.write("view", ROWS),
        lambda: store.drop("view", [b"k"]),
        lambda: store.drop("view"),
    ]


def assert_each_says(store: PostgresOnlineStore, *words: str) -> None:
    for action in actions(store):
        with pytest.raises(FeatureStoreError) as raised:
            action()
        for word in words:
            assert word in str(raised.value)


@pytest.fixture
def admin(server: Any) -> Any:
    with server.admin() as connection:
        yield connection


# --- what cannot be reached ---


def test_a_server_that_does_not_run_is_named_with_what_to_do(open_store: OpenStore) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        store = open_store(url=f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/features")
        assert_each_says(
            store, f"PostgreSQL 127.0.0.1:{port}/features", "cannot be reached", "Check that the server runs"
        )


def test_a_host_without_an_address_is_named(open_store: OpenStore) -> None:
    assert_each_says(open_store(url="postgresql://nowhere.invalid/features"), "nowhere.invalid", "cannot be reached")


@pytest.mark.parametrize(
    ("user", "database", "said"),
    [
        ("barred", "postgres", "does not let this user in"),
        ("guarded", "postgres", "asks for a password"),
        ("nobody", "postgres", "no such user"),
        ("postgres", "absent", "no such database"),
    ],
)
def test_a_server_that_lets_nobody_in_is_told_apart(
    server: Any, open_store: OpenStore, user: str, database: str, said: str
) -> None:
    assert_each_says(open_store(url=server.url(user, database)), said)


def test_a_wrong_password_is_told_and_shown_nowhere(server: Any, open_store: OpenStore, admin: Any) -> None:
    admin.execute(f"DROP ROLE IF EXISTS guarded; CREATE ROLE guarded LOGIN PASSWORD '{PASSWORD}'")
    wrong = server.url("guarded:not" + PASSWORD)
    with pytest.raises(FeatureStoreError, match="user name or password are wrong") as raised:
        open_store(url=wrong).read(["view"], [[b"k"]])
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))
    assert open_store(url=server.url("guarded:" + PASSWORD)).read(["view"], [[b"k"]]) == [[None]]


@pytest.mark.parametrize(
    "url",
    [
        f"postgres//me:{PASSWORD}@host/database",
        f"postgresql://me:%{PASSWORD}@host/database",
        f"postgresql://me:a@{PASSWORD}@host/database",
        f"postgresql://me:a/{PASSWORD}@host/database",
        f"postgresql://me:{PASSWORD}/b@host/database",
        f"postgresql://me:a@{PASSWORD}/b@host/database",
        f"host=here password='{PASSWORD}",
        f"postgresql://me@host/database?pasword={PASSWORD}",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_quoting_it(open_store: OpenStore, url: str) -> None:
    with pytest.raises(FeatureStoreError, match="url of the online store") as raised:
        open_store(url=url)
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))


def test_the_url_is_not_part_of_the_representation() -> None:
    assert PASSWORD not in repr(PostgresConfig(url=f"postgresql://me:{PASSWORD}@host/database"))


@pytest.mark.parametrize(
    "options", [{"table": ""}, {"table": "t" * 64}, {"schema": "a\0b"}, {"timeout": 0.0}, {"pool_size": 0}]
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        PostgresConfig(url="postgresql://host/database", **options)


# --- what the server refuses ---


def test_missing_permissions_are_named(server: Any, open_store: OpenStore, admin: Any, schema: str) -> None:
    admin.execute("DROP ROLE IF EXISTS visitor; CREATE ROLE visitor LOGIN")
    visitor = open_store(url=server.url("visitor"))
    with pytest.raises(FeatureStoreError, match=r"may not do that.*Grant it"):
        visitor.write("view", ROWS)
    open_store().write("view", ROWS)
    assert_each_says(visitor, "may not do that", "Grant it SELECT")
    admin.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO visitor')
    admin.execute(f'GRANT SELECT ON "{schema}".stackwright_online TO visitor')
    assert visitor.read(["view"], [KEYS[:1]]) == [[ROWS[0].payload]]
    assert visitor.reader().read(["view"], [KEYS[:1]]) == [[ROWS[0].payload]]
    admin.execute("DROP OWNED BY visitor")


def test_a_server_that_may_only_be_read_is_named(server: Any, open_store: OpenStore) -> None:
    open_store().write("view", ROWS)
    standby = open_store(url=server.url(rest="?options=-c%20default_transaction_read_only%3Don"))
    assert standby.read(["view"], [KEYS[:1]]) == [[ROWS[0].payload]]
    with pytest.raises(FeatureStoreError, match=r"may only read.*Name the primary"):
        standby.write("view", [OnlineRow(b"new", b"token", b"p")])


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("53100", "the disk of the server is full"),
        ("53200", "out of memory"),
        ("XX001", "the table is damaged"),
        ("P0001", "PostgreSQL failed"),
    ],
)
def test_what_the_server_complains_about_is_translated_and_nothing_is_half_written(
    store: PostgresOnlineStore, admin: Any, schema: str, state: str, said: str
) -> None:
    store.write("view", ROWS[:1])
    fail_on_last_row(admin, schema, f"RAISE EXCEPTION 'made to fail' USING ERRCODE = '{state}'")
    with pytest.raises(FeatureStoreError, match=f"{said}.*made to fail"):
        store.write("view", ROWS)
    assert [row.key for row in store.scan("view")] == KEYS[:1]


def before_each_row(admin: Any, schema: str, body: str) -> None:
    admin.execute(
        f"""CREATE FUNCTION "{schema}".before() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN {body}; RETURN NEW; END$$"""
    )
    admin.execute(
        f"""CREATE TRIGGER before BEFORE INSERT ON "{schema}".stackwright_online
        FOR EACH ROW EXECUTE FUNCTION "{schema}".before()"""
    )


def fail_on_last_row(admin: Any, schema: str, body: str) -> None:
    before_each_row(admin, schema, f"IF NEW.key = 'key 99' THEN {body}; END IF")


def test_a_write_that_collided_is_done_again(store: PostgresOnlineStore, admin: Any, schema: str) -> None:
    store.write("view", ROWS[:1])
    admin.execute(f'CREATE SEQUENCE "{schema}".tries')
    once = f"""IF nextval('"{schema}".tries') = 1 THEN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END IF"""
    fail_on_last_row(admin, schema, once)
    assert store.write("view", ROWS) == [False] + [True] * 99


def test_a_table_of_another_program_is_refused_and_left_alone(
    store: PostgresOnlineStore, admin: Any, schema: str
) -> None:
    admin.execute(f'CREATE SCHEMA "{schema}"; CREATE TABLE "{schema}".stackwright_online (note text)')
    admin.execute(f"""INSERT INTO "{schema}".stackwright_online VALUES ('mine')""")
    assert_each_says(store, "the table is another program's", "Name another table")
    assert admin.execute(f'SELECT * FROM "{schema}".stackwright_online').fetchall() == [("mine",)]


def test_a_table_without_the_key_is_refused(store: PostgresOnlineStore, admin: Any, schema: str) -> None:
    columns = "view text, key bytea, ord bytea, payload bytea"
    admin.execute(f'CREATE SCHEMA "{schema}"; CREATE TABLE "{schema}".stackwright_online ({columns})')
    with pytest.raises(FeatureStoreError, match="another program's"):
        store.write("view", ROWS)


def test_a_key_that_is_too_long_is_refused_with_the_limit(store: PostgresOnlineStore) -> None:
    long = bytes((number * number * 31 + number // 7) % 256 for number in range(20_000))
    with pytest.raises(FeatureStoreError, match=r"too long.*2,500 bytes"):
        store.write("view", [OnlineRow(long, b"token", b"p")])
    assert store.write("view", [OnlineRow(long[:2500], b"token", b"p")]) == [True]
    assert store.read(["view"], [[long, long[:2500]]]) == [[None, b"p"]]


def test_names_are_taken_as_they_are(open_store: OpenStore) -> None:
    store = open_store(table='Odd "table"; DROP TABLE x --')
    other = open_store(table='odd "table"; DROP TABLE x --')
    assert store.write("view", ROWS[:1]) == [True]
    assert other.read(["view"], [KEYS[:1]]) == [[None]]
    assert store.read(["view"], [KEYS[:1]]) == [[ROWS[0].payload]]


def test_a_table_that_was_dropped_is_made_again(store: PostgresOnlineStore, admin: Any, schema: str) -> None:
    store.write("view", ROWS)
    store.read(["view"], [KEYS[:1]])
    admin.execute(f'DROP TABLE "{schema}".stackwright_online')
    assert store.read(["view"], [KEYS[:1]]) == [[None]]
    assert store.drop("view") == 0
    assert store.write("view", ROWS[:1]) == [True]
    assert store.read(["view"], [KEYS[:1]]) == [[ROWS[0].payload]]


# --- deadlines ---


def test_a_read_that_waits_past_its_deadline_raises_a_timeout_and_the_next_one_gets_its_own_answer(
    open_store: OpenStore, admin: Any, schema: str
) -> None:
    store = open_store(pool_size=2)
    store.write("view", ROWS)
    store.read(["view"], [KEYS[:1]])
    with admin.transaction():
        admin.execute(f'LOCK TABLE "{schema}".stackwright_online')
        for _ in range(8):
            started = time.monotonic()
            with pytest.raises(StoreTimeout, match="before the deadline"):
                store.read(["view"], [KEYS[:1]], timeout=0.05)
            assert time.monotonic() - started < 0.5
    for place in range(1, 20):
        assert store.read(["view"], [KEYS[place : place + 1]], timeout=5) == [[ROWS[place].payload]]


def test_what_nobody_waits_for_any_more_is_ended_on_the_server(
    open_store: OpenStore, admin: Any, schema: str, server: Any
) -> None:
    store = open_store(pool_size=1)
    store.write("view", ROWS)
    with server.admin() as other, other.transaction():
        other.execute(f'LOCK TABLE "{schema}".stackwright_online')
        for _ in range(5):
            with pytest.raises(StoreTimeout):
                store.read(["view"], [KEYS[:1]], timeout=0.05)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        deadline = time.monotonic() + 10
        while admin.execute(waiting, (f"%{schema}%",)).fetchone()[0] > 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_write_gives_up_after_the_timeout_of_the_store(open_store: OpenStore, admin: Any, schema: str) -> None:
    open_store().write("view", ROWS)
    store = open_store(timeout=0.2)
    with admin.transaction():
        admin.execute(f'LOCK TABLE "{schema}".stackwright_online')
        for action in actions(store):
            with pytest.raises(StoreTimeout):
                action()
    assert store.write("view", [OnlineRow(b"key 0", b"token 2", b"p")]) == [True]


def test_a_write_that_gave_up_holds_no_rows_locked(
    open_store: OpenStore, admin: Any, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_CHUNK_ROWS", 50)
    open_store().write("view", ROWS)
    before_each_row(
        admin, schema, "IF NEW.ord = 'wait' AND NEW.key IN ('key 0', 'key 99') THEN PERFORM pg_sleep(0.3); END IF"
    )
    store = open_store(timeout=0.4)
    with pytest.raises(StoreTimeout):
        store.write("view", [OnlineRow(row.key, b"wait", b"newer") for row in ROWS])
    assert open_store(timeout=5).write("view", [OnlineRow(b"key 1", b"token 1", b"other")]) == [True]
    assert store.read(["view"], [[b"key 0", b"key 1"]]) == [[ROWS[0].payload, b"other"]]


def test_a_server_that_is_silent_is_not_waited_for_past_the_deadline(open_store: OpenStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = open_store(url=f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/features")
        started = time.monotonic()
        with pytest.raises(StoreTimeout):
            store.read(["view"], [[b"k"]], timeout=0.1)
        assert time.monotonic() - started < 1


def test_a_read_that_gets_no_connection_in_time_says_so(open_store: OpenStore) -> None:
    store = open_store(pool_size=1)
    with store._pool.lend(time.monotonic() + 5), pytest.raises(StoreTimeout, match=r"all 1 connections.*pool_size"):
        store.read(["view"], [[b"k"]], timeout=0.05)
    assert store.read(["view"], [[b"k"]], timeout=5) == [[None]]


def test_a_reader_is_refused_by_the_server_too(store: PostgresOnlineStore) -> None:
    store.write("view", ROWS)
    reader = store.reader()
    with (
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        reader._reading._pool.lend(time.monotonic() + 5) as session,
    ):
        session.execute(store._writer._statements.remove_first, (b"view", b"", b"9"), deadline=time.monotonic() + 5)
    with pytest.raises(FeatureStoreError, match="view 'view': this handle is read-only"):
        reader.drop("view")
    reader.close()


def test_a_closed_store_says_so(store: PostgresOnlineStore) -> None:
    store.write("view", ROWS)
    store.close()
    assert_each_says(store, "was closed")


def test_nothing_is_printed(store: PostgresOnlineStore, capfd: pytest.CaptureFixture[str]) -> None:
    store.write("view", ROWS)
    store.read(["view"], [KEYS])
    store.close()
    assert capfd.readouterr() == ("", "")
