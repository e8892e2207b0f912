"""Where rows came from is written down, a line an ingestion."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

import stackwright
from stackwright.workflows.features.source_log import places, read
from stackwright.workflows.rows.fingerprint import Fingerprint


def test_an_ingestion_leaves_who_when_which_file_and_how_many(filled: Path, market: Any) -> None:
    with stackwright.load(filled) as stack:
        (line,) = read(stack, "homes@1")
    assert line["files"] == [
        {
            "path": str(market.homes),
            "sha256": hashlib.sha256(market.homes.read_bytes()).hexdigest(),
            "size": market.homes.stat().st_size,
        }
    ]
    assert (line["rows"], line["added"], line["position"]) == (300, 300, 1)
    assert line["who"]
    assert line["at"].startswith("20")


def test_what_brought_nothing_new_or_came_later_is_passed_over(work: Path, market: Any) -> None:
    with stackwright.load(work) as stack:
        stack.ingest("homes", market.homes)
        assert len(read(stack, "homes@1")) == 1
        more = work / "more.csv"
        more.write_text("home_id,changed_at,area,kind\n9000,2024-03-01T00:00:00Z,70,flat\n")
        stack.ingest("homes", more)
        assert places(read(stack, "homes@1")) == [str(market.homes), str(more)]
        assert places(read(stack, "homes@1", position=1)) == [str(market.homes)]
        assert read(stack, "visits@2") == []


def test_events_that_come_from_no_file_are_known_by_their_content(work: Path) -> None:
    event = {"home_id": "0001", "visited_at": "2024-03-01T00:00:00Z", "minutes": 7.0}
    (work / "events.jsonl").write_text(json.dumps(event) + "\n")
    with stackwright.load(work) as stack:
        stack.push("visits", work / "events.jsonl")
        line = read(stack, "visits@1")[-1]
    assert line["digest"].startswith("sha256:")
    assert "files" not in line


def test_a_torn_last_line_is_passed_over(work: Path) -> None:
    path = work / ".stackwright" / "sources" / "homes@1.jsonl"
    with path.open("ab") as stream:
        stream.write(b'{"at": "2024-')
    with stackwright.load(work) as stack:
        assert len(read(stack, "homes@1")) == 1


def fingerprint(*tables: pa.Table) -> str:
    found = Fingerprint(tables[0].schema)
    for table in tables:
        found.add(table)
    return found.finish()


def test_equal_rows_have_equal_fingerprints_however_they_are_cut() -> None:
    texts = [None if row % 7 == 0 else f"text {row % 1000}" for row in range(20_000)]
    whole = pa.table({"a": range(20_000), "b": texts, "c": [row % 3 == 0 for row in range(20_000)]})
    cut = [whole.slice(0, 1), whole.slice(1, 10_000), whole.slice(10_001, 0), whole.slice(10_001)]
    assert fingerprint(*cut) == fingerprint(pa.concat_tables(cut)) == fingerprint(whole)
    assert fingerprint(whole.replace_schema_metadata({"a": "b"})) == fingerprint(whole)
    assert fingerprint(whole.slice(1)) != fingerprint(whole)
    assert fingerprint(whole.rename_columns(["a", "b", "d"])) != fingerprint(whole)


def test_passwords_of_a_database_are_not_written_down() -> None:
    from stackwright.workflows.rows.sources import _without_secrets

    assert _without_secrets("postgresql://ada:secret@host:5432/homes?sslkey=x") == "postgresql://host:5432/homes"
    assert _without_secrets("days/*.csv") == "days/*.csv"
