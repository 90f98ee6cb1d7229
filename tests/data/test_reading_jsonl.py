"""JSON lines: which lines become rows, which cost themselves, and that no value is changed."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.reading_aids import (
    SMALL,
    bad_lines_of,
    cut_all,
    jsonl,
    lines_of,
    resumes_alike,
    values_of,
)
from firedoor.data.reading.cut import Unreadable
from firedoor.data.reading.hints import Types
from firedoor.data.reading.jsonl import Parsed, parse


def parsed(data: bytes, declared: Types = SMALL, *, line_bytes_max: int = 2**20) -> Parsed:
    return parse(data.splitlines(keepends=True), declared, line_bytes_max=line_bytes_max)


def is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


INTEGERS = st.integers(-(2**62), 2**62)
VALUES = st.one_of(st.none(), INTEGERS, st.text(max_size=5), st.booleans(), st.lists(INTEGERS))
GOOD = st.builds(lambda value: json.dumps({"a": value}).encode(), INTEGERS)
ODD = st.builds(
    lambda value, key, ascii_: json.dumps({key: value}, ensure_ascii=ascii_).encode(
        errors="surrogatepass"
    ),
    VALUES,
    st.sampled_from(["a", "b", "a b", "é"]),
    st.booleans(),
)
MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
"""What a file of another encoding begins with, which is refused as a whole."""
NOISE = (
    st.binary(max_size=20)
    .map(lambda data: data.replace(b"\n", b"").replace(b"\r", b""))
    .filter(lambda data: not data.startswith(MARKS))
)
BROKEN = st.sampled_from(
    rb"""[1]|7|null|{"a":1|{"a":1}}|{"a":NaN}|"x"|   ||{"a":"\ud800"}|{}|{"a":01}""".split(b"|")
)


@settings(max_examples=150, deadline=None, derandomize=True)
@example(lines=[b'{"a": 0}'] * 6 + [b"7", b"{}"], end=b"\n", ended=False, rows=2)
@example(lines=[b"{}", b"[]"], end=b"\n", ended=True, rows=2)
@given(
    lines=st.lists(st.one_of(GOOD, ODD, NOISE, BROKEN), max_size=40),
    end=st.sampled_from([b"\n", b"\r\n"]),
    ended=st.booleans(),
    rows=st.integers(1, 12),
)
def test_exactly_the_lines_that_are_no_objects_die_and_every_row_has_its_line(
    lines: list[bytes], end: bytes, *, ended: bool, rows: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "f.jsonl"
        file.write_bytes(end.join(lines) + (end if ended and lines else b""))
        cuts = cut_all(jsonl(file, declared={}), rows)
        filled = {n for n, line in enumerate(lines, 1) if line.strip(b" \t\r\n")}
        good = [n for n in sorted(filled) if is_object(lines[n - 1])]
        assert lines_of(cuts) == good
        assert bad_lines_of(cuts) == sorted(filled - set(good))
        told = json.dumps([str(json.loads(lines[n - 1])) for n in good if lines[n - 1] != b"{}"])
        assert told  # every one of them can be read by others too
        assert resumes_alike(lambda: jsonl(file, declared={}), rows)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(values=st.lists(INTEGERS, min_size=1, max_size=30), noise=st.lists(NOISE, max_size=5))
def test_integers_come_out_as_they_stand_whatever_lines_are_among_them(
    values: list[int], noise: list[bytes]
) -> None:
    lines = [json.dumps({"a": value}).encode() for value in values]
    lines += [line for line in noise if not is_object(line)]
    frame = parsed(b"\n".join(lines)).frame
    assert frame["a"].cast(pl.Int64).to_list() == values


@settings(max_examples=200, deadline=None, derandomize=True)
@given(rows=st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4), min_size=1))
def test_no_key_and_no_value_is_lost_without_a_schema(rows: list[dict[str, object]]) -> None:
    frame = parsed(b"\n".join(json.dumps(row).encode() for row in rows), {}).frame
    assert frame.height == len(rows)
    for number, row in enumerate(rows):
        for key, value in row.items():
            found = frame[key][number]
            found = found.to_list() if isinstance(found, pl.Series) else found
            text = value if isinstance(value, str) or value is None else json.dumps(value)
            as_text = found if isinstance(found, str) or found is None else json.dumps(found)
            assert (as_text or "").replace(" ", "") == (text or "").replace(" ", "")


def test_a_key_that_comes_late_is_not_lost() -> None:
    block = b'{"a":1}\n' * 200 + b'{"a":2,"late":3}\n'
    assert parsed(block).frame["late"].to_list() == [None] * 200 + [3]
    assert parsed(b'{"a":1}\n' * 200 + b'{"late":3}\n').frame["late"].sum() == 3
    spaced = b'{"a" : 1}\n' * 200 + b'{"a": 2, "late" : 3}\n'
    assert parsed(spaced).frame["late"].sum() == 3
    tabbed = b'{"a":1}\n' * 200 + b'{"late"\t:3}\n'
    assert parsed(tabbed).frame["late"].sum() == 3


def test_a_key_that_replaces_another_is_not_lost_among_nulls() -> None:
    block = b'{"a":1,"b":null}\n' * 100 + b'{"a":1,"c":null}\n' * 5 + b'{"a":1,"c":7}\n'
    assert parsed(block).frame["c"].sum() == 7
    quoted = rb'{"s":"\":null"}' + b"\n"
    assert parsed(quoted * 100 + b'{"x":1}\n', {}).frame["x"].sum() == 1


def test_blank_lines_are_counted_and_dropped() -> None:
    found = parsed(b'{"a":1}\n\n  \t\n{"a":2}\n\n')
    assert found.numbers is not None
    assert (found.numbers.to_list(), found.blank, found.bad) == ([0, 3], 3, ())


def test_a_bad_line_is_kept_as_it_stands() -> None:
    (bad,) = parsed(b'{"a":1}\n{"a": \xffoops}\r\n').bad
    assert (bad.number, bad.text, bad.code) == (1, '{"a": \\xffoops}', "parse")
    assert bad.signature == "malformed JSON"
    (bad,) = parsed(b'{"a": "\xff"}\n').bad
    assert bad.signature == "not UTF-8"


def test_a_line_over_the_bound_costs_itself_and_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    long = b'{"a":"' + b"x" * 5_000_000 + b'"}'
    file.write_bytes(b'{"a":1}\n' + long + b'\r\n{"a":2}\n' + long)
    cuts = cut_all(jsonl(file, line_bytes_max=2048), 10)
    assert (lines_of(cuts), bad_lines_of(cuts)) == ([1, 3], [2, 4])
    bad = cuts[0].bad[0]
    assert bad.signature == "line too long"
    assert "4.8 MiB, more than the 2 KiB" in bad.message
    assert len(bad.text) <= 2**16
    assert resumes_alike(lambda: jsonl(file, line_bytes_max=2048), 1)


@pytest.mark.parametrize("over", [-1, 0, 1, 2])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_the_bound_is_on_the_line_without_its_end(tmp_path: Path, over: int, end: bytes) -> None:
    file = tmp_path / "f.jsonl"
    line = b'{"a":"' + b"x" * (1024 + over - 8) + b'"}'
    assert len(line) == 1024 + over
    file.write_bytes(line + end + (b'{"a":1}' if end else b""))
    cuts = cut_all(jsonl(file, declared={}, line_bytes_max=1024), 10)
    assert bad_lines_of(cuts) == ([1] if over > 0 else [])
    assert sum(cut.lines for cut in cuts) == 1 + bool(end)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a":1}\n{"a":2}')
    assert values_of(cut_all(jsonl(file), 1)) == [1, 2]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "f.jsonl"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    file.write_bytes(f'{mark}{{"a":1}}'.encode(encoding))
    with pytest.raises(Unreadable, match=r"is UTF-(16|32), and UTF-8 is read.*iconv"):
        cut_all(jsonl(file), 1)


def test_a_string_among_integers_leaves_the_integers_whole() -> None:
    big = 2**53 + 1
    frame = parsed(f'{{"a":{big}}}\n{{"a":"x"}}\n{{"a":true}}\n{{"a":[1]}}\n'.encode()).frame
    assert frame["a"].to_list() == [str(big), "x", "true", "[1]"]


def test_a_float_among_large_integers_does_not_round_them() -> None:
    frame = parsed(b'{"a":1.5}\n{"a":9007199254740993}\n').frame
    assert frame["a"].to_list() == ["1.5", "9007199254740993"]


def test_integers_of_any_size_are_kept() -> None:
    huge = 10**50
    assert parsed(f'{{"a":{huge}}}\n{{"a":1}}\n'.encode()).frame["a"].to_list() == [str(huge), "1"]


def test_half_of_a_surrogate_pair_costs_its_line_and_a_whole_pair_is_a_character() -> None:
    found = parsed(b'{"s":"\\ud83d\\ude00"}\n{"s":"\\ud83d"}\n', {})
    assert found.frame["s"].to_list() == ["\U0001f600"]
    assert [bad.number for bad in found.bad] == [1]


def test_a_value_of_another_shape_costs_its_line_where_the_schema_knows_shapes() -> None:
    declared: Types = {"l": pl.List(pl.Int64()), "s": pl.Struct({"x": pl.Int64()})}
    lines = [
        {"l": [1], "s": {"x": 1}},
        {"l": 1, "s": {"x": 2}},
        {"l": [2], "s": "text"},
        {"l": None, "s": None},
        {"l": [[3]], "s": {"x": [1]}},
    ]
    found = parsed(b"\n".join(json.dumps(line).encode() for line in lines), declared)
    assert [(bad.number, bad.code, bad.signature) for bad in found.bad] == [
        (1, "schema", "rule l|dtype"),
        (2, "schema", "rule s|dtype"),
        (4, "schema", "rule l|dtype, s|dtype"),
    ]
    assert found.frame["l"].to_list() == [[1], None]


def test_deep_nesting_and_huge_numbers_cost_their_lines() -> None:
    deep = b'{"b":' + b"[" * 3000 + b"]" * 3000 + b"}"
    found = parsed(b'{"a":1}\n' + deep + b'\n{"a":1e999}\n{"a":2}\n')
    assert [bad.number for bad in found.bad] == [1, 2]
    assert found.frame["a"].to_list() == [1, 2]


def test_a_column_that_no_line_has_stays_missing_and_one_of_nulls_does_not() -> None:
    declared: Types = {"a": pl.Int64(), "b": pl.Int64()}
    assert parsed(b'{"a":1}\n' * 100, declared).frame.columns == ["a"]
    assert parsed(b'{"a":1,"b":null}\n' * 100, declared).frame.columns == ["a", "b"]
    late = b'{"a":1}\n' * 100 + b'{"a":1,"b":null}\n'
    assert parsed(late, declared).frame.columns == ["a", "b"]


def test_floats_are_read_as_declared() -> None:
    frame = parsed(b'{"f":1}\n{"f":2.5}\n{"f":null}\n', {"f": pl.Float64()}).frame
    assert frame["f"].to_list() == [1.0, 2.5, None]
    assert math.isclose(frame["f"].sum(), 3.5)


def test_an_empty_file_gives_no_batch(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_bytes(b"")
    (tmp_path / "2.jsonl").write_bytes(b'{"a":1}')
    (tmp_path / "3.jsonl").write_bytes(b"\xef\xbb\xbf")
    cuts = cut_all(jsonl(tmp_path / "*.jsonl"), 10)
    assert [cut.segment.file for cut in cuts] == [str(tmp_path / "2.jsonl")]
