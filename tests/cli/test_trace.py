"""``firedoor trace`` on a real store whose run has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.stored import KEY, firedoor, make_project, rows_died
from control.world import FILE


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is only read."""
    directory = tmp_path_factory.mktemp("kept")
    make_project(directory, rows_died)
    return directory


def test_a_row_is_told_from_its_line_to_the_files_that_it_is_in(kept: Path) -> None:
    result = firedoor(kept, "trace", "flights-000002/4")
    assert result.exit_code == 0, result.output + result.stderr
    lines = result.output.splitlines()
    assert lines[0].startswith(f"flights-000002/4: line 15 of {FILE}, read by flights at 2026-01-")
    assert lines[1] == "lookups: weather w1"
    assert [line.split()[:2] for line in lines[3:7]] == [
        ["flights", "passed"], ["clean", "passed"], ["store", "written"], ["audit", "written"],
    ]  # fmt: skip
    assert "clean-v1" in lines[4]
    assert lines[-2:] == [
        "ended in store: /out/store/flights-000002.parquet (one of 8 rows)",
        "ended in audit: /out/audit/flights-000002.parquet (one of 8 rows)",
    ]


def test_a_line_of_a_file_leads_forward_to_the_dead_letter(kept: Path) -> None:
    result = firedoor(kept, "trace", "--file", "flights-01.jsonl", "--line", "4")
    assert result.exit_code == 0, result.output + result.stderr
    assert result.output.startswith("flights-000001/3: ")
    assert KEY in result.output
    assert "firedoor dlq show flights-000001/3" in result.output


def test_a_story_is_json_when_asked_for(kept: Path) -> None:
    told = json.loads(firedoor(kept, "trace", "flights-000001/3", "--json").output)
    assert told["line"] == 4
    assert told["stops"][-1]["fate"] == "dead"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("flights-000009/1",), "the last batch it cut is flights-000002"),
        ((), "give flights-000123/4711, or --file and --line"),
        (("flights-000001/1", "--file", "x", "--line", "1"), "one row is told at a time"),
        (("--file", "x"), "one row is told at a time"),
        (("--file", "other.jsonl", "--line", "1"), "no line of other.jsonl was read"),
    ],
)
def test_what_cannot_be_told_is_one_clear_line(
    kept: Path, words: tuple[str, ...], says: str
) -> None:
    result = firedoor(kept, "trace", *words)
    assert result.exit_code == 1
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
