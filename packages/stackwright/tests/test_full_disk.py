"""A disk that is full or read-only: each verb says so and loses nothing, and works once there is room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

MOUNT = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run([*MOUNT, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({done.stderr.strip()}); run the tests as root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small(disk: Path, served: Path) -> Path:
    """The project with a promoted model, on that disk."""
    return Path(shutil.copytree(served, disk / "project"))


def fill(folder: Path) -> Path:
    """Take the rest of the disk, to the last block."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(65_536))
    with filler.open("ab", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(b"\0")
    return filler


def replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda project: (project / name).write_text((project / name).read_text().replace(old, new))


NEW_OWNER = replace("features.py", 'owner="ada"', 'owner="bob"')
NEW_SEED = replace("blueprint.toml", 'transform = "log"', 'transform = "log"\nseed = 9')

VERBS = [
    ("apply", NEW_OWNER),
    ("ingest visits MORE", None),
    ("label SALES", None),
    ("train", NEW_SEED),
    ("promote valuation --alias shadow", None),
    ("score SALES PROJECT/out.parquet", None),
    ("training-set valuation@1 SALES PROJECT/set.parquet --time asked_at", None),
    ("lock", None),
    ("models show valuation --out PROJECT/card.html", None),
    ("retire valuation --drain", None),
    ("export valuation PROJECT/out", None),
    ("reproduce valuation", None),
]


@pytest.mark.parametrize(("line", "prepare"), VERBS, ids=[line.split()[0] for line, _ in VERBS])
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_it_is_told_and_the_same_command_works_when_there_is_room(
    small: Path, disk: Path, market: Any, tmp_path: Path, run: Any, line: str, prepare: Any, fault: str
) -> None:
    more, sales = tmp_path / "more.parquet", tmp_path / "sales.csv"
    visits = pyarrow.parquet.read_table(market.visits).slice(0, 50)
    minutes = pa.array([float(number) for number in range(50)])
    pyarrow.parquet.write_table(visits.set_column(2, "minutes", minutes), more)
    table = pyarrow.csv.read_csv(market.sales)
    pyarrow.csv.write_csv(table.set_column(5, "price", pa.array([float(number) for number in range(300)])), sales)
    if prepare is not None:
        prepare(small)
    words = line.replace("MORE", str(more)).replace("SALES", str(sales)).replace("PROJECT", str(small)).split()
    filler = fill(disk) if fault == "full" else None
    if fault == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ran = run(*words, "--project", small)
    assert ran.code == 1, ran
    assert "Traceback" not in ran.err
    assert str(disk) in ran.err or ".stackwright" in ran.err
    if filler is not None:
        filler.unlink()
    else:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    ran = run(*words, "--project", small)
    assert ran.code == 0, ran
    assert [path for path in small.rglob("*.tmp") if path.is_file()] == []
