"""What a user can get wrong: each mistake is told with its place, what was found and what to do; no traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from stackwright.cli.main import main

Prepare = Callable[[Path], object]


@dataclass(frozen=True)
class Mistake:
    """A command line (``PROJECT`` stands for the project) after something was made wrong, and what must be told."""

    name: str
    line: str
    told: tuple[str, ...]
    code: int = 1
    prepare: Prepare = lambda _project: None
    at: str = "--project PROJECT"


def writes(name: str, content: str | bytes) -> Prepare:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda project: (project / name).write_bytes(data)


def replaces(name: str, old: str, new: str) -> Prepare:
    def replace(project: Path) -> None:
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new))

    return replace


def parquet(name: str, **columns: list[Any]) -> Prepare:
    return lambda project: pyarrow.parquet.write_table(pa.table(columns), project / name)


HOMES = "home_id,changed_at,area,kind\n0001,2024-01-01T00:00:00Z,50,flat\n"
SALES = "home_id,asked_at,sold_at,known_at,rooms,price\n"


def few_labels(project: Path) -> None:
    shutil.rmtree(project / "journal")
    writes("sales.csv", SALES + "".join(f"{home},2024-01-0{home},2024-02-01,2024-02-01,1,5\n" for home in (1, 2)))(
        project
    )
    assert main(["label", "sales.csv"]) == 0


MISTAKES = [
    Mistake("no such folder", "check", ("nowhere: no such folder", "stackwright new"), at="--project PROJECT/nowhere"),
    Mistake("a folder without a blueprint", "models", ("no blueprint.toml here",), at="--project PROJECT/data"),
    Mistake("a file for a folder", "models", ("no such folder",), at="--project PROJECT/blueprint.toml"),
    Mistake(
        "broken TOML",
        "models",
        ("blueprint.toml: not TOML", "line 2"),
        prepare=writes("blueprint.toml", 'name = "a"\nx =\n'),
    ),
    Mistake("no text at all", "models", ("cannot be read",), prepare=writes("blueprint.toml", b"name = '\xff\xfe'")),
    Mistake(
        "an absent adapter",
        "models",
        ("no adapter named 'fils'", "Did you mean 'files'?"),
        prepare=replaces("blueprint.toml", 'adapter = "files"', 'adapter = "fils"'),
    ),
    Mistake(
        "an empty slot",
        "models",
        ("[registry]: the slot is empty", 'Add [registry] with adapter = "..."'),
        prepare=writes("blueprint.toml", 'name = "a"\n'),
    ),
    Mistake(
        "a variable that is not set",
        "models",
        ("NO_SUCH_VARIABLE is not set", "export NO_SUCH_VARIABLE="),
        prepare=replaces("blueprint.toml", 'adapter = "files"', 'adapter = "files"\nurl = "${NO_SUCH_VARIABLE}"'),
    ),
    Mistake(
        "an option that is not a number",
        "check",
        ("learning_rate is nan",),
        prepare=replaces("blueprint.toml", "learning_rate = 0.1", "learning_rate = nan"),
    ),
    Mistake(
        "a date for a parameter",
        "check",
        ("",),
        prepare=replaces("blueprint.toml", "learning_rate = 0.1", "learning_rate = 2020-01-01"),
    ),
    Mistake(
        "a date deep in a parameter",
        "check",
        ("",),
        prepare=replaces("blueprint.toml", "learning_rate = 0.1", "params = { a = 2020-01-01 }"),
    ),
    Mistake(
        "a history that is a file",
        "ingest homes homes.csv",
        ("data",),
        prepare=lambda project: (
            shutil.rmtree(project / "data"),
            (project / "data").write_text(""),
            writes("homes.csv", HOMES)(project),
        ),
    ),
    Mistake(
        "a damaged catalogue",
        "models",
        ("definitions.json", "stackwright apply"),
        prepare=writes(".stackwright/definitions.json", "{}"),
    ),
    Mistake(
        "a catalogue of something else",
        "models",
        ("definitions.json", "stackwright apply"),
        prepare=writes(".stackwright/definitions.json", "[]"),
    ),
    Mistake(
        "an unknown view",
        "ingest hmes homes.csv",
        ("no view named 'hmes'", "homes@1"),
        prepare=writes("homes.csv", HOMES),
    ),
    Mistake("a file that is not there", "ingest homes homes.csv", ("homes.csv: no such file",), code=2),
    Mistake(
        "a file of another kind",
        "ingest homes blueprint.toml",
        ("suffix '.toml' is not known", ".parquet, .arrow, .feather or .csv"),
        code=2,
    ),
    Mistake("an empty CSV", "ingest homes homes.csv", ("the file is empty", "header"), prepare=writes("homes.csv", "")),
    Mistake(
        "a text where a number belongs",
        "ingest homes homes.csv",
        ("homes.csv line 3", "'area' holds 'large'", "float64"),
        prepare=writes("homes.csv", HOMES + "0002,2024-01-01T00:00:00Z,large,flat\n"),
    ),
    Mistake(
        "a text where a number belongs, behind empty lines",
        "ingest homes homes.csv",
        ("homes.csv line 5",),
        prepare=writes("homes.csv", HOMES + "\n\n0002,2024-01-01T00:00:00Z,large,flat\n"),
    ),
    Mistake(
        "a column that is missing",
        "ingest homes homes.csv",
        ("column 'area' is missing", "home_id"),
        prepare=writes("homes.csv", "home_id,changed_at,kind\n0001,2024-01-01,flat\n"),
    ),
    Mistake(
        "a line with too many values",
        "ingest homes homes.csv",
        ("homes.csv line 3", "5 values", "header names 4"),
        prepare=writes("homes.csv", HOMES + "0002,2024-01-01T00:00:00Z,1,flat,5\n"),
    ),
    Mistake(
        "a CSV in another encoding",
        "ingest homes homes.csv",
        ("homes.csv line 3", "not UTF-8"),
        prepare=writes("homes.csv", HOMES.encode() + b"0002,2024-01-01T00:00:00Z,1,fl\xe4t\n"),
    ),
    Mistake(
        "a column given twice",
        "ingest homes homes.csv",
        ("column 'area' is there twice",),
        prepare=writes("homes.csv", "home_id,changed_at,area,kind,area\n0001,2024-01-01,1,flat,1\n"),
    ),
    Mistake(
        "a time that is none",
        "ingest homes homes.csv",
        ("changed_at", "yesterday"),
        prepare=writes("homes.csv", HOMES.replace("2024-01-01T00:00:00Z", "yesterday")),
    ),
    Mistake(
        "damaged Parquet",
        "ingest homes homes.parquet",
        ("homes.parquet: cannot be read",),
        prepare=writes("homes.parquet", "PAR1 nonsense"),
    ),
    Mistake(
        "Parquet of another type",
        "ingest homes homes.parquet",
        ("'area'", "float64"),
        prepare=parquet("homes.parquet", home_id=["1"], changed_at=["2024-01-01"], area=["large"], kind=["flat"]),
    ),
    Mistake("a view that is unknown to materialize", "materialize hmes", ("no view named 'hmes'",)),
    Mistake(
        "features with a syntax error",
        "apply",
        ("features.py:2",),
        prepare=writes("features.py", "import os\nx = = 1\n"),
    ),
    Mistake(
        "features that fail",
        "apply",
        ("features.py:3", "ZeroDivisionError"),
        prepare=writes("features.py", "import os\n\nx = 1 / 0\n"),
    ),
    Mistake("no features", "apply", ("features.py",), prepare=lambda project: (project / "features.py").unlink()),
    Mistake(
        "features that do not hold together",
        "apply",
        ("features.py:", "no feature 'aera'"),
        prepare=replaces("features.py", "homes.select()", 'homes.select("aera")'),
    ),
    Mistake(
        "another body of a transform under its version",
        "apply",
        ("valuation@1", "room_size", "version"),
        prepare=replaces("features.py", "area / np.maximum(rooms, 1)", "area / np.maximum(rooms, 2)"),
    ),
    Mistake(
        "another view under its version",
        "apply",
        ("homes@1", "area", "version"),
        prepare=replaces("features.py", 'Field("area", FLOAT64', 'Field("area", INT64'),
    ),
    Mistake(
        "a service that a model reads is gone",
        "apply",
        ("[models.valuation]: no service 'valuation@1'", "worth@1"),
        prepare=replaces(
            "features.py",
            'valuation = FeatureService(\n    name="valuation",',
            'valuation = FeatureService(\n    name="worth",',
        ),
    ),
    Mistake(
        "labels without their value",
        "label sales.csv",
        ("'price'", "missing"),
        prepare=writes("sales.csv", "home_id,asked_at,sold_at,known_at,rooms\n"),
    ),
    Mistake(
        "labels of an unknown target",
        "label sales.csv --target prices",
        ("no target named 'prices'", "sale_price"),
        prepare=writes("sales.csv", SALES),
    ),
    Mistake(
        "training without labels",
        "train",
        ("sale_price", "no label is known", "stackwright label"),
        prepare=lambda project: shutil.rmtree(project / "journal"),
    ),
    Mistake("training with few labels", "train", ("2 labelled rows", "stackwright label"), prepare=few_labels),
    Mistake("training of an unknown model", "train valuatoin", ("no model 'valuatoin'", "valuation")),
    Mistake("an unknown model", "promote house", ("house", "Published: valuation")),
    Mistake("an unknown model in a list", "models hause", ("'hause'", "Known: valuation")),
    Mistake("an unknown model in runs", "runs house", ("house",)),
    Mistake("an unknown version", "promote valuation@9", ("valuation", "version 9")),
    Mistake("an unknown alias", "predict home_id=0001 rooms=2 --model valuation@best", ("best",)),
    Mistake("a reference that is none", "promote valu:ation", ("not a model reference", "NAME@VERSION"), code=2),
    Mistake("an alias that is none", "promote valuation --alias a/b", ("a/b",), code=2),
    Mistake("a force without a reason", "promote valuation --force", ("--force", "no reason", "--reason"), code=2),
    Mistake("a report on nothing", "report", ("model 'valuation'", "no prediction is logged", "stackwright serve")),
    Mistake("a rollback to nothing", "rollback", ("valuation@champion", "no earlier version")),
    Mistake("a rollback of an unknown model", "rollback house", ("house",)),
    Mistake("no KEY=VALUE", "predict 0001", ("'0001'", "not KEY=VALUE"), code=2),
    Mistake("a key that is missing", "predict rooms=2", ("'home_id' is missing. Given: rooms", "Add: home_id=...")),
    Mistake(
        "a key with another name",
        "predict hom_id=0001 rooms=2",
        ("'hom_id'", "is no key of the model", "'home_id'"),
        code=2,
    ),
    Mistake(
        "a time that is none",
        "ingest homes homes.csv",
        (
            "homes.csv line 2: column 'changed_at' holds '2024-13-45', which is no time in ISO 8601",
            "Source(time_format=",
        ),
        prepare=writes("homes.csv", HOMES.replace("2024-01-01T00:00:00Z", "2024-13-45")),
    ),
    Mistake("a request field that is missing", "predict home_id=0001", ("'rooms' is missing",)),
    Mistake("a value of another type", "predict home_id=0001 rooms=two", ("'rooms' holds 'two'", "int64")),
    Mistake("a number that is too large", f"predict home_id=0001 rooms={10**30}", ("rooms",)),
    Mistake("a key that is unknown", "predict home_id=0001 rooms=2 sise=3", ("'sise'", "home_id, rooms"), code=2),
    Mistake("no file to score", "score homes.csv out.csv", ("homes.csv: no such file",), code=2),
    Mistake(
        "rows without what a model needs",
        "score homes.csv out.csv",
        ("'rooms' is missing",),
        prepare=writes("homes.csv", "home_id\n0001\n"),
    ),
    Mistake(
        "rows without keys and features",
        "score homes.csv out.csv",
        ("is missing",),
        prepare=writes("homes.csv", "name\n0001\n"),
    ),
    Mistake(
        "a result of an unknown kind",
        "score homes.csv out.xlsx",
        ("suffix '.xlsx'", ".csv, .parquet"),
        code=2,
        prepare=writes("homes.csv", "home_id,rooms\n0001,2\n"),
    ),
    Mistake(
        "a result that cannot be written",
        "score homes.csv blueprint.toml/out.csv",
        ("cannot be written",),
        prepare=writes("homes.csv", "home_id,rooms\n0001,2\n"),
    ),
    Mistake(
        "a ready row of another type",
        "score homes.parquet out.csv",
        ("area",),
        prepare=parquet("homes.parquet", area=["large"], kind=["flat"], visits_30d=[1], rooms=[2]),
    ),
    Mistake(
        "an unknown blueprint",
        "new PROJECT/new --blueprint realtme",
        ("no blueprint named 'realtme'", "realtime"),
        at="",
    ),
    Mistake("a folder that is not empty", "new PROJECT --blueprint realtime", ("not empty",), at=""),
    Mistake(
        "an unknown option of the sample",
        "new PROJECT/new --blueprint realtime --sample --set sed=1",
        ("no option 'sed'", "Did you mean 'seed'?"),
        code=2,
        at="",
    ),
    Mistake(
        "a wrong option of the sample",
        "new PROJECT/new --blueprint realtime --sample --set seed=one",
        ("seed", "one"),
        code=2,
        at="",
    ),
    Mistake(
        "options without a sample",
        "new PROJECT/new --blueprint realtime --set seed=1",
        ("--set", "--sample"),
        code=2,
        at="",
    ),
]


@pytest.fixture
def project(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(work)
    return work


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_told_with_place_finding_and_remedy(mistake: Mistake, project: Path, run: Any) -> None:
    mistake.prepare(project)
    ran = run(*f"{mistake.line} {mistake.at}".replace("PROJECT", str(project)).split(), "--json")
    assert ran.code == mistake.code, ran
    assert ran.json["ok"] is False
    problems = ran.json["problems"]
    told = "\n".join(f"{problem['where']}: {problem['found']}. {problem['todo']}" for problem in problems)
    for part in mistake.told:
        assert part in told
    assert all(problem["where"] and problem["found"] and problem["todo"] for problem in problems), told


def test_a_mistake_is_one_line_on_standard_error(project: Path, run: Any) -> None:
    ran = run("ingest", "hmes", "homes.csv")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "definitions: no view named 'hmes'. Applied: homes@1, visits@1. Did you mean 'homes@1'?\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("predict home_id=0001 rooms=2 --at yesterday", "'yesterday' is no ISO 8601 time"),
        ("ingest homes", "the following arguments are required: SOURCE"),
        ("predict home_id=0001 rooms=2 --at 0001-01-01T00:00:00+23:59", "is no ISO 8601 time"),
        ("serve --port high", "invalid int value: 'high'"),
        ("backfill daily --from 2026-01-01 --to 2026-01-02 --step nan", "'nan' is no number of seconds above 0"),
        ("watch --every -1", "'-1' is no number of seconds above 0"),
        ("worth --days 1e10", "'1e10' is no number of days above 0, at most 36525"),
        ("parity --rows 0", "'0' is no whole number from 1"),
    ],
)
def test_a_line_that_cannot_be_read_is_answered_with_the_usage(line: str, told: str, run: Any) -> None:
    ran = run(*line.split())
    assert ran.code == 2
    assert ran.err.startswith("usage: stackwright")
    assert told in ran.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("promot valuation", "stackwright: there is no verb 'promot'. Did you mean 'promote'?"),
        ("frobnicate", "stackwright: there is no verb 'frobnicate'. See: stackwright --help"),
        ("serve --prot 80", "stackwright serve: it takes no '--prot' here. Did you mean '--port'?"),
        ("serve --prot=80", "stackwright serve: it takes no '--prot' here. Did you mean '--port'?"),
        ("check --envv staging", "stackwright check: it takes no '--envv' here. Did you mean '--env'?"),
        ("check --fix", "stackwright check: it takes no '--fix' here. See: stackwright check --help"),
        ("new avm", "--blueprint: none is named. Installed: batch, realtime, recommender."),
        ("new avm --blueprint realtme", "--blueprint: no blueprint named 'realtme'. Did you mean 'realtime'?"),
        (
            "up --project nowhere",
            "nowhere: is no project, and no sample is asked for to go the whole way on. Add: --sample.",
        ),
    ],
)
def test_a_mistyped_line_is_answered_with_what_was_meant(
    line: str, told: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*line.split())
    assert ran.code in (1, 2)
    assert ran.err.startswith(told)
    assert list(tmp_path.iterdir()) == []
