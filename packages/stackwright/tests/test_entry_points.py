"""Entry points are found as the standard library finds them, without its cost."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from stackwright.assembly.entry_points import entry_points


def install(folder: Path, info: str, points: str, name: str = "", version: str = "1.0") -> Path:
    place = folder / info
    place.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nA page.\nName: not-this\n"
    (place / ("METADATA" if info.endswith(".dist-info") else "PKG-INFO")).write_text(head)
    (place / "entry_points.txt").write_text(points)
    return folder


@pytest.mark.parametrize("group", ["stackwright", "console_scripts", "pytest11", "none such"])
def test_what_is_installed_here_is_found_as_the_standard_library_finds_it(group: str) -> None:
    ours = {(point.name, point.value, point.distribution, point.version) for point in entry_points(group)}
    theirs = [point for point in metadata.entry_points(group=group) if point.dist]
    without_extras = {point.value.partition("[")[0].strip() for point in theirs}
    assert {value for _, value, _, _ in ours} == without_extras
    assert {(name, distribution, version) for name, _, distribution, version in ours} == {
        (point.name, point.dist.name, point.dist.version) for point in theirs if point.dist
    }


def test_only_lines_of_the_group_count(tmp_path: Path) -> None:
    text = "[other]\nno = x:y\n\n[stackwright]\n# a remark\na=one.plugin\nb = two : thing.inner\n\n[last]\nc = x:y\n"
    folder = install(tmp_path, "parts-1.0.dist-info", text, "parts")
    found = [(point.name, point.value) for point in entry_points("stackwright", [str(folder)])]
    assert found == [("a", "one.plugin"), ("b", "two : thing.inner")]


def test_the_distribution_is_named_by_its_metadata(tmp_path: Path) -> None:
    folder = install(tmp_path, "My_Parts-2.1.dist-info", "[stackwright]\na = json\n", "My.Parts", "2.1")
    (point,) = entry_points("stackwright", [str(folder)])
    assert (point.distribution, point.version) == ("My.Parts", "2.1")


def test_a_develop_install_counts(tmp_path: Path) -> None:
    folder = install(tmp_path, "parts.egg-info", "[stackwright]\na = json\n", "parts")
    assert [point.distribution for point in entry_points("stackwright", [str(folder)])] == ["parts"]


def test_of_two_of_one_name_the_first_on_the_path_counts(tmp_path: Path) -> None:
    first = install(tmp_path / "1", "my_parts-2.0.dist-info", "[stackwright]\na = json\n", "my-parts", "2.0")
    second = install(tmp_path / "2", "My.Parts-1.0.dist-info", "[stackwright]\nb = json\n", "My.Parts")
    found = [point.name for point in entry_points("stackwright", [str(first), str(second), str(first)])]
    assert found == ["a"]


def test_folders_that_are_not_there_and_lines_that_make_no_sense_are_passed_over(tmp_path: Path) -> None:
    folder = install(tmp_path, "parts-1.0.dist-info", "[stackwright]\na = json\n", "parts")
    (tmp_path / "bare-1.0.dist-info").mkdir()
    broken = tmp_path / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "entry_points.txt").write_bytes(b"[stackwright]\nb = \xff\nc\n")
    found = entry_points("stackwright", [str(tmp_path / "nowhere"), str(folder)])
    assert [point.name for point in found] == ["a"]


def test_what_is_named_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_stranger.py").write_text("class Offer:\n    inner = 7\n")
    text = "[stackwright]\nmodule = a_stranger\nthing = a_stranger:Offer.inner\n"
    monkeypatch.syspath_prepend(str(install(tmp_path, "stranger-1.dist-info", text, "stranger")))
    module, thing = entry_points("stackwright", [str(tmp_path)])
    assert module.load() is sys.modules["a_stranger"]
    assert thing.load() == 7
