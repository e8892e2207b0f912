"""Where rows come from: files of every kind, buckets, databases; nothing is ingested where anything is wrong."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

import stackwright
from stackwright.assembly.discovery import Plugins
from stackwright.notebook import NotebookStack
from stackwright.workflows.datasets.training_set import training_set
from stackwright.workflows.features.catalogue import ingest
from stackwright.workflows.monitoring.labels import label
from stackwright.workflows.rows import files
from stackwright.workflows.rows.csv_rows import Stream
from stackwright.workflows.rows.sources import rows_of
from stackwright.workflows.rows.spool import spool
from stackwright_interfaces.errors import (
    AdapterNotInstalled,
    BlueprintError,
    DataError,
    MissingColumn,
    ObjectNotFound,
    StackwrightError,
    StorageError,
    UsageError,
)
from stackwright_interfaces.types import INT64, STRING
from stackwright_storage import open_storage

HOMES = pa.table(
    {
        "home_id": ["0001", "0002", "0003", "0004"],
        "changed_at": pa.array([datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)], pa.timestamp("us", "UTC")),
        "area": [50.0, 60.5, None, 80.0],
        "kind": ["flat", "house", "flat", None],
    }
)


@pytest.fixture(scope="module")
def applied(project_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose definitions are in force, to be copied."""
    folder = project_in(tmp_path_factory.mktemp("applied") / "project")
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.apply()
    return folder


@pytest.fixture
def stack(applied: Path, tmp_path: Path) -> Iterator[NotebookStack]:
    folder = shutil.copytree(applied, tmp_path / "project")
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        yield stack


def held(stack: NotebookStack) -> list[dict[str, Any]]:
    """The homes in history, by key."""
    files = list((stack.project.folder / "data" / "homes@1").glob("*.parquet"))
    return [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]


def write_arrow(table: pa.Table, path: Path) -> None:
    with pyarrow.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    ".csv": pyarrow.csv.write_csv,
    ".parquet": pyarrow.parquet.write_table,
    ".arrow": write_arrow,
    ".feather": pyarrow.feather.write_feather,
}


def write(path: Path, table: pa.Table = HOMES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[path.suffix](table, path)
    return path


def test_every_kind_of_file_gives_the_same_rows(stack: NotebookStack, tmp_path: Path) -> None:
    assert ingest(stack, "homes", write(tmp_path / "homes.csv")).data["added"] == 4
    for suffix in WRITERS:
        done = ingest(stack, "homes", write(tmp_path / f"homes{suffix}")).data
        assert (done["rows"], done["added"], done["duplicates"]) == (4, 0, 4), suffix


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_folder_is_the_rows_of_its_files(stack: NotebookStack, tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "days" / f"1{suffix}", HOMES.slice(0, 1))
    write(tmp_path / "days" / "more" / f"2{suffix}", HOMES.slice(1, 3))
    write(tmp_path / "days" / f".3{suffix}")
    write(tmp_path / "days" / "_temporary" / f"4{suffix}")
    (tmp_path / "days" / "_SUCCESS").touch()
    (tmp_path / "days" / "notes.txt").write_text("about them")
    assert ingest(stack, "homes", tmp_path / "days").data["rows"] == 4


def test_a_pattern_is_the_rows_of_the_files_that_fit(stack: NotebookStack, tmp_path: Path) -> None:
    for day in range(4):
        write(tmp_path / f"2024-0{day}.csv", HOMES.slice(day, 1))
    assert ingest(stack, "homes", str(tmp_path / "2024-0[12].csv")).data["rows"] == 2
    with pytest.raises(UsageError, match="no file fits"):
        ingest(stack, "homes", str(tmp_path / "2025-*.csv"))


def test_folders_named_key_value_are_columns(stack: NotebookStack, tmp_path: Path) -> None:
    for kind in ("flat", "house"):
        write(tmp_path / "homes" / f"kind={kind}" / "1.parquet", HOMES.drop_columns(["kind"]))
    assert ingest(stack, "homes", tmp_path / "homes").data["added"] == 8
    with rows_of(stack, tmp_path / "homes", {}) as rows:
        assert sorted(set(pa.table(rows)["kind"].to_pylist())) == ["flat", "house"]


def test_numbers_of_another_width_in_another_file_go_together(stack: NotebookStack, tmp_path: Path) -> None:
    for width in (pa.int32(), pa.int64()):
        write(tmp_path / "n" / f"{width}.parquet", pa.table({"n": pa.array([1], width)}))
    with rows_of(stack, tmp_path / "n", {}) as rows:
        assert pa.table(rows) == pa.table({"n": pa.array([1, 1], pa.int64())})


def test_columns_of_a_csv_may_stand_in_another_order(stack: NotebookStack, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,n\nx,1\n")
    (tmp_path / "2.csv").write_text("n,a\n2,y\n")
    with rows_of(stack, str(tmp_path / "*.csv"), {"a": STRING, "n": INT64}) as rows:
        assert pa.table(rows).to_pydict() == {"a": ["x", "y"], "n": [1, 2]}


def test_of_files_of_columns_only_those_needed_are_read_where_all_are_there(
    stack: NotebookStack, tmp_path: Path
) -> None:
    path = write(tmp_path / "homes.parquet")
    for needed, names in (({"kind", "home_id"}, ["home_id", "kind"]), ({"kind", "rooms"}, HOMES.column_names)):
        with rows_of(stack, path, {}, needed=needed) as rows:
            assert pa.table(rows).column_names == names
    with pytest.raises(MissingColumn, match="Present: home_id, changed_at, area"):
        ingest(stack, "homes", write(tmp_path / "less.parquet", HOMES.drop_columns(["kind"])))


def test_a_url_of_a_file_and_a_path_are_the_same(stack: NotebookStack, tmp_path: Path) -> None:
    path = write(tmp_path / "the homes.csv")
    assert ingest(stack, "homes", path.as_uri()).data["added"] == 4


def test_a_source_may_be_named_by_an_environment_variable(
    stack: NotebookStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMES_FILE", str(write(tmp_path / "homes.csv")))
    assert ingest(stack, "homes", "env:HOMES_FILE").data["added"] == 4
    with pytest.raises(BlueprintError, match="environment variable NO_SUCH is not set"):
        ingest(stack, "homes", "env:NO_SUCH")


@pytest.mark.parametrize("source", ["s3://[bucket/homes.csv", "postgresql://u:sw[rd@host/db", "file://[/homes.csv"])
def test_a_url_that_cannot_be_read_is_told_without_its_password(stack: NotebookStack, source: str) -> None:
    with pytest.raises(UsageError, match=r"://\.\.\.: the URL cannot be read") as caught:
        ingest(stack, "homes", source)
    assert "sw[rd" not in str(caught.value)


def cut(path: Path, keep: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def altered(path: Path) -> Path:
    """Turn some bytes in the middle over."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 40] = bytes(byte ^ 0xFF for byte in data[middle : middle + 40])
    path.write_bytes(data)
    return path


MANY = pa.table(
    {
        "home_id": [f"{n:06}" for n in range(200_000)],
        "changed_at": pa.array(range(200_000), pa.timestamp("us", "UTC")),
        "area": [n * 0.37 for n in range(200_000)],
        "kind": [f'kind {n % 977}, or "so"' for n in range(200_000)],
    }
)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize("keep", [0, 0.001, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_named_and_nothing_is_ingested(
    stack: NotebookStack, tmp_path: Path, suffix: str, keep: float
) -> None:
    write(tmp_path / "days" / f"1{suffix}")
    path = cut(write(tmp_path / "days" / f"2{suffix}", MANY), keep)
    with pytest.raises(DataError, match="cut off") as raised:
        ingest(stack, "homes", tmp_path / "days")
    assert raised.value.where == str(path)
    assert held(stack) == []


def test_a_parquet_file_that_was_altered_is_named_and_nothing_is_ingested(stack: NotebookStack, tmp_path: Path) -> None:
    path = tmp_path / "homes.parquet"
    pyarrow.parquet.write_table(MANY, path, row_group_size=20_000, write_page_checksum=True)
    with pytest.raises(DataError, match="cannot be read") as raised:
        ingest(stack, "homes", altered(path))
    assert raised.value.where == str(path)
    assert held(stack) == []


CUT = [
    (
        "in the middle of a record",
        "home_id,changed_at,area,kind\n1,2024-01-01,50,flat\n2,2024-01-02,6",
        "line 3: 3 values",
    ),
    (
        "in a quoted value",
        'home_id,changed_at,area,kind\n1,2024-01-01,50,flat\n2,2024-01-02,6,"a lo',
        "line 3: a quote",
    ),
    ("in the header", '"home_id","chan', "line 1: a quote is opened"),
    ("before the header", "", "the file is empty"),
]


@pytest.mark.parametrize(("text", "told"), [case[1:] for case in CUT], ids=[case[0] for case in CUT])
def test_a_csv_that_was_cut_off_is_told_with_its_line_and_nothing_is_ingested(
    stack: NotebookStack, tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "homes.csv"
    path.write_text(text)
    with pytest.raises(DataError) as raised:
        ingest(stack, "homes", path)
    assert told in str(raised.value)
    assert str(path) in raised.value.where
    assert held(stack) == []


def test_a_csv_cut_off_far_behind_its_beginning_is_told_with_its_line(stack: NotebookStack, tmp_path: Path) -> None:
    path = cut(write(tmp_path / "homes.csv", MANY), 0.5)
    with pytest.raises(DataError, match=r"homes.csv line \d{5,}: ") as raised:
        ingest(stack, "homes", path)
    assert "cut off" in str(raised.value)
    assert held(stack) == []


def test_a_letter_that_was_cut_in_half_is_told_with_its_line(stack: NotebookStack, tmp_path: Path) -> None:
    path = tmp_path / "homes.csv"
    path.write_bytes("home_id,changed_at,area,kind\n1,2024-01-01,50,é".encode()[:-1])
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        ingest(stack, "homes", path)


def test_a_mistake_far_behind_the_beginning_is_told_with_its_line(stack: NotebookStack, tmp_path: Path) -> None:
    path = write(tmp_path / "homes.csv", MANY)
    path.write_text(path.read_text() + '200000,2024-01-01,"wide",flat\n')
    with pytest.raises(DataError, match="line 200002: column 'area' holds 'wide', declared is float64"):
        ingest(stack, "homes", path)
    assert held(stack) == []


def test_a_quote_inside_a_value_is_no_open_one(stack: NotebookStack, tmp_path: Path) -> None:
    path = tmp_path / "homes.csv"
    path.write_text('home_id,changed_at,area,kind\n1,2024-01-01,50,5" pipe\n')
    assert ingest(stack, "homes", path).data["added"] == 1


def test_a_last_line_without_an_end_is_noted(stack: NotebookStack, tmp_path: Path) -> None:
    path = tmp_path / "homes.csv"
    path.write_text("home_id,changed_at,area,kind\n1,2024-01-01,50,fla")
    (note,) = [note for note in ingest(stack, "homes", path).notes if "no end" in note]
    assert str(path) in note
    path.write_text("home_id,changed_at,area,kind\n2,2024-01-01,50,flat\n")
    assert not [note for note in ingest(stack, "homes", path).notes if "no end" in note]


def no_files(folder: Path) -> None:
    (folder / "notes.txt").write_text("nothing else")


def two_kinds(folder: Path) -> None:
    write(folder / "1.csv")
    write(folder / "2.parquet")


def other_columns(suffix: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        write(folder / f"1{suffix}")
        write(folder / f"2{suffix}", HOMES.drop_columns(["kind"]))

    return prepare


def other_types(folder: Path) -> None:
    write(folder / "1.parquet")
    write(folder / "2.parquet", HOMES.set_column(2, "area", pa.array(["a", "b", "c", "d"])))


def a_column_twice(folder: Path) -> None:
    pyarrow.parquet.write_table(pa.table([[1], [2]], names=["n", "n"]), folder / "1.parquet")


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda folder: None, "it holds no file that can be read"),
        (no_files, "Give files that end in .parquet, .arrow, .feather or .csv"),
        (two_kinds, "it holds files of several kinds: .csv and .parquet"),
        (other_columns(".csv"), "2.csv: column 'kind' is missing, and"),
        (other_columns(".parquet"), "2.parquet: column 'kind' is missing, and"),
        (other_types, "2.parquet: its columns do not go with those of"),
        (a_column_twice, "1.parquet: column 'n' is there twice"),
    ],
)
def test_a_folder_that_is_no_table_is_told_and_nothing_is_ingested(
    stack: NotebookStack, tmp_path: Path, prepare: Callable[[Path], None], told: str
) -> None:
    folder = tmp_path / "days"
    folder.mkdir()
    prepare(folder)
    with pytest.raises((UsageError, DataError)) as raised:
        ingest(stack, "homes", folder)
    assert told in str(raised.value)
    assert held(stack) == []


@pytest.fixture
def bucket(s3: Callable[[], str], tmp_path: Path) -> Callable[[str, pa.Table], str]:
    """Puts a table under a key of a bucket, and gives the object's URL."""
    url = s3()

    def put(key: str, table: pa.Table = HOMES) -> str:
        data = write(tmp_path / "spool" / f"object{Path(key).suffix}", table).read_bytes()
        open_storage(url).put_if_absent(key, data)
        parts = urlsplit(url)
        return parts._replace(path=f"{parts.path}/{key}").geturl()

    return put


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_object_in_a_bucket_is_read(stack: NotebookStack, bucket: Any, suffix: str) -> None:
    assert ingest(stack, "homes", bucket(f"the homes{suffix}")).data["added"] == 4
    assert not list(stack.project.cache.glob("objects-*"))


@pytest.mark.parametrize("folder", ["days", "days.parquet"])
def test_objects_below_a_prefix_are_one_table(stack: NotebookStack, bucket: Any, folder: str) -> None:
    bucket(f"{folder}/2024/part-1.parquet", HOMES.slice(0, 2))
    bucket(f"{folder}/_temporary/part-9.parquet")
    url = urlsplit(bucket(f"{folder}/2024/part-2.parquet", HOMES.slice(2, 2)))
    for path in (url.path.rpartition("/2024")[0], url.path.rpartition("2024")[0]):
        assert ingest(stack, "homes", url._replace(path=path).geturl()).data["rows"] == 4


def test_what_is_not_in_a_bucket_is_told(stack: NotebookStack, bucket: Any) -> None:
    url = urlsplit(bucket("homes.parquet"))
    cases: list[tuple[dict[str, str], type[StackwrightError], str]] = [
        ({"path": "/some/prefix/none.parquet"}, ObjectNotFound, "s3://.*none.parquet"),
        ({"path": "/some/none/"}, UsageError, "no object that can be read lies below it"),
        ({"netloc": "no-such-bucket"}, StorageError, "there is no bucket 'no-such-bucket'"),
        ({"netloc": "no-such-bucket", "path": "/x/"}, StorageError, "there is no bucket 'no-such-bucket'"),
    ]
    for change, kind, told in cases:
        with pytest.raises(kind, match=told):
            ingest(stack, "homes", url._replace(**change).geturl())
    assert held(stack) == []


def test_a_damaged_object_is_named_by_its_url(stack: NotebookStack, s3: Callable[[], str]) -> None:
    url = urlsplit(s3())
    open_storage(url.geturl()).put_if_absent("homes.parquet", b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read") as raised:
        ingest(stack, "homes", url._replace(path=f"{url.path}/homes.parquet").geturl())
    assert raised.value.where == f"s3://{url.netloc}/some/prefix/homes.parquet"
    assert held(stack) == []


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The URL of a database with homes, and visits of which one is no number."""
    with sqlite3.connect(tmp_path / "homes.db") as connection:
        connection.executescript(
            "CREATE TABLE homes (home_id TEXT, changed_at TEXT, area REAL, kind TEXT, odd INTEGER);"
            "INSERT INTO homes VALUES ('0001', '2024-01-01', 50, 'flat', 'text'), ('0002', '2024-01-02', 60, NULL, 1);"
            "CREATE TABLE sales (home_id TEXT, asked_at TEXT, sold_at TEXT, known_at TEXT, rooms INTEGER, price REAL);"
            "INSERT INTO sales VALUES ('0001', '2024-02-01', '2024-02-02', '2024-02-03', 2, 5);"
            "CREATE TABLE bad AS SELECT home_id, changed_at, area, kind FROM homes;"
            "INSERT INTO bad VALUES ('0003', '2024-01-03', 'wide', 'flat');"
        )
    connection.close()
    return f"sqlite:///{tmp_path / 'homes.db'}"


def test_a_table_and_a_query_of_a_database_are_ingested(stack: NotebookStack, database: str) -> None:
    assert ingest(stack, "homes", database, table="homes").data["added"] == 2
    query = "SELECT home_id, changed_at, area + 1 AS area, kind FROM homes WHERE area > 55"
    assert ingest(stack, "homes", database, query=query).data["added"] == 1
    assert sorted(row["area"] for row in held(stack)) == [50.0, 60.0, 61.0]


def test_labels_and_training_sets_take_a_database_too(stack: NotebookStack, database: str, tmp_path: Path) -> None:
    assert label(stack, database, table="sales").data["added"] == 1
    ingest(stack, "homes", database, table="homes")
    query = "SELECT home_id, rooms, asked_at AS event_time FROM sales"
    training_set(stack, "valuation@1", database, tmp_path / "out.parquet", query=query)
    (row,) = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert (row["home_id"], row["area"], row["room_size"]) == ("0001", 50.0, 25.0)


def test_what_is_wrong_in_a_database_is_told_and_nothing_is_ingested(stack: NotebookStack, database: str) -> None:
    with pytest.raises(DataError, match="column 'area'"):
        ingest(stack, "homes", database, table="bad")
    with pytest.raises(UsageError, match="Did you mean 'homes'"):
        ingest(stack, "homes", database, table="home")
    with pytest.raises(MissingColumn, match="column 'kind' is missing"):
        ingest(stack, "homes", database, query="SELECT home_id, changed_at, area FROM homes")
    assert held(stack) == []


def test_the_command_line_says_what_to_read(run: Any, stack: NotebookStack, database: str, tmp_path: Path) -> None:
    path = write(tmp_path / "homes.csv")
    at = ("--project", stack.project.folder)
    for line, told in (
        (("ingest", "homes", database), "Give --table NAME, or --query"),
        (("ingest", "homes", database, "--table", "a", "--query", "SELECT 1"), "both --table and --query are given"),
        (("ingest", "homes", path, "--table", "homes"), "the source is a file, no database"),
        (("ingest", "homes", "https://example.com/homes.csv"), "files are not read from there"),
        (("label", database), "Give --table NAME, or --query"),
        (("training-set", "valuation@1", database, tmp_path / "o.parquet"), "Give --table NAME, or --query"),
    ):
        ran = run(*line, *at)
        assert (ran.code, told in ran.err) == (2, True), ran
    assert run("ingest", "homes", database, "--table", "homes", *at).code == 0
    assert run("label", database, "--query", "SELECT * FROM sales", *at).code == 0


def test_a_password_stays_hidden(run: Any, stack: NotebookStack, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://ada:hidden-47@127.0.0.1:1/homes"
    monkeypatch.setenv("HOMES_DB", url)
    for source in (url, "env:HOMES_DB"):
        for extra in (("--table", "homes"), (), ("--json", "--table", "homes")):
            ran = run("ingest", "homes", source, *extra, "--project", stack.project.folder)
            assert ran.code in (1, 2)
            assert "hidden-47" not in ran.out + ran.err
            assert "127.0.0.1:1/homes" in ran.out + ran.err or not extra


def test_a_missing_adapter_is_answered_with_the_line_that_installs_it(stack: NotebookStack, database: str) -> None:
    plugins = Plugins()
    plugins.__dict__["_entries"] = {name: found for name, found in plugins._entries.items() if name != "sql"}
    with (
        stackwright.load(stack.project.folder, plugins=plugins, progress=lambda *_: None) as without,
        pytest.raises(AdapterNotInstalled, match="pip install stackwright-sql"),
    ):
        ingest(without, "homes", database, table="homes")


def test_rows_are_read_as_they_are_asked_for(stack: NotebookStack, tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    pyarrow.parquet.write_table(MANY, path, row_group_size=10_000)
    for source in (path, write(tmp_path / "many.csv", MANY), write(tmp_path / "many.arrow", MANY)):
        with rows_of(stack, source, {}) as rows:
            reader = pa.RecordBatchReader.from_stream(rows)
            assert 0 < len(reader.read_next_batch()) <= 65_536
            assert sum(len(batch) for batch in reader) > 100_000


def test_spooled_objects_are_gone_also_after_a_mistake(stack: NotebookStack, bucket: Any) -> None:
    url = bucket("homes.parquet", HOMES.drop_columns(["kind"]))
    with pytest.raises(MissingColumn):
        ingest(stack, "homes", url)
    assert not list(stack.project.cache.glob("objects-*"))
    shutil.rmtree(stack.project.cache)


def test_what_a_killed_process_spooled_is_gone_with_the_next_and_what_a_living_one_spools_stays(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from stackwright.workflows.rows.spool import spool

with spool(Path(sys.argv[1]), "objects") as folder:
    (folder / "object").write_text("much")
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert (killed.returncode, len(list(tmp_path.rglob("object")))) == (-9, 1)
    with spool(tmp_path, "objects") as living:
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == [living]
        with spool(tmp_path, "objects") as other:
            assert living.is_dir()
            assert other != living
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_without_rows_adds_none_and_says_so(stack: NotebookStack, tmp_path: Path, suffix: str) -> None:
    done = ingest(stack, "homes", write(tmp_path / f"none{suffix}", HOMES.slice(0, 0)))
    assert (done.data["rows"], done.data["added"]) == (0, 0)
    assert f"none{suffix} holds no rows." in done.notes


def test_an_interruption_while_a_source_is_read_stays_one_and_nothing_is_ingested(
    stack: NotebookStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Stream:
        def batches() -> Iterator[pa.RecordBatch]:
            yield from MANY.to_batches(max_chunksize=70_000)
            raise KeyboardInterrupt

        return Stream(MANY.schema, batches())

    path = write(tmp_path / "homes.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(files, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ingest(stack, "homes", path)
    assert not held(stack)
    assert not [path for path in stack.project.cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert ingest(stack, "homes", path).data["added"] == 4
