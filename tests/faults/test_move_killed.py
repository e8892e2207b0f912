"""A move of history that is killed with SIGKILL at any step goes on when it is begun again, and only reads the old."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stackwright
from stackwright.notebook import NotebookStack
from stackwright_interfaces.testing.crashes import crashes

BLUEPRINT = """\
name = "homes"

[feature_store]
offline = { adapter = "duckdb", path = "data" }
"""

FEATURES = """
from stackwright import FLOAT64, INT64, Entity, FeatureService, FeatureView, Field

home = Entity(name="home", keys=(Field("home_id", INT64),))
homes = FeatureView(name="homes", entity=home, fields=(Field("area", FLOAT64),))
visits = FeatureView(name="visits", entity=home, fields=(Field("seconds", FLOAT64),))
service = FeatureService(name="s", selections=(homes.select(), visits.select()))
"""

HOMES = 200
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
LATER = datetime(2024, 6, 1, tzinfo=UTC)


def rows(column: str, first: int, at: datetime) -> pa.Table:
    numbers = range(first, first + HOMES)
    return pa.table({"home_id": numbers, "event_time": [at] * HOMES, column: [number / 4 for number in numbers]})


def opened(folder: Path) -> NotebookStack:
    return stackwright.load(folder, progress=lambda *_: None)


def move(folder: Path) -> None:
    with opened(folder) as stack:
        assert stack.swap("offline", "duckdb", {"path": "moved"}, migrate=True).ok


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def history(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each view with their positions, read past the store."""
    return {
        view: [row for path in sorted((folder / view).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
        for view in ("homes@1", "visits@1")
    }


def known(folder: Path) -> Any:
    """What the store of a project answers: positions, and joins of the present and as of the first ingestion."""
    with opened(folder) as stack:
        assert stack.offline is not None
        marks = {view.ref: stack.offline.watermark(view) for view in stack.definitions.views}
        first = {ref: type(mark)(1, mark.due) for ref, mark in marks.items()}
        asked = pa.table({"home_id": range(2 * HOMES), "event_time": [LATER] * 2 * HOMES})
        joins = [pa.table(stack.features.join("s@1", asked, as_of=as_of)) for as_of in (None, first)]
        return {ref: mark.position for ref, mark in marks.items()}, [join.to_pylist() for join in joins]


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Path]:
    """Gives a copy, of a name, of a project with ingestions that are late, that overlap, and that add nothing."""
    whole = tmp_path / "project"
    whole.mkdir()
    (whole / "blueprint.toml").write_text(BLUEPRINT)
    (whole / "features.py").write_text(FEATURES)
    with opened(whole) as stack:
        stack.apply()
        for view, column, first, at in (
            ("homes", "area", 0, LATER),
            ("homes", "area", HOMES // 2, NEW_YEAR),
            ("homes", "area", 0, LATER),
            ("visits", "seconds", 0, NEW_YEAR),
            ("visits", "seconds", HOMES, LATER),
        ):
            stack.features.ingest(f"{view}@1", rows(column, first, at))
    return lambda name: Path(shutil.copytree(whole, tmp_path / name))


@pytest.mark.nightly
def test_killed_at_any_step_a_move_of_history_goes_on(project: Callable[[str], Path], tmp_path: Path) -> None:
    undisturbed = project("undisturbed")
    before, text = files(undisturbed / "data"), (undisturbed / "blueprint.toml").read_text()
    answers = known(undisturbed)
    move(undisturbed)
    assert files(undisturbed / "data") == before
    assert history(undisturbed / "moved") == history(undisturbed / "data")
    met = {"untouched": 0, "begun": 0, "swapped": 0}
    for name in crashes(lambda name: move(tmp_path / name), prepare=project, at_most=60):
        folder = tmp_path / name
        assert files(folder / "data") == before, name
        if (folder / "blueprint.toml").read_text() == text:
            met["begun" if (folder / "moved").exists() else "untouched"] += 1
            move(folder)
        else:
            met["swapped"] += 1
        assert (folder / "blueprint.toml").read_text() == text.replace('path = "data"', 'path = "moved"'), name
        assert history(folder / "moved") == history(folder / "data"), name
        assert known(folder) == answers, name
        assert files(folder / "data") == before, name
        assert not [path for path in (folder / "moved").rglob("*") if path.name.startswith(".tmp-")], name
        assert not (folder / ".stackwright" / "trials").exists(), name
        shutil.rmtree(folder)
    assert all(met.values()), met
