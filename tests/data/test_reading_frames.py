"""Frames of a user's own: cut, skipped to the checkpoint, known again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from data.reading_aids import cut_all, frame_of, resumes_alike, values_of
from firedoor.compute.frames import to_polars
from firedoor.data.reading.cut import Unreadable
from firedoor.data.reading.frames import Frames, FrameSupply


def frames() -> Iterator[object]:
    yield frame_of(1, 2, 3, 4, 5)
    yield pd.DataFrame({"a": [6, 7]})
    yield frame_of()
    yield pa.table({"a": [8]})


def supply(given: Frames = frames) -> FrameSupply:
    return FrameSupply(given, to_polars)


def test_frames_of_any_kind_are_cut_and_none_is_joined_to_another() -> None:
    cuts = cut_all(supply(), 2)
    assert values_of(cuts) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [(cut.segment.file, cut.segment.line, cut.lines) for cut in cuts] == [
        ("frame-0", 1, 2), ("frame-0", 3, 2), ("frame-0", 5, 1), ("frame-1", 1, 2),
        ("frame-3", 1, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("rows", [1, 2, 3, 10])
def test_a_new_supply_goes_on_where_the_last_one_stopped(rows: int) -> None:
    assert resumes_alike(supply, rows)


def test_a_list_of_frames_and_one_generator_serve_as_well() -> None:
    assert values_of(cut_all(supply([frame_of(1), frame_of(2)]), 5)) == [1, 2]
    assert values_of(cut_all(supply(frames()), 5)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert cut_all(supply([]), 5) == []


def test_fewer_frames_than_were_read_are_refused() -> None:
    *_, last = cut_all(supply(), 10)
    with pytest.raises(Unreadable, match="gave 1 frames, and 4 of it were read before"):
        supply([frame_of(1)]).cut(last.position, 10)


def test_another_frame_than_was_begun_is_refused() -> None:
    cut = supply().cut(None, 2)
    assert cut is not None
    with pytest.raises(Unreadable, match="frame 0 of the source is another than before"):
        supply([frame_of(1, 2, 3)]).cut(cut.position, 2)


def test_what_is_no_frame_is_named() -> None:
    with pytest.raises(Unreadable, match=r"frame 1 of the source cannot be used: .*dict"):
        cut_all(supply([frame_of(1), {"a": [1]}]), 5)
    with pytest.raises(Unreadable, match=r"\.collect\(\)"):
        cut_all(supply([pl.LazyFrame({"a": [1]})]), 5)


def test_an_iterable_that_raises_is_named_with_its_line_and_may_be_begun_again() -> None:
    broken = [True]

    def given() -> Iterable[object]:
        yield frame_of(1)
        if broken:
            message = "no route to host"
            raise ConnectionError(message)
        yield frame_of(2)

    reader = supply(given)
    first = reader.cut(None, 5)
    assert first is not None
    with pytest.raises(Unreadable, match=r"raised ConnectionError: no route.*frames\.py:\d+"):
        reader.cut(first.position, 5)
    broken.clear()
    assert values_of(cut_all(reader, 5, first.position)) == [2]


def test_a_function_that_raises_is_named() -> None:
    def given() -> Iterable[object]:
        raise OSError("refused")

    with pytest.raises(Unreadable, match=r"raised OSError: refused at .*:\d+"):
        supply(given).cut(None, 5)
