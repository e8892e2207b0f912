"""From a URL or path to a storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackwright_interfaces.errors import UsageError
from stackwright_storage import open_storage


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}", "file:{}", "FILE://{}"])
def test_paths_and_file_urls_name_the_same_folder(form: str, tmp_path: Path) -> None:
    open_storage(form.format(tmp_path)).put_if_absent("key", b"content")
    assert (tmp_path / "key").read_bytes() == b"content"


def test_a_relative_path_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_storage("registry").put_if_absent("key", b"content")
    assert (tmp_path / "registry/key").read_bytes() == b"content"


def test_the_url_of_a_path_with_odd_characters_is_decoded(tmp_path: Path) -> None:
    folder = tmp_path / "a b#c?d"
    open_storage(folder.as_uri()).put_if_absent("key", b"content")
    assert (folder / "key").read_bytes() == b"content"


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no storage for the scheme 'gopher'\. Known: file"):
        open_storage("gopher://bucket/prefix")


def test_a_misspelt_scheme_is_put_right() -> None:
    with pytest.raises(UsageError, match="Did you mean 'file'"):
        open_storage("flie:///folder")


@pytest.mark.parametrize("url", ["s3://[bucket/journal", "file://[/folder", "postgresql://u:sw[rd@host/db"])
def test_a_url_that_cannot_be_read_is_told_without_its_password(url: str) -> None:
    with pytest.raises(UsageError, match="the URL cannot be read") as caught:
        open_storage(url)
    assert "sw[rd" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["file://another.machine/folder", "file:", "file:///folder?query", "file:///folder#part"]
)
def test_a_file_url_that_names_no_folder_here_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not the URL of a folder on this machine"):
        open_storage(url)


def test_nothing_is_no_storage() -> None:
    with pytest.raises(UsageError, match="neither a URL nor a path"):
        open_storage("")


def test_what_may_hold_a_secret_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        open_storage("s3a://name:secret@bucket/prefix")
    assert "secret" not in str(caught.value)
    assert "Did you mean 's3'" in str(caught.value)
