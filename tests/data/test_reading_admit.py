"""The gate at the door: what becomes of rows that do not keep the source's schema."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import dataframely as dy
import polars as pl
import pytest

from data.reading_aids import numbers_of
from firedoor.data.reading.admit import Admitted, Door
from firedoor.data.reading.cut import Cut, Unreadable
from firedoor.data.reading.hints import declared_types
from firedoor.data.reading.jsonl import parse
from firedoor.wire.records import Position, Segment


class Flight(dy.Schema):
    distance = dy.Int64(min=1)
    tail = dy.String(nullable=True)
    at = dy.Datetime(time_zone="UTC", nullable=True)


def cut_of(*rows: object, file: str = "f.jsonl") -> Cut:
    """Return a batch of JSON lines; what is text stands as it is."""
    lines = [(row if isinstance(row, str) else json.dumps(row)).encode() + b"\n" for row in rows]
    parsed = parse(lines, declared_types(Flight), line_bytes_max=2**20)
    return Cut(
        frame=parsed.frame,
        numbers=parsed.numbers,
        bad=parsed.bad,
        dropped={"blank": parsed.blank} if parsed.blank else {},
        segment=Segment(file=file, line=101, rows=len(lines)),
        position=Position(file=file, line=100 + len(lines)),
    )


GOOD = {"distance": 5, "tail": "N1", "at": "2013-01-01T10:00:00Z"}


def admitted(cut: Cut, **options: object) -> Admitted:
    return Door(Flight, absent_is_null=True, **options).admit(cut)  # type: ignore[arg-type]


def test_rows_that_keep_the_schema_go_on_as_declared() -> None:
    done = admitted(cut_of(GOOD, GOOD | {"at": None}))
    assert done.frame.schema["at"] == pl.Datetime("us", "UTC")
    assert done.frame["at"].to_list() == [datetime(2013, 1, 1, 10, tzinfo=UTC), None]
    assert done.numbers is None
    assert done.dead.height == 0


def test_dead_rows_stand_as_they_came_beside_lines_that_are_no_rows() -> None:
    done = admitted(
        cut_of(GOOD, "", GOOD | {"distance": "1O89"}, "oops", GOOD | {"at": "soon"}, GOOD)
    )
    assert done.numbers is not None
    assert done.numbers.to_list() == [0, 5]
    assert done.frame.height == 2
    assert done.reasons.select("row", "code", "signature").rows() == [
        (2, "schema", "rule distance|dtype"),
        (3, "parse", "malformed JSON"),
        (4, "schema", "rule at|dtype"),
    ]
    assert "'soon' is not Datetime" in done.reasons["message"][2]
    assert done.dead["distance"].to_list() == ["1O89", None, "5"]
    assert done.dead["at"][2] == "soon"
    assert done.dead["line"].to_list() == [None, "oops", None]


def test_lines_alone_are_one_column() -> None:
    done = admitted(cut_of(GOOD, "oops", "[1]"))
    assert done.dead.columns == ["line"]


def test_a_column_of_the_name_line_is_not_hidden() -> None:
    done = admitted(cut_of(GOOD | {"line": 7}, GOOD | {"distance": 0, "line": 8}, "oops"))
    assert done.dead["line"].to_list() == [8, None]
    assert done.dead["raw_line"].to_list() == [None, "oops"]


def test_many_lines_that_fail_alike_are_the_files_fault() -> None:
    rows: list[object] = [*[GOOD] * 100, *[GOOD | {"distance": 0}] * 12]
    with pytest.raises(Unreadable) as caught:
        admitted(cut_of(*rows))
    told = str(caught.value)
    assert caught.value.code == "contrast"
    assert "f.jsonl, lines 101 to 212: 12 of 112 rows fail in the same way" in told
    assert "rule distance|min. The first: distance|min: distance=0" in told
    assert caught.value.columns == ("distance",)
    assert admitted(cut_of(*rows), share_max=1.0).dead.height == 12
    assert admitted(cut_of(*rows[:109])).dead.height == 9


def test_many_lines_that_are_none_are_the_files_fault() -> None:
    with pytest.raises(Unreadable, match="malformed JSON"):
        admitted(cut_of(*[GOOD] * 30, *["oops"] * 30))


def test_a_renamed_column_is_the_schemas_fault() -> None:
    renamed = {"distances": 5, "tail": "N1", "at": None}
    with pytest.raises(Unreadable, match=r"f\.jsonl, lines 101 to 102: .*Was 'distance' renamed"):
        admitted(cut_of(renamed, renamed))


def test_a_nullable_key_that_no_line_has_is_null_unless_another_came_in_its_place() -> None:
    assert admitted(cut_of({"distance": 5})).frame["tail"].to_list() == [None]
    with pytest.raises(Unreadable, match="'tail'"):
        admitted(cut_of({"distance": 5, "tailnum": "N1", "at": None}))
    with pytest.raises(Unreadable, match="'distance'"):
        admitted(cut_of({"tail": "N1", "at": None}))


def test_lines_without_keys_are_refused_where_no_schema_says_more() -> None:
    with pytest.raises(Unreadable, match="there is no column"):
        Door(None).admit(cut_of({}, {}))


def test_without_a_schema_every_row_goes_on() -> None:
    cut = cut_of({"x": 1}, "oops", {"x": None})
    done = Door(None).admit(cut)
    assert done.numbers is not None
    assert done.numbers.to_list() == numbers_of(cut) == [0, 2]


def test_a_batch_of_blank_and_bad_lines_has_no_rows() -> None:
    done = admitted(cut_of("", "oops", " "))
    assert (done.frame.height, done.dead.height) == (0, 1)
