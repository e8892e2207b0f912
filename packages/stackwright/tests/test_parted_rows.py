"""Rows of a training in files, read a part at a time: they are those of a training in memory, and so is the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stackwright
from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.datasets import building, spreading
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.part_files import write
from stackwright.workflows.datasets.parted_rows import PartedRows
from stackwright.workflows.lineage.rejudging import rejudge
from stackwright.workflows.lineage.training_rows import rebuilt, write_rows
from stackwright_interfaces.errors import DataError, TrainingError
from stackwright_numerics.split import TemporalSplit
from stackwright_storage import open_storage

QUICK = dict.fromkeys(GATE_OPTIONS, False)
JUDGED = {**QUICK, "baseline": {}, "slices": {"rows": 20}, "drift": {"rows": 20, "psi": 9.0}, "reproducible": {}}
BESIDE = {
    "interval": 0.8,
    "level": True,
    "refit": True,
    "half_life": 90.0,
    "where": {"area": [40, 190]},
    "rules": {
        "outliers": {
            "area": {"clip": [0.05, 0.95], "quantiles": True},
            "sale_price": {"drop": [0.02, 0.98], "quantiles": True},
        }
    },
}

READING = {"adapter": "odd", "rows": "read"}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "PART_ROWS", 41)


def trained(copies: Any, rows: str, **options: Any) -> Any:
    """Train; give the digest, the version's metrics and gates, and what its record says of its rows."""
    with copies.open(rows, trainer={"adapter": "odd", "rows": rows}, **options) as stack:
        outcome = stack.train()
        (version,), _ = stack.registry.history()
        assert not list(stack.project.cache.glob("rows-*"))
    return outcome.data["digest"], version.record["metrics"], outcome.data["gates"], version.record["data"]


@pytest.mark.parametrize("more", [{}, BESIDE], ids=["plain", "with everything beside the fit"])
def test_rows_in_files_come_to_the_model_of_rows_in_memory(
    copies: Any, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = trained(copies, "given", gates=JUDGED, **more)
    assert trained(copies, "read", gates=JUDGED, **more) == in_memory
    assert "looked_at" not in in_memory[-1]


def test_a_fit_that_spreads_itself_is_judged_by_so_many_rows_wherever_they_lie_and_says_so(
    copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "LOOKED_AT", 40)
    given = {**BESIDE, "refit": False, "gates": {**JUDGED, "drift": False}}
    in_memory = trained(copies, "spread", **given)
    assert trained(copies, "read", **given) == in_memory
    data = in_memory[-1]
    assert data["looked_at"] == {"train": 40, "holdout": 40}
    assert min(data["train"]["rows"], data["holdout"]["rows"]) > 40
    everything = trained(copies, "given", **given)[-1]
    assert (data["train"], data["holdout"]) == (everything["train"], everything["holdout"])


def test_a_search_has_what_it_has_with_rows_in_memory(copies: Any) -> None:
    assert trained(copies, "read", gates=QUICK, trials=3) == trained(copies, "given", gates=QUICK, trials=3)


def in_memory(*_: Any, **__: Any) -> Dataset:
    raise AssertionError("all rows are in memory")


def test_a_model_that_learned_from_rows_in_files_is_reproduced_and_judged_again_from_files(
    copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "LOOKED_AT", 40)
    monkeypatch.setattr(building, "build", in_memory)
    gates = {**QUICK, "baseline": {}, "drift": {"rows": 20, "psi": 9.0}}
    trained(copies, "read", gates=gates)
    with copies.open("read", trainer=READING, gates=gates) as stack:
        assert stack.reproduce("valuation@1").ok
        again = rejudge(stack, "valuation@1")
        assert (len(again.candidate.train), len(again.candidate.holdout), again.candidate.whole) == (40, 40, False)
        for name in ("baseline", "drift"):
            assert again.judge(name).evidence == again.recorded[name]["evidence"]
        again.close()


def test_a_version_whose_rows_are_gone_is_judged_again_from_files(copies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "LOOKED_AT", 40)
    trained(copies, "read", gates=QUICK)
    with copies.open("read", trainer=READING, gates={**QUICK, "baseline": {}}) as stack:
        sales = stack.project.folder / "later.csv"
        sales.write_text(
            "home_id,asked_at,sold_at,known_at,rooms,price\n"
            + "".join(f"{home:04},2025-06-01,2025-06-02,2025-06-03,3,{1000 * home}\n" for home in range(4, 99))
        )
        stack.label(sales)
        stack.delete_entity("home", yes=True, home_id="0003")
        monkeypatch.setattr(building, "build", in_memory)
        again = rejudge(stack, "valuation@1")
        newest = np.datetime64(again.version.record["data"]["train"]["last"].removesuffix("Z"))
        assert (len(again.candidate.train), len(again.candidate.holdout)) == (40, 40)
        assert again.candidate.train.asked.max() <= newest < again.candidate.holdout.asked.min()
        again.close()


def test_what_a_version_learned_from_is_built_and_written_part_by_part(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stackwright.load(work, progress=lambda *_: None) as stack:
        (version,), _ = stack.registry.history()
        with rebuilt(stack, version) as whole:
            write_rows(whole, tmp_path / "whole.parquet")
        monkeypatch.setattr(building, "build", in_memory)
        with rebuilt(stack, version, files=True) as built:
            assert isinstance(built.learned, PartedRows)
            assert not built.differences
            write_rows(built, tmp_path / "parts.parquet")
    whole_, parts = (pq.ParquetFile(tmp_path / f"{name}.parquet") for name in ("whole", "parts"))
    assert parts.read().equals(whole_.read())
    assert parts.num_row_groups > whole_.num_row_groups


def test_a_training_tells_by_how_many_rows_it_was_judged(copies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "LOOKED_AT", 40)
    with copies.open("read", trainer=READING, gates=QUICK) as stack:
        told = stack.train()
        assert told.data["looked_at"] == {"train": 40, "holdout": 40}
        data = stack.registry.history()[0][0].record["data"]
        newer, older = data["holdout"]["rows"], data["train"]["rows"]
        assert f"Judged by 40 of {newer} newer rows and 40 of {older} rows that it learned from" in str(told)
        assert stack.train().data["looked_at"] == told.data["looked_at"], "also where nothing is to do"


def test_a_fit_that_spreads_itself_tells_where_all_rows_are_held_by_one_process(
    copies: Any, market: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with copies.open("spread", trainer={"adapter": "odd", "rows": "spread"}, gates=QUICK) as stack:
        assert "its trainer takes none by reference" in str(stack.train())
    folder = copies.copy("own", trainer=READING, gates=QUICK)
    blueprint = folder / "blueprint.toml"
    own = f'data = {{ source = "{market.sales}", target = "price", time = "asked_at", inputs = ["rooms"] }}'
    text = blueprint.read_text().replace('service = "valuation@1"', own).replace('target = "sale_price"\n', "")
    blueprint.write_text(text)
    with copies.load(folder) as stack:
        told = "The process that trains holds all rows of 'valuation': rows of data of its own are put in order"
        assert told in str(stack.train())
    assert told in caplog.text, "before they are read: a process that lacks the memory tells nothing afterwards"
    with copies.open("read", trainer=READING, gates=QUICK) as stack:
        assert "holds all rows" not in str(stack.train())


def test_a_file_that_is_gone_is_named(copies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    build = building.build_in_parts

    def lost(*given: Any, **more: Any) -> PartedRows:
        rows = build(*given, **more)
        rows.parts[2].path.unlink()
        return rows

    monkeypatch.setattr(building, "build_in_parts", lost)
    with (
        copies.open(trainer=READING, gates=QUICK) as stack,
        pytest.raises(DataError, match=r"000002.parquet: the rows of a training cannot be read any more"),
    ):
        stack.train()


def unseen(monkeypatch: pytest.MonkeyPatch, trainer: Any, cache: Path) -> list[int]:
    """Hide the files of rows from every fit; give how many there were."""
    fit_parts, hidden = trainer.fit_parts, list[int]()

    def apart(*given: Any, **more: Any) -> Any:
        (folder,) = (path for path in cache.glob("rows-*") if path.is_dir())
        away = folder.rename(cache / "away")
        hidden.append(len(list(away.iterdir())))
        try:
            return fit_parts(*given, **more)
        finally:
            away.rename(folder)

    monkeypatch.setattr(trainer, "fit_parts", apart)
    return hidden


def test_rows_by_reference_lie_in_a_bucket_for_workers_that_do_not_see_the_projects_folder(
    copies: Any, s3: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = trained(copies, "given", gates=QUICK)
    url, folder = s3(), copies.copy("read", trainer=READING, gates=QUICK)
    blueprint = folder / "blueprint.toml"
    blueprint.write_text(blueprint.read_text() + f'\n[compute]\nadapter = "dask"\nshare = "{url}"\n')
    with copies.load(folder) as stack:
        hidden = unseen(monkeypatch, type(stack.trainer(stack.model())), stack.project.cache)
        assert stack.train().data["digest"] == in_memory[0]
    assert len(hidden) == 1
    assert hidden[0] > 3
    assert not list(open_storage(url).list()), "nothing is left there"


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Rows in order of time, many at one time, some known late."""
    count = draw(st.integers(2, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    asked = np.sort(random.integers(0, draw(st.integers(1, 80)), count)).astype("datetime64[us]")
    texts = np.array(["flat", "house", "ünï", None], dtype=object)[random.integers(0, 4, count)]
    numbers = np.where(random.random(count) < 0.2, np.nan, random.normal(size=count))
    return Dataset(
        columns={"area": numbers, "kind": texts},
        target=random.normal(size=count),
        asked=asked,
        observed=asked + random.integers(0, 30, count).astype("timedelta64[us]"),
        keys={"home": np.array([f"{number:03}" for number in range(count)], dtype=object)},
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as found:
        yield Path(found)


def in_files(folder: Path, rows: Dataset, size: int) -> PartedRows:
    starts = range(0, len(rows), size)
    return PartedRows(
        tuple(
            write(folder / f"{start}.parquet", rows.take(np.arange(start, min(start + size, len(rows)))))
            for start in starts
        )
    )


def outcome(rows: Dataset | PartedRows, split: TemporalSplit) -> tuple[list[Any], str]:
    """Return the folds, or why there are none."""
    try:
        return list(rows.split(split)), ""
    except TrainingError as error:
        return [], str(error)


def same(found: Dataset, wanted: Dataset) -> bool:
    keys = [found.keys[name].tolist() for name in found.keys] == [wanted.keys[name].tolist() for name in wanted.keys]
    return keys and found.fingerprint() == wanted.fingerprint()


@settings(max_examples=25, deadline=None)
@given(
    rows=datasets(),
    size=st.integers(9, 30),
    folds=st.integers(1, 4),
    holdout=st.floats(0.05, 0.9),
    most=st.integers(1, 70),
)
def test_rows_in_files_are_cut_by_time_thinned_and_hashed_as_rows_in_memory(
    folder: Path, rows: Dataset, size: int, folds: int, holdout: float, most: int
) -> None:
    found, split = in_files(folder, rows, size), TemporalSplit(folds=folds, holdout=holdout)
    assert len(found) == len(rows)
    assert found.fingerprint() == rows.fingerprint()
    assert same(found.thinned(most), rows.thinned(most))
    assert list(found.values("kind")) == rows.columns["kind"].tolist()
    wanted, why = outcome(rows, split)
    cut, told = outcome(found, split)
    assert told == why
    for (older, newer), expected in zip(cut, wanted, strict=True):
        for part, whole in zip((older, newer), expected, strict=True):
            assert part.fingerprint() == whole.fingerprint()
            middle = len(whole) // 2
            assert part.read(middle, len(whole)).target.tolist() == whole.target[middle:].tolist()
