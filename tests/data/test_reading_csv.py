"""CSV: rows, ragged lines, quoted newlines, and how lines are counted."""

from __future__ import annotations

import csv as stdlib_csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.reading_aids import bad_lines_of, csv, cut_all, lines_of, resumes_alike, values_of
from firedoor.data.reading.cut import Unreadable

TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters='",\n '), max_size=6
)
CELLS = st.one_of(st.none(), TEXTS.filter(bool), st.integers().map(str))


def written(rows: list[list[str | None]], end: str) -> bytes:
    file = io.StringIO(newline="")
    writer = stdlib_csv.writer(file, lineterminator=end)
    writer.writerows([["a", "b"], *rows])
    return file.getvalue().encode()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=15),
    end=st.sampled_from(["\n", "\r\n"]),
    count=st.integers(1, 8),
)
def test_what_pythons_writer_writes_is_read_as_it_was(
    rows: list[list[str | None]], end: str, count: int
) -> None:
    # A row of two empty values is ",": no blank line.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "f.csv"
        file.write_bytes(written(rows, end))
        cuts = cut_all(csv(file), count)
        assert values_of(cuts, "a") == [row[0] for row in rows]
        assert values_of(cuts, "b") == [row[1] for row in rows]
        assert not bad_lines_of(cuts)
        begins, line = [], 2
        for row in rows:
            begins.append(line)
            line += 1 + sum((cell or "").count("\n") for cell in row)
        assert lines_of(cuts) == begins
        assert resumes_alike(lambda: csv(file), count)


def write(folder: Path, data: bytes) -> Path:
    file = folder / "f.csv"
    file.write_bytes(data)
    return file


def test_a_ragged_line_costs_that_line(tmp_path: Path) -> None:
    file = write(tmp_path, b"a,b\n1,2\n3\n4,5,6\n7,8")
    (cut,) = cut_all(csv(file), 10)
    assert values_of([cut]) == ["1", "7"]
    assert [(bad.number, bad.signature, bad.text) for bad in cut.bad] == [
        (1, "ragged line", "3"),
        (2, "ragged line", "4,5,6"),
    ]
    assert "has 1 values, the header names 2" in cut.bad[0].message


def test_a_row_over_several_lines_is_numbered_by_its_first(tmp_path: Path) -> None:
    file = write(tmp_path, b'a,b\n1,"x\ny\nz"\n2,w\n')
    (cut,) = cut_all(csv(file), 10)
    assert values_of([cut], "b") == ["x\ny\nz", "w"]
    assert lines_of([cut]) == [2, 5]
    assert (cut.lines, cut.dropped) == (4, {"continued": 2})


def test_a_row_is_never_cut_in_two(tmp_path: Path) -> None:
    file = write(tmp_path, b'a,b\n1,"x\ny"\n2,w\n3,"p\nq"')
    cuts = cut_all(csv(file), 1)
    assert [cut.lines for cut in cuts] == [2, 1, 2]
    assert values_of(cuts, "b") == ["x\ny", "w", "p\nq"]


def test_a_quote_that_is_never_closed_costs_its_line_and_no_other(tmp_path: Path) -> None:
    file = write(tmp_path, b'a,b\n1,"x\n2,y\n3,z\n')
    cuts = cut_all(csv(file), 10)
    assert (bad_lines_of(cuts), lines_of(cuts)) == ([2], [3, 4])
    assert cuts[0].bad[0].signature == "unclosed quote"
    assert resumes_alike(lambda: csv(file), 1)


def test_a_stray_quote_before_a_good_one_costs_its_line_only(tmp_path: Path) -> None:
    file = write(tmp_path, b'a,b\n1,"x\n2,y\n3,"z"\n4,w\n')
    cuts = cut_all(csv(file), 10)
    assert 2 in bad_lines_of(cuts)
    assert lines_of(cuts) == [3, 4, 5]


def test_a_quoted_value_over_the_bound_counts_as_never_closed(tmp_path: Path) -> None:
    file = write(tmp_path, b'a,b\n1,"' + b"x\n" * 5_000 + b'"\n2,y\n')
    cuts = cut_all(csv(file, line_bytes_max=1024), 100_000)
    assert 2 in bad_lines_of(cuts)
    assert values_of(cuts)[-1] == "2"


def test_a_line_that_is_no_utf_8_costs_that_line(tmp_path: Path) -> None:
    file = write(tmp_path, b'a,b\n1,\xff\n2,"\xc3\xa9"\n3,\xc3\xa9\n')
    cuts = cut_all(csv(file), 10)
    assert values_of(cuts, "b") == ["é", "é"]
    assert [(bad.signature, bad.text) for bad in cuts[0].bad] == [("not UTF-8", "1,\\xff")]


def test_text_after_a_closing_quote_costs_that_line(tmp_path: Path) -> None:
    cuts = cut_all(csv(write(tmp_path, b'a,b\n1,"x"y\n2,z\n')), 10)
    assert (bad_lines_of(cuts), values_of(cuts)) == ([2], ["2"])


def test_blank_lines_are_dropped_and_empty_values_are_null(tmp_path: Path) -> None:
    (cut,) = cut_all(csv(write(tmp_path, b"a,b\n\n1,\n  \n,2\n")), 10)
    assert (cut.dropped, lines_of([cut])) == ({"blank": 2}, [3, 5])
    assert cut.frame.rows() == [("1", None), (None, "2")]


def test_one_column_is_read_as_well(tmp_path: Path) -> None:
    (cut,) = cut_all(csv(write(tmp_path, b"a\n1\n\n2\n")), 10)
    assert (values_of([cut]), cut.dropped) == (["1", "2"], {"blank": 1})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty: a CSV file begins with a line of column names"),
        (b"\n1,2\n", "holds no column names"),
        (b"a,a\n1,2\n", "names column 'a' twice"),
        (b"a,\n1,2\n", "column 2 has no name"),
        (b"\xff,b\n1,2\n", "holds no column names"),
        (b'a,"b\n1,2\n', "holds no column names"),
    ],
)
def test_a_file_without_column_names_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    file = write(tmp_path, data)
    with pytest.raises(Unreadable, match=why) as caught:
        cut_all(csv(file), 10)
    assert str(file) in str(caught.value)


def test_a_file_of_column_names_alone_gives_no_batch(tmp_path: Path) -> None:
    assert cut_all(csv(write(tmp_path, b"a,b\n")), 10) == []
    assert cut_all(csv(write(tmp_path, b'"a\nc",b')), 10) == []
