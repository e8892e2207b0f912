"""The training set: labels known by then, joined with features as they were when each was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

import stackwright
from stackwright.assembly.project import Project
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.building import build
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.shaping import Shaper, recency, signature
from stackwright_features.code import collect
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import DefinitionError, TrainingError
from stackwright_interfaces.types import TIMESTAMP, Field
from stackwright_numerics.split import TemporalSplit

START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def opened(filled: Path) -> Iterator[Stack]:
    with Stack(filled) as stack:
        yield stack


@pytest.fixture(scope="module")
def rows(opened: Stack) -> Dataset:
    return build(opened, opened.model())


def test_rows_are_in_order_of_the_time_asked_with_their_keys_and_truth(rows: Dataset, market: Any) -> None:
    sales = pyarrow.csv.read_csv(market.sales).to_pydict()
    assert len(rows) == 300
    assert (np.diff(rows.asked) > np.timedelta64(0)).all()
    assert rows.keys["home_id"].tolist() == [f"{home:04}" for home in sales["home_id"]]
    assert rows.target.tolist() == sales["price"]
    assert ((rows.observed - rows.asked) == np.timedelta64(20, "D")).all()


def test_features_are_those_of_the_instant_each_row_was_asked_at(rows: Dataset, market: Any) -> None:
    visits = pyarrow.parquet.read_table(market.visits).to_pylist()
    for place in (0, 99, 250):
        home, asked = rows.keys["home_id"][place], START + timedelta(days=place)
        within = [
            visit
            for visit in visits
            if visit["home_id"] == home and asked - timedelta(days=30) <= visit["visited_at"].astimezone(UTC) < asked
        ]
        assert rows.columns["visits_30d"][place] == len(within)
    assert rows.columns["room_size"].tolist() == (rows.columns["area"] / rows.columns["rooms"]).tolist()
    assert list(rows.columns) == ["area", "kind", "visits_30d", "rooms", "room_size"]


def test_training_sees_only_labels_that_were_observed_by_then(opened: Stack) -> None:
    known = build(opened, opened.model(), known_at=START + timedelta(days=50))
    assert len(known) == 31
    with pytest.raises(TrainingError, match=r"no label is known. Run: stackwright label FILE"):
        build(opened, opened.model(), known_at=START + timedelta(days=19))


def test_no_fold_learns_from_a_truth_that_was_not_known_when_it_is_tested(rows: Dataset) -> None:
    folds = list(rows.split(TemporalSplit(folds=3, holdout=0.3)))
    assert len(folds) == 3
    for older, newer in folds:
        assert older.observed.max() <= newer.asked.min()
        assert len(newer) == 30


def test_rows_that_cannot_be_split_are_told_in_the_users_words(rows: Dataset) -> None:
    late = replace(rows, observed=np.full(len(rows), rows.asked.max() + np.timedelta64(1, "D")))
    together = replace(rows, asked=np.full(len(rows), rows.asked[0]))
    for dataset in (late, together):
        with pytest.raises(TrainingError, match=r"labelled rows: .*Bring labels of more times"):
            list(dataset.split(TemporalSplit(folds=1)))


def changed(column: Any, place: int, value: Any) -> Any:
    other = column.copy()
    other[place] = value
    return other


def test_a_fingerprint_changes_with_any_value(rows: Dataset) -> None:
    day = np.timedelta64(1, "D")
    others = [
        replace(rows, target=changed(rows.target, 7, 1.0)),
        replace(rows, asked=changed(rows.asked, 7, rows.asked[7] + day)),
        replace(rows, observed=changed(rows.observed, 7, rows.observed[7] + day)),
        rows.take(np.arange(1, len(rows))),
        *(
            replace(
                rows, columns={**rows.columns, name: changed(column, 7, None if column.dtype == object else np.nan)}
            )
            for name, column in rows.columns.items()
        ),
    ]
    digests = {dataset.fingerprint()["sha256"] for dataset in others}
    assert len(digests) == len(others)
    assert rows.fingerprint()["sha256"] not in digests


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a", None], [None, "a"]),
        ([None, "x"], ["-", "x"]),
        ([None, "x"], ["", "x"]),
        (["\x00", "x"], [None, "x"]),
        (["a\x1fb", "c"], ["a", "b\x1fc"]),
        (["1:a", ""], ["", "1:a"]),
    ],
)
def test_texts_and_nulls_are_told_apart_in_a_fingerprint(rows: Dataset, one: list[Any], other: list[Any]) -> None:
    two = rows.take(np.arange(2))
    prints = [replace(two, columns={"kind": np.array(texts, dtype=object)}).fingerprint() for texts in (one, other)]
    assert prints[0] != prints[1]


def test_a_fingerprint_does_not_change_with_what_is_no_part_of_the_data(rows: Dataset, filled: Path) -> None:
    expected = rows.fingerprint()
    assert replace(rows, columns=dict(reversed(rows.columns.items()))).fingerprint() == expected
    assert replace(rows, keys={}).fingerprint() == expected
    with Stack(filled, clock=lambda: datetime(2031, 1, 1, tzinfo=UTC)) as later:
        assert build(later, later.model()).fingerprint() == expected


def test_a_fingerprint_tells_how_many_rows_and_from_when_to_when(rows: Dataset) -> None:
    found = rows.fingerprint()
    assert (found["rows"], found["first"], found["last"]) == (
        300,
        "2024-01-01T00:00:00.000000Z",
        "2024-10-26T00:00:00.000000Z",
    )


def test_rows_outside_the_rules_are_not_learned_from(opened: Stack, rows: Dataset) -> None:
    part = replace(opened.model(), where={"area": [50, 100], "sale_price": [0, 250_000]})
    chosen = build(opened, part)
    keep = (rows.columns["area"] >= 50) & (rows.columns["area"] <= 100) & (rows.target <= 250_000)
    assert 0 < len(chosen) < len(rows)
    assert chosen.target.tolist() == rows.target[keep].tolist()


def test_a_rule_on_what_is_no_column_of_numbers_is_told(opened: Stack) -> None:
    with pytest.raises(
        TrainingError, match=r"\[models.valuation\] where: no column 'aera'. Choose from: sale_price, area"
    ):
        build(opened, replace(opened.model(), where={"aera": [0, 1]}))
    with pytest.raises(TrainingError, match="where: 'kind' holds no numbers"):
        build(opened, replace(opened.model(), where={"kind": [0, 1]}))


def test_newer_rows_weigh_more(rows: Dataset) -> None:
    weight = recency(rows.asked, 30.0)
    assert weight is not None
    assert weight[-1] == 1.0
    assert weight[-31] == pytest.approx(0.5)
    assert recency(rows.asked, 0) is None
    assert recency(rows.asked[:0], 30.0) is None


def test_a_signature_holds_the_services_outputs_and_the_categories_of_the_rows(opened: Stack, rows: Dataset) -> None:
    made = signature(opened.service("valuation@1"), opened.target("sale_price"), rows)
    assert [field.name for field in made.inputs] == ["area", "kind", "visits_30d", "rooms", "room_size"]
    assert [field.name for field in made.outputs] == ["sale_price"]
    assert made.categories == {"kind": ("flat", "house")}


def test_an_output_that_no_model_takes_is_refused(opened: Stack, rows: Dataset) -> None:
    service = FeatureService(name="times", request=(Field("seen", TIMESTAMP),))
    with pytest.raises(DefinitionError, match=r"service 'times@1': output 'seen' is a timestamp. Name the outputs"):
        signature(service, opened.target("sale_price"), rows)


@pytest.mark.parametrize("form", ["matrix", "columns"])
def test_a_trainer_gets_rows_in_the_form_it_asks_for(opened: Stack, rows: Dataset, form: str) -> None:
    class Asking:
        input = form

    part = replace(opened.model(), half_life=30.0)
    trainer: Any = Asking()
    shaper = Shaper.of(trainer, part, signature(opened.service("valuation@1"), opened.target("sale_price"), rows))
    data = shaper(rows)
    if form == "matrix":
        assert data.inputs.shape == (300, 5)
        assert set(data.inputs[:, 1]) == {0.0, 1.0}
    else:
        assert data.inputs["kind"].tolist() == rows.columns["kind"].tolist()
    assert data.target.tolist() == np.log(rows.target).tolist()
    assert data.weight is not None
    assert shaper.postprocess == ({"op": "exp"},)


@pytest.fixture
def labelled(project: Any, tmp_path: Path) -> Any:
    """Opens a project with changed features and these lines of labels; its history is empty."""

    def opened(*changes: tuple[str, str], labels: str) -> Stack:
        folder = project(changes=changes)
        Project(folder).save_definitions(collect(folder / "features.py"))
        stack = stackwright.load(folder)
        stack.features.apply(stack.definitions)
        (tmp_path / "labels.csv").write_text(labels)
        outcome = stack.label(tmp_path / "labels.csv")
        assert not outcome.notes, outcome.notes
        return stack

    return opened


LABELS = (
    "home_id,asked_at,sold_at,known_at,rooms,price\n"
    "1,2024-01-01T00:00:00Z,2024-01-02T00:00:00Z,2024-01-03T00:00:00Z,2,{}\n"
)


def test_censored_labels_and_truths_without_a_logarithm_are_left_out(labelled: Any) -> None:
    lines = "home_id,asked_at,sold_at,known_at,rooms,price,open\n" + "".join(
        f"{home},2024-01-0{home}T00:00:00Z,2024-01-09T00:00:00Z,2024-01-10T00:00:00Z,2,{price},{censored}\n"
        for home, price, censored in ((1, "5", "false"), (2, "", "true"), (3, "-1", "false"), (4, "0", "false"))
    )
    with labelled(('observed="known_at",', 'observed="known_at", censored="open",'), labels=lines) as stack:
        assert build(stack, stack.model()).target.tolist() == [5.0]
        assert build(stack, replace(stack.model(), transform="none")).target.tolist() == [5.0, -1.0, 0.0]


@pytest.mark.parametrize(
    ("declared", "written", "truth"), [("BOOL", "true", 1.0), ("INT64", "3.0", 3.0), ("FLOAT64", "2.5", 2.5)]
)
def test_a_truth_may_be_a_number_or_a_boolean(labelled: Any, declared: str, written: str, truth: float) -> None:
    changes = (
        ('Field("price", FLOAT64)', f'Field("price", {declared})'),
        ("import (", "import BOOL\nfrom stackwright import ("),
    )
    with labelled(*changes, labels=LABELS.format(written)) as stack:
        assert build(stack, stack.model()).target.tolist() == [truth]


def test_a_truth_that_is_a_text_is_refused(labelled: Any) -> None:
    text = ('Field("price", FLOAT64)', 'Field("price", STRING)')
    with (
        labelled(text, labels=LABELS.format("dear")) as stack,
        pytest.raises(DefinitionError, match="value is a string"),
    ):
        build(stack, stack.model())


def test_labels_without_what_the_service_is_asked_with_are_refused(labelled: Any) -> None:
    told = r"its labels do not hold 'rooms', which 'valuation@1' is asked with\. Add it"
    without = ("    request=valuation.request,\n", "")
    with labelled(without, labels=LABELS.format("5")) as stack, pytest.raises(DefinitionError, match=told):
        build(stack, stack.model())
