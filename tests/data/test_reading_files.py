"""Which files are read, in what order, and that a file is known again."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from data.reading_aids import (
    cut_all,
    cut_one,
    frame_of,
    jsonl,
    lines_of,
    parquet,
    resumes_alike,
    same,
    values_of,
)
from firedoor.data.reading.cut import Unreadable


def fill(folder: Path, **files: int) -> list[Path]:
    """Write files, each with lines from 1 to a number."""
    paths = []
    for name, count in files.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(f'{{"a":{n + 1}}}\n' for n in range(count)))
        paths.append(path)
    return paths


def test_files_come_in_the_order_of_their_names_and_no_batch_crosses_one(tmp_path: Path) -> None:
    fill(tmp_path, b=3, a=4, c=1)
    cuts = cut_all(jsonl(tmp_path / "*.jsonl"), 2)
    assert [(Path(cut.segment.file).stem, cut.segment.line, cut.lines) for cut in cuts] == [
        ("a", 1, 2), ("a", 3, 2), ("b", 1, 2), ("b", 3, 1), ("c", 1, 1),
    ]  # fmt: skip
    assert resumes_alike(lambda: jsonl(tmp_path / "*.jsonl"), 2)


def test_a_file_that_two_patterns_name_is_read_once(tmp_path: Path) -> None:
    fill(tmp_path, b=1, a=1)
    cuts = cut_all(jsonl(tmp_path / "b.jsonl", tmp_path / "*.jsonl"), 2)
    assert [Path(cut.segment.file).stem for cut in cuts] == ["b", "a"]


@pytest.mark.parametrize("form", [jsonl, parquet])
def test_what_is_not_there_is_named(tmp_path: Path, form: type) -> None:
    with pytest.raises(Unreadable, match=r"x\.jsonl is not there") as caught:
        form(tmp_path / "x.jsonl").cut(None, 1)
    assert caught.value.code == "missing"
    with pytest.raises(Unreadable, match=r"no file matches .*\*\.jsonl.*follow=True"):
        form(tmp_path / "*.jsonl").cut(None, 1)
    with pytest.raises(Unreadable, match="is a folder: name the files in it"):
        form(tmp_path).cut(None, 1)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (file,) = fill(tmp_path, a=1)
    file.chmod(0)
    with pytest.raises(Unreadable, match="may not be read"):
        jsonl(file).cut(None, 1)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    keeper = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(Unreadable, match="is no file"):
        jsonl(tmp_path / "pipe").cut(None, 1)
    os.close(keeper)


@pytest.mark.parametrize("change", ["longer", "shorter", "touched", "gone"])
def test_a_file_that_was_changed_since_is_refused(tmp_path: Path, change: str) -> None:
    (file,) = fill(tmp_path, a=5)
    cut = cut_one(jsonl(file), 2)
    match change:
        case "longer":
            with file.open("a") as more:
                more.write('{"a":6}\n')
        case "shorter":
            os.truncate(file, file.stat().st_size - 1)
        case "touched":
            os.utime(file, (1, 1))
        case _:
            file.unlink()
    supply = jsonl(file)
    expected = "is not there" if change == "gone" else "was changed since line 2 of it was read"
    with pytest.raises(Unreadable, match=expected):
        supply.cut(cut.position, 2)


def test_a_file_that_is_changed_while_it_is_read_is_refused(tmp_path: Path) -> None:
    (file,) = fill(tmp_path, a=5)
    supply = jsonl(file)
    cut = supply.cut(None, 2)
    assert cut is not None
    with file.open("a") as more:
        more.write('{"a":6}\n')
    with pytest.raises(Unreadable, match="was changed"):
        supply.cut(cut.position, 2)


def test_a_file_that_is_read_through_may_go(tmp_path: Path) -> None:
    first, _ = fill(tmp_path, a=2, b=2)
    cut = cut_one(jsonl(tmp_path / "*.jsonl"), 2)
    first.unlink()
    rest = cut_all(jsonl(tmp_path / "*.jsonl", known=[str(first)]), 2, cut.position)
    assert [Path(cut.segment.file).stem for cut in rest] == ["b"]


def test_a_file_that_comes_later_is_read_last_whatever_its_name(tmp_path: Path) -> None:
    _, second, third = fill(tmp_path, b=1, c=2, d=1)
    known = [str(tmp_path / "b.jsonl"), str(second)]
    cut = cut_one(jsonl(tmp_path / "*.jsonl", known=known), 1)
    fill(tmp_path, a=1)
    rest = cut_all(jsonl(tmp_path / "*.jsonl", known=known), 1, cut.position)
    assert [Path(cut.segment.file).stem for cut in rest] == ["c", "c", "a", "d"]
    assert str(third) == rest[-1].segment.file


def test_the_file_that_was_begun_comes_next_whatever_has_come_since(tmp_path: Path) -> None:
    first, second = fill(tmp_path, b=1, c=1)
    cut = cut_one(jsonl(tmp_path / "*.jsonl"), 1)
    fill(tmp_path, a=1)
    known = [str(first), str(second)]  # a batch of the second was published, and not recorded
    again = cut_one(jsonl(tmp_path / "*.jsonl", known=known), 1, cut.position)
    assert again.segment.file == str(second)


def test_a_source_that_follows_waits_for_files_and_takes_them_as_they_come(tmp_path: Path) -> None:
    supply = jsonl(tmp_path / "*.jsonl", tmp_path / "late.jsonl", follow=True)
    assert supply.cut(None, 1) is None
    fill(tmp_path, b=1)
    first = supply.cut(None, 1)
    assert first is not None
    assert supply.cut(first.position, 1) is None
    fill(tmp_path, a=1, late=1)
    (second, third) = cut_all(supply, 1, first.position)
    assert Path(second.segment.file).stem == "a"
    assert Path(third.segment.file).stem == "late"


def test_the_same_place_asked_for_again_gives_the_same_and_fewer_rows_a_part(
    tmp_path: Path,
) -> None:
    (file,) = fill(tmp_path, a=10)
    supply = jsonl(file)
    whole = supply.cut(None, 10)
    half, again = supply.cut(None, 5), supply.cut(None, 10)
    assert whole is not None
    assert half is not None
    assert again is not None
    assert same(whole, again)
    assert values_of([half]) == [1, 2, 3, 4, 5]
    supply.close()


def test_parquet_is_cut_by_rows_across_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    frame_of(*range(100)).write_parquet(path, row_group_size=7)
    frame_of().write_parquet(tmp_path / "g.parquet")
    cuts = cut_all(parquet(tmp_path / "*.parquet"), 9)
    assert values_of(cuts) == list(range(100))
    assert lines_of(cuts) == list(range(1, 101))
    assert [cut.lines for cut in cuts] == [9] * 11 + [1]
    assert resumes_alike(lambda: parquet(path), 9)


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    frame_of(*range(1000)).write_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unreadable, match=r"f\.parquet is truncated, or no Parquet file"):
        parquet(path).cut(None, 1)
    path.write_bytes(b"")
    with pytest.raises(Unreadable, match=r"f\.parquet is empty"):
        parquet(path).cut(None, 1)


def test_a_parquet_file_that_is_read_through_may_go(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    frame_of(1, 2).write_parquet(path)
    frame_of(3).write_parquet(tmp_path / "g.parquet")
    cut = cut_one(parquet(tmp_path / "*.parquet"), 5)
    path.unlink()
    assert values_of(cut_all(parquet(tmp_path / "*.parquet"), 5, cut.position)) == [3]


def test_nested_columns_of_parquet_come_as_they_are(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [[1], None], "b": [{"x": 1}, {"x": None}]})
    frame.write_parquet(tmp_path / "f.parquet")
    (cut,) = cut_all(parquet(tmp_path / "f.parquet"), 5)
    assert cut.frame.equals(frame)
