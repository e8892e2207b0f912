"""A recommender at rest: it answers as before, and a folder that is not what was saved is refused unparsed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import ArtifactError
from stackwright_recommender import Recommender, load, save
from stackwright_recommender.retrieval.contract import Candidates, Retriever


class Newest(Retriever):
    """The retriever of the contract's own example."""

    name = "newest"

    def fit(self, interactions: Any, items: Any) -> None:
        last = np.zeros(len(items))
        np.maximum.at(last, interactions.item, interactions.time)
        self._last = last

    def candidates(self, sessions: Any, n: int) -> Candidates:
        best = np.argsort(-self._last, kind="stable")[:n]
        return Candidates(np.tile(best, (len(sessions), 1)), np.tile(self._last[best], (len(sessions), 1)))

    def state(self) -> dict[str, Any]:
        return {"last": self._last}

    def restore(self, state: Any, items: Any) -> None:
        self._last = state["last"]


@pytest.fixture(scope="module")
def folder(recommender: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("saved") / "model"
    save(recommender, made)
    return made


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_loaded_answers_as_what_was_saved(recommender: Recommender, folder: Path) -> None:
    back = load(folder)
    asked: list[dict[str, Any]] = [
        {"user": "p1"}, {"user": "stranger"}, {"session": ["h001", "h004"]}, {"user": "p2", "area": "area1"},
        {"user": "p3", "diversity": 0.5}, {"candidates": ["h001", "new-loft"], "budget": 310_000.0},
    ]  # fmt: skip
    for one in asked:
        before, after = recommender.recommend(**one), back.recommend(**one)
        assert after.items == before.items
        assert after.scores.tolist() == before.scores.tolist()
    assert back.similar("h001", 4).items == recommender.similar("h001", 4).items
    assert back.settings == recommender.settings


def test_the_same_interactions_and_seed_give_the_same_bytes(
    trained: Callable[..., Recommender], folder: Path, tmp_path: Path
) -> None:
    save(trained(), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_what_was_loaded_saves_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    save(load(folder), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_a_folder_that_holds_something_is_not_written_over(recommender: Recommender, copy: Path) -> None:
    with pytest.raises(ArtifactError, match="not empty"):
        save(recommender, copy)


@pytest.mark.parametrize("name", ["ranker.txt", "catalogue.npz", "retriever-0.npz"])
def test_an_altered_file_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ArtifactError, match="altered"):
        load(copy)


def test_a_missing_and_a_strange_file_are_refused(copy: Path) -> None:
    (copy / "more.bin").write_bytes(b"?")
    with pytest.raises(ArtifactError, match="not of the recommender"):
        load(copy)
    (copy / "more.bin").unlink()
    (copy / "ranker.txt").unlink()
    with pytest.raises(ArtifactError, match="missing"):
        load(copy)


def test_an_index_that_is_none_is_refused(copy: Path) -> None:
    index = copy / "recommender.json"
    known = json.loads(index.read_text())
    for text, message in [
        ("no json", "cannot be read"),
        (json.dumps({**known, "format": 9}), "format 9"),
        (json.dumps({name: value for name, value in known.items() if name != "retrievers"}), "damaged"),
        (json.dumps({**known, "retrievers": known["retrievers"][:1]}), "damaged|weights"),
    ]:
        index.write_text(text)
        with pytest.raises(ArtifactError, match=message):
            load(copy)


def test_a_folder_cannot_have_a_class_imported_by_naming_it(
    trained: Callable[..., Recommender], tmp_path: Path
) -> None:
    made = trained(retrievers=["ease", "popular", Newest])
    save(made, tmp_path / "own")
    with pytest.raises(ArtifactError, match="not installed as an entry point"):
        load(tmp_path / "own")
    back = load(tmp_path / "own", retrievers=[Newest])
    assert back.recommend("p1").items == made.recommend("p1").items
