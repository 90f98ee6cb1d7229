"""Cut whole supplies, and say which line became what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import dataframely as dy
import polars as pl

from firedoor.data.reading.csv import CsvFile
from firedoor.data.reading.cut import Cut, Supply
from firedoor.data.reading.files import Files
from firedoor.data.reading.hints import Types, declared_types
from firedoor.data.reading.jsonl import JsonLines
from firedoor.data.reading.parquet import ParquetFile
from firedoor.wire.records import Position

BATCHES_MAX = 10_000


class Small(dy.Schema):
    a = dy.Int64(nullable=True)


SMALL = declared_types(Small)


def jsonl(
    *paths: Path | str, declared: Types = SMALL, line_bytes_max: int = 2**20, follow: bool = False,
    known: Sequence[str] = (),
) -> Files:  # fmt: skip
    return Files(
        [str(path) for path in paths],
        lambda path: JsonLines(path, declared=declared, line_bytes_max=line_bytes_max),
        follow=follow,
        known=known,
    )


def csv(*paths: Path | str, line_bytes_max: int = 2**20) -> Files:
    return Files(
        [str(path) for path in paths], lambda path: CsvFile(path, line_bytes_max=line_bytes_max)
    )


def parquet(*paths: Path | str) -> Files:
    return Files([str(path) for path in paths], ParquetFile)


def cut_all(supply: Supply, rows: int, position: Position | None = None) -> list[Cut]:
    """Return all batches from a place on."""
    cuts: list[Cut] = []
    while (cut := supply.cut(position, rows)) is not None:
        assert len(cuts) < BATCHES_MAX
        assert cut.lines == cut.frame.height + len(cut.bad) + sum(cut.dropped.values())
        cuts.append(cut)
        position = cut.position
    close = getattr(supply, "close", None)  # those that read files keep one open
    if close is not None:
        close()
    return cuts


def cut_one(supply: Files, rows: int, position: Position | None = None) -> Cut:
    """Return the batch at a place, and let go of the files."""
    cut = supply.cut(position, rows)
    supply.close()
    assert cut is not None
    return cut


def numbers_of(cut: Cut) -> list[int]:
    return list(range(cut.frame.height)) if cut.numbers is None else cut.numbers.to_list()


def lines_of(cuts: Sequence[Cut]) -> list[int]:
    """Return the line in its file of every row."""
    return [cut.segment.line + number for cut in cuts for number in numbers_of(cut)]


def bad_lines_of(cuts: Sequence[Cut]) -> list[int]:
    return [cut.segment.line + bad.number for cut in cuts for bad in cut.bad]


def values_of(cuts: Sequence[Cut], column: str = "a") -> list[object]:
    return [
        value
        for cut in cuts
        for value in (cut.frame[column].to_list() if column in cut.frame.columns else [])
    ]


def same(one: Cut, other: Cut) -> bool:
    """Whether two batches are the same in everything."""
    return (
        one.frame.equals(other.frame)
        and one.frame.schema == other.frame.schema
        and numbers_of(one) == numbers_of(other)
        and (one.bad, one.dropped, one.segment, one.position)
        == (other.bad, other.dropped, other.segment, other.position)
    )


def resumes_alike(make: Callable[[], Supply], rows: int) -> bool:
    """Whether a new supply goes on after each batch as the one that cut it did."""
    cuts = cut_all(make(), rows)
    for at, cut in enumerate(cuts):
        rest = cut_all(make(), rows, cut.position)
        if len(rest) != len(cuts) - at - 1:
            return False
        if not all(same(one, other) for one, other in zip(cuts[at + 1 :], rest, strict=True)):
            return False
    return True


def frame_of(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"a": values}, schema={"a": pl.Int64})
