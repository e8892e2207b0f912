"""The kit for recommenders: their trainer, and the format that loads what it saves.

An adapter's whole test module::

    class TestRecommender(RecommenderCases):
        spec = spec_of(plugin, RecommenderTrainer)
        format_spec = spec_of(plugin, RecommenderFormat)
        quick = {"trees": 20}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from stackwright_interfaces.errors import ArtifactError, StackwrightError, TrainingError, UsageError
from stackwright_interfaces.model import Manifest, Signature, describe_files
from stackwright_interfaces.plugin import AdapterSpec
from stackwright_interfaces.recommender import (
    TASK,
    AtMost,
    Boosted,
    FittedRecommender,
    Hidden,
    Interactions,
    Items,
    Pinned,
    Recommendations,
    Recommender,
    RecommenderFormat,
    RecommenderTrainer,
    Request,
    SupportsCandidates,
)
from stackwright_interfaces.testing import recommender_town as town
from stackwright_interfaces.testing.adapters import AdapterCases, configured, load_factory
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.recommender_town import KIND, LIKES, NEW, NOW, SOLD

_FITTED: dict[type, FittedRecommender] = {}
_LOFTS = tuple(home for home, kind in KIND.items() if kind == "loft" and home != NEW)
_SOME = tuple(sorted(KIND))[:40]


def silent(_what: str, _done: int, _total: int) -> None:
    """Take no note of progress."""


def kinds(found: Recommendations) -> list[str]:
    """Return the kind of each home of a list."""
    return [KIND[home] for home in found]


class RecommenderCases(AdapterCases):
    """Subclass it in a test module, under a name that starts with ``Test``.

    Attributes:
        spec: the trainer's spec.
        format_spec: the spec of the format that loads what it saves.
        quick: options of the trainer that fit eight hundred interactions in a moment.
    """

    format_spec: ClassVar[AdapterSpec]
    quick: ClassVar[Mapping[str, Any]] = {}

    def config(self, folder: Path) -> Any:
        """Return the trainer's options."""
        return configured(self.spec, {**self.quick, **self.options}, folder)

    @pytest.fixture
    def trainer(self, tmp_path: Path) -> Iterator[RecommenderTrainer]:
        """The trainer under test."""
        built: RecommenderTrainer = self.build(tmp_path)
        yield built
        built.close()

    @pytest.fixture
    def recommender(self, tmp_path: Path) -> Recommender:
        """A recommender of the town, fitted once for all cases: it outlives its trainer."""
        return self.fitted(tmp_path).recommender()

    def fitted(self, folder: Path) -> FittedRecommender:
        """Return the fit that all cases share."""
        cases = type(self)
        if cases not in _FITTED:
            _FITTED[cases] = self.fit(self.build(folder))
        return _FITTED[cases]

    def fit(
        self, trainer: RecommenderTrainer, rows: Interactions | None = None, items: Items | None = None
    ) -> FittedRecommender:
        """Fit on the town."""
        known = town.items() if rows is None else items
        rows = town.interactions() if rows is None else rows
        return trainer.fit(rows, known, holdout="last", seed=7, threads=1, progress=silent)

    def save(self, fitted: FittedRecommender, folder: Path) -> Manifest:
        """Save a fit with its manifest."""
        folder.mkdir()
        fitted.save(folder)
        files = describe_files(folder)
        manifest = Manifest(flavour=fitted.flavour, files=files, signature=Signature(inputs=(), outputs=()), task=TASK)
        manifest.write(folder)
        return manifest

    def load(self, folder: Path) -> Recommender:
        """Load a folder by the format."""
        format_: RecommenderFormat = load_factory(self.format_spec)(self.format_spec.config(), make_context(folder))
        return format_.load(folder, Manifest.read(folder))

    def test_people_get_what_they_like(self, recommender: Recommender) -> None:
        lists = [(kind, kinds(recommender.answer(Request(user=person, n=3)))) for person, kind in LIKES.items()]
        assert np.mean([kind == shown for kind, found in lists for shown in found]) > 0.7

    def test_a_list_is_as_long_as_asked_best_first_and_holds_nothing_twice(self, recommender: Recommender) -> None:
        found = recommender.answer(Request(user="p01", n=7))
        assert len(found) == len(set(found.items)) == 7
        assert (np.diff(found.scores) <= 0).all()
        assert np.isfinite(found.scores).all()
        assert np.asarray(found.propensities).tolist() == [1.0] * 7
        assert not found.cold_user
        assert not found.shuffled

    def test_what_was_seen_is_left_out_unless_asked_for(self, recommender: Recommender) -> None:
        seen = town.seen("p03")
        assert not seen & set(recommender.answer(Request(user="p03", n=60)).items)
        asked = Request(user="p03", candidates=sorted(seen - {SOLD}), exclude_seen=False)
        assert set(recommender.answer(asked).items) <= seen
        none = recommender.answer(replace(asked, exclude_seen=True))
        assert len(none) == 0
        assert none.removed["seen"] == len(seen - {SOLD})

    def test_only_candidates_are_shown_each_once_and_unknown_ones_are_named(self, recommender: Recommender) -> None:
        found = recommender.answer(Request(candidates=["h001", "nowhere", "h002", "h001"], n=10))
        assert sorted(found.items) == ["h001", "h002"]
        assert found.unknown == ("nowhere",)
        assert found.considered == 2
        assert len(recommender.answer(Request(candidates=[], n=10))) == 0

    def test_the_order_of_the_candidates_does_not_count(self, recommender: Recommender) -> None:
        forth, back = (recommender.answer(Request(user="p02", candidates=some)) for some in (_SOME, _SOME[::-1]))
        assert forth.items == back.items

    def test_someone_unknown_gets_a_list_that_says_so(self, recommender: Recommender) -> None:
        for user in ("stranger", None):
            found = recommender.answer(Request(user=user, n=5))
            assert len(found) == 5
            assert found.cold_user

    def test_a_session_changes_the_list(self, recommender: Recommender) -> None:
        found = recommender.answer(Request(session=(*_LOFTS[:3], "nowhere"), n=5))
        assert kinds(found).count("loft") >= 4
        assert not set(_LOFTS[:3]) & set(found.items)
        assert not found.cold_user
        assert found.unknown == ("nowhere",)

    def test_items_that_nobody_took_may_be_shown_and_are_flagged(self, recommender: Recommender) -> None:
        found = recommender.answer(Request(session=_LOFTS[:3], candidates=["h001", NEW]))
        assert dict(zip(found.items, np.asarray(found.cold).tolist(), strict=True)) == {"h001": False, NEW: True}

    def test_what_is_alike_is_of_the_same_kind_and_not_the_item_itself(self, recommender: Recommender) -> None:
        found = recommender.answer(Request(like=_LOFTS[0], n=4))
        assert _LOFTS[0] not in found.items
        assert kinds(found).count("loft") >= 3
        among = recommender.answer(Request(like=_LOFTS[0], candidates=["h000", "h001", _LOFTS[1]]))
        assert set(among.items) <= {"h000", "h001", _LOFTS[1]}
        with pytest.raises(UsageError):
            recommender.answer(Request(like="nowhere"))

    def test_what_is_off_the_market_or_too_dear_is_taken_out_and_counted(self, recommender: Recommender) -> None:
        asked = Request(candidates=["h001", SOLD, "h030"], at=NOW, budget=110_000.0)
        found = recommender.answer(asked)
        assert found.items == ("h001",)
        assert dict(found.removed) == {"unavailable": 1, "over_budget": 1}
        before = recommender.answer(replace(asked, at=NOW.timestamp() - 20 * 86_400))
        assert set(before.items) == {"h001", SOLD}

    def test_live_prices_stand_over_those_that_are_known(self, recommender: Recommender) -> None:
        asked = Request(candidates=["h001", "h030"], budget=100.0, live={"price": [200.0, 50.0]})
        assert recommender.answer(asked).items == ("h030",)

    def test_rules_hide_limit_pin_and_boost(self, recommender: Recommender) -> None:
        plain = recommender.answer(Request(user="p05", n=8))
        first, last = plain.items[0], plain.items[-1]

        def ruled(*rules: Any) -> Recommendations:
            return recommender.answer(Request(user="p05", n=8, rules=rules))

        assert first not in ruled(Hidden(items=(first,))).items
        pinned = ruled(Pinned("h000", 3))
        assert pinned.items[2] == "h000"
        assert np.isnan(pinned.scores[2])
        assert len(set(pinned.items)) == 8
        assert ruled(Boosted(by=100.0, items=(last,))).items[0] == last
        assert len(ruled(AtMost(1))) == 4
        assert "h000" not in ruled(Pinned("h000", 3), Hidden(items=("h000",))).items

    def test_diversity_mixes_kinds(self, recommender: Recommender) -> None:
        plain, mixed = (recommender.answer(Request(session=_LOFTS[:4], n=8, diversity=share)) for share in (0.0, 0.8))
        assert len(set(kinds(mixed))) > len(set(kinds(plain)))

    def test_chance_is_seeded_and_its_probabilities_are_told(self, recommender: Recommender) -> None:
        asked = Request(user="p04", n=4, candidates=_SOME, explore=0.5, explore_depth=10)
        lists = [recommender.answer(replace(asked, seed=seed)) for seed in range(60)]
        assert 10 < sum(found.shuffled for found in lists) < 50
        usual = next(found for found in lists if not found.shuffled)
        assert usual.propensities[0] == pytest.approx(0.5 + 0.5 / 10)
        again = [recommender.answer(replace(asked, seed=seed)) for seed in range(20)]
        assert [found.items for found in again] == [found.items for found in lists[:20]]

    def test_many_at_once_get_the_lists_that_they_get_one_by_one(self, recommender: Recommender) -> None:
        asked = Request(n=5, rules=(AtMost(2),), diversity=0.3, budget=150_000.0, at=NOW)
        people = ["p09", "stranger", "p02"]
        found = list(recommender.answer_users(people, asked))
        assert [person for person, _ in found] == people
        for person, many in found:
            alone = recommender.answer(replace(asked, user=person))
            assert many.items == alone.items
            assert np.array_equal(many.scores, alone.scores)
        assert {person for person, _ in recommender.answer_users(None, Request(n=1))} == set(LIKES)

    def test_many_may_be_asked_each_at_an_instant_of_its_own(self, recommender: Recommender) -> None:
        early = NOW.timestamp() - 20 * 86_400
        asked = Request(n=60, exclude_seen=False)
        (_, then), (_, now) = recommender.answer_users(["p01", "p01"], asked, at=[early, NOW.timestamp()])
        assert SOLD in then.items
        assert SOLD not in now.items
        with pytest.raises(UsageError):
            list(recommender.answer_users(["p01", "p02"], asked, at=[early]))

    def test_what_its_retrievers_name_is_told_of_who_is_known(self, recommender: Recommender) -> None:
        if not isinstance(recommender, SupportsCandidates):
            return
        ((person, named),) = recommender.candidates_of(["p01", "stranger"])
        assert person == "p01"
        everything = {home for homes in named.values() for home in homes}
        assert everything <= set(KIND)
        assert not everything & town.seen("p01")
        assert set(recommender.answer(Request(user="p01", n=5)).items) <= everything

    @pytest.mark.parametrize(
        "wrong",
        [
            {"n": 0},
            {"diversity": 1.5},
            {"explore": -0.1},
            {"rules": ("hide it",)},
            {"rules": (Pinned("h1", 0),)},
            {"rules": (AtMost(0),)},
            {"live": {"price": [1.0]}},
            {"candidates": ("h001", "h002"), "live": {"price": [1.0]}},
        ],
        ids=str,
    )
    def test_a_request_out_of_range_is_refused(self, recommender: Recommender, wrong: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            recommender.answer(Request(**wrong))

    def test_the_same_fit_writes_the_same_bytes_and_they_answer_the_same(
        self, trainer: RecommenderTrainer, recommender: Recommender, tmp_path: Path
    ) -> None:
        before = self.save(self.fitted(tmp_path), tmp_path / "first")
        assert self.save(self.fit(trainer), tmp_path / "second").files == before.files
        back = self.load(tmp_path / "first")
        for asked in ({"user": "p01"}, {"session": _LOFTS[:2]}, {"like": "h001"}, {"user": "p02", "candidates": _SOME}):
            now, then = back.answer(Request(**asked)), recommender.answer(Request(**asked))
            assert now.items == then.items
            assert np.array_equal(now.scores, then.scores)
        back.close()

    def test_a_damaged_payload_is_refused(self, tmp_path: Path) -> None:
        manifest = self.save(self.fitted(tmp_path), tmp_path / "model")
        for name in manifest.files:
            path = tmp_path / "model" / name
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            files = describe_files(tmp_path / "model")
            replace(manifest, files=files).write(tmp_path / "model")
            with pytest.raises(ArtifactError):
                self.load(tmp_path / "model")
            path.write_bytes(content)

    def test_whole_numbers_are_identifiers_too(self, trainer: RecommenderTrainer) -> None:
        found = self.fit(trainer, town.interactions(numbers=True)).recommender().answer(Request(user=3, n=4))
        assert len(found) == 4
        assert all(isinstance(home, int) for home in found)
        assert not found.cold_user

    def test_too_little_to_learn_from_is_refused(self, trainer: RecommenderTrainer) -> None:
        rows = town.interactions()
        with pytest.raises(StackwrightError):
            self.fit(trainer, replace(rows, table=rows.table.slice(0, 1)))
        untimed = Interactions(table=rows.table.drop_columns(["time"]), columns=("user", "item"))
        with pytest.raises(TrainingError):
            self.fit(trainer, untimed)
