"""Predictions and labels that are lost, torn, told twice or revised."""

from __future__ import annotations

import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import stackwright
from stackwright.workflows import journal


def test_a_full_disk_costs_log_lines_and_no_prediction(server: Any, kit: Any) -> None:
    (worker,) = server.workers
    server.predict(0)  # the store is open then
    before = server.metric("lost_predictions_total")
    limits = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        for home in range(100):
            assert server.predict(home).json["predictions"][0]["value"] == kit.value_of(home)
        kit.until(lambda: server.metric("lost_predictions_total") > before)
    finally:
        resource.prlimit(worker, resource.RLIMIT_FSIZE, limits)
    assert server.workers == [worker]
    with server.project.stack() as stack:
        served = server.predict(42).json["predictions"][0]["prediction_id"]
        kit.until(lambda: journal.predictions(stack).find(served))


def test_a_torn_last_log_line_is_skipped_and_counted(server: Any, kit: Any) -> None:
    made = server.predict(78).json["predictions"][0]["prediction_id"]
    with server.project.stack() as stack:
        kit.until(lambda: journal.predictions(stack).find(made))
        before = journal.predictions(stack).read()
        folder = server.project.folder / "journal" / "predictions"
        segment = next(path for path in folder.rglob("*.jsonl") if made in path.read_text())
        torn = segment.with_name(segment.name.replace(".jsonl", "t.jsonl"))
        line = segment.read_text().splitlines()[0]
        torn.write_text(f"{line}\n{line[: len(line) // 2]}")
        after = journal.predictions(stack).read()
        torn.unlink()
    assert after.table.num_rows == before.table.num_rows
    assert (after.counts.torn, after.counts.duplicates) == (before.counts.torn + 1, before.counts.duplicates + 1)


def test_a_double_prediction_an_early_label_and_a_revised_one(server: Any, kit: Any, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    made = server.predict(77).json["predictions"][0]["prediction_id"]
    with stackwright.load(server.project.folder, progress=lambda *_: None) as stack:
        kit.until(lambda: journal.predictions(stack).find(made))
        folder = server.project.folder / "journal" / "predictions"
        segment = next(path for path in folder.rglob("*.jsonl") if made in path.read_text())
        line = next(line for line in segment.read_text().splitlines() if made in line)
        double = segment.with_name(segment.name.replace(".jsonl", "x.jsonl"))
        double.write_text(line + "\n")
        again = journal.predictions(stack).read()
        assert (again.table.column("prediction_id").to_pylist().count(made), again.counts.duplicates) == (1, 1)
        double.unlink()
        now = datetime.now(UTC)

        def label(price: float, asked: datetime) -> Any:
            rows = {
                "home_id": ["H77"], "rooms": [3], "price": [price], "asked_at": [asked],
                "happened_at": [asked + timedelta(hours=1)], "known_at": [asked + timedelta(hours=2)],
                "sold_at": [asked + timedelta(hours=1)], "label_id": ["L77"],
            }  # fmt: skip
            path = tmp_path / f"{price}.parquet"
            pyarrow.parquet.write_table(pa.table(rows), path)
            return stack.label(path)

        asked = now - timedelta(days=1)
        label(1.0, asked)
        label(1.0, asked)
        label(2.0, asked)
        log = journal.labels(stack, stack.target("sale_price"))
        assert log.read().column("price").to_pylist() == [2.0]
        assert log.history("L77").num_rows == 2
