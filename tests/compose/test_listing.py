"""What is in a sink's folder, told by names, sizes and times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from firedoor.compose.listing import list_files
from firedoor.errors import StoreRefused


def put(path: Path, text: str = "x", *, at_s: float = 100.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for one in (path, path.parent):
        os.utime(one, (at_s, at_s))


def test_a_folder_that_is_not_there_or_holds_no_parquet_has_no_listing(tmp_path: Path) -> None:
    put(tmp_path / "out" / "x.tmp")
    for folder in (tmp_path / "out", tmp_path / "nowhere"):
        assert (list_files(folder).hash, list_files(folder).files) == ("", 0)


def test_any_file_that_comes_goes_grows_or_is_written_anew_makes_another_listing(
    tmp_path: Path,
) -> None:
    file, deep = tmp_path / "a.parquet", tmp_path / "deep" / "b.parquet"
    put(file)
    seen = [list_files(tmp_path).hash]
    assert list_files(tmp_path).hash == seen[0]
    put(deep, "xy")
    seen.append(list_files(tmp_path).hash)
    assert (list_files(tmp_path).files, list_files(tmp_path).bytes) == (2, 3)
    put(deep, "xyz")
    seen.append(list_files(tmp_path).hash)
    put(deep, "xyz", at_s=101.0)
    seen.append(list_files(tmp_path).hash)
    assert len(set(seen)) == 4
    deep.unlink()
    assert list_files(tmp_path).hash == seen[0]


def test_the_latest_change_is_that_of_a_file_or_of_a_folder_from_which_one_was_taken(
    tmp_path: Path,
) -> None:
    put(tmp_path / "out" / "a.parquet", at_s=50.0)
    assert list_files(tmp_path / "out").newest_s == 50.0
    os.utime(tmp_path / "out", (70.0, 70.0))
    assert list_files(tmp_path / "out").newest_s == 70.0


def test_a_folder_that_cannot_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firedoor.compose.listing.FILES_MAX", 1)
    put(tmp_path / "a.parquet")
    list_files(tmp_path)
    put(tmp_path / "b.parquet")
    with pytest.raises(StoreRefused, match="more than 1 files; write larger batches"):
        list_files(tmp_path)
